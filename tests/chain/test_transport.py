"""Through SOCKS or not at all: names are resolved by the proxy, the environment is not read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from tron_payment import chain
from tron_payment.chain.pool import StackPool
from tron_payment.chain.socks import _Pool
from tron_payment.chain.transport import CONNECTIONS_MAX, http_client

BY_NAME = 3


@dataclass
class SocksServer:
    """Takes part in the SOCKS5 handshake, then answers one HTTP request itself."""

    frozen: bool = False
    port: int = 0
    seen: list[tuple[str, int, str]] = field(default_factory=list)
    """User, address type, host."""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            if self.frozen:
                await reader.read()
                return
            _, methods = await reader.readexactly(2)
            await reader.readexactly(methods)
            writer.write(b"\x05\x02")
            _, size = await reader.readexactly(2)
            user = await reader.readexactly(size)
            await reader.readexactly((await reader.readexactly(1))[0])
            writer.write(b"\x01\x00")
            _, _, _, kind = await reader.readexactly(4)
            host = await reader.readexactly((await reader.readexactly(1))[0])
            await reader.readexactly(2)
            self.seen.append((user.decode(), kind, host.decode()))
            writer.write(b"\x05\x00\x00\x01" + bytes(6))
            await reader.readuntil(b"\r\n\r\n")
            body = b'{"num":5}'
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def socks(frozen: bool = False) -> AsyncIterator[SocksServer]:
    behaviour = SocksServer(frozen)
    server = await asyncio.start_server(behaviour.serve, "127.0.0.1", 0)
    behaviour.port = server.sockets[0].getsockname()[1]
    try:
        yield behaviour
    finally:
        server.close()


def node_again(node: chain.NodeClient, deadline_s: float) -> chain.NodeClient:
    """The same connections with more patience."""
    node._calls.deadline_s = deadline_s
    return node


def node_through(port: int, deadline_s: float = 5.0) -> chain.NodeClient:
    pool = chain.node_pool(f"socks5h://127.0.0.1:{port}", "node-a")
    url = "http://node.invalid:8090"
    return chain.NodeClient("a", url, url, pool, None, deadline_s)


async def test_the_proxy_gets_the_name_and_the_user_that_isolates() -> None:
    async with socks() as server:
        assert await node_through(server.port).next_maintenance_ms() == 5
        assert server.seen == [("node-a", BY_NAME, "node.invalid")]


async def test_a_frozen_proxy_is_left_after_our_own_deadline() -> None:
    async with socks(frozen=True) as server:
        with pytest.raises(chain.NodeUnavailable, match=r"within 0\.2 s"):
            await node_through(server.port, deadline_s=0.2).next_maintenance_ms()


async def test_a_proxy_that_was_frozen_for_long_takes_no_place_for_ever() -> None:
    async with socks(frozen=True) as server:
        node = node_through(server.port, deadline_s=0.1)
        for _ in range(2):
            calls = [node.next_maintenance_ms() for _ in range(CONNECTIONS_MAX)]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(each, chain.NodeUnavailable) for each in answers)
        assert len(server.writers) > CONNECTIONS_MAX
        await asyncio.sleep(0.05)
        assert all(each.is_closing() for each in server.writers), "our side has closed them"
        server.frozen = False
        assert await node_again(node, deadline_s=5.0).next_maintenance_ms() == 5


async def test_a_dead_proxy_means_no_way_at_all() -> None:
    async with socks() as server:
        port = server.port
    with pytest.raises(chain.NodeUnavailable):
        await node_through(port).next_maintenance_ms()


async def test_the_environment_cannot_open_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    async with socks() as server:
        assert await node_through(server.port).next_maintenance_ms() == 5


def _pools(client: httpx.AsyncClient) -> list[object]:
    transports = [client._transport, *client._mounts.values()]
    return [each._pool for each in transports if isinstance(each, httpx.AsyncHTTPTransport)]


async def test_there_is_no_second_pool() -> None:
    through, direct = http_client("socks5h://127.0.0.1:9050", "node-a"), http_client(None, "node-a")
    assert [type(each) for each in _pools(through)] == [_Pool]
    assert [type(each) for each in _pools(direct)] == [StackPool]
    for client in (through, direct):
        assert not client.trust_env
        assert not client.follow_redirects
        await client.aclose()


@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:9050", "127.0.0.1:9050", "socks5h://127.0.0.1", "socks5h://"]
)
def test_another_kind_of_proxy_is_refused(proxy: str) -> None:
    with pytest.raises(ValueError, match="socks5h"):
        http_client(proxy, "node-a")

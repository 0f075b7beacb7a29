"""The way out: in production this process connects to its neighbours and to nobody else.

The neighbours are MongoDB, the gateway, Redis, a collector, the SOCKS proxy and nodes of our own
network; they are read from the settings once. Every other connection, datagram and name look-up is
refused inside the process, before a packet is sent, whatever library asks for it. Two watchmen are
needed: Python tells an audit hook of what its own sockets do, but uvloop opens connections and
resolves names in C without telling anybody, so its loop is wrapped too. A guard cannot be taken
away again.
"""

import socket
import sys
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeVar

import structlog
import uvloop
from pymongo.uri_parser import parse_uri

from tron_payment.peers import Endpoint, endpoint, is_address, plain_host
from tron_payment.settings import Settings

LEARNT_MAX: Final = 1_024
"""Addresses remembered from look-ups; a name that moves more often forgets its oldest."""

MONGO_PORT: Final = 27_017
_CONNECTING: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_RESOLVING: Final = frozenset(
    {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}
)

T = TypeVar("T")
log = structlog.get_logger()


class EgressRefused(PermissionError):
    """A connection or look-up that no setting allows; nothing was sent."""


class Guard:
    """Knows the neighbours and refuses everybody else."""

    def __init__(self, neighbours: Iterable[Endpoint], listen_host: str = "") -> None:
        self.neighbours: Final = frozenset(neighbours)
        self._names = {host for host, _ in self.neighbours} | {plain_host(listen_host)}
        self._learnt: dict[Endpoint, None] = {}
        self.blocked: dict[str, int] = {"connect": 0, "lookup": 0}
        """Refused so far, for `egress_blocked_total`."""

    def check_connect(self, address: object) -> None:
        """
        Raises:
            EgressRefused: The address is no neighbour's; local sockets by path are none either.
        """
        if isinstance(address, tuple) and len(address) >= 2 and isinstance(address[1], int):
            wanted = plain_host(str(address[0])), address[1]
            if wanted in self.neighbours or wanted in self._learnt:
                return
        self._refuse("connect", address)

    def check_lookup(self, host: object) -> None:
        """
        Raises:
            EgressRefused: The name is no neighbour's. Addresses pass: they ask nobody.
        """
        if isinstance(host, bytes | bytearray):
            host = bytes(host).decode("ascii", "replace")
        if host is None or (
            isinstance(host, str) and (plain_host(host) in self._names or is_address(host))
        ):
            return
        self._refuse("lookup", host)

    def learn(self, host: object, port: object, found: Iterable[tuple[Any, ...]]) -> None:
        """Let connections to the addresses of a neighbour's name pass, on its port only."""
        if isinstance(host, bytes):
            host = host.decode("ascii", "replace")
        if not isinstance(host, str) or is_address(host):
            return
        if (plain_host(host), _number(port)) not in self.neighbours:
            return
        for *_, address in found:
            self._learnt.pop((key := (plain_host(str(address[0])), int(address[1]))), None)
            self._learnt[key] = None
        while len(self._learnt) > LEARNT_MAX:
            del self._learnt[next(iter(self._learnt))]

    def _refuse(self, kind: str, target: object) -> None:
        self.blocked[kind] += 1
        log.error("egress.blocked", kind=kind, target=repr(target)[:200])
        raise EgressRefused(1, f"egress refused: {kind} {target!r:.200}")


_guard: Guard | None = None


def blocked() -> dict[str, int]:
    """Refused connections and look-ups so far; zeros without a guard."""
    return dict(_guard.blocked) if _guard else {"connect": 0, "lookup": 0}


def neighbours(settings: Settings) -> frozenset[Endpoint]:
    """Everybody whom the settings let this process talk to.

    Every member of the replica set must be in MONGODB_URI: members that only the set itself
    knows are refused.
    """
    hosts: set[Endpoint] = set()
    for stored in (settings.mongo_uri, settings.signer_journal_uri):
        if uri := stored.get_secret_value():
            members = parse_uri(uri, default_port=MONGO_PORT)["nodelist"]
            hosts |= {(plain_host(host), port) for host, port in members if port is not None}
    redis, collector = settings.redis_url.get_secret_value(), settings.otel_exporter_otlp_endpoint
    for url in (settings.api_gateway_url, redis, collector):
        if url:
            hosts.add(endpoint(url))
    if settings.socks_proxy:
        hosts.add(endpoint(settings.socks_proxy))
    if settings.node_proxy is None:
        hosts |= {endpoint(url) for url in (*settings.node_urls, *settings.solidity_urls)}
    return frozenset(hosts)


def install(settings: Settings) -> Guard:
    """Guard this process from now on, for ever. Only once."""
    global _guard
    assert _guard is None, "a process has one guard"
    guard = _guard = Guard(neighbours(settings), settings.listen_host)
    resolve = socket.getaddrinfo

    def learning(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        found = resolve(host, port, *rest, **more)
        guard.learn(host, port, found)
        return found

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _CONNECTING:
            _, address = arguments
            if address is not None:
                guard.check_connect(address)
        elif event in _RESOLVING:
            host = arguments[0]
            guard.check_lookup(host[0] if event == "socket.getnameinfo" else host)

    socket.getaddrinfo = learning
    sys.addaudithook(watch)
    log.info("egress.guarded", neighbours=sorted(f"{h}:{p}" for h, p in guard.neighbours))
    return guard


class GuardedLoop(uvloop.Loop):
    """uvloop, which asks the guard first."""

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:
        assert _guard is not None
        _guard.check_lookup(host)
        found = await super().getaddrinfo(host, port, **more)
        _guard.learn(host, port, found)
        return found

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> Any:
        assert _guard is not None
        _guard.check_lookup(sockaddr[0])
        return await super().getnameinfo(sockaddr, flags)

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **more: Any
    ) -> Any:
        assert _guard is not None
        if host is not None:
            found = await self.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            for *_, address in found:
                _guard.check_connect(address)
            if more.get("ssl") and more.get("server_hostname") is None:
                more["server_hostname"] = host
            host, port = found[0][-1][:2]
        return await super().create_connection(protocol_factory, host, port, **more)

    async def create_datagram_endpoint(self, *_: Any, **more: Any) -> Any:
        assert _guard is not None
        _guard.check_connect(("datagram", more.get("remote_addr")))

    async def create_unix_connection(
        self, protocol_factory: Any, path: Any = None, **more: Any
    ) -> Any:
        assert _guard is not None
        _guard.check_connect(path)


def run(settings: Settings, work: Coroutine[Any, Any, T]) -> T:
    """Run until the work is done; in production with the guard."""
    if settings.is_development:
        return uvloop.run(work)
    install(settings)
    return uvloop.run(work, loop_factory=GuardedLoop)


def _number(port: object) -> int:
    if isinstance(port, str | bytes) and port.isdigit():
        return int(port)
    return port if isinstance(port, int) else 0

"""Tries every way out that Python offers, under the guard; exits with 0 when all are refused.

Run as a process of its own, because a guard stays for ever:
`attempts.py SECRETS_FOLDER PORT_OF_THE_PROXY PORT_OF_A_STRANGER uvloop|asyncio`
"""

import asyncio
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx

from tron_payment import egress
from tron_payment.configuration import load

STRANGER_NAME = "api.trongrid.io"


def refused(act: Callable[..., Any], *arguments: Any) -> None:
    try:
        act(*arguments)
    except egress.EgressRefused:
        return
    raise SystemExit(f"not refused: {act} {arguments}")


async def refused_later(work: Coroutine[Any, Any, Any]) -> None:
    try:
        await work
    except egress.EgressRefused:
        return
    except httpx.ConnectError as error:
        if "egress refused" in str(error) or "All connection attempts failed" in str(error):
            return
        raise
    raise SystemExit(f"not refused: {work}")


def by_sockets(neighbour: int, stranger: int) -> None:
    """Python's own sockets, from any thread."""
    socket.create_connection(("127.0.0.1", neighbour)).close()
    refused(socket.create_connection, ("127.0.0.1", stranger))
    refused(socket.socket().connect_ex, ("127.0.0.1", stranger))
    refused(socket.socket(socket.AF_INET6).connect, ("::1", stranger))
    refused(socket.socket(socket.AF_UNIX).connect, "/run/docker.sock")
    refused(socket.socket(type=socket.SOCK_DGRAM).sendto, b"x", ("127.0.0.1", 53))
    refused(socket.socket(type=socket.SOCK_DGRAM).sendmsg, [b"x"], [], 0, ("127.0.0.1", 53))
    refused(socket.getaddrinfo, STRANGER_NAME, 443)
    refused(socket.gethostbyname, STRANGER_NAME)
    refused(socket.gethostbyaddr, STRANGER_NAME)


async def by_loop(neighbour: int, stranger: int) -> None:
    """What asynchronous libraries use."""
    loop = asyncio.get_running_loop()
    _, writer = await asyncio.open_connection("127.0.0.1", neighbour)
    writer.close()
    await refused_later(asyncio.open_connection("127.0.0.1", stranger))
    await refused_later(asyncio.open_connection(STRANGER_NAME, 443))
    await refused_later(loop.getaddrinfo(STRANGER_NAME, 443))
    with socket.socket() as plain:
        plain.setblocking(False)
        await refused_later(loop.sock_connect(plain, ("127.0.0.1", stranger)))
    await refused_later(loop.create_unix_connection(asyncio.Protocol, "/run/docker.sock"))
    remote = ("127.0.0.1", 53)
    await refused_later(loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=remote))
    async with httpx.AsyncClient(trust_env=False) as client:
        await refused_later(client.get(f"http://127.0.0.1:{stranger}/"))
        await refused_later(client.get(f"https://{STRANGER_NAME}/"))


async def main(neighbour: int, stranger: int) -> None:
    await by_loop(neighbour, stranger)
    by_sockets(neighbour, stranger)
    surprises: list[BaseException] = []

    def elsewhere() -> None:
        try:
            by_sockets(neighbour, stranger)
        except BaseException as surprise:
            surprises.append(surprise)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert not surprises, surprises
    print(egress.blocked())


if __name__ == "__main__":
    folder, ports, kind = Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3])), sys.argv[4]
    settings = load(
        {"TRON_NETWORK": "mainnet", "TOR_PROXY": f"socks5://127.0.0.1:{ports[0]}"},
        secrets_dir=folder,
    )
    if kind == "uvloop":
        egress.run(settings, main(*ports))
    else:
        egress.install(settings)
        asyncio.run(main(*ports))

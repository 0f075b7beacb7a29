"""A devnet on its two ports: the full node, and the solidity node beside it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final

import uvicorn

from tron_payment.devnet.config import DevnetConfig
from tron_payment.devnet.devnet import Devnet

BACKLOG: Final = 1024
SHUTDOWN_S: Final = 1
KEEP_ALIVE_S: Final = 75
"""Longer than clients keep idle connections, so that none is closed under a request."""


class _Server(uvicorn.Server):
    """A server that leaves the signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay off only for sockets that say TCP themselves.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


@contextlib.asynccontextmanager
async def serving(devnet: Devnet) -> AsyncIterator[tuple[int, int]]:
    """Serve a started devnet on its two ports; yields them. Port 0 takes any free two."""
    config = devnet.config
    sockets = [
        _listen(config.host, config.port),
        _listen(config.host, config.port + 1 if config.port else 0),
    ]
    servers, tasks = [], []
    for app, sock in zip((devnet.asgi, devnet.solid_asgi), sockets, strict=True):
        server = _Server(
            uvicorn.Config(
                app,
                lifespan="off",
                access_log=False,
                log_level="warning",
                http="httptools",
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=SHUTDOWN_S,
            )
        )
        servers.append(server)
        tasks.append(asyncio.create_task(server.serve(sockets=[sock])))
    try:
        while not all(server.started for server in servers):  # noqa: ASYNC110 no event for it
            await asyncio.sleep(0.005)
        yield sockets[0].getsockname()[1], sockets[1].getsockname()[1]
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks, return_exceptions=True)
        for sock in sockets:
            sock.close()


async def serve(config: DevnetConfig) -> None:
    """Run a devnet until the task is cancelled."""
    devnet = Devnet(config)
    await devnet.start()
    try:
        async with serving(devnet) as (port, solid_port):
            info = devnet.info()
            print(
                f"devnet: http://{config.host}:{port} (solidity {solid_port}), "
                f"chain {info['genesis_id'][-8:]}, head {info['head']}, "
                f"USDT {info['usdt_contract']}",
                flush=True,
            )
            await asyncio.Event().wait()
    finally:
        await devnet.stop()

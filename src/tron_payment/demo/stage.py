"""The demo's stage: a service of its own on free ports, with a fresh store and chain."""

import asyncio
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

from tron_payment.settings import Settings
from tron_payment.welcome import make_token

FOLDER: Final = Path("var/demo")
BLOCK_MS: Final = 250
READY_S: Final = 180.0
POLL_S: Final = 0.25
CALL_S: Final = 15.0


def environment() -> dict[str, str]:
    """Our own, with free ports and a folder that nothing else uses."""
    first, second = free_ports()
    return {
        **os.environ,
        "LUCID_ENV": "development",
        "TRON_NETWORK": "devnet",
        "PORT": str(first),
        "DEVNET_PORT": str(second),
        "DEVNET_BLOCK_MS": str(BLOCK_MS),
        "VAR_DIR": str(FOLDER),
        "PAYMENT_DB_NAME": f"tron_payment_demo_{secrets.token_hex(4)}",
    }


def free_ports() -> tuple[int, int]:
    """One port, and one whose neighbour above is free too."""
    while True:
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            port = two.getsockname()[1]
            try:
                three.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return one.getsockname()[1], port


@asynccontextmanager
async def service(environment: dict[str, str], console: Console) -> AsyncIterator[str]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    log_path = FOLDER / "service.log"
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tron_payment", env=environment, stdout=log, stderr=log
        )
        try:
            yield f"http://127.0.0.1:{environment['PORT']}"
        except BaseException:
            console.print(f"the service's log is in {log_path}", style="red")
            raise
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


@asynccontextmanager
async def client(base_url: str, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    token = make_token(settings, "demo", "operator", kyc=True)
    async with httpx.AsyncClient(
        base_url=base_url,
        headers={"Authorization": f"Bearer {token}"},
        timeout=CALL_S,
        trust_env=False,
    ) as client:
        yield client


async def ready(api: httpx.AsyncClient, console: Console) -> None:
    """A MongoDB, a TRON node, wallets with money and two router contracts."""
    started = time.monotonic()
    with console.status("starting MongoDB, a TRON devnet, wallets and router contracts"):
        async with asyncio.timeout(READY_S):
            while True:
                try:
                    if (await api.get("/health")).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(POLL_S)
    console.print(f"ready after {time.monotonic() - started:.1f} s: {api.base_url}")

"""Chromium as a child that does one command after another, and the service on a real port."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn

HERE = Path(__file__).parent
DRIVER = HERE / "browser" / "driver.mjs"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
NODE, NPM = shutil.which("node"), shutil.which("npm")
PACKAGES = {
    HERE.parent / "console" / "browser": "playwright-core",
    HERE.parent / "e2e" / "tronweb": "tronweb",
}
"""Folders with a lockfile, and what is there once it is installed."""

INSTALL_S = 240.0
COMMAND_S = 60.0
ANSWER_BYTES_MAX = 1 << 22
POLL_S = 0.01


class Chromium:
    """The browser; pages have names."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, command: str, page: str = "page", **options: Any) -> Any:
        """One command of driver.mjs."""
        assert self._process.stdin is not None and self._process.stdout is not None
        line = json.dumps({"command": command, "id": page, **options}) + "\n"
        self._process.stdin.write(line.encode())
        async with asyncio.timeout(COMMAND_S):
            answer = json.loads(await self._process.stdout.readline() or b"{}")
        assert "error" not in answer, answer["error"]
        assert "answer" in answer, "the browser has ended"
        return answer["answer"]


async def install() -> str:
    """`npm ci` where it is needed; what went wrong, or nothing."""
    for folder, package in PACKAGES.items():
        if (folder / "node_modules" / package).is_dir():
            continue
        child = await asyncio.create_subprocess_exec(
            NPM or "", "ci", "--no-audit", "--no-fund", cwd=folder,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(INSTALL_S):
                _, error = await child.communicate()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode:
            return error.decode()[-200:]
    return ""


@asynccontextmanager
async def chromium() -> AsyncIterator[Chromium]:
    """A browser that ends with the test."""
    process = await asyncio.create_subprocess_exec(
        NODE or "", str(DRIVER), stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, limit=ANSWER_BYTES_MAX,
    )  # fmt: skip
    try:
        yield Chromium(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(COMMAND_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """They are the test run's."""


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """An ASGI application on a port of its own; its address."""
    config = uvicorn.Config(
        app, port=0, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(COMMAND_S):
            while not server.started:
                await asyncio.sleep(POLL_S)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)

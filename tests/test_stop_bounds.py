"""How long a stop takes is bounded by constants, and what is documented and waited for is that."""

import asyncio
import re
from pathlib import Path
from typing import Any

import uvicorn
from litestar import Litestar

from tests.ports import HOST, free_port
from tron_payment import loops, serve
from tron_payment.http.server import Server
from tron_payment.loops import end
from tron_payment.settings import Settings

ROOT = Path(__file__).parent.parent
WITHIN_S = 60


def test_the_documents_and_the_supervisor_know_the_bounds() -> None:
    requests_s, steps_s = int(serve.STOP_DEADLINE_S), int(loops.STOP_DEADLINE_S)
    page = " ".join((ROOT / "docs/operations.md").read_text().split())
    assert f"have {requests_s} seconds to end (`serve.STOP_DEADLINE_S`)" in page
    assert f"steps of the loops {steps_s} (`loops.STOP_DEADLINE_S`)" in page
    assert f"about {requests_s + steps_s} seconds at most" in page
    compose = (ROOT / "docker-compose.yml").read_text()
    grace = re.findall(r"stop_grace_period: (\d+)s", compose)
    assert [int(each) for each in grace] == [40] and f"wait {grace[0]} before" in page
    assert int(grace[0]) > requests_s + steps_s


def test_the_service_cuts_its_requests_off_after_the_documented_time() -> None:
    config = serve.http_config(Litestar([]), Settings())
    assert config.timeout_graceful_shutdown == serve.STOP_DEADLINE_S > 0
    source = Path(serve.__file__).read_text()
    assert source.count("uvicorn.Config(") == 1 and source.count("Server(http_config(") == 1


async def test_a_request_that_does_not_end_is_cut_off() -> None:
    began, cut = asyncio.Event(), asyncio.Event()

    async def stuck(scope: Any, receive: Any, send: Any) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.set()
            raise

    port = free_port()
    config = uvicorn.Config(
        stuck,
        host=HOST,
        port=port,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=0,  # the service has serve.STOP_DEADLINE_S here
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(WITHIN_S):
            while not server.started:
                await asyncio.sleep(0.01)
            _, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            await began.wait()
            server.end()
            await serving
            await cut.wait()
        writer.close()
    finally:
        await end(serving)

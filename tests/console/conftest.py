"""One real service for the console's tests, and people who sign in at it."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.console import world
from tests.console.browsing import installed
from tests.e2e.service import Service

LINK = re.compile(r"http://\S+/console/link/\S+")
LINK_S = 120.0
CALL_S = 60.0

HERE = Path(__file__).parent

SignIn = Callable[[str], Awaitable[httpx.AsyncClient]]
Browsed = dict[str, dict[str, Any]]


@pytest.fixture(scope="package")
async def service() -> AsyncIterator[Service]:
    """A service in development on a devnet, with its wallets and routers made."""
    made = Service()
    try:
        made.start()
        await made.ready()
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="package")
async def printed_link(service: Service) -> str:
    """The link that signs in once, as it was printed at the start."""
    async with asyncio.timeout(LINK_S):
        while not (found := LINK.search((service.folder / "stdout").read_text())):
            await asyncio.sleep(0.1)
    return found.group()


@pytest.fixture(scope="package")
async def browsed(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Browsed:
    """What people did in real browsers, once for all tests that look at it."""
    await installed()
    return await world.browsed(service, tmp_path_factory.mktemp("browser"))


@pytest.fixture
async def browser_of(service: Service) -> AsyncIterator[Callable[[], httpx.AsyncClient]]:
    """Browsers that nobody has signed in with yet; redirects are not followed."""
    opened: list[httpx.AsyncClient] = []

    def open_one() -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            base_url=service.url,
            headers={"Origin": service.url},
            verify=False,
            trust_env=False,
            timeout=CALL_S,
        )
        opened.append(client)
        return client

    yield open_one
    for client in opened:
        await client.aclose()


@pytest.fixture
def sign_in(service: Service, browser_of: Callable[[], httpx.AsyncClient]) -> SignIn:
    """A browser with somebody of this role signed in."""

    async def enter(role: str) -> httpx.AsyncClient:
        client = browser_of()
        token = service.token(role, f"console-{role}")
        answer = await client.post("/console/sign-in", data={"token": token})
        assert answer.status_code == 303, answer.text
        return client

    return enter


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs all of these, so that there is one service."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group("console"))

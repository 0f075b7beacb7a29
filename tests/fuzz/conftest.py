"""One service for the tests of this folder; nobody else's, because it is treated badly."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.service import Service
from tests.fuzz.run import RATES

HERE: Final = Path(__file__).parent
TEST_S: Final = 600


@pytest.fixture(scope="package")
async def service() -> AsyncIterator[Service]:
    """Started once, ready, and with rates that nobody reaches."""
    running = Service(**RATES, LOG_LEVEL="WARNING")
    try:
        running.start()
        await running.ready()
        yield running
        assert await running.stop() == 0
    finally:
        running.destroy()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs all of these, so that there is one service."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group("fuzz"))
            item.add_marker(pytest.mark.timeout(TEST_S))

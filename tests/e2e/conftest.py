"""One running service for all end-to-end tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.service import Service

HERE: Final = Path(__file__).parent
TEST_S: Final = 900


@pytest.fixture(scope="package")
async def service() -> AsyncIterator[Service]:
    """Started once, ready, shared; tests use recipients and keys of their own."""
    running = Service()
    try:
        running.start()
        await running.ready()
        yield running
        assert await running.stop() == 0
    finally:
        running.destroy()


@pytest.fixture
def own_service() -> Iterator[Service]:
    """Not started yet, and this test's alone: it may be killed."""
    own = Service()
    try:
        yield own
    finally:
        own.destroy()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` one worker runs all of these, so the service starts once.

    Starting one takes seconds on idle cores and a minute on busy ones.
    """
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group("e2e"))
            if "slow" not in item.keywords:
                item.add_marker(pytest.mark.timeout(TEST_S))

"""A service that can pay by every route; the tests of a file share one, with their own people."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Mongo
from tests.payouts.world import Pay, world

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs a file, so that its service is made once."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group(f"payouts/{item.path.stem}"))


@pytest.fixture(scope="module")
async def pay(mongo_uri: str, mongo_sweeper: Any) -> AsyncIterator[Pay]:
    fresh = Mongo(mongo_uri, f"test_payouts_{uuid4().hex[:12]}")
    async with world(fresh) as made:
        yield made
    for store in fresh.stores:
        await store.close()
    await mongo_sweeper.drop_database(fresh.name)

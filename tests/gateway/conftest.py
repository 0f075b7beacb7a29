"""A service on a devnet, for each test its own."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Mongo
from tests.gateway.world import World, world


@pytest.fixture
async def gateway(mongo: Mongo) -> AsyncIterator[World]:
    async with world(mongo) as made:
        yield made

"""One installation with the staking module on a devnet for each test."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.usdt.world import World, world_of
from tron_payment import network, staking, usdt, wallets


@pytest.fixture
async def world(mongo: Any, tmp_path: Path) -> AsyncIterator[World]:
    builders = (network, wallets, usdt, staking)
    async with world_of(mongo, tmp_path, builders=builders, documents=staking.DOCUMENTS) as made:
        yield made

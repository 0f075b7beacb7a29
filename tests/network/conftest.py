"""One installation on a devnet for each test."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.usdt.world import World, world_of


@pytest.fixture
async def world(mongo: Any, tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(mongo, tmp_path) as made:
        yield made

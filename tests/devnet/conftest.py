"""A devnet in the test's own process, whose blocks are made by hand."""

from collections.abc import AsyncIterator

import pytest

from tests.devnet.client import Client
from tron_payment.devnet import Devnet, DevnetConfig

START_MS = 1_795_173_600_000


@pytest.fixture
async def devnet() -> AsyncIterator[Devnet]:
    node = Devnet(DevnetConfig(block_ms=0, seed="tests", start_ms=START_MS))
    await node.start()
    yield node
    await node.stop()


@pytest.fixture
async def client(devnet: Devnet) -> AsyncIterator[Client]:
    async with Client(devnet) as made:
        yield made

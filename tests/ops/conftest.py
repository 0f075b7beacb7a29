"""One installation in the shape of production for the tests that only look at it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.service import MEMORY
from tests.ops.live import Live, begin

HERE = Path(__file__).parent


@pytest.fixture(scope="package")
def live() -> Iterator[Live]:
    """mongod, devnet and one running service."""
    memory = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="tron-payment-live-", dir=memory))
    installation = begin(folder)
    try:
        installation.start()
        yield installation
    finally:
        installation.end()
        shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs all of these, so that there is one installation."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group("ops"))

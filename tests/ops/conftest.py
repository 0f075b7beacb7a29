"""One installation in the shape of production for the tests that only look at it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ops.live import Live, begin


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """mongod, devnet and one running service."""
    folder = Path(tempfile.mkdtemp(prefix="tron-payment-live-"))
    installation = begin(folder)
    try:
        installation.start()
        yield installation
    finally:
        installation.end()
        shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of minutes run when they are asked for: `pytest tests/ops -m slow`."""
    if config.getoption("markexpr"):
        return
    slow = [
        item
        for item in items
        if item.get_closest_marker("slow") and Path(__file__).parent in item.path.parents
    ]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]

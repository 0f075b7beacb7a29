"""A node that is not there yet is waited for, and the log is not filled meanwhile."""

from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from tests.ports import free_port
from tron_payment import serve
from tron_payment.core.errors import Unavailable
from tron_payment.settings import Settings


async def test_nodes_are_awaited_with_one_line_for_many_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serve, "NODE_PATIENCE_S", 0.5)
    monkeypatch.setattr(serve, "NODE_RETRY_S", 0.01)
    url = f"http://127.0.0.1:{free_port()}"
    settings = Settings.model_construct(lucid_env="development", tron_node_url=url)
    async with AsyncExitStack() as stack:
        nodes = await serve.nodes_of(settings, stack)
        with capture_logs() as logs, pytest.raises(Unavailable):
            await serve._patiently(nodes, None)
    assert [each["event"] for each in logs].count("nodes.awaited") == 1

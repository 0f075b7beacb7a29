"""Requests that change something, by their real handlers: each leaves one entry.

What needs no chain is asked here, the rest in payouts/test_audit.py; that none is left out is shown
by e2e/test_audit.py and test_every_route.py.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from http_world import NOW, bearer
from tests.acts import Story, acts_of_people
from whole_app import Whole, options, whole

from tron_payment.app import DOCUMENTS
from tron_payment.db.audit import AuditEntry
from tron_payment.db.connect import connect
from tron_payment.http.journal import PendingAct

LATER = 4_000_000_000


class Routes(Story):
    """The application, and what it was asked."""

    def __init__(self, app: Whole) -> None:
        super().__init__(route.path_format for route in app.app.routes)
        self.app = app

    def now(self) -> datetime:
        return NOW

    async def send(
        self, who: str, name: str, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> httpx.Response:
        headers = headers | bearer(role=who, sub=f"audit-{who}{name}", exp=LATER)
        return await self.app.client.request(method, path, json=body, headers=headers)


@pytest.fixture
async def story(mongo_uri: str, tmp_path: Any) -> AsyncIterator[Routes]:
    store = await connect(mongo_uri, f"audit_{uuid4().hex[:12]}", DOCUMENTS)
    try:
        async with whole(store, options(tmp_path)) as app:
            yield Routes(app)
    finally:
        await store.client.drop_database(store.database.name)
        await store.close()


async def test_every_act_of_a_person_leaves_one_entry(story: Routes) -> None:
    await acts_of_people(story)
    await story.ask("operator", "POST /policy/kill-switch", {"on": True, "reason": "a test"})
    await story.ask("treasurer", "POST /policy/kill-switch", {"on": False, "reason": "over"})
    await story.ask("admin", "POST /config/reload", root="", object_id="configuration")
    assert len({each.route for each in story.asked}) >= MANY
    while await story.app.journal.step():
        pass
    assert await PendingAct.count() == 0
    await story.must_be_in(AuditEntry.get_pymongo_collection())


MANY = 30
"""Routes that this test asks; fewer would mean that it lost some."""

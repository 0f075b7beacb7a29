"""Requests that change something, by their real handlers: each leaves one entry.

What needs no chain is asked here. The others are `Idempotency.run`'s, as test_http_journal.py has
it; that none is left out is shown by test_every_route.py.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from http_world import NOW, bearer
from tests.acts import API, Asked, Templates, acts_of_people, wrong_entries
from whole_app import Whole, options, whole

from tron_payment.app import DOCUMENTS
from tron_payment.db.audit import AuditEntry
from tron_payment.db.connect import connect
from tron_payment.http.journal import PendingAct

LATER = 4_000_000_000


@dataclass
class Story:
    """The application, and what it was asked."""

    app: Whole
    templates: Templates
    asked: list[Asked] = field(default_factory=list)

    def now(self) -> datetime:
        return NOW

    async def ask(
        self,
        who: str,
        route: str,
        body: Any = None,
        *,
        name: str = "",
        object_id: str | None = None,
        root: str = API,
    ) -> Any:
        """One request that must succeed; its answer."""
        method, path = route.split(" ")
        request_id = f"audit-request-{len(self.asked):04}"
        headers = bearer(role=who, sub=f"audit-{who}{name}", exp=LATER)
        headers["X-Request-ID"] = request_id
        answer = await self.app.client.request(method, root + path, json=body, headers=headers)
        assert answer.status_code < 300, (route, answer.text)
        asked_for = f"{method} {self.templates.of(root + path)}"
        self.asked.append(Asked(request_id, asked_for, f"audit-{who}{name}", object_id))
        return answer.json() if answer.content else None


@pytest.fixture
async def story(mongo_uri: str, tmp_path: Any) -> AsyncIterator[Story]:
    store = await connect(mongo_uri, f"audit_{uuid4().hex[:12]}", DOCUMENTS)
    try:
        async with whole(store, options(tmp_path)) as app:
            yield Story(app, Templates(route.path_format for route in app.app.routes))
    finally:
        await store.client.drop_database(store.database.name)
        await store.close()


async def test_every_act_of_a_person_leaves_one_entry(story: Story) -> None:
    await acts_of_people(story)
    await story.ask("operator", "POST /policy/kill-switch", {"on": True, "reason": "a test"})
    await story.ask("treasurer", "POST /policy/kill-switch", {"on": False, "reason": "over"})
    await story.ask("admin", "POST /config/reload", root="", object_id="configuration")
    assert len({each.route for each in story.asked}) >= MANY
    while await story.app.journal.step():
        pass
    assert await PendingAct.count() == 0
    wrong = []
    for each in story.asked:
        entries = await AuditEntry.find({"request_id": each.request_id}).to_list()
        rows = [(entry.route, entry.actor, entry.object_id) for entry in entries]
        wrong += [fault] if (fault := wrong_entries(each, rows)) else []
    assert not wrong, wrong


MANY = 30
"""Routes that this test asks; fewer would mean that it lost some."""

"""Every route that changes something, asked once and well, leaves one entry in the audit log."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.acts import (
    API,
    BESIDE_A_CHAIN,
    SILENT,
    Story,
    acts_of_people,
    fresh_address,
)
from tests.e2e.service import Service, new_key

SETTLE_S = 90.0
PATIENCE_S = 120.0
"""For one answer: backups derive keys slowly on purpose, and the machine may be busy."""

CHANGES = ("post", "put", "delete", "patch")


class Callers(Story):
    """People who ask the service."""

    def __init__(self, service: Service, stack: AsyncExitStack, paths: Iterable[str]) -> None:
        super().__init__(paths)
        self.service = service
        self.stack = stack
        self.people: dict[str, httpx.AsyncClient] = {}

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def person(self, role: str, name: str = "") -> httpx.AsyncClient:
        subject = f"audit-{role}{name}"
        if subject not in self.people:
            made = self.service.client(role, subject, exp=int(time.time()) + 3_600)
            made.timeout = httpx.Timeout(PATIENCE_S)
            self.people[subject] = await self.stack.enter_async_context(made)
        return self.people[subject]

    async def send(
        self, who: str, name: str, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> httpx.Response:
        caller = await self.person(who, name)
        return await caller.request(method, path, json=body, headers=headers)


@pytest.fixture
async def service(own_service: Service) -> Service:
    """This test's alone: it changes the policy and stops everything for a while."""
    own_service.start()
    await own_service.ready()
    return own_service


@pytest.fixture
async def story(service: Service) -> Any:
    async with AsyncExitStack() as stack:
        async with service.client("admin", "audit-admin") as api:
            document = (await api.get("/schema")).json()
        made = Callers(service, stack, document["paths"])
        yield (
            made,
            {
                f"{method.upper()} {path.removeprefix(API)}"
                for path, item in document["paths"].items()
                for method in CHANGES
                if method in item
            },
        )


async def test_every_route_that_changes_something_leaves_one_entry(
    story: tuple[Callers, set[str]], service: Service
) -> None:
    it, routes = story
    hot = (await (await it.person("operator")).get(f"{API}/wallets?limit=100")).json()["data"]
    wallet_id = next(each["wallet_id"] for each in hot if each["kind"] == "hot")
    await acts_of_people(it)
    await it.ask("operator", "POST /policy/kill-switch", {"on": True, "reason": "audit test"})
    try:  # nothing leaves meanwhile, so everything can be called back
        await of_what_can_be_canceled(it, wallet_id)
        await of_approvals(it)
    finally:
        await it.ask("treasurer", "POST /policy/kill-switch", {"on": False, "reason": "over"})
        await no_bands(it)
    await of_payouts(it, wallet_id)
    await it.ask("admin", "POST /config/reload", root="", object_id="configuration")
    await it.ask("admin", "POST /restart/trx-staking", root="", object_id="trx-staking")

    await in_the_log(service, it)
    covered = {each.route.replace(API, "", 1) for each in it.asked}
    elsewhere = SILENT | BESIDE_A_CHAIN
    missing = routes - covered - elsewhere
    assert not missing, missing
    assert routes >= elsewhere and not elsewhere & covered


async def in_the_log(service: Service, it: Callers) -> None:
    """What was asked, when it has all come there."""
    mongo = service.mongo()
    try:
        database = mongo[await name_of_store(mongo)]
        async with asyncio.timeout(SETTLE_S):
            while await database["requests"].count_documents({"unaudited.at": {"$exists": True}}):
                await asyncio.sleep(0.2)
        await it.must_be_in(database["audit"])
    finally:
        await mongo.close()


async def name_of_store(mongo: Any) -> str:
    """Of the databases the one that has the audit log."""
    for name in await mongo.list_database_names():
        if "audit" in await mongo[name].list_collection_names():
            return str(name)
    raise AssertionError("no database has an audit log")


async def no_bands(it: Callers) -> None:
    its = (await it.ask("operator", "POST /policy/proposals", {}))["proposal_id"]
    await it.ask("approver", f"POST /policy/proposals/{its}/approve", object_id=its)


def wish(**changes: Any) -> dict[str, Any]:
    return {"user_id": "x", "recipient_address": fresh_address(), "amount": "12.5", **changes}


async def of_what_can_be_canceled(it: Callers, wallet_id: str) -> None:
    for path, body in (("/payouts/{}/cancel", None), ("/payouts/cancel", "payout_id")):
        made = (await it.ask("operator", "POST /payouts/direct", wish(), key=new_key()))[
            "payout_id"
        ]
        await it.ask("operator", f"POST {path.format(made)}", {body: made} if body else None)
    rows = {"payouts": [wish(), wish()]}
    batch = (await it.ask("operator", "POST /payouts/batch", rows, key=new_key()))["batch_id"]
    await it.ask("operator", f"POST /payouts/batch/{batch}/cancel", object_id=batch)
    first_at = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    plan = {"name": "audit", "first_at": first_at, **rows}
    made = await it.ask("operator", "POST /payouts/schedules", plan, key=new_key())
    its = made["schedule_id"]
    await it.ask("operator", f"POST /payouts/schedules/{its}/cancel", object_id=its)
    to = {"wallet_id": wallet_id, "to_address": fresh_address(), "amount": "1"}
    sent = await it.ask("operator", "POST /usdt/transfer", to, key=new_key())
    its = sent["transfer_id"]
    await it.ask("operator", f"POST /usdt/transfers/{its}/cancel", object_id=its)
    allow = {"wallet_id": wallet_id, "spender": fresh_address(), "amount": "1"}
    allowed = await it.ask("operator", "POST /usdt/approve", allow, key=new_key())
    its = allowed["transfer_id"]
    await it.ask("operator", f"POST /usdt/transfers/{its}/cancel", object_id=its)
    stake = {"wallet_id": wallet_id, "amount": "10", "resource": "ENERGY"}
    staked = await it.ask("treasurer", "POST /staking/stake", stake, key=new_key())
    its = staked["stake_id"]
    await it.ask("treasurer", f"POST /staking/operations/{its}/cancel", object_id=its)
    asked = {"kind": "invoice", "amount": "5", "currency": "USDT"}
    invoice = await it.ask("merchant", "POST /payments/process", asked, key=new_key())
    its = invoice["payment_id"]
    await it.ask("merchant", f"POST /payments/{its}/cancel", object_id=its)


async def of_approvals(it: Callers) -> None:
    for verb in ("approve", "reject"):
        large = await it.ask("operator", "POST /payouts/v0", wish(amount="5001"), key=new_key())
        its = large["payout_id"]
        await it.ask("approver", f"POST /payouts/{its}/{verb}", {}, object_id=its)
        rows = {"payouts": [wish(amount="3000"), wish(amount="3000")]}
        batch = (await it.ask("operator", "POST /payouts/batch", rows, key=new_key()))["batch_id"]
        await it.ask("approver", f"POST /payouts/batch/{batch}/{verb}", {}, object_id=batch)
        if verb == "approve":  # it goes nowhere: nobody here has so much
            await it.ask("operator", f"POST /payouts/{its}/cancel", object_id=its)
            await it.ask("operator", f"POST /payouts/batch/{batch}/cancel", object_id=batch)
        call = {"kind": "contract", "contract_address": fresh_address(), "data": "d09de08a"}
        made = await it.ask("operator", "POST /payments/process", call, key=new_key())
        waiting = (await (await it.person("approver")).get(f"{API}/payouts/approvals")).json()
        (order_id,) = [o["order_id"] for o in waiting if o["object_id"] == made["payment_id"]]
        await it.ask(
            "approver", f"POST /payouts/approvals/{order_id}/{verb}", {}, object_id=order_id
        )


async def of_payouts(it: Callers, wallet_id: str) -> None:
    key = new_key()
    body = wish()
    for _ in range(2):  # the second is a replay: its request has no entry of its own
        made = await it.ask("operator", "POST /payouts/initiate", body, key=key)
    replay = it.asked.pop()
    it.asked[-1].object_id = made["payout_id"]
    dry = await it.ask("operator", "POST /payouts/initiate", wish(dry_run=True))
    assert "payout_id" not in dry
    nothing = [replay, it.asked.pop()]
    await it.ask("operator", "POST /payouts/v0", wish(), key=new_key())
    kyc = it.service.client("operator", "audit-operator", kyc=True)
    it.people["audit-operator"] = await it.stack.enter_async_context(kyc)
    await it.ask("operator", "POST /payouts/kyc", wish(), key=new_key())
    mongo = it.service.mongo()
    try:
        for each in nothing:
            log = mongo[await name_of_store(mongo)]["audit"]
            found = await log.count_documents({"request_id": each.request_id})
            assert found == 0, each
    finally:
        await mongo.close()

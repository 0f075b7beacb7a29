"""Every GET of the API, asked by every role while somebody else's objects stand: who sees what.

`test_every_route.py` asks by ids that nobody has; a list shows what it shows only when it has rows.
"""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import pytest
from litestar.routes import HTTPRoute

from tests.conftest import Mongo
from tests.gateway.test_doors import UNIT, enforce
from tests.gateway.world import API, Payer, World, somebody, world
from tron_payment.core.clock import rfc3339
from tron_payment.engine import OrderStatus
from tron_payment.engine import documents as orders
from tron_payment.http.permissions import PERMISSIONS, SEES_ALL
from tron_payment.http.principals import Role
from tron_payment.payouts.policy import Band
from tron_payment.wallets import Wallets
from tron_payment.wallets.agreement_documents import PermissionChange
from tron_payment.wallets.domain import WalletKind
from tron_payment.wallets.making import Who

OWNER: Final = "owner-of-rows"
ASKING: Final = "somebody-else"
OPEN_TO_WHO_READS_IT: Final = ("audit:read", "reconciliation:read")
"""Not by owner: all that was done, and all accounts, is what these permissions are for."""

LISTS_MIN: Final = 30
NO_LIST: Final = {"refunds", "reports"}
"""Kinds without a list or an id of their own: a part of payments, and counts."""

NAMED_BY: Final = {"batches": (f"{API}/payouts", f"{API}/payouts/history")}
"""A payout's row says which batch it is of; who sees payouts sees that, and no more of it."""


class Rows:
    """One object of each kind, all of one principal, and by what an answer shows it."""

    def __init__(self) -> None:
        self.marks: dict[str, set[str]] = {}
        self.ids: dict[str, str] = {}

    def add(self, kind: str, parameter: str, found: str, *others: str) -> None:
        self.marks.setdefault(kind, set()).update((found, *others))
        self.ids[parameter] = found


@pytest.fixture(scope="module")
async def made(mongo_uri: str, mongo_sweeper: Any) -> AsyncIterator[tuple[World, Rows]]:
    fresh = Mongo(mongo_uri, f"test_rows_{uuid4().hex[:12]}")
    async with world(fresh, whole=True) as gateway:
        yield gateway, await _rows(gateway)
    for store in fresh.stores:
        await store.close()
    await mongo_sweeper.drop_database(fresh.name)


async def _rows(gateway: World) -> Rows:
    rows, wallets = Rows(), gateway.service(Wallets)
    treasury = (await wallets.signing_wallet(None)).wallet_id

    async def asked(path: str, body: Any, role: str = "operator", sub: str = OWNER) -> Any:
        answer = await gateway.post(path, body, role=role, sub=sub)
        assert answer.status_code < 300, (path, answer.text)
        return answer.json()

    wallet = await asked("/wallets", {"label": "label-of-others"})
    rows.add("wallets", "wallet_id", wallet["wallet_id"], "label-of-others")
    await _change(gateway, rows, wallet)
    hook = await asked("/payments/webhook-endpoints", {"url": "https://others.example/hook"})
    rows.add("webhooks", "endpoint_id", hook["webhook_endpoint_id"], "others.example")
    pay = {"user_id": "user-of-others", "amount": "10", "currency": "USDT"}
    paid = await asked("/payouts/direct", pay | {"recipient_address": somebody(0x51)})
    rows.add("payouts", "payout_id", paid["payout_id"], somebody(0x51))
    line = pay | {"recipient_address": somebody(0x52), "route": "direct"}
    batch = await asked("/payouts/batch", {"payouts": [line]})
    rows.add("batches", "batch_id", batch["batch_id"])
    later = rfc3339(gateway.clock.now() + timedelta(days=1))
    plan = {"name": "plan-of-others", "payouts": [line], "first_at": later}
    plan = await asked("/payouts/schedules", plan)
    rows.add("batches", "schedule_id", plan["schedule_id"], "plan-of-others")
    kyc = {"recipient_address": somebody(0x53), "level": "basic", "expires_at": later}
    path = f"{API}/payouts/recipients/person-of-others/kyc"
    headers = gateway.bearer("compliance", OWNER)
    answer = await gateway.http.put(path, json=kyc, headers=headers)
    assert answer.status_code < 300, answer.text
    rows.add("recipients", "user_id", "person-of-others", somebody(0x53))
    key = {
        "label": "key-of-others",
        "principal": OWNER,
        "role": "viewer",
        "scopes": ["payout:read"],
    }
    key = (await asked("/api-keys", key, role="admin"))["key"]
    rows.add("api_keys", "key_id", key["key_id"], "key-of-others")
    invoice = await asked(
        "/payments/process", {"kind": "invoice", "amount": "25", "currency": "USDT"}
    )
    rows.add("payments", "payment_id", invoice["payment_id"])
    stake = {"wallet_id": treasury, "amount": "1", "resource": "ENERGY"}
    staked = await asked("/staking/stake", stake, role="treasurer")
    rows.add("stakes", "stake_id", staked["stake_id"])
    cold = Payer(0xC01D)
    await gateway.fund(cold.address, "1000")
    await gateway.fund(cold.address, "5", "USDT")
    who = Who(OWNER, Role.OPERATOR.value)
    eyes = await wallets.watch(who, label="cold", address=cold.address, kind=WalletKind.COLD)
    await gateway.solidify()
    signed = {"wallet_id": eyes.id, "to_address": somebody(0x54), "amount": "1"}
    waits = await asked("/usdt/transfer", signed)
    await enforce(gateway, bands=(Band("USDT", 10 * UNIT, 1),))
    big = {"wallet_id": treasury, "to_address": somebody(0x55), "amount": "11"}
    for each in (waits, await asked("/usdt/transfer", big)):
        rows.add("transfers", "transfer_id", each["transfer_id"])
    rows.add("transfers", "to_address", somebody(0x54), somebody(0x55))
    await gateway.solidify()
    headers = gateway.bearer("auditor", "aud-1")
    requests = (await gateway.http.get(f"{API}/signing-requests", headers=headers)).json()["data"]
    request_id = requests[0]["signing_request_id"]
    rows.add("signing_requests", "signing_request_id", request_id)
    events = await gateway.http.get(f"{API}/payments/events", headers=headers)
    rows.add("events", "event_id", *(each["event_id"] for each in events.json()["data"]))
    stopped = await asked("/usdt/transfer", big | {"amount": "2"})
    await gateway.work()  # signed and sent, and in no block
    await _quarantine(rows, gateway, stopped["transfer_id"])
    return rows


async def _change(gateway: World, rows: Rows, wallet: Any) -> None:
    """What somebody asked for who may sign for the account of that wallet."""
    now, keys = gateway.clock.now(), [[somebody(0x56), 1]]
    owner = {"threshold": 1, "keys": keys, "name": "owner", "allows": []}
    change = PermissionChange(
        id="prm_of_others",
        wallet_id=wallet["wallet_id"],
        principal=OWNER,
        change_hash="0" * 64,
        wish={"owner": owner, "actives": [owner | {"allows": ["TransferContract"]}]},
        asked_by=OWNER,
        expires_at=now + timedelta(hours=24),
        created_at=now,
    )
    await change.insert()
    rows.add("wallets", "change_id", change.id)


async def _quarantine(rows: Rows, gateway: World, transfer_id: str) -> None:
    order = await orders.Order.find_one({"subject": transfer_id})
    assert order is not None
    changes = {"reason": "reason-of-others"}
    now = gateway.clock.now()
    await orders.apply_move(orders.move(order, OrderStatus.QUARANTINED, now, set=changes))
    rows.add("quarantine", "object_id", order.id, "reason-of-others")


def asked_of(rows: Rows, app: Any) -> Iterator[tuple[str, str, bool]]:
    """Every GET of the API with its permission: lists, and single ones by the id of others'."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute) or not route.path.startswith(API):
            continue
        parts = [each if isinstance(each, str) else each.name for each in route.path_components]
        named = [each.name for each in route.path_components if not isinstance(each, str)]
        if not set(named) <= rows.ids.keys():
            continue
        path = "/" + "/".join(rows.ids.get(each, each) for each in parts)
        for handler in route.route_handlers:
            if "GET" in handler.http_methods and not handler.opt.get("open"):
                yield path, handler.opt["permission"], bool(named)


async def test_nobody_sees_what_their_role_does_not_see(made: tuple[World, Rows]) -> None:
    gateway, rows = made
    found = list(asked_of(rows, gateway.http._transport.app))  # type: ignore[attr-defined]
    assert len([path for path, _, single in found if not single]) >= LISTS_MIN
    seen: dict[str, set[str]] = {kind: set() for kind in rows.marks}
    wrong = []
    for path, permission, _ in found:
        if permission in OPEN_TO_WHO_READS_IT:
            continue
        for role in sorted(PERMISSIONS[permission]):
            answer = await gateway.http.get(path, headers=gateway.bearer(role.value, ASKING))
            assert answer.status_code != 500, (path, role)
            told = answer.text if answer.status_code < 300 else ""
            for kind, marks in rows.marks.items():
                if not any(mark in told for mark in marks):
                    continue
                seen[kind].add(path)
                shown = re.findall("|".join(map(re.escape, sorted(marks))), told)
                if role not in SEES_ALL[kind] and path not in NAMED_BY.get(kind, ()):
                    wrong.append((path, role.value, kind, shown[0]))
    assert not wrong
    missing = SEES_ALL.keys() - {kind for kind, paths in seen.items() if paths} - NO_LIST
    assert not missing, "nobody is shown any: this test asks nothing about them"
    assert any("/payouts/approvals" in path for path in seen["transfers"])
    assert any("/payouts/quarantine" in path for path in seen["quarantine"])


async def test_the_owner_sees_their_own(made: tuple[World, Rows]) -> None:
    """What is kept from others is kept from them, and from nobody else."""
    gateway, _ = made
    headers = gateway.bearer("viewer", OWNER)
    waiting = await gateway.http.get(f"{API}/payouts/approvals", headers=headers)
    assert [each["principal"] for each in waiting.json()] == [OWNER]
    for role in ("viewer", "admin", "compliance"):
        headers = gateway.bearer(role, ASKING)
        assert (await gateway.http.get(f"{API}/payouts/approvals", headers=headers)).json() == []


async def test_whoever_resolves_sees_all_that_is_in_quarantine(made: tuple[World, Rows]) -> None:
    gateway, rows = made
    order_id = rows.ids["object_id"]
    for role in sorted(PERMISSIONS["quarantine:read"]):
        headers = gateway.bearer(role.value, ASKING)
        listed = (await gateway.http.get(f"{API}/payouts/quarantine", headers=headers)).json()
        path = f"{API}/payouts/quarantine/{order_id}?look=false"
        one = await gateway.http.get(path, headers=headers)
        sees = role is not Role.VIEWER
        assert (order_id in {each["object_id"] for each in listed}) is sees, role
        assert one.status_code == (200 if sees else 404), role

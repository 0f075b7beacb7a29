"""Wallets over HTTP: shapes, refusals, owners and roles."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from wallet_world import BOB, NOW, TEST_USDT, World, bearer, build_world, order, served

from tron_payment.db.audit import AuditEntry
from tron_payment.db.cas import insert_once
from tron_payment.db.ledger import Pocket
from tron_payment.engine import OpeningRequest
from tron_payment.engine.documents import Order
from tron_payment.wallets import Wallet

KEY = "0" * 63 + "1"
KEY_ADDRESS = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC"


@pytest.fixture
async def world(mongo: Any) -> World:
    return await build_world(mongo)


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with served(world) as client:
        yield client


async def created(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/wallets", json={"label": "shop"} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", ["/wallets", "/wallets/create"])
async def test_a_hot_wallet_is_made(client: httpx.AsyncClient, world: World, path: str) -> None:
    answer = await client.post(path, json={"label": "shop", "kind": "hot"})
    assert answer.status_code == 201
    body = answer.json()
    assert body["wallet_id"].startswith("wal_") and body["address"].startswith("T")
    assert (body["kind"], body["label"], body["status"]) == ("hot", "shop", "active")
    assert body["created_at"] == "2026-11-20T12:00:00.000Z"
    assert not {"private_key", "envelope", "key"} & body.keys()
    view = await world.house.ledger.view()
    assert list(await view.holders([body["address"]])) == [body["address"]], "books are open"
    stored = await Wallet.get_pymongo_collection().find_one({"_id": body["wallet_id"]})
    assert stored is not None and len(stored["envelope"]["sealed"]) == 12 + 32 + 16


async def test_a_private_key_is_taken_over_once(client: httpx.AsyncClient, world: World) -> None:
    body = {"label": "old", "kind": "hot", "private_key": KEY}
    answer = await client.post("/wallets/import", json=body)
    assert answer.status_code == 201 and answer.json()["address"] == KEY_ADDRESS
    assert KEY not in answer.text
    assert await OpeningRequest.find_one({"_id": KEY_ADDRESS}) is not None
    again = await client.post("/wallets/import", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "wallet_exists")
    watched = await client.post("/wallets/import", json={"label": "w", "address": KEY_ADDRESS})
    assert (watched.status_code, watched.json()["code"]) == (409, "wallet_exists")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"label": "x", "private_key": "1" * 63}, 422, "invalid_private_key"),
        ({"label": "x", "private_key": "0" * 64}, 422, "invalid_private_key"),
        ({"label": "x", "address": BOB[:-1] + "a"}, 422, "invalid_address"),
        ({"label": "x", "address": BOB, "private_key": KEY}, 422, "import_source"),
        ({"label": "x"}, 422, "import_source"),
        ({"label": "", "private_key": KEY}, 422, "invalid_label"),
        ({"label": "x\n", "private_key": KEY, "more": 1}, 422, "unknown_field"),
        ({"private_key": KEY}, 422, "missing_field"),
        ({"label": "x", "kind": "gold", "private_key": KEY}, 422, "invalid_field"),
        ({"label": "x", "kind": "watch", "private_key": KEY}, 422, "wallet_kind"),
    ],
)
async def test_a_bad_import_is_refused_and_changes_nothing(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await client.post("/wallets/import", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    if len(key := body.get("private_key", "")) > 10:
        assert key not in answer.text
    assert await Wallet.count() == 0 and await OpeningRequest.count() == 0


async def test_lists_page_and_filter(client: httpx.AsyncClient) -> None:
    made = [await created(client, label=f"w{n}") for n in range(5)]
    await client.post("/wallets", json={"label": "eyes", "kind": "watch", "address": BOB})
    page = (await client.get("/wallets", params={"limit": 4})).json()
    assert len(page["data"]) == 4 and page["has_more"]
    rest = (await client.get("/wallets", params={"cursor": page["next_cursor"]})).json()
    ids = {row["wallet_id"] for row in page["data"] + rest["data"]}
    assert len(ids) == 6 and {each["wallet_id"] for each in made} < ids
    watched = (await client.get("/wallets", params={"kind": "watch"})).json()["data"]
    assert [row["address"] for row in watched] == [BOB]
    await client.delete(f"/wallets/{made[0]['wallet_id']}")
    shown = (await client.get("/wallets")).json()["data"]
    assert made[0]["wallet_id"] not in {row["wallet_id"] for row in shown}
    gone = (await client.get("/wallets", params={"status": "archived"})).json()["data"]
    assert [row["wallet_id"] for row in gone] == [made[0]["wallet_id"]]
    bad = await client.get("/wallets", params={"status": "lost"})
    assert bad.status_code == 422


async def test_a_wallet_is_relabelled_frozen_and_thawed(client: httpx.AsyncClient) -> None:
    path = f"/wallets/{(await created(client))['wallet_id']}"
    answer = await client.put(path, json={"label": "till", "category": "shop", "frozen": True})
    body = answer.json()
    assert (body["label"], body["category"], body["status"]) == ("till", "shop", "frozen")
    assert body["frozen"] is True
    assert (await client.put(path, json={"frozen": True})).json()["status"] == "frozen"
    assert (await client.put(path, json={"frozen": False})).json()["status"] == "active"
    assert (await client.put(path, json={"frozen": "no"})).status_code == 422
    actions = [entry.action for entry in await AuditEntry.find().sort("+seq").to_list()]
    assert actions == ["wallet.create", "wallet.freeze", "wallet.thaw"]


async def test_a_wallet_with_money_or_orders_is_not_archived(
    client: httpx.AsyncClient, world: World
) -> None:
    made = await created(client)
    path = f"/wallets/{made['wallet_id']}"
    wallet = await Wallet.get(made["wallet_id"])
    await insert_once(order(wallet))
    refused = await client.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "wallet_has_orders")
    await Order.get_pymongo_collection().update_one({}, {"$set": {"status": "canceled"}})
    await world.fund(made["address"], 1, pocket=Pocket.STAKED)
    refused = await client.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "wallet_holds_money")
    empty = await created(client)
    for _ in range(2):
        done = await client.delete(f"/wallets/{empty['wallet_id']}")
        assert (done.status_code, done.json()["status"]) == (200, "archived")
    kept = await Wallet.get(empty["wallet_id"])
    assert kept is not None and kept.envelope is not None, "the key is kept"
    late = await client.put(f"/wallets/{empty['wallet_id']}", json={"label": "x"})
    assert (late.status_code, late.json()["code"]) == (409, "wallet_archived")


async def test_money_is_archived_only_when_two_treasurers_agree(
    client: httpx.AsyncClient, world: World
) -> None:
    made = await created(client)
    await world.fund(made["address"], 1)
    path = f"/wallets/{made['wallet_id']}?override=true"
    one = bearer("treasurer", "tre-1")
    assert (await client.delete(path)).json()["code"] == "missing_permission"
    for _ in range(2):
        asked = await client.delete(path, headers=one)
        assert (asked.status_code, asked.json()["status"]) == (202, "active")
    world.clock.advance(timedelta(hours=25))
    late = bearer("treasurer", "tre-2", exp=int((NOW + timedelta(days=2)).timestamp()))
    assert (await client.delete(path, headers=late)).status_code == 202, "the first has lapsed"
    first = bearer("treasurer", "tre-1", exp=int((NOW + timedelta(days=2)).timestamp()))
    done = await client.delete(path, headers=first)
    assert (done.status_code, done.json()["status"]) == (200, "archived")
    actions = [entry.action for entry in await AuditEntry.find().sort("+seq").to_list()]
    asked_thrice = ["wallet.archive_override_asked"] * 3
    assert actions == ["wallet.create", *asked_thrice, "wallet.archive_override"]


async def test_a_balance_shows_the_books_and_the_chain(
    client: httpx.AsyncClient, world: World
) -> None:
    made = await created(client)
    await world.fund(made["address"], 1_500_000)
    await world.fund(made["address"], 2_000_000, pocket=Pocket.RESERVED)
    world.nodes.sun[made["address"]] = 3_500_001
    world.nodes.usdt[made["address"]] = 7
    answer = await client.get(f"/wallets/{made['wallet_id']}/balance")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["wallet_id"], body["as_of_block"]) == (made["wallet_id"], 100)
    trx, usdt = body["balances"]
    assert (trx["currency"], trx["available"], trx["reserved"]) == ("TRX", "1.5", "2")
    assert trx["on_chain"] == "3.500001"
    assert (usdt["currency"], usdt["available"], usdt["on_chain"]) == ("USDT", "0", "0.000007")
    assert body["energy"] == {"available": 990, "used": 10, "limit": 1000}
    assert body["bandwidth"]["available"] == 550


async def test_many_looks_at_a_balance_are_one_reading(
    client: httpx.AsyncClient, world: World
) -> None:
    made = await created(client)
    for _ in range(5):
        await client.get(f"/wallets/{made['wallet_id']}/balance")
    assert world.nodes.reads == 1


async def test_roles_and_owners(client: httpx.AsyncClient) -> None:
    made = await created(client)
    path = f"/wallets/{made['wallet_id']}"
    merchant = bearer("merchant", "shop-1")
    assert (await client.get(path, headers=merchant)).status_code == 404
    assert (await client.get(f"{path}/balance", headers=merchant)).status_code == 404
    assert (await client.get("/wallets", headers=merchant)).json()["data"] == []
    for role, status in [("treasurer", 200), ("auditor", 200), ("approver", 200), ("viewer", 404)]:
        assert (await client.get(path, headers=bearer(role, "x"))).status_code == status, role
    for role in ("viewer", "merchant", "approver", "treasurer", "compliance", "admin", "auditor"):
        answer = await client.post("/wallets", json={"label": "x"}, headers=bearer(role, "x"))
        assert answer.status_code == 403, role
    assert (await client.get(path, headers={"Authorization": "Bearer x"})).status_code == 401
    assert (await client.get("/wallets/wal_none")).json()["code"] == "wallet_not_found"


async def test_a_token_contract_may_be_watched_but_not_made_hot(client: httpx.AsyncClient) -> None:
    bad = await client.post("/wallets", json={"label": "x", "kind": "hot", "address": TEST_USDT})
    assert (bad.status_code, bad.json()["code"]) == (422, "wallet_kind")
    bad = await client.post("/wallets", json={"label": "x", "kind": "watch"})
    assert (bad.status_code, bad.json()["param"]) == (422, "address")

"""Every endpoint of wallets refuses the nobody, the wrong role, the unknown id and the odd body."""

from typing import Any

import httpx
import pytest
from wallet_world import BOB, World, bearer, build_world, served

from tron_payment.wallets import Wallet

NOBODY = {"Authorization": ""}
ID = "wal_none"
FILE = {"backup": "tronpay-backup.v1.x.y", "password": "a sentence for the file"}
READS = [
    ("GET", "/wallets", None),
    ("GET", "/wallets/{id}", None),
    ("GET", "/wallets/{id}/balance", None),
    ("GET", "/wallets/{id}/transactions", None),
    ("GET", "/wallets/{id}/addresses", None),
    ("GET", "/wallets/{id}/permissions", None),
]
WRITES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/wallets", {"label": "x"}),
    ("POST", "/wallets/create", {"label": "x"}),
    ("POST", "/wallets/import", {"label": "x", "address": BOB}),
    ("PUT", "/wallets/{id}", {"label": "x"}),
    ("DELETE", "/wallets/{id}", None),
    ("POST", "/wallets/{id}/backup", {"password": "a sentence for the file"}),
    ("POST", "/wallets/{id}/restore", FILE),
    ("POST", "/wallets/restore", FILE),
    ("POST", "/wallets/{id}/verify-password", {"password": "a sentence"}),
    ("POST", "/wallets/{id}/ownership-challenge", None),
]
NAMED = [each for each in READS + WRITES if "{id}" in each[1] and "restore" not in each[1]]
BODIES = [each for each in WRITES if each[2] is not None]


def name(each: tuple[str, str, Any]) -> str:
    return f"{each[0]} {each[1]}"


@pytest.fixture
async def world(mongo: Any) -> World:
    return await build_world(mongo)


async def ask(
    client: httpx.AsyncClient, each: tuple[str, str, Any], wallet_id: str = ID, **options: Any
) -> tuple[int, str]:
    method, path, body = each
    given = options.pop("json", body)
    content = {} if given is None else {"json": given}
    answer = await client.request(method, path.format(id=wallet_id), **content, **options)
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.text
    return answer.status_code, answer.json()["code"]


async def test_nobody_and_the_wrong_role_get_nothing(world: World) -> None:
    async with served(world) as client:
        for each in READS + WRITES:
            status, _ = await ask(client, each, headers=NOBODY)
            assert status == 401, name(each)
        for each in WRITES:
            asked = await ask(client, each, headers=bearer("auditor", "aud-1"))
            assert asked == (403, "missing_permission"), name(each)
    assert await Wallet.count() == 0


async def test_an_unknown_wallet_and_another_merchants_are_not_there(world: World) -> None:
    async with served(world) as client:
        made = (await client.post("/wallets", json={"label": "x"})).json()["wallet_id"]
        for each in NAMED:
            assert await ask(client, each) == (404, "wallet_not_found"), name(each)
        for each in READS[1:]:
            told = await ask(client, each, made, headers=bearer("merchant", "shop-1"))
            assert told == (404, "wallet_not_found"), name(each)


@pytest.mark.parametrize("each", BODIES, ids=name)
async def test_an_odd_body_changes_nothing(world: World, each: tuple[str, str, Any]) -> None:
    async with served(world) as client:
        made = (await client.post("/wallets", json={"label": "x"})).json()["wallet_id"]
        before = [await wallet_row(made), await Wallet.count()]
        for body in ({**each[2], "colour": 1}, dict.fromkeys(each[2], 7), [], "text"):
            status, _ = await ask(client, each, made, json=body)
            assert status in (400, 422), body
        broken = await client.request(
            each[0],
            each[1].format(id=made),
            content=b"{",
            headers={"Content-Type": "application/json"},
        )
        assert broken.status_code == 400
        assert [await wallet_row(made), await Wallet.count()] == before


async def wallet_row(wallet_id: str) -> Any:
    return await Wallet.get_pymongo_collection().find_one({"_id": wallet_id})

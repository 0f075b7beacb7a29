"""A payout by every route, from the HTTP request to the solidified block."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.e2e.addresses import fresh_address
from tests.e2e.service import Service, new_key, reconciled, settled, transfers_to, trx_of

MOUNTS = ("/tron", "", "/api/v1")


def wish(**changes: Any) -> dict[str, Any]:
    """A payout that is in order."""
    return {
        "user_id": "alice",
        "recipient_address": fresh_address(),
        "amount": "12.5",
        "currency": "USDT",
        **changes,
    }


ROUTES = (
    ("v0", "v0", "USDT", {}),
    ("kyc", "kyc", "USDT", {"kyc": True}),
    ("direct", "direct", "USDT", {}),
    ("direct", "direct", "TRX", {}),
    ("initiate", "v0", "USDT", {}),
    ("initiate", "kyc", "USDT", {"kyc": "2"}),
)


@pytest.mark.parametrize(
    ("path", "route", "currency", "claims"),
    ROUTES,
    ids=[f"{path}-{route}-{currency}" for path, route, currency, _ in ROUTES],
)
async def test_a_payout_is_paid_by_its_route(
    service: Service, path: str, route: str, currency: str, claims: dict[str, Any]
) -> None:
    body = wish(currency=currency)
    async with service.client(**claims) as api:
        answer = await api.post(
            f"/api/v1/payouts/{path}", json=body, headers={"Idempotency-Key": new_key()}
        )
        assert answer.status_code == 202, answer.text
        accepted = answer.json()
        assert (accepted["status"], accepted["route"]) == ("queued", route)
        (paid,) = await settled(api, [accepted["payout_id"]])
    assert paid["status"] == "settled", paid
    assert paid["attempts"] == 1
    assert paid["txid"] is not None and paid["settled_block"] is not None
    recipient = body["recipient_address"]
    if currency == "TRX":
        assert await trx_of(service, recipient) == 12_500_000
    else:
        assert await transfers_to(service, {recipient}) == {recipient: [12_500_000]}


async def test_the_same_key_by_another_mount_is_the_same_payout(service: Service) -> None:
    body, key = wish(), {"Idempotency-Key": new_key()}
    async with service.client() as api:
        answers = [
            await api.post(f"{mount}/payouts/initiate", json=body, headers=key) for mount in MOUNTS
        ]
        assert [answer.status_code for answer in answers] == [202, 202, 202]
        assert len({answer.content for answer in answers}) == 1, "a replay is the stored answer"
        replayed = [answer.headers.get("Idempotent-Replayed") for answer in answers]
        assert replayed == [None, "true", "true"]
        await settled(api, [answers[0].json()["payout_id"]])
    recipient = body["recipient_address"]
    assert await transfers_to(service, {recipient}) == {recipient: [12_500_000]}


async def test_a_storm_of_repeats_pays_once(service: Service) -> None:
    body, key = wish(), {"Idempotency-Key": new_key()}
    async with service.client() as api:

        async def ask(mount: str) -> httpx.Response:
            return await api.post(f"{mount}/payouts/direct", json=body, headers=key)

        answers = await asyncio.gather(*(ask(mount) for mount in MOUNTS * 8))
        assert {answer.status_code for answer in answers} == {202}
        (payout_id,) = {answer.json()["payout_id"] for answer in answers}
        await settled(api, [payout_id])
    recipient = body["recipient_address"]
    assert await transfers_to(service, {recipient}) == {recipient: [12_500_000]}


async def test_a_merchant_sees_only_its_own_payouts(service: Service) -> None:
    async with (
        service.client("merchant", "shop-1") as mine,
        service.client("merchant", "shop-2") as theirs,
    ):
        answer = await mine.post(
            "/api/v1/payouts/v0", json=wish(), headers={"Idempotency-Key": new_key()}
        )
        path = f"/api/v1/payouts/{answer.json()['payout_id']}"
        assert (await mine.get(path)).status_code == 200
        assert (await theirs.get(path)).status_code == 404
        assert (await theirs.get("/api/v1/payouts/history")).json()["data"] == []
        await settled(mine, [answer.json()["payout_id"]])


async def test_the_ledger_equals_the_chain(service: Service) -> None:
    async with service.client() as api:
        answer = await api.post(
            "/api/v1/payouts/direct", json=wish(), headers={"Idempotency-Key": new_key()}
        )
        await settled(api, [answer.json()["payout_id"]])
    report = await reconciled(service)
    assert report["balanced"] is True, report
    assert set(report["difference"].values()) == {"0"}

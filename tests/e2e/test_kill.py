"""SIGKILL to the service, its MongoDB and its devnet in the middle of twenty payouts."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import httpx
import pytest

from tests.e2e.addresses import fresh_address
from tests.e2e.service import Service, new_key, reconciled, settled, transfers_to

PAYOUTS: Final = 20
UNITS: Final = 12_500_000
LIFETIME_S: Final = 60
"""Of a transaction. Who is killed between the signer's journal and the store waits it out: nobody
else can know that those bytes were never sent."""

PAUSES_S: Final = (
    0.25,
    *(pytest.param(pause_s, marks=pytest.mark.slow) for pause_s in (0.0, 1.5)),
)
"""After the first answers: while requests come in, while bytes are signed, before blocks settle."""


@pytest.mark.parametrize("pause_s", PAUSES_S)
async def test_twenty_payouts_survive_a_kill_of_everything(
    own_service: Service, pause_s: float
) -> None:
    service = own_service
    service.environment["PAYOUT_TIMEOUT"] = str(LIFETIME_S)
    service.start()
    await service.ready()
    genesis_id = await _genesis(service)
    orders = [
        (("v0", "direct")[number % 2], {"Idempotency-Key": new_key()}, _wish())
        for number in range(PAYOUTS)
    ]
    async with service.client() as api:
        first = [asyncio.create_task(_ask(api, *order)) for order in orders]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(pause_s)
        await service.kill_everything()
        await asyncio.wait(first)

    service.start()
    await service.ready()
    assert await _genesis(service) == genesis_id
    async with service.client() as api:
        again = [await _ask(api, *order) for order in orders]
        assert all(answer is not None for answer in again)
        ids = [str(answer["payout_id"]) for answer in again if answer is not None]
        _agree(first, ids)
        ended = await settled(api, ids)
    assert {payout["status"] for payout in ended} == {"settled"}
    recipients = {str(order[2]["recipient_address"]) for order in orders}
    assert await transfers_to(service, recipients) == {each: [UNITS] for each in recipients}
    report = await reconciled(service)
    assert report["balanced"] is True, report
    assert await service.stop() == 0


def _agree(first: Sequence["asyncio.Task[dict[str, Any] | None]"], ids: Sequence[str]) -> None:
    """What was answered before the kill is what the repeat finds."""
    for task, payout_id in zip(first, ids, strict=True):
        answer = task.result()
        assert answer is None or answer["payout_id"] == payout_id


def _wish() -> dict[str, Any]:
    return {
        "user_id": "alice",
        "recipient_address": fresh_address(),
        "amount": "12.5",
        "currency": "USDT",
    }


async def _ask(
    api: httpx.AsyncClient, route: str, key: dict[str, str], body: dict[str, Any]
) -> dict[str, Any] | None:
    """The accepted payout; None when the service died before it answered."""
    try:
        answer = await api.post(f"/api/v1/payouts/{route}", json=body, headers=key)
    except httpx.TransportError:
        return None
    if answer.status_code == 503:  # a dying store, said honestly
        return None
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    return accepted


async def _genesis(service: Service) -> str:
    async with service.devnet() as devnet:
        answer = await devnet.post("/wallet/getblockbynum", json={"num": 0})
        genesis_id = str(answer.json()["blockID"])
        assert (await devnet.get("/devnet/info")).json()["genesis_id"] == genesis_id
        return genesis_id

"""``kill -9`` of the real process while it credits blocks full of deposits."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from tests.e2e.service import Service, new_key, reconciled

INVOICES: Final = 40
KILLS: Final = 3
PAID_WITHIN_S: Final = 240.0
POLL_S: Final = 0.2


@pytest.fixture
def service() -> Iterator[Service]:
    own = Service()
    try:
        yield own
    finally:
        own.destroy()


async def make(api: httpx.AsyncClient, amount: str) -> dict[str, Any]:
    body = {"kind": "invoice", "amount": amount, "currency": "USDT", "expires_in_s": 86_400}
    headers = {"Idempotency-Key": new_key()}
    answer = await api.post("/api/v1/payments/process", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def paid(service: Service) -> int:
    async with service.mongo() as mongo:
        payments = mongo[service.settings.payment_db_name]["payments"]
        return await payments.count_documents({"received_units": {"$gt": 0}})


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_deposits_survive_a_kill_of_everything_in_the_middle_of_them(
    service: Service,
) -> None:
    """Half go to one address each, in one block if it holds them; the others all to the last."""
    service.start()
    await service.ready()
    async with service.client("merchant", "shop") as api:
        invoices = [await make(api, "10") for _ in range(INVOICES)]
        many = await make(api, str(INVOICES))
    addresses = [each["address"] for each in invoices] + [many["address"]] * INVOICES
    async with service.devnet() as devnet:
        for address in addresses:
            amount = "1" if address == many["address"] else "10"
            body = {"address": address, "amount": amount, "currency": "USDT"}
            (await devnet.post("/devnet/faucet", json=body)).raise_for_status()
    seen: list[int] = []
    for share in range(1, KILLS + 1):
        async with asyncio.timeout(PAID_WITHIN_S):
            while (count := await paid(service)) * (KILLS + 1) < INVOICES * share:
                await asyncio.sleep(POLL_S / 10)
        seen.append(count)
        await service.kill_everything()
        service.start()
        await service.ready()
    async with service.client("merchant", "shop") as api:
        async with asyncio.timeout(PAID_WITHIN_S):
            while await paid(service) < INVOICES + 1:
                await asyncio.sleep(POLL_S)
        for invoice in (*invoices, many):
            path = f"/api/v1/payments/{invoice['payment_id']}"
            async with asyncio.timeout(PAID_WITHIN_S):
                while (shown := (await api.get(path)).json())["status"] != "paid":
                    assert shown["status"] in ("awaiting_payment", "partially_paid"), shown
                    await asyncio.sleep(POLL_S)
            assert shown["received"] == invoice["amount"], shown
            credited = [each["txid"] for each in shown["deposits"]]
            assert len(credited) == len(set(credited)), shown
    report = await reconciled(service)
    assert report["balanced"] is True, report
    print(f"\nkilled when {seen} of {INVOICES} were credited")
    assert await service.stop() == 0

"""Ten thousand rows in one upload: bad ones refused, poisonous ones found, the others paid once.

    python -m pytest tests/e2e/test_ten_thousand.py -m slow -s -p no:xdist

`BATCH_ROWS` makes it smaller.

The poison: the attestations of two accepted rows have expired when the batch is approved. Nothing
but the KYC router knows; it reverts the whole transaction, and the rows are found by halves.
"""

import asyncio
import csv
import io
import os
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.e2e.addresses import fresh_address
from tests.e2e.service import Service, new_key, reconciled
from tron_payment.core.address import Address, address_bytes

ROWS: Final = int(os.environ.get("BATCH_ROWS", "10000"))
"""A multiple of 400, so that each kind of bad row comes equally often."""

BAD: Final = ROWS // 100
POISONED: Final = (ROWS // 3 | 1, ROWS * 7 // 9 | 1)
"""Rows, from 1; odd ones go by the KYC route."""

HEADER: Final = "user_id,recipient_address,amount,currency,route,merchant_reference,kyc_verified"
AMOUNT: Final = "10"
UPLOAD_S: Final = 180.0
PAID_S: Final = 800.0
POLL_S: Final = 2.0
LONG_AGO: Final = timedelta(days=40)
API: Final = "/api/v1"


def upload(addresses: Sequence[str]) -> str:
    """Every hundredth row is bad, in one of four ways."""
    rows = []
    for number, address in enumerate(addresses, 1):
        row = [f"node-{number}", address, AMOUNT, "USDT", "kyc" if number % 2 else "v0"]
        row += [f"ten-thousand-{number}", "true" if number % 2 else "false"]
        if number % 100 == 0:
            column, value = [(1, "T" + "1" * 33), (2, "0.5"), (3, "EUR"), (5, "ten-thousand-1")][
                number // 100 % 4
            ]
            row[column] = value
        rows.append(",".join(row))
    return "\n".join([HEADER, *rows])


@pytest.mark.slow
async def test_ten_thousand_rows_are_paid_once_and_accounted_for() -> None:
    service = Service(RATE_READ="100000")
    addresses = [fresh_address() for _ in range(ROWS)]
    try:
        service.start()
        await service.ready("/health/ready")
        await enforce(service, {"approval_bands": [{"above": "1000", "approvals": 1}]})
        began = time.monotonic()
        batch_id = await accepted(service, upload(addresses))
        told(f"accepted in {time.monotonic() - began:.1f} s")
        await poison(service, batch_id)
        async with service.client("treasurer", "tr-1") as api:
            answer = await api.post(
                f"{API}/payouts/batch/{batch_id}/approve",
                json={},
                headers={"Idempotency-Key": new_key()},
            )
            assert answer.status_code == 200, answer.text
        began = time.monotonic()
        batch = await ended(service, batch_id)
        took_s = time.monotonic() - began
        told(f"{ROWS - BAD} rows in {took_s:.0f} s: {(ROWS - BAD) / took_s:.0f} a second")
        assert batch["status"] == "completed_with_errors"
        assert batch["counts"] == {"settled": ROWS - BAD - 2, "failed": 2}
        await check_export(service, batch_id, addresses)
        await check_chain(service, addresses)
        report = await reconciled(service)
        assert report["balanced"] is True, report
        assert await service.stop() == 0
    finally:
        service.destroy()


async def enforce(service: Service, policy: Any) -> None:
    async with service.client("compliance", "co-1") as one:
        key = {"Idempotency-Key": new_key()}
        made = await one.post(f"{API}/policy/proposals", json=policy, headers=key)
        assert made.status_code == 201, made.text
    async with service.client("compliance", "co-2") as other:
        path = f"{API}/policy/proposals/{made.json()['proposal_id']}/approve"
        answer = await other.post(path, headers={"Idempotency-Key": new_key()})
        assert answer.status_code == 200, answer.text


async def accepted(service: Service, body: str) -> str:
    async with service.client("operator", "op-1", kyc="full") as api:
        answer = await api.post(
            f"{API}/payouts/batch",
            content=body,
            headers={"Content-Type": "text/csv", "Idempotency-Key": new_key()},
            timeout=httpx.Timeout(UPLOAD_S),
        )
    assert answer.status_code == 202, answer.text[:500]
    told_of = answer.json()
    assert told_of["accepted"] == ROWS - BAD and len(told_of["refused"]) == BAD
    codes = Counter(row["code"] for row in told_of["refused"])
    assert len(codes) == 4 and set(codes.values()) == {BAD // 4}, codes
    return str(told_of["batch_id"])


async def poison(service: Service, batch_id: str) -> None:
    """Once every row is a payout, two of them were made forty days ago."""
    async with service.mongo() as mongo, asyncio.timeout(UPLOAD_S):
        store = mongo[service.settings.payment_db_name]
        while (await store["batches"].find_one({"_id": batch_id}))["stage"] == "accepted":  # type: ignore[index]
            await asyncio.sleep(POLL_S)
        for row in POISONED:
            found = await store["payouts"].find_one({"batch_id": batch_id, "row": row})
            assert found is not None and found["route"] == "kyc", row
            await store["payouts"].update_one(
                {"_id": found["_id"]}, {"$set": {"created_at": found["created_at"] - LONG_AGO}}
            )


async def ended(service: Service, batch_id: str) -> Any:
    """The batch when every row has ended; tells how it goes meanwhile."""
    last: dict[str, int] = {}
    async with service.client("auditor", "au-1") as api, asyncio.timeout(PAID_S):
        while True:
            batch = (await api.get(f"{API}/payouts/batch/{batch_id}?limit=1")).json()
            if batch["counts"] != last:
                last = batch["counts"]
                told(", ".join(f"{count} {status}" for status, count in sorted(last.items())))
            if batch["status"].startswith("completed"):
                return batch
            await asyncio.sleep(POLL_S)


async def check_export(service: Service, batch_id: str, addresses: Sequence[str]) -> None:
    async with service.client("operator", "op-1") as api:
        answer = await api.get(
            f"{API}/payouts/batch/{batch_id}/export", timeout=httpx.Timeout(UPLOAD_S)
        )
    rows = {int(row["row"]): row for row in csv.DictReader(io.StringIO(answer.text))}
    assert sorted(rows) == list(range(1, ROWS + 1)), "every row once"
    refused = {n for n, row in rows.items() if row["status"] == "refused"}
    failed = {n for n, row in rows.items() if row["status"] == "failed"}
    assert refused == set(range(100, ROWS + 1, 100)) and failed == set(POISONED)
    assert {rows[n]["code"] for n in failed} == {"AttestationExpired"}
    for number, row in rows.items():
        if number not in refused | failed:
            assert row["status"] == "settled" and row["txid"] and row["block"], row
            assert row["recipient_address"] == addresses[number - 1]


async def check_chain(service: Service, addresses: Sequence[str]) -> None:
    """Each good row's recipient holds its amount; the others hold nothing."""
    unpaid = {*POISONED, *range(100, ROWS + 1, 100)}
    held: Counter[int] = Counter()
    gate = asyncio.Semaphore(16)
    async with service.devnet() as devnet:
        token = (await devnet.get("/devnet/info")).json()["usdt_contract"]

        async def look(number: int) -> None:
            async with gate:
                body = {
                    "owner_address": addresses[number - 1],
                    "contract_address": token,
                    "function_selector": "balanceOf(address)",
                    "parameter": bare(addresses[number - 1]).hex().rjust(64, "0"),
                    "visible": True,
                }
                answer = await devnet.post("/wallet/triggerconstantcontract", json=body)
            units = int(answer.json()["constant_result"][0], 16)
            assert units == (0 if number in unpaid else 10_000_000), (number, units)
            held[units] += 1

        await asyncio.gather(*(look(number) for number in range(1, ROWS + 1)))
    assert held == {0: len(unpaid), 10_000_000: ROWS - len(unpaid)}


def bare(address: str) -> bytes:
    """The 20 bytes of an address."""
    return address_bytes(Address(address))[1:]


def told(text: str) -> None:
    print(f"{Path(__file__).stem}: {text}", flush=True)

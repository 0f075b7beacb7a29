"""The rest of the demo's story: a payment comes in and is partly refunded, TRX is staked, the books
are compared with the chain."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import httpx
from rich.console import Console

from tron_payment.demo.payouts import SETTLE_S
from tron_payment.demo.stage import CALL_S, POLL_S
from tron_payment.settings import Settings

INVOICE_USDT: Final = "25"
REFUND_USDT: Final = "10"
STAKE_TRX: Final = "1000"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened, for the last table."""

    what: str
    amount: str
    status: str
    block: str
    fee_trx: str
    txid: str
    good: bool


async def invoice(api: httpx.AsyncClient, settings: Settings, console: Console) -> list[Step]:
    """Ask for money, let a customer pay it on the devnet, give a part of it back."""
    with console.status("an invoice is paid and partly refunded"):
        asked = await _post(
            api,
            "/api/v1/payments/process",
            {"kind": "invoice", "amount": INVOICE_USDT, "currency": "USDT"},
            "demo-invoice-0001",
        )
        body = {"address": asked["address"], "amount": INVOICE_USDT, "currency": "USDT"}
        url = settings.node_urls[0]
        async with httpx.AsyncClient(base_url=url, timeout=CALL_S, trust_env=False) as devnet:
            paid_by = (await devnet.post("/devnet/faucet", json=body)).raise_for_status().json()
        path = f"/api/v1/payments/{asked['payment_id']}"
        paid = await _until(api, path, lambda found: found["status"] == "paid")
        await _post(
            api,
            "/api/v1/payments/refund",
            {
                "payment_id": asked["payment_id"],
                "amount": REFUND_USDT,
                "to_address": paid["deposits"][0]["sender"],
                "reason": "one article was sold out",
            },
            "demo-refund-00001",
        )
        after = await _until(api, path, lambda found: found["refunded"] == REFUND_USDT)
    deposit, refund = paid["deposits"][0], after["refunds"][0]
    return [
        Step(
            "invoice paid",
            f"{INVOICE_USDT} USDT",
            paid["status"],
            str(deposit["block_number"]),
            "",
            paid_by["txid"],
            paid["status"] == "paid",
        ),
        Step(
            "refund",
            f"{REFUND_USDT} USDT",
            refund["status"],
            str(refund["block_number"]),
            "",
            refund["txid"],
            refund["status"] == "settled",
        ),
    ]


async def stake(api: httpx.AsyncClient, console: Console) -> Step:
    """Stake TRX of the treasury for energy."""
    with console.status("TRX is staked for energy"):
        wallets = (await api.get("/api/v1/wallets")).json()["data"]
        treasury = next(each for each in wallets if each["label"] == "treasury")
        body = {"wallet_id": treasury["wallet_id"], "amount": STAKE_TRX, "resource": "ENERGY"}
        asked = await _post(api, "/api/v1/staking/stake", body, "demo-stake-000001")
        path = f"/api/v1/staking/operations/{asked['stake_id']}"
        found = await _until(api, path, lambda each: each["status"] in ("settled", "failed"))
    return Step(
        "stake for energy",
        f"{STAKE_TRX} TRX",
        found["status"],
        str(found["block_number"]),
        found["fee"]["paid_trx"] or "",
        found["txid"],
        found["status"] == "settled",
    )


async def _post(api: httpx.AsyncClient, path: str, body: Any, key: str) -> dict[str, Any]:
    answer = await api.post(path, json=body, headers={"Idempotency-Key": key})
    if answer.is_error:
        raise RuntimeError(f"{path}: {answer.text}")
    found: dict[str, Any] = answer.json()
    return found


async def _until(api: httpx.AsyncClient, path: str, holds: Any) -> dict[str, Any]:
    async with asyncio.timeout(SETTLE_S):
        while True:
            found: dict[str, Any] = (await api.get(path)).raise_for_status().json()
            if holds(found):
                return found
            await asyncio.sleep(POLL_S)


async def books(api: httpx.AsyncClient, console: Console) -> bool:
    """Reconcile now, at one solidified block; True when nothing is missing or too much."""
    with console.status("comparing the ledger with the chain"):
        async with asyncio.timeout(SETTLE_S):
            before = (await api.get("/api/v1/payments/reconciliation")).json()
            await api.get("/api/v1/payments/reconciliation", params={"run": "true"})
            while True:
                found = (await api.get("/api/v1/payments/reconciliation")).json()
                fresh = found.get("solid_block") is not None
                if fresh and found["solid_block"] != before.get("solid_block"):
                    return _equal(found)
                await asyncio.sleep(POLL_S)


def _equal(report: dict[str, Any]) -> bool:
    difference = report["difference"]
    values = difference.values() if isinstance(difference, dict) else [difference]
    return all(value == "0" for value in values)

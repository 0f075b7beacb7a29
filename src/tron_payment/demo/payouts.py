"""The demo's payouts: every row of the CSV is asked for by HTTP and watched until it ends."""

import asyncio
import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tron_payment.demo.stage import CALL_S, POLL_S, READY_S
from tron_payment.settings import Settings

CSV_FILE: Final = Path("examples/payouts.csv")
SETTLE_S: Final = 180.0
FINAL: Final = frozenset({"settled", "failed", "canceled", "rejected", "quarantined"})
BLACKLISTED_USER: Final = "blacklisted"


@dataclass(slots=True)
class Row:
    """One line of the CSV and what became of it."""

    number: int
    wish: dict[str, str]
    payout: dict[str, Any] = field(default_factory=dict)
    refusal: dict[str, Any] = field(default_factory=dict)

    @property
    def expected_bad(self) -> bool:
        """The last lines of the file are wrong on purpose, and say so by their user id."""
        return not self.wish["user_id"].startswith(("node-", "operator-", "partner-"))

    @property
    def good(self) -> bool:
        """It ended as it should."""
        if self.expected_bad:
            return bool(self.refusal)
        return self.payout.get("status") == "settled"


def read_rows() -> list[Row]:
    with CSV_FILE.open(newline="", encoding="utf-8") as file:
        return [Row(number, row) for number, row in enumerate(csv.DictReader(file), 1)]


async def blacklist(settings: Settings, rows: list[Row]) -> None:
    """The issuer of the test USDT freezes one of the recipients before we pay."""
    row = next(row for row in rows if row.wish["user_id"] == BLACKLISTED_USER)
    body = {"function": "addBlackList", "arguments": [row.wish["recipient_address"]]}
    url = settings.node_urls[0]
    async with httpx.AsyncClient(base_url=url, timeout=CALL_S, trust_env=False) as devnet:
        (await devnet.post("/devnet/usdt", json=body)).raise_for_status()
        before = (await devnet.get("/devnet/info")).json()["head"]
        async with asyncio.timeout(READY_S):
            while (await devnet.get("/devnet/info")).json()["solid"] <= before + 2:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)


async def pay(api: httpx.AsyncClient, rows: list[Row], console: Console) -> None:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        sending = progress.add_task("asked for ", total=len(rows))
        for row in rows:
            await _ask(api, row)
            progress.advance(sending)
        waiting = [row for row in rows if row.payout]
        settling = progress.add_task("settled   ", total=len(waiting))
        async with asyncio.timeout(SETTLE_S):
            while waiting:
                for row in list(waiting):
                    answer = await api.get(f"/api/v1/payouts/{row.payout['payout_id']}")
                    row.payout = answer.json()
                    if row.payout["status"] in FINAL:
                        waiting.remove(row)
                        progress.advance(settling)
                await asyncio.sleep(POLL_S)


async def _ask(api: httpx.AsyncClient, row: Row) -> None:
    wish = {
        name: row.wish[name]
        for name in ("user_id", "recipient_address", "amount", "currency", "merchant_reference")
    }
    answer = await api.post(
        f"/api/v1/payouts/{row.wish['route']}",
        json=wish,
        headers={"Idempotency-Key": f"demo-payouts-row-{row.number:04d}"},
    )
    if answer.status_code == 202:
        row.payout = answer.json()
    else:
        row.refusal = answer.json()

"""`make demo`: the whole story once, by HTTP, on a service of its own.

Pays the rows of `examples/payouts.csv` by the V0, KYC and direct routes, takes an invoice payment
in, refunds a part, stakes, and compares the ledger with the chain. Ends with one table, and with
exit status 0 only when every item is settled on a solidified block, every bad row has its reason,
and the ledger equals the chain.
"""

import json
import shutil
import sys
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tron_payment import configuration
from tron_payment.demo.payouts import CSV_FILE, Row, blacklist, pay, read_rows
from tron_payment.demo.stage import FOLDER, client, environment, ready, service
from tron_payment.demo.story import Step, books, invoice, stake
from tron_payment.development import with_secrets

PLAIN_WIDTH: Final = 130
"""Columns when the output goes to a file."""


async def run(*, as_json: bool = False) -> int:
    """Tell the story; the process's exit status.

    Args:
        as_json: The story goes to standard error, its end to standard output as JSON.
    """
    terminal = sys.stderr if as_json else sys.stdout
    console = Console(width=None if terminal.isatty() else PLAIN_WIDTH, stderr=as_json)
    if not CSV_FILE.is_file():
        console.print(f"{CSV_FILE} is not here: run this from the repository's folder")
        if as_json:
            _print_json(2, {"error": {"code": "usage", "detail": f"{CSV_FILE} is not here"}})
        return 2
    shutil.rmtree(FOLDER, ignore_errors=True)
    variables = environment()
    settings = with_secrets(configuration.load(variables))
    async with service(variables, console) as base_url, client(base_url, settings) as api:
        rows = read_rows()
        await ready(api, console)
        await blacklist(settings, rows)
        await pay(api, rows, console)
        steps = [*await invoice(api, settings, console), await stake(api, console)]
        equal = await books(api, console)
    console.print(_table(rows, steps))
    settled = sum(row.good and not row.expected_bad for row in rows)
    refused = sum(row.good and row.expected_bad for row in rows)
    good = all(row.good for row in rows) and all(step.good for step in steps) and equal
    console.print(
        f"\n{settled} payouts settled on solidified blocks, {refused} bad rows refused, "
        f"an invoice paid and partly refunded, TRX staked: ledger {'=' if equal else '≠'} chain",
        style="bold green" if good else "bold red",
    )
    status = 0 if good else 1
    if as_json:
        told = {
            "payouts": [_row(row) for row in rows],
            "steps": [asdict(step) for step in steps],
            "ledger_equals_chain": equal,
        }
        _print_json(status, told)
    return status


def _print_json(status: int, data: dict[str, Any]) -> None:
    print(json.dumps({"ok": status == 0, **data}, indent=2))


def _row(row: Row) -> dict[str, Any]:
    return {
        "row": row.number,
        "user_id": row.wish["user_id"],
        "route": row.wish["route"],
        "amount": row.wish["amount"],
        "currency": row.wish["currency"],
        "good": row.good,
        "payout_id": row.payout.get("payout_id"),
        "status": row.payout.get("status"),
        "txid": row.payout.get("txid"),
        "refused": row.refusal.get("code"),
    }


def _table(rows: list[Row], steps: list[Step]) -> Table:
    table = Table(title="What happened", title_justify="left", expand=True)
    columns: list[tuple[str, Any]] = [
        ("row", "right"),
        ("what", "left"),
        ("amount", "right"),
        ("status", "left"),
        ("block", "right"),
        ("fee TRX", "right"),
        ("txid, or why not", "left"),
    ]
    for name, justify in columns:
        ratio = 1 if name.startswith("txid") else None
        table.add_column(name, justify=justify, no_wrap=True, ratio=ratio)
    for row in rows:
        status, note = row.refusal.get("code", ""), row.refusal.get("detail", "")
        block = fee = ""
        if row.payout:
            status, note = row.payout["status"], row.payout["txid"] or ""
            block = str(row.payout["settled_block"] or "")
            fee = row.payout["fee"]["paid_trx"] or ""
        amount = f"{row.wish['amount']} {row.wish['currency']}"
        what = f"{row.wish['route']} {row.wish['user_id']}"
        style = "red" if not row.good else "yellow" if row.expected_bad else None
        table.add_row(str(row.number), what, amount, status, block, fee, note, style=style)
    for step in steps:
        table.add_row(
            "",
            step.what,
            step.amount,
            step.status,
            step.block,
            step.fee_trx,
            step.txid,
            style=None if step.good else "red",
        )
    return table

"""`reconcile`: compare ledger and chain now."""

import argparse
import asyncio
from typing import Final

from tron_payment.gateway import Reconciliations
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import assembled
from tron_payment.settings import Settings

POLL_S: Final = 0.2
WHO: Final = "operator"


async def reconcile(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Have one comparison of ledger and chain, done here or by the running service.

    Bad is a difference, and money that left by nobody's order and that nobody has acknowledged.
    """
    async with assembled(settings, loops=True) as assembly:
        reconciliations = assembly.house.use(Reconciliations)
        asked = await reconciliations.request(WHO)
        try:
            async with asyncio.timeout(arguments.timeout):
                report = await reconciliations.get(asked.id)
                while report.finished_at is None:
                    await asyncio.sleep(POLL_S)
                    report = await reconciliations.get(asked.id)
        except TimeoutError:
            return failure("unfinished", f"{asked.id} is still running", Exit.UNFINISHED)
        open_ones = {each.id for each in await assembly.house.engine.safe_mode.unexplained()}
    wrong = [row for row in report.rows if row.difference]
    data = {
        "reconciliation_id": report.id,
        "solid_block": report.solid_block,
        "addresses": report.addresses,
        "difference": {asset: str(units) for asset, units in report.difference.items()},
        "unmatched": [each.txid for each in report.unmatched],
        "unacknowledged": sorted(open_ones),
        "waiting": list(report.waiting),
    }
    lines = [f"{report.addresses} addresses compared, newest block {report.solid_block}"]
    for row in wrong:
        lines.append(
            f"{row.address} {row.name} {row.asset} {row.pocket}: "
            f"ledger {row.ledger_units}, chain {row.chain_units}"
        )
    for row in report.rows:
        if row.beyond_books:
            lines.append(
                f"{row.address} {row.name} {row.asset} {row.pocket}: ledger {row.ledger_units}; "
                "the chain shows more than the books have room for: not compared"
            )
    listed = list(dict.fromkeys(each.txid for each in report.unmatched))
    for txid in [*listed, *sorted(open_ones - set(listed))]:
        lines.append(f"unmatched: {txid}{'' if txid in open_ones else ' (acknowledged)'}")
    if report.waiting:
        lines.append(f"{len(report.waiting)} addresses wait for their books: not compared yet")
    if open_ones:
        lines.append(
            f"{len(open_ones)} transactions that nobody here ordered wait for a person: "
            "see UnmatchedOutgoing"
        )
    good = not wrong and not any(report.difference.values())
    verdict = "ledger = chain" if report.addresses else "nothing was compared"
    lines.append(verdict if good else "ledger is not the chain")
    return Report(data, lines, Exit.OK if good and not open_ones else Exit.FAILED)

"""`audit verify|head` and `reconcile`."""

import argparse
import asyncio
from typing import Final

from tron_payment.db.audit import Head
from tron_payment.gateway import Reconciliations
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import assembled
from tron_payment.settings import Settings

POLL_S: Final = 0.2
WHO: Final = "operator"


async def audit(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Compute the hashes of the log anew, or show the head that is worth keeping elsewhere."""
    known = None
    if arguments.known:
        seq, _, digest = arguments.known.partition(":")
        if not seq.isdigit() or len(digest) != 64:
            return failure("usage", "--known SEQ:HASH with 64 hex digits", Exit.USAGE)
        known = Head(int(seq), digest)
    async with assembled(settings) as assembly:
        log = assembly.house.audit
        head = await log.head()
        shown = {"seq": head.seq, "hash": head.hash} if head else None
        if arguments.action == "head":
            text = f"{head.seq}:{head.hash}" if head else "the log is empty"
            return Report({"head": shown}, (text,))
        bad = await log.verify(arguments.from_seq, known)
    if bad is not None:
        found = {"seq": bad.seq, "fault": bad.fault.value}
        line = f"entry {bad.seq} is {bad.fault.value}: see docs/runbooks/money.md, AuditChainBroken"
        return Report({"head": shown, "bad": found}, (line,), Exit.FAILED)
    count = head.seq if head else 0
    return Report(
        {"head": shown, "bad": None},
        (f"{count} entries, each follows from the one before; head {shown and shown['hash']}",),
    )


async def reconcile(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Have one comparison of ledger and chain, done here or by the running service."""
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
    wrong = [row for row in report.rows if row.difference]
    data = {
        "reconciliation_id": report.id,
        "solid_block": report.solid_block,
        "addresses": report.addresses,
        "difference": {asset: str(units) for asset, units in report.difference.items()},
        "unmatched": [each.txid for each in report.unmatched],
        "waiting": list(report.waiting),
    }
    lines = [f"{report.addresses} addresses compared, newest block {report.solid_block}"]
    for row in wrong:
        lines.append(
            f"{row.address} {row.name} {row.asset} {row.pocket}: "
            f"ledger {row.ledger_units}, chain {row.chain_units}"
        )
    lines += [f"unmatched: {each.txid}" for each in report.unmatched]
    good = not wrong and not any(report.difference.values())
    lines.append("ledger = chain" if good else "ledger is not the chain")
    return Report(data, lines, Exit.OK if good else Exit.FAILED)

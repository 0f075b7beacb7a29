"""`erase`: take one person's name out of what has ended."""

import argparse
import hashlib
import hmac
from dataclasses import asdict

from tron_payment.db.audit import Act
from tron_payment.keeping import Keeping
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import assembled
from tron_payment.payouts import is_name
from tron_payment.settings import Settings


async def erase(arguments: argparse.Namespace, settings: Settings) -> Report:
    """The audit log keeps that it was done, and a fingerprint of the name, not the name."""
    if not is_name(arguments.user_id):
        return failure("usage", "say whose name: this is no USER_ID", Exit.USAGE)
    async with assembled(settings) as assembly:
        house = assembly.house
        done = await Keeping(house.clock, 0).erase(arguments.user_id)
        name = hmac.new(house.secret, arguments.user_id.encode(), hashlib.sha256).hexdigest()
        await house.audit.append(
            Act(
                actor="command-line",
                role="operator",
                action="person.erased",
                object_id=name,
                after=asdict(done),
            )
        )
    lines = [f"{done.payouts} payouts and {done.batches} uploads bear the name no more"]
    if done.unfinished:
        lines.append(f"{done.unfinished} have not ended: repeat the command later")
    if done.attested:
        lines.append("a valid KYC attestation keeps the name until it ends")
    if done.schedules:
        lines.append(f"{done.schedules} active schedules pay this person: cancel them, then repeat")
    kept = done.unfinished or done.attested or done.schedules
    return Report(asdict(done), lines, Exit.FAILED if kept else Exit.OK)

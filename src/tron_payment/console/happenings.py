"""Events as sentences, for people; what programs read is docs/events.md's table and the data."""

from collections.abc import Mapping
from typing import Any, Final

from tron_payment.console.pages import amount

HAS: Final[Mapping[str, str]] = {
    "payout.awaiting_approval": "was accepted and waits for somebody's approval",
    "payout.queued": "is in line",
    "payout.awaiting_signature": "waits for a signature from elsewhere",
    "payout.signed": "was signed and is being sent",
    "payout.settled": "was paid",
    "payout.failed": "has failed; the recipient got nothing",
    "payout.canceled": "was called back before it was paid",
    "payout.rejected": "was rejected, or nobody approved it in time",
    "payout.quarantined": "is set aside: the chain contradicts us, and a person must look",
    "batch.queued": "is in line",
    "batch.processing": "is being paid",
    "batch.completed": "is finished: every accepted row was paid",
    "batch.completed_with_errors": "is finished; some accepted rows were not paid",
    "batch.canceled": "has ended; nothing of it was paid",
    "schedule.waiting": "is due and waits: rows of it cannot be paid now, and stay owed",
    "schedule.refused": "was due, but rows of it, or all, were refused and are not paid by it",
    "payment.created": "was made",
    "payment.deposit_credited": "has received money",
    "payment.deposit_ignored": "was sent something that does not count",
    "payment.partially_paid": "is paid in part",
    "payment.paid": "is paid",
    "payment.overpaid": "is paid, and more than that",
    "payment.expired": "was not paid in time; its address is still watched",
    "payment.paid_late": "was paid after its time",
    "payment.canceled": "was called back",
    "payment.partially_refunded": "was refunded in part",
    "payment.refunded": "was refunded",
    "payment.queued": "is in line",
    "payment.awaiting_signature": "waits for a signature from elsewhere",
    "payment.signed": "was signed and is being sent",
    "payment.settled": "was carried out",
    "payment.failed": "has failed",
    "payment.quarantined": "is set aside: the chain contradicts us, and a person must look",
    "refund.queued": "is in line",
    "refund.awaiting_signature": "waits for a signature from elsewhere",
    "refund.signed": "was signed and is being sent",
    "refund.settled": "was paid back",
    "refund.failed": "has failed; the payer got nothing",
    "refund.canceled": "was called back before it was paid",
    "refund.quarantined": "is set aside: the chain contradicts us, and a person must look",
    "unstaking.ended": "is over: the TRX can be withdrawn",
    "webhook_endpoint.disabled": "was switched off: it answered 410, or failed for three days",
}
"""What the thing that an event is about has done; its name comes before."""

NAMES: Final[Mapping[str, str]] = {
    "unstaking": "The waiting time after unstaking",
    "webhook_endpoint": "A webhook",
}


def sentence(event: Mapping[str, Any]) -> str:
    """One event in words; the type itself where it has none."""
    kind, _, _ = event["type"].partition(".")
    if (has := HAS.get(event["type"])) is None:
        return str(event["type"])
    data: Mapping[str, Any] = event["data"]
    if kind == "refund" and isinstance(data.get("refund"), Mapping):
        data = data["refund"]
    name = NAMES.get(kind) or f"A {kind}"
    if kind == "payment" and data.get("kind") == "invoice":
        name = "An invoice"
    if data.get("amount") and data.get("currency"):
        name += f" of {amount(data['amount'])} {data['currency']}"
    if kind == "payout" and data.get("user_id"):
        name += f" to {data['user_id']}"
    return f"{name} {has}."

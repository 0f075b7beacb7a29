"""A payout in plain words: what happened, what it waits for, what to do. Pure."""

from typing import Final

import msgspec

from tron_payment.core.clock import rfc3339
from tron_payment.core.money import decimal_text, trx_text
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import CURRENCIES, PayoutStatus
from tron_payment.payouts.views import shown_status

WAITS: Final = {
    "funds": (
        "the account that pays holds too little, what is promised to others left out",
        "top up the router (v0, kyc) or the wallet (direct), and TRX for the fee",
    ),
    "kill_switch": (
        "somebody has stopped all payments, or those of this wallet",
        "have a treasurer or admin switch the kill switch off",
    ),
    "fee_above_maximum": (
        "the network's fee is above this payout's maximum now",
        "wait for a lower fee, stake for energy, or cancel and ask with a higher max_fee_trx",
    ),
    "screening": (
        "the recipient is being checked against contracts and the blacklist",
        "nothing; if it stays so, look whether the nodes answer",
    ),
    "follower": (
        "our view of the chain is too old to sign on",
        "nothing; if it stays so, look at the nodes",
    ),
    "node_behind": (
        "the node is behind what we have read already",
        "nothing; if it stays so, use another node",
    ),
    "chain_contradiction": (
        "nodes contradict each other, so nothing is signed",
        "find out which node is wrong before anything else",
    ),
    "signature": ("it waits for a signature from outside", "sign it at /signing-requests"),
}
"""By what the engine says: what it means, and what to do."""

FAILURES: Final = {
    "recipient_is_contract": "the recipient turned out to be a contract; it was not paid",
    "recipient_blacklisted": "USDT's issuer has blacklisted the recipient; it was not paid",
    "recipient_is_own": "the recipient is one of our own addresses; it was not paid",
    "merchant_reference_taken": "another payout took its merchant reference first",
    "attempts_exhausted": "no block took its transaction in many attempts, each proved dead",
}


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """For people. Machines read the payout."""

    payout_id: str
    status: str
    txid: str | None
    what_happened: list[str]
    waits_for: str | None
    what_to_do: str


def explain(payout: Payout) -> Explanation:
    """Tell a payout's story so far."""
    amount = decimal_text(payout.units, CURRENCIES[payout.currency].decimals)
    story = [
        f"{rfc3339(payout.created_at)}: {payout.principal} asked to pay {amount} "
        f"{payout.currency} to {payout.recipient_address} by {payout.route.value} "
        f"({payout.decision_rule})."
    ]
    if payout.retry_of is not None:
        story.append(f"It takes up {payout.retry_of}, which had failed.")
    if payout.batch_id is not None:
        story.append(f"It is row {payout.row} of {payout.batch_id}.")
    if payout.flags:
        story.append(f"It was flagged: {', '.join(payout.flags)}.")
    for vote in payout.approvals:
        story.append(f"{rfc3339(vote['at'])}: {vote['by']} approved it.")
    if payout.fee_before_sun:
        story.append(
            f"A transaction that carried it with others failed as a whole; its share of that fee "
            f"was {trx_text(payout.fee_before_sun)} TRX. It went on in a smaller one."
        )
    if payout.attempts > 1:
        story.append(f"{payout.attempts - 1} transactions before were proved dead; nothing moved.")
    story += _ending(payout)
    waits, advice = _now(payout)
    return Explanation(
        payout_id=payout.id,
        status=shown_status(payout),
        txid=payout.txid,
        what_happened=story,
        waits_for=waits,
        what_to_do=advice,
    )


def _ending(payout: Payout) -> list[str]:
    match payout.status:
        case PayoutStatus.SETTLED if payout.settled_at is not None:
            fee = trx_text(payout.fee_paid_sun or 0)
            return [
                f"{rfc3339(payout.settled_at)}: paid in block {payout.block_number}, which is "
                f"solidified; the fee was {fee} TRX."
            ]
        case PayoutStatus.FAILED:
            why = FAILURES.get(payout.reason, f"it failed: {payout.reason}")
            return [f"{rfc3339(payout.updated_at)}: {why}. No money has moved to the recipient."]
        case PayoutStatus.CANCELED:
            return [f"{rfc3339(payout.updated_at)}: canceled before it was signed."]
        case PayoutStatus.REJECTED:
            return [f"{rfc3339(payout.updated_at)}: rejected: {payout.reason}."]
        case PayoutStatus.QUARANTINED:
            return [f"{rfc3339(payout.updated_at)}: set aside for a person: {payout.reason}."]
        case _:
            return []


def _now(payout: Payout) -> tuple[str | None, str]:
    match payout.status:
        case PayoutStatus.AWAITING_APPROVAL:
            missing = payout.approvals_needed - len(payout.approvals)
            who = "the batch" if payout.batch_id else "it"
            return f"{max(1, missing)} approvals", f"have {who} approved by somebody else"
        case PayoutStatus.QUEUED:
            kind, _, detail = payout.waiting_for.partition(": ")
            if kind == "simulation_reverted":
                return (
                    f"the contract would refuse it now ({detail})",
                    "look whether the router is paused or empty",
                )
            meaning, advice = WAITS.get(kind, (payout.waiting_for or "its turn", "nothing"))
            return meaning, advice
        case PayoutStatus.AWAITING_SIGNATURE:
            return WAITS["signature"]
        case PayoutStatus.SIGNED:
            return "its block, and then for that block to be solidified", "nothing"
        case PayoutStatus.FAILED:
            return None, "find the cause, then POST /payouts/{payout_id}/retry"
        case PayoutStatus.QUARANTINED:
            return "a person", "compare the router's `paid(id)` with the books before anything else"
        case _:
            return None, "nothing"

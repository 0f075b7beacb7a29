"""A payout in plain words: what happened, what it waits for, what to do. Pure."""

from typing import Final

import msgspec

from tron_payment.core.clock import rfc3339
from tron_payment.core.money import decimal_text, trx_text
from tron_payment.engine import FEE_ABOVE_MAXIMUM, SIMULATION_REVERTED
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import (
    CURRENCIES,
    ERASED,
    ROUTE_UNAVAILABLE,
    MerchantReferenceTaken,
    PayoutStatus,
    is_retryable,
)
from tron_payment.payouts.views import shown_status

WAITS: Final = {
    "funds": (
        "money: the account that pays holds too little, what is promised to others left out",
        "top up the router (v0, kyc) or the wallet (direct), and TRX for the fee",
    ),
    "kill_switch": (
        "the kill switch: somebody has stopped all payments, or those of this wallet",
        "have a treasurer or admin switch the kill switch off",
    ),
    FEE_ABOVE_MAXIMUM: (
        "a lower fee: it may cost more now than its maximum",
        "wait for a lower fee, stake for energy, or call it back and ask anew with a higher "
        "max_fee_trx",
    ),
    "fee_limit_outdated": (
        "a lower fee: its fee limit was fixed when its money was set aside, and is too small by "
        "now, so that it would fail and its fee be lost",
        "wait for a lower fee, or call it back and ask anew",
    ),
    SIMULATION_REVERTED: (
        "the contract: it would refuse this now",
        "look whether the router is paused or empty",
    ),
    ROUTE_UNAVAILABLE: (
        "its router, or the key that attests for it, which is in the settings no more",
        "set it again, and restart",
    ),
    "screening": (
        "the recipient to be checked against contracts and the blacklist",
        "nothing; if it stays so, look whether the nodes answer",
    ),
    "token_paused": (
        "USDT: its issuer has paused it",
        "nothing; it goes on when the issuer lets it",
    ),
    "token_fee_active": (
        "USDT: its issuer takes a fee of each transfer now, so less than was asked would arrive",
        "decide whether to wait or to call it back",
    ),
    "token_deprecated": (
        "USDT: its issuer has handed its calls to another contract, of which nothing is known here",
        "look at what the issuer says; call this back, and wait for a release that knows it",
    ),
    "recipient_blacklisted": (
        "USDT's issuer, who has blacklisted the recipient",
        "ask the person for another address and call this back, or wait until the issuer takes it "
        "off the list",
    ),
    "node": ("a node that answers", "nothing; if it stays so, look at the nodes (AllNodesDown)"),
    "follower": (
        "newer blocks: our view of the chain is too old to sign on",
        "nothing; if it stays so, look at the nodes (runbook FollowerBehind)",
    ),
    "node_behind": (
        "its node, which is behind what we have read already",
        "nothing; if it stays so, use another node (runbook NodeBehind)",
    ),
    "node_refused": (
        "a node, which refuses to price it now",
        "read what the node said; if it stays so, call it back",
    ),
    "chain_contradiction": (
        "a person: nodes contradict each other, so nothing is signed",
        "find out which node is wrong before anything else (runbook ChainContradicted)",
    ),
    "safe_mode": (
        "safe mode to end: the database seems to be older than the chain",
        "nothing; it ends by itself, `tron-payment safe-mode show` says when "
        "(docs/operations.md, Backups)",
    ),
    "unexplained_transaction": (
        "a person: nothing here explains a transaction of ours on the chain",
        "look at it and acknowledge it (runbook UnmatchedOutgoing)",
    ),
    "journal_closed": (
        "a person: the books say that it was paid, or has ended, and it does not: after a restore "
        "parts of the database are older than others",
        "pay it no other way; let the chain be read once more by `tron-payment resume "
        "--from-block`, or restore all parts as of one moment (docs/operations.md, Backups)",
    ),
    "signature": ("a signature from outside", "sign it at /signing-requests"),
    "called_back": (
        "its bytes to expire: they were shown to be signed elsewhere before it was called back, "
        "and no signature is taken any more",
        "nothing; it ends as canceled then, unless somebody who has all signatures sends it before",
    ),
    "cannot_sign": (
        "somebody who can sign it",
        "look at the wallet's permissions and co-signers",
    ),
    "signer": (
        "the signer, which refuses it now",
        "read what the signer said; after a restore see docs/operations.md, Backups",
    ),
}
"""What `waiting_for` says before its colon: "it waits for" what, and what to do."""

RETRY: Final = "POST /api/v1/payouts/{payout_id}/retry"
"""What makes one new payout in place of a failed one; the console has a button for it."""

ANEW: Final = "make a new one for the right person, with another reference"
"""Instead, where whose it was is erased."""

FAILURES: Final = {
    "recipient_is_contract": (
        "the recipient turned out to be a contract; it was not paid",
        "ask the person for an address of their own wallet, and make a new payout to it",
    ),
    "recipient_blacklisted": (
        "USDT's issuer has blacklisted the recipient; it was not paid",
        "ask the person for another address and make a new payout to it; or wait until the issuer "
        f"takes this one off the list, then {RETRY}",
    ),
    "recipient_is_own": (
        "the recipient is one of our own addresses; it was not paid",
        "ask the person for an address of their own, and make a new payout to it",
    ),
    "merchant_reference_taken": (
        "another payout took its merchant reference first",
        "look at that payout, it may be the same money; if not, make a new one with another "
        "reference",
    ),
    "attempts_exhausted": (
        "no block took its transaction in many attempts, each proved dead",
        f"look whether the nodes reach the network; then {RETRY}",
    ),
}
"""Why it has failed before a block took it: what that means, and what to do."""

RECEIPTS: Final = {
    "receipt: REVERT": (
        "the contract refused its transaction (receipt: REVERT)",
        "look whether USDT or the router is paused, whether USDT has blacklisted the account that "
        f"pays, and whether it holds enough; then {RETRY}",
    ),
    "receipt: OUT_OF_ENERGY": (
        "its transaction needed more energy than its fee limit pays for (receipt: OUT_OF_ENERGY)",
        f"{RETRY}: it is priced anew; neither a stake nor a higher max_fee_trx raises the limit",
    ),
    "receipt: OUT_OF_TIME": (
        "the network gave up executing its transaction (receipt: OUT_OF_TIME)",
        f"wait until the network is less busy; then {RETRY}",
    ),
}
"""How its transaction ended in its block: what that means, and what to look at."""

DECISIONS: Final = {
    "asked": "as asked for",
    "not verified": "nothing proves the recipient's KYC",
}
"""Why it goes which way, where the rule's own word is too short."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """For people. Machines read the payout."""

    payout_id: str
    status: str
    txid: str | None
    what_happened: list[str]
    waits_for: str | None
    what_to_do: str


def explained(payout: Payout, ended_by: str = "") -> Explanation:
    """Tell a payout's story so far.

    Args:
        ended_by: Who called it back or said no, where somebody did and it is known.
    """
    amount = decimal_text(payout.units, CURRENCIES[payout.currency].decimals)
    story = [
        f"{rfc3339(payout.created_at)}: {payout.principal} asked to pay {amount} "
        f"{payout.currency} to {payout.recipient_address} by {payout.route.value} "
        f"({DECISIONS.get(payout.decision_rule, payout.decision_rule)})."
    ]
    if payout.retry_of is not None:
        story.append(f"It takes up {payout.retry_of}, which had failed.")
    if payout.batch_id is not None:
        story.append(f"It is row {payout.row} of {payout.batch_id}.")
    if payout.flags:
        story.append(f"It was flagged: {', '.join(payout.flags).replace('_', ' ')}.")
    for vote in payout.approvals:
        story.append(f"{rfc3339(vote['at'])}: {vote['by']} approved it.")
    if payout.fee_before_sun:
        story.append(
            f"A transaction that carried it with others failed as a whole; its share of that fee "
            f"was {trx_text(payout.fee_before_sun)} TRX. It went on in a smaller one."
        )
    if payout.attempts > 1:
        story.append(f"{payout.attempts - 1} transactions before were proved dead; nothing moved.")
    story += _ending(payout, ended_by)
    waits, advice = _now(payout)
    return Explanation(
        payout_id=payout.id,
        status=shown_status(payout),
        txid=payout.txid,
        what_happened=story,
        waits_for=waits,
        what_to_do=advice,
    )


def _ending(payout: Payout, ended_by: str) -> list[str]:
    by = f" by {ended_by}" if ended_by else ""
    match payout.status:
        case PayoutStatus.SETTLED if payout.settled_at is not None:
            fee = trx_text(payout.fee_paid_sun or 0)
            before_s = int((payout.updated_at - payout.settled_at).total_seconds())
            known = before_s > 0 and payout.settled_at >= payout.created_at  # clocks may differ
            made = f" The block was made {before_s} s before." if known else ""
            return [
                f"{rfc3339(payout.updated_at)}: paid in block {payout.block_number}, which is "
                f"solidified; the fee was {fee} TRX.{made}"
            ]
        case PayoutStatus.FAILED:
            why, _ = _failure(payout)
            taken = payout.reason == MerchantReferenceTaken.code  # the other may have been paid
            moved = "This one pays nothing." if taken else "No money has moved to the recipient."
            return [f"{rfc3339(payout.updated_at)}: {why}. {moved}"]
        case PayoutStatus.CANCELED:
            return [f"{rfc3339(payout.updated_at)}: canceled{by} before it was signed."]
        case PayoutStatus.REJECTED:
            return [f"{rfc3339(payout.updated_at)}: rejected{by}: {payout.reason}."]
        case PayoutStatus.QUARANTINED:
            return [f"{rfc3339(payout.updated_at)}: set aside for a person: {payout.reason}."]
        case _:
            return []


def _fee(payout: Payout, needed: str) -> tuple[str, str]:
    """What its transaction may cost now against its maximum; a batch's carries several."""
    at_most = f"its maximum is {trx_text(payout.max_fee_sun)} TRX"
    if payout.batch_id is not None:
        meaning = f"the transaction with its rows may cost up to {needed} now; {at_most} a row"
        return f"a lower fee: {meaning}", WAITS[FEE_ABOVE_MAXIMUM][1]
    advice = (
        f"wait for a lower fee, stake for energy, or call it back and ask anew with "
        f"max_fee_trx {needed.removesuffix(' TRX')} or more"
    )
    return f"a lower fee: it may cost up to {needed} now, and {at_most}", advice


def _failure(payout: Payout) -> tuple[str, str]:
    """Why it has failed, and what to do."""
    if payout.reference_taken_by is not None:
        meaning, advice = FAILURES[MerchantReferenceTaken.code]
        return meaning.replace("another payout", f"another payout, {payout.reference_taken_by},"), (
            advice.replace("that payout", payout.reference_taken_by)
        )
    known = FAILURES.get(payout.reason) or RECEIPTS.get(payout.reason)
    anew = RETRY if is_retryable(payout.reason) else "see that it was not paid, and make a new one"
    return known or (f"it failed: {payout.reason}", f"find the cause; then {anew}")


def _now(payout: Payout) -> tuple[str | None, str]:
    match payout.status:
        case PayoutStatus.AWAITING_APPROVAL:
            missing = payout.approvals_needed - len(payout.approvals)
            who = "the batch" if payout.batch_id else "it"
            votes = f"{missing} approvals" if missing > 1 else "1 approval"
            return votes, f"have {who} approved by somebody else"
        case PayoutStatus.QUEUED | PayoutStatus.AWAITING_SIGNATURE if payout.waiting_for:
            kind, _, detail = payout.waiting_for.partition(": ")
            if kind == FEE_ABOVE_MAXIMUM and detail:
                return _fee(payout, detail)
            meaning, advice = WAITS.get(kind, (payout.waiting_for, "nothing"))
            known = kind in WAITS and detail
            return (f"{meaning} ({detail})" if known else meaning), advice
        case PayoutStatus.QUEUED:
            return "its turn", "nothing"
        case PayoutStatus.AWAITING_SIGNATURE:
            return WAITS["signature"]
        case PayoutStatus.SIGNED:
            return "its block, and then for that block to be solidified", "nothing"
        case PayoutStatus.FAILED:
            advice = _failure(payout)[1]
            nameless = payout.user_id == ERASED
            return None, advice.replace(RETRY, ANEW) if nameless else advice
        case PayoutStatus.QUARANTINED:
            return "a person", "compare the router's `paid(id)` with the books before anything else"
        case _:
            return None, "nothing"

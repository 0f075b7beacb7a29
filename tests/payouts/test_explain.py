"""What is said of a failure names its cause and something that helps against it."""

import pytest

from tests.payouts.world import Pay, person
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import PayoutStatus
from tron_payment.payouts.explain import FAILURES, RECEIPTS, RETRY, explained


async def failed(pay: Pay, reason: str) -> str:
    """What is said to do about a payout that has failed so."""
    made = await pay.pay(recipient_address=person())
    stored = await Payout.get(made["payout_id"])
    assert stored is not None
    told = explained(stored.model_copy(update={"status": PayoutStatus.FAILED, "reason": reason}))
    assert told.waits_for is None and told.status == "failed"
    meaning = {**FAILURES, **RECEIPTS}.get(reason, (reason, ""))[0]
    assert meaning in told.what_happened[-1]
    return told.what_to_do


@pytest.mark.parametrize("reason", [*FAILURES, *RECEIPTS, "something new"])
async def test_every_failure_has_its_advice(pay: Pay, reason: str) -> None:
    advice = await failed(pay, reason)
    assert ("find the cause" in advice) == (reason == "something new")


async def test_what_can_never_be_paid_is_not_advised_to_be_paid_anew(pay: Pay) -> None:
    for reason in ("recipient_is_contract", "recipient_is_own", "merchant_reference_taken"):
        assert RETRY not in await failed(pay, reason)
    blacklisted = await failed(pay, "recipient_blacklisted")
    assert blacklisted.startswith("ask the person for another address")
    assert blacklisted.endswith(f"takes this one off the list, then {RETRY}")

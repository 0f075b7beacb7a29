"""The rules of invoices, from values alone."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tron_payment.core.money import UNITS_MAX
from tron_payment.engine import OrderStatus
from tron_payment.gateway.domain import (
    Asked,
    DepositOutcome,
    Facts,
    PaymentStatus,
    RefundState,
    RefundStatus,
    dust_units,
    outcome_of,
    refund_status_of,
    refundable,
    state_of,
    status_of,
    status_of_order,
)

DUST_UNITS = dust_units(6)
START = datetime(2026, 11, 20, 12, tzinfo=UTC)
EXPIRY = START + timedelta(hours=1)
LATE = EXPIRY + timedelta(seconds=1)
P = PaymentStatus


def facts(**changes: object) -> Facts:
    known: dict[str, object] = {
        "due": 100,
        "received": 0,
        "refunded": 0,
        "expires_at": EXPIRY,
        "completed_at": None,
        "now": START,
    }
    return Facts(**(known | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, P.AWAITING_PAYMENT),
        ({"received": 1}, P.PARTIALLY_PAID),
        ({"received": 99}, P.PARTIALLY_PAID),
        ({"received": 100, "completed_at": START}, P.PAID),
        ({"received": 100, "completed_at": EXPIRY}, P.PAID),
        ({"received": 100, "completed_at": EXPIRY, "now": LATE}, P.PAID),
        ({"received": 101, "completed_at": START}, P.OVERPAID),
        ({"received": 100, "completed_at": LATE}, P.PAID_LATE),
        ({"received": 500, "completed_at": LATE}, P.PAID_LATE),
        ({"now": EXPIRY}, P.EXPIRED),
        ({"received": 99, "now": EXPIRY}, P.EXPIRED),
        ({"canceled": True}, P.CANCELED),
        ({"canceled": True, "now": LATE}, P.CANCELED),
        ({"canceled": True, "received": 99}, P.CANCELED),
        ({"canceled": True, "received": 100, "completed_at": START}, P.PAID_LATE),
        ({"received": 100, "refunded": 1, "completed_at": START}, P.PARTIALLY_REFUNDED),
        ({"received": 100, "refunded": 100, "completed_at": START}, P.REFUNDED),
        ({"received": 50, "refunded": 50, "now": LATE}, P.REFUNDED),
        ({"received": 98, "completed_at": START, "tolerance": 2}, P.PAID),
        ({"received": 102, "completed_at": START, "tolerance": 2}, P.PAID),
        ({"received": 103, "completed_at": START, "tolerance": 2}, P.OVERPAID),
        ({"received": 97, "tolerance": 2}, P.PARTIALLY_PAID),
    ],
)
def test_the_table_of_an_invoices_status(changes: dict[str, object], status: PaymentStatus) -> None:
    assert status_of(facts(**changes)) is status


@given(
    due=st.integers(1, 10**12),
    received=st.integers(0, 10**12),
    share=st.integers(0, 100),
    now=st.integers(-100, 100),
    completed=st.integers(-100, 100),
    canceled=st.booleans(),
)
def test_paid_means_full_and_in_time(
    due: int, received: int, share: int, now: int, completed: int, canceled: bool
) -> None:
    full = received >= due
    at = EXPIRY + timedelta(minutes=completed)
    status = status_of(
        facts(
            due=due,
            received=received,
            refunded=received * share // 100,
            now=EXPIRY + timedelta(minutes=now),
            completed_at=at if full else None,
            canceled=canceled,
        )
    )
    if status in (P.PAID, P.OVERPAID):
        assert full and at <= EXPIRY and not canceled
    if status in (P.AWAITING_PAYMENT, P.PARTIALLY_PAID):
        assert not full and now < 0
    if status is P.AWAITING_PAYMENT:
        assert received == 0


@pytest.mark.parametrize(
    ("asset", "units", "own", "due", "outcome"),
    [
        ("USDT", 10**6, False, 10**6, DepositOutcome.CREDITED),
        ("USDT", DUST_UNITS, False, 10**6, DepositOutcome.CREDITED),
        ("USDT", DUST_UNITS - 1, False, 10**6, DepositOutcome.DUST),
        ("USDT", 5, False, 5, DepositOutcome.CREDITED),
        ("USDT", 4, False, 5, DepositOutcome.DUST),
        ("TRX", 10**6, False, 10**6, DepositOutcome.WRONG_CURRENCY),
        (None, 10**6, False, 10**6, DepositOutcome.UNKNOWN_TOKEN),
        ("USDT", 10**6, True, 10**6, DepositOutcome.OWN_WALLET),
    ],
)
def test_what_a_transfer_counts_as(
    asset: str | None, units: int, own: bool, due: int, outcome: DepositOutcome
) -> None:
    asked = Asked(currency="USDT", decimals=6, due=due)
    assert outcome_of(asset, units, asked, own=own) is outcome


@pytest.mark.parametrize(
    ("decimals", "units", "due", "received", "outcome"),
    [
        (6, 500, 25_000_000, 24_999_500, DepositOutcome.CREDITED),
        (6, 499, 25_000_000, 24_999_500, DepositOutcome.DUST),
        (6, 999, 25_000_000, 24_000_000, DepositOutcome.DUST),
        (6, 999, 25_000_000, 25_000_000, DepositOutcome.DUST),
        (6, 1_000, 25_000_000, 26_000_000, DepositOutcome.CREDITED),
        (2, 1, 1_500, 0, DepositOutcome.CREDITED),
        (2, 1, 1_500, 1_500, DepositOutcome.CREDITED),
        (0, 1, 15, 0, DepositOutcome.CREDITED),
        (9, 999_999, 10**9, 0, DepositOutcome.DUST),
        (9, 1_000_000, 10**9, 0, DepositOutcome.CREDITED),
        (9, UNITS_MAX, 10**9, 0, DepositOutcome.CREDITED),
        (9, UNITS_MAX, 10**9, 1, DepositOutcome.NOT_BOOKED),
        (9, 2**255, 10**9, 0, DepositOutcome.NOT_BOOKED),
    ],
)
def test_dust_is_of_the_currency_and_never_what_is_still_asked_for(
    decimals: int, units: int, due: int, received: int, outcome: DepositOutcome
) -> None:
    asked = Asked(currency="EURX", decimals=decimals, due=due, received=received)
    assert outcome_of("EURX", units, asked) is outcome


def test_what_the_books_have_no_room_for_counts_as_nothing() -> None:
    asked = Asked(currency="USDT", decimals=6, due=10**6)
    assert outcome_of("USDT", 10**6, asked, booked=False) is DepositOutcome.NOT_BOOKED
    assert outcome_of("TRX", 10**6, asked, booked=False) is DepositOutcome.NOT_BOOKED


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from(RefundState)), max_size=20))
def test_refunds_never_take_more_than_came(asked: list[tuple[int, RefundState]]) -> None:
    received, parts = 100, {}
    for number, (units, state) in enumerate(asked):
        if units <= refundable(received, parts):
            parts[f"ref_{number}"] = (units, state)
    taken = sum(units for units, state in parts.values() if state is not RefundState.RELEASED)
    assert 0 <= taken <= received


def test_every_status_of_an_order_has_its_words() -> None:
    for status in OrderStatus:
        assert status_of_order(status)
        assert state_of(refund_status_of(status))
    held = [s for s in RefundStatus if state_of(s) is RefundState.HELD]
    assert RefundStatus.QUARANTINED in held

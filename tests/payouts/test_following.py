"""Payouts take over what their orders say: together, each under its own condition."""

from datetime import UTC, datetime
from typing import Any

from tron_payment.db.cas import insert_many_once
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import Route
from tron_payment.payouts.following_documents import Taken, follow_orders

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def payout(number: int, *, order_id: str = "ord_1", order_version: int = -1) -> Payout:
    return Payout(
        id=f"pay_{number}",
        principal="me",
        user_id="u",
        recipient_address="T",
        currency="USDT",
        units=1,
        route=Route.V0,
        decision_rule="r",
        policy_version=1,
        wallet_id="w",
        signer="T",
        priority="normal",
        max_fee_sun=1,
        order_id=order_id,
        order_version=order_version,
        created_at=NOW,
        updated_at=NOW,
    )


async def test_only_those_that_are_in_the_order_and_know_nothing_newer_follow(mongo: Any) -> None:
    await mongo.connect([Payout])
    moved_on, knows_more = payout(3, order_id="ord_2"), payout(4, order_version=6)
    await insert_many_once([payout(0), payout(1), payout(2), moved_on, knows_more])
    shares = {0: 3, 1: 3, 2: 4, 3: 3, 4: 3}
    changes = [
        Taken(f"pay_{n}", "ord_1", 5, {"status": "settled", "fee_paid_sun": share})
        for n, share in shares.items()
    ]
    for times in (1, 2):
        await follow_orders(changes)
        found = {p.id: p for p in await Payout.find({}).to_list()}
        followed = [found[f"pay_{n}"] for n in range(3)]
        assert [(p.status, p.order_version) for p in followed] == [("settled", 5)] * 3
        assert [(p.fee_paid_sun, p.version) for p in followed] == [
            (3, times),
            (3, times),
            (4, times),
        ]
        assert found["pay_3"] == moved_on and found["pay_4"] == knows_more
    await follow_orders([])

"""Fee limits hold for what may happen between price and payment: a failed call burns them."""

from datetime import timedelta
from typing import Any

import pytest

from tests.gateway.world import Payer, somebody
from tests.payouts.world import Pay, person, wish
from tron_payment.engine import Order, OrderStatus
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.orders import max_fee_of
from tron_payment.payouts.outcomes import Share

UNTIL_RESERVED_MAX = 10


async def holders(pay: Pay, count: int) -> list[Payer]:
    """People with USDT, who can send it away."""
    payers = [Payer(0xBAD1 + number) for number in range(count)]
    for payer in payers:
        await pay.world.fund(payer.address, "100")
        await pay.world.fund(payer.address, "5", "USDT")
        await pay.world.devnet.mine()
    await pay.settle()
    return payers


async def reserved(pay: Pay, subject: str) -> Order:
    """The order, priced and not yet signed."""
    for _ in range(UNTIL_RESERVED_MAX):
        order = await Order.find_one({"subject": subject})
        if order is not None and order.status is OrderStatus.RESERVED:
            return order
        await pay.house.engine.dispatcher.step()
    raise AssertionError(f"{subject} was not reserved")


@pytest.mark.parametrize("count", [1, 10])
async def test_recipients_who_empty_their_balance_cost_no_failed_call(pay: Pay, count: int) -> None:
    await pay.pay(recipient_address=person())
    await pay.settle()  # the router's own slots are warm
    people = await holders(pay, count)
    rows = [wish(recipient_address=each.address) for each in people]
    if count == 1:
        subject = (await pay.pay("v0", **rows[0]))["payout_id"]
    else:
        subject = (await pay.batch(rows))["batch_id"]
    before = await reserved(pay, subject)
    for payer in people:  # they forward all they have
        await pay.world.pay(payer, somebody(0xC01D), "5")
    await pay.world.devnet.mine()
    await pay.settle(2)
    order = await Order.get(before.id)
    assert order is not None and order.outcome is not None
    assert (order.status, len(order.attempts)) == (OrderStatus.SETTLED, 1), order.reason
    assert order.outcome.energy_used * 100 <= order.fee_limit_sun
    assert order.outcome.fee_sun <= sum(h.units for h in order.held if h.asset == "TRX")
    await pay.assert_books_equal_chain()


async def test_an_order_whose_limit_is_too_small_by_now_waits_and_burns_nothing(pay: Pay) -> None:
    made: Any = await pay.pay("direct", recipient_address=person())
    order = await reserved(pay, made["payout_id"])
    assert (await pay.post("/policy/kill-switch", {"on": True, "reason": "x"})).status_code == 200
    await pay.world.chain.post("/devnet/parameters", json={"getEnergyFee": 420})
    await pay.settle()
    await pay.world.wait(600)
    off = await pay.post(
        "/policy/kill-switch", {"on": False, "reason": "x"}, role="treasurer", sub="tr-1"
    )
    assert off.status_code == 200
    pay.world.clock.skew = timedelta(seconds=10)
    await pay.settle(2)
    seen = await pay.payout(made["payout_id"])
    assert (seen["status"], seen["waiting_for"]) == ("queued", "fee_limit_outdated")
    told = (await pay.get(f"/payouts/{made['payout_id']}/explain")).json()
    assert told["waits_for"].startswith("a lower fee: its fee limit was fixed")
    await pay.world.chain.post("/devnet/parameters", json={"getEnergyFee": 100})
    pay.world.clock.skew = timedelta(seconds=120)
    await pay.settle(2)
    ended = await Order.get(order.id)
    assert ended is not None and (ended.status, len(ended.attempts)) == (OrderStatus.SETTLED, 1)
    assert ended.fee_limit_sun == order.fee_limit_sun


async def test_no_row_of_a_batch_costs_more_than_its_own_maximum(pay: Pay) -> None:
    cheap, dear, mate = person(), person(), person()
    made = await pay.batch(
        [
            wish(recipient_address=cheap, max_fee_trx="0.1"),
            wish(recipient_address=dear, max_fee_trx="50"),
            wish(recipient_address=mate, max_fee_trx="50"),
        ]
    )
    await pay.settle(2)
    rows = (await pay.get(f"/payouts/batch/{made['batch_id']}")).json()["data"]
    assert [row["status"] for row in rows] == ["queued", "settled", "settled"]
    assert rows[0]["waiting_for"].startswith("fee_above_maximum: ")
    assert rows[1]["txid"] == rows[2]["txid"], "those with the same maximum share a transaction"
    assert [await pay.held(each) for each in (cheap, dear, mate)] == [0, 12_500_000, 12_500_000]
    gone = await pay.post(f"/payouts/{rows[0]['payout_id']}/cancel")
    assert gone.json()["status"] == "canceled"


@pytest.mark.parametrize(
    ("caps", "before", "most"),
    [
        ([7], [0], 7),
        ([7, 7, 7], [0, 0, 0], 21),
        ([1, 50], [0, 0], 2),
        ([7, 7], [3, 2], 8),
        ([7, 7], [8, 0], 0),
    ],
)
def test_the_dearest_share_of_a_transaction_is_within_every_maximum(
    caps: list[int], before: list[int], most: int
) -> None:
    payouts = [
        Payout.model_construct(max_fee_sun=cap, fee_before_sun=spent)
        for cap, spent in zip(caps, before, strict=True)
    ]
    assert max_fee_of(payouts) == most
    shares = [Share(index, len(caps)).of(most) for index in range(len(caps))]
    assert all(b + s <= max(b, c) for b, s, c in zip(before, shares, caps, strict=True))

"""What can be paid no more after its money was set aside fails unpaid, and holds nobody back."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from tests.gateway.world import somebody
from tests.payouts.world import Pay, person, wish
from tron_payment.chain import TriggerContract
from tron_payment.contracts import artifact
from tron_payment.engine import Order, OrderStatus, Wish
from tron_payment.payouts.documents import Payout
from tron_payment.wallets import Wallets

STEPS_MAX = 10


async def test_an_attestation_that_is_void_since_the_money_was_set_aside(pay: Pay) -> None:
    """The compliance signer's key is replaced while the order waits behind a gate."""

    async def ignore(_: object) -> None:
        return

    engine = pay.house.engine
    engine.hear("test", ignore)
    asked = wish(user_id="user-late", recipient_address=person())
    made = (await pay.post("/payouts/initiate", asked, kyc=True)).json()
    assert made["route"] == "kyc"
    for _ in range(STEPS_MAX):
        order = await Order.find_one({"subject": made["payout_id"]})
        if order is not None and order.status is OrderStatus.RESERVED:
            break
        await engine.dispatcher.step()
    assert order is not None and order.status is OrderStatus.RESERVED
    order_id = order.id

    async def held_back(orders: Sequence[Order]) -> Mapping[str, str]:
        return {each.id: "kill_switch" for each in orders if each.id == order_id}

    engine.dispatcher.gates.append(held_back)
    wallet = await pay.house.use(Wallets).find_by_address(pay.world.treasury)
    data = artifact("PayoutRouterKYC").call_data("setComplianceSigner", somebody(0xBEEF))
    await engine.place(
        Wish(
            order_id="ord_rotate",
            module="test",
            kind="test",
            subject="rotate",
            wallet_id=wallet.id,
            signer=pay.world.treasury,
            contract=TriggerContract(pay.world.treasury, pay.kyc, data),
            max_fee_sun=50_000_000,
            priority="high",
        )
    )
    await pay.settle(2)
    rotated = await Order.get("ord_rotate")
    assert rotated is not None and rotated.status is OrderStatus.SETTLED
    engine.dispatcher.gates.remove(held_back)
    for _ in range(2):
        pay.world.clock.skew += timedelta(seconds=60)
        await pay.settle(2)
    payout = await Payout.get(made["payout_id"])
    assert payout is not None and payout.status.value == "failed"
    assert "AttestationInvalid" in payout.reason
    order = await Order.get(order_id)
    assert order is not None and not order.attempts, "nothing was burned"
    assert not order.books_open, "and nothing is set aside any more"

"""A limit is not left by the next door: transfers, refunds and contract calls obey the policy."""

from typing import Any

from tests.gateway.test_refunds import body, paid
from tests.gateway.world import World, somebody
from tron_payment.http.permissions import Role, permissions_of
from tron_payment.http.principals import Principal
from tron_payment.payouts import PolicyDesk
from tron_payment.payouts.limits import Ceiling, Window
from tron_payment.payouts.policy import Band, Cap, Policy
from tron_payment.wallets import Wallets

CAROL = somebody(0xCA201)
UNIT = 10**6
CALL = "d09de08a"


async def enforce(world: World, **rules: Any) -> None:
    """A policy that one person proposed and another approved."""
    desk = world.service(PolicyDesk)
    ann, ben = (
        Principal(name, Role.COMPLIANCE, permissions_of(Role.COMPLIANCE)) for name in ("ann", "ben")
    )
    made = await desk.propose(ann, Policy(**rules))
    await desk.approve(ben, made.id)


async def treasury(world: World) -> str:
    wallets: Wallets = world.service(Wallets)
    return (await wallets.signing_wallet(None)).wallet_id


async def send(world: World, amount: str, key: str | None = None) -> tuple[int, str]:
    content = {"wallet_id": await treasury(world), "to_address": CAROL, "amount": amount}
    more = {} if key is None else {"key": key}
    answer = await world.post("/usdt/transfer", content, role="operator", sub="op-1", **more)
    return answer.status_code, answer.json().get("code", "")


async def test_what_needs_an_approval_leaves_by_no_other_door(gateway: World) -> None:
    invoice = await paid(gateway)
    await enforce(gateway, bands=(Band("USDT", 10 * UNIT, 1), Band("TRX", 10 * UNIT, 1)))
    assert await send(gateway, "10") == (202, "")
    assert await send(gateway, "10.000001") == (422, "needs_approval")
    allow = {"wallet_id": await treasury(gateway), "spender": CAROL, "amount": "11"}
    approval = await gateway.post("/usdt/approve", allow, role="operator", sub="op-1")
    assert (approval.status_code, approval.json()["code"]) == (422, "needs_approval")
    handed = {"kind": "usdt", "to_address": CAROL, "amount": "11"}
    for wish in (handed, {"kind": "contract", "contract_address": CAROL, "data": CALL, "n": "11"}):
        if amount := wish.pop("n", None):
            wish["call_value_trx"] = amount
        answer = await gateway.post("/payments/process", wish, role="operator", sub="op-1")
        assert (answer.status_code, answer.json()["code"]) == (422, "needs_approval"), wish
    refund = await gateway.post("/payments/refund", body(invoice, "11"))
    assert (refund.status_code, refund.json()["code"]) == (422, "needs_approval")
    assert (await gateway.post("/payments/refund", body(invoice, "10"))).status_code == 202


async def test_caps_and_the_allow_list_bind_transfers(gateway: World) -> None:
    invoice = await paid(gateway)
    await enforce(gateway, caps=(Cap("USDT", 5 * UNIT),), allow_list=True)
    assert await send(gateway, "6") == (422, "payout_cap_exceeded")
    assert await send(gateway, "1") == (422, "recipient_not_allowed")
    refund = await gateway.post("/payments/refund", body(invoice, "1"))
    assert refund.status_code == 202, "who has paid gets it back without being listed"


async def test_rolling_limits_count_transfers_and_refunds_together(gateway: World) -> None:
    invoice = await paid(gateway)
    await enforce(gateway, ceilings=(Ceiling("all", Window.DAY, "USDT", 20 * UNIT),))
    key = "a-transfer-that-counts-once"
    assert [await send(gateway, "12", key) for _ in range(3)] == [(202, "")] * 3
    assert await send(gateway, "9") == (422, "limit_exceeded")
    refund = await gateway.post("/payments/refund", body(invoice, "9"))
    assert (refund.status_code, refund.json()["code"]) == (422, "limit_exceeded")
    assert (await gateway.post("/payments/refund", body(invoice, "8"))).status_code == 202
    assert await send(gateway, "0.000001") == (422, "limit_exceeded")

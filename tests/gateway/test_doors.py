"""A limit is not left by the next door: transfers, refunds and contract calls obey the policy."""

from datetime import timedelta
from typing import Any

from tests.gateway.test_refunds import body, paid
from tests.gateway.world import API, World, somebody
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


async def test_what_needs_an_approval_waits_for_it_at_every_door(gateway: World) -> None:
    invoice = await paid(gateway)
    await enforce(gateway, bands=(Band("USDT", 10 * UNIT, 1), Band("TRX", 10 * UNIT, 1)))
    assert await send(gateway, "10") == (202, "")
    assert await approvals(gateway) == []
    assert await send(gateway, "10.000001") == (202, "")
    allow = {"wallet_id": await treasury(gateway), "spender": CAROL, "amount": "11"}
    approval = await gateway.post("/usdt/approve", allow, role="operator", sub="op-1")
    assert approval.status_code == 202, approval.text
    handed = {"kind": "usdt", "to_address": CAROL, "amount": "12"}
    for wish in (handed, {"kind": "contract", "contract_address": CAROL, "data": CALL, "n": "13"}):
        if amount := wish.pop("n", None):
            wish["call_value_trx"] = amount
        answer = await gateway.post("/payments/process", wish, role="operator", sub="op-1")
        if wish["kind"] == "usdt":
            assert answer.status_code == 202, answer.text
    refund = await gateway.post("/payments/refund", body(invoice, "11"))
    assert refund.status_code == 202, refund.text
    assert (await gateway.post("/payments/refund", body(invoice, "10"))).status_code == 202
    assert {each["amount"] for each in await approvals(gateway)} >= {"10.000001", "11", "12"}
    await gateway.work()
    await gateway.solidify()
    await gateway.work()
    waiting = await approvals(gateway)
    assert {each["status"] for each in waiting} == {"waiting"}
    assert len({each["order_id"] for each in waiting}) == len(waiting) >= 4
    for each in waiting:
        order = await gateway.house.engine.find(each["order_id"])
        assert (order.status, order.waiting_for, order.attempts) == ("queued", "approval", [])


async def test_an_order_goes_when_others_have_approved_what_it_says(gateway: World) -> None:
    await enforce(gateway, bands=(Band("USDT", 10 * UNIT, 2),))
    assert await send(gateway, "11", "a-transfer-that-is-approved") == (202, "")
    (asked,) = [each for each in await approvals(gateway) if each["amount"] == "11"]
    path = f"/payouts/approvals/{asked['order_id']}/approve"
    own = await gateway.post(path, {}, role="treasurer", sub="op-1")
    assert (own.status_code, own.json()["code"]) == (403, "own_approval")
    other = await gateway.post(path, {"order_hash": "0" * 64}, role="treasurer", sub="tr-1")
    assert (other.status_code, other.json()["code"]) == (409, "order_hash_differs")
    seen = {"order_hash": asked["order_hash"]}
    for _ in range(2):  # twice by the same person is once
        one = await gateway.post(path, seen, role="treasurer", sub="tr-1")
        assert (one.status_code, one.json()["status"]) == (200, "waiting"), one.text
    assert (await gateway.post(path, seen, role="viewer", sub="vi-1")).status_code == 403
    two = await gateway.post(path, seen, role="treasurer", sub="tr-2")
    assert (two.json()["status"], two.json()["given_by"]) == ("approved", ["tr-1", "tr-2"])
    await gateway.wait(6)  # orders that wait are looked at every few seconds
    await gateway.work()
    await gateway.solidify()
    order = await gateway.house.engine.find(asked["order_id"])
    assert order.status == "settled", (order.status, order.waiting_for)
    late = await gateway.post(
        path.replace("approve", "reject"), {"reason": "no"}, role="treasurer", sub="tr-3"
    )
    assert (late.status_code, late.json()["code"]) == (409, "not_awaiting_approval")


async def test_an_order_that_is_rejected_or_not_approved_in_time_fails_unpaid(
    gateway: World,
) -> None:
    invoice = await paid(gateway)
    await enforce(
        gateway, bands=(Band("USDT", 10 * UNIT, 1),), approval_lifetime=timedelta(hours=1)
    )
    assert (await gateway.post("/payments/refund", body(invoice, "11"))).status_code == 202
    (asked,) = await approvals(gateway)
    path = f"/payouts/approvals/{asked['order_id']}/reject"
    for _ in range(2):
        answer = await gateway.post(path, {"reason": "who is this?"}, role="treasurer", sub="tr-1")
        assert (answer.status_code, answer.json()["status"]) == (200, "rejected"), answer.text
    order = await gateway.house.engine.find(asked["order_id"])
    assert (order.status, order.reason) == ("failed", "who is this?")
    await gateway.work()
    again = await gateway.post("/payments/refund", body(invoice, "11"))
    assert again.status_code == 202, "what was not refunded is free again"
    (asked,) = await approvals(gateway)
    gateway.clock.skew += timedelta(hours=1)
    await gateway.work()
    gateway.clock.skew -= timedelta(hours=1)
    order = await gateway.house.engine.find(asked["order_id"])
    assert (order.status, order.reason) == ("failed", "approval_expired")
    unknown = await gateway.post(
        "/payouts/approvals/ord_unknown/approve", {}, role="treasurer", sub="tr-1"
    )
    assert (unknown.status_code, unknown.json()["code"]) == (404, "approval_not_found")


async def approvals(world: World) -> list[dict[str, Any]]:
    """What waits for people."""
    answer = await world.http.get(
        f"{API}/payouts/approvals", headers=world.bearer("treasurer", "tr-1")
    )
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


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


async def test_an_amount_beyond_32_bits_can_be_approved_and_holds_nobody_else_back(
    gateway: World,
) -> None:
    """MongoDB gives such numbers back as a type of its own."""
    await enforce(gateway, bands=(Band("USDT", 10 * UNIT, 1),))
    assert await send(gateway, "3000") == (202, "")
    assert await send(gateway, "1", "a-small-one-behind-a-large-one") == (202, "")
    await gateway.work()
    (asked,) = [each for each in await approvals(gateway) if each["amount"] == "3000"]
    order = await gateway.house.engine.find(asked["order_id"])
    assert (order.status, order.waiting_for) == ("queued", "approval")
    path = f"/payouts/approvals/{asked['order_id']}/approve"
    seen = {"order_hash": asked["order_hash"]}
    done = await gateway.post(path, seen, role="treasurer", sub="tr-1")
    assert (done.status_code, done.json()["status"]) == (200, "approved"), done.text
    await gateway.wait(6)
    await gateway.work()
    await gateway.solidify()
    order = await gateway.house.engine.find(asked["order_id"])
    assert order.waiting_for != "approval", (order.status, order.waiting_for)

"""A limit is not left by the next door: transfers, refunds and contract calls obey the policy."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.gateway.test_deposits import PAYER
from tests.gateway.test_refunds import body, paid
from tests.gateway.world import API, Payer, World, somebody
from tron_payment.chain import TriggerContract
from tron_payment.core.ids import derived_id
from tron_payment.engine import Order
from tron_payment.http.idempotency import KeyReused, StoredAnswer
from tron_payment.http.permissions import permissions_of
from tron_payment.http.principals import Principal, Role
from tron_payment.payouts import PolicyDesk
from tron_payment.payouts.limits import Ceiling, Window
from tron_payment.payouts.policy import Band, Cap, Policy
from tron_payment.usdt import Outgoing, Transfers
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


async def test_what_is_signed_by_another_permission_than_was_approved_fails_unpaid(
    gateway: World,
) -> None:
    """Its approval has been given, and nobody can give another one."""
    await enforce(gateway, bands=(Band("USDT", 10 * UNIT, 1),))
    assert await send(gateway, "11") == (202, "")
    (asked,) = await approvals(gateway)
    await gateway.work()
    path = f"/payouts/approvals/{asked['order_id']}/approve"
    given = await gateway.post(path, {}, role="treasurer", sub="tr-1")
    assert given.json()["status"] == "approved"
    await Order.find({"_id": asked["order_id"]}).update({"$set": {"permission_id": 2}})
    await gateway.wait(6)
    await gateway.work()
    order = await gateway.house.engine.find(asked["order_id"])
    assert (order.status, order.reason, order.attempts) == ("failed", "order_hash_differs", [])


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


async def test_a_strangers_contract_is_called_only_when_others_have_seen_the_call(
    gateway: World,
) -> None:
    """Without TRX it lies in no band, and may move everything that the contract was allowed."""
    wish = {"kind": "contract", "contract_address": CAROL, "data": CALL}
    free = await gateway.post("/payments/process", wish, role="operator", sub="op-1")
    assert free.status_code == 202 and await approvals(gateway) == [], "there is no band yet"
    await enforce(gateway, bands=(Band("USDT", 10 * UNIT, 1), Band("USDT", 100 * UNIT, 2)))
    key = "a-call-of-a-stranger-s-contract"
    for _ in range(2):
        answer = await gateway.post("/payments/process", wish, role="operator", sub="op-1", key=key)
        assert answer.status_code == 202, answer.text
    (asked,) = await approvals(gateway)
    assert (asked["amount"], asked["currency"], asked["needed"]) == ("0", "TRX", 2)
    shown = asked["call"]
    assert (shown["contract"], shown["data"], shown["selector"]) == (CAROL, CALL, CALL)
    assert (shown["known"], shown["method"]) == (False, None)
    await gateway.work()
    order = await gateway.house.engine.find(asked["order_id"])
    assert (order.status, order.waiting_for) == ("queued", "approval")


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
    stranger = await gateway.post("/payments/refund", body(invoice, "1"))
    assert (stranger.status_code, stranger.json()["code"]) == (422, "recipient_not_allowed")
    refund = await gateway.post("/payments/refund", body(invoice, "1", PAYER.address))
    assert refund.status_code == 202, "who has paid gets it back without being listed"


async def test_who_has_paid_a_little_gets_no_more_without_being_listed(gateway: World) -> None:
    """Else a coin sent to the invoice would open it for all that others have paid."""
    invoice, dave = await paid(gateway), Payer(0xDA7E)
    await gateway.fund(dave.address, "100")
    await gateway.fund(dave.address, "100", "USDT")
    await gateway.tick()
    await gateway.pay(dave, invoice["address"], "2", "USDT")
    await gateway.solidify()
    await enforce(gateway, allow_list=True)
    for amount, status in (("2.000001", 422), ("1.5", 202), ("0.6", 422), ("0.5", 202)):
        refund = await gateway.post("/payments/refund", body(invoice, amount, dave.address))
        assert refund.status_code == status, (amount, refund.text)


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


async def test_a_transfer_to_somebody_who_was_taken_off_the_allow_list_fails_unpaid(
    gateway: World,
) -> None:
    desk = gateway.service(PolicyDesk)
    ann, ben = (
        Principal(name, Role.COMPLIANCE, permissions_of(Role.COMPLIANCE)) for name in ("ann", "ben")
    )
    await desk.allow(ann, CAROL, "")
    await desk.approve_allowed(ben, CAROL)
    bands = (Band("USDT", 10 * UNIT, 1),)
    await enforce(gateway, bands=bands, allow_list=True, cool_down=timedelta())
    assert await send(gateway, "14") == (202, "")
    (asked,) = [each for each in await approvals(gateway) if each["amount"] == "14"]
    await desk.disallow(ann, CAROL)
    path = f"/payouts/approvals/{asked['order_id']}/approve"
    yes = await gateway.post(path, {}, role="treasurer", sub="tr-1")
    assert yes.status_code == 200, yes.text
    await gateway.wait(6)
    await gateway.work()
    order = await gateway.house.engine.find(asked["order_id"])
    assert (order.status, order.reason) == ("failed", "recipient_not_allowed")


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


async def test_of_two_requests_with_one_key_neither_is_paid_on_the_others_approval(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one asks people about something smaller, before the first has its order."""
    await enforce(gateway, bands=(Band("USDT", 10 * UNIT, 1), Band("USDT", 100 * UNIT, 2)))
    transfers: Transfers = gateway.service(Transfers)
    rules = transfers.rules

    class Racing:
        check = staticmethod(rules.check)

        async def admit(
            self, going: Outgoing, accept: Callable[[], Awaitable[StoredAnswer]]
        ) -> StoredAnswer:
            assert isinstance(going.contract, TriggerContract)
            data = going.contract.data[:-32] + (11 * UNIT).to_bytes(32, "big")
            other = replace(going, units=11 * UNIT, contract=replace(going.contract, data=data))

            async def refused() -> StoredAnswer:
                raise KeyReused

            async def late() -> StoredAnswer:
                with pytest.raises(KeyReused):
                    await rules.admit(other, refused)
                return await accept()

            return await rules.admit(going, late)

    monkeypatch.setattr(transfers, "rules", Racing())
    assert await send(gateway, "101", "one-key-for-two-wishes") == (202, "")
    transfer_id = gateway.house.idempotency.object_id("trf", "op-1", "one-key-for-two-wishes")
    order_id = derived_id("ord", gateway.house.secret, transfer_id)
    assert order_id not in {each["order_id"] for each in await approvals(gateway)}
    answer = await gateway.post(
        f"/payouts/approvals/{order_id}/approve", {}, role="treasurer", sub="tr-1"
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "order_hash_differs")
    await gateway.work()
    order = await gateway.house.engine.find(order_id)
    assert (order.status, order.reason, order.attempts) == ("failed", "order_hash_differs", [])


async def test_trx_to_a_wallet_that_an_operator_brought_obeys_the_policy(gateway: World) -> None:
    """Its key may be at the operator's home, too."""
    wallets: Wallets = gateway.service(Wallets)
    other = await wallets.ensure(None, "other")
    await enforce(gateway, caps=(Cap("TRX", 40 * UNIT),), bands=(Band("TRX", 20 * UNIT, 1),))
    fee = {"kind": "fee", "to_address": other.address}
    for amount, code in (("41", "payout_cap_exceeded"), ("30", None)):
        answer = await gateway.post(
            "/payments/process", fee | {"amount": amount}, role="operator", sub="op-1"
        )
        assert answer.json().get("code") == code, answer.text
    assert [each["amount"] for each in await approvals(gateway)] == ["30"]
    await gateway.work()
    (asked,) = await approvals(gateway)
    assert (await gateway.house.engine.find(asked["order_id"])).waiting_for == "approval"

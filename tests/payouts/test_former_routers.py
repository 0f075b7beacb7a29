"""The router of an order stays the one that is asked about it, whatever the settings say later."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.payouts.test_quarantine import QUARANTINE, ROUTER, UNITS, held, skipped
from tests.payouts.world import Pay, open_books, person, refusal
from tron_payment.core.address import Address
from tron_payment.payouts.documents import Payout
from tron_payment.wallets import Wallets


@asynccontextmanager
async def moved(pay: Pay) -> AsyncIterator[None]:
    """The settings name another router, which was deployed and has money; as after a restart."""
    made = pay.world
    wallets: Wallets = made.house.use(Wallets)
    wallet = await wallets.find_by_address(made.treasury)
    assert wallet is not None
    roles = (made.house.deployment.usdt, person(), made.treasury, made.treasury)
    deployments = made.assembly.deployments
    order = await deployments.deploy("PayoutRouterV0", roles, wallet.id, made.treasury)
    await made.work()
    await made.solidify()
    new = Address(await deployments.address(order) or "")
    assert new != pay.v0
    made.house.deployment.router_v0 = new
    await open_books(made, new)
    await made.fund(new, "1000", "USDT")
    await made.solidify()
    try:
        yield
    finally:
        made.house.deployment.router_v0 = pay.v0


async def failed_by_an_older_build(pay: Pay, payout_id: str) -> None:
    """It asked the router of its settings and was told: not paid."""
    written = {"status": "failed", "reason": "quarantine: looked (op-1, tr-1)"}
    await Payout.get_pymongo_collection().update_one({"_id": payout_id}, {"$set": written})


async def test_what_the_former_router_paid_is_settled_and_never_paid_anew(pay: Pay) -> None:
    recipient, former = person(), pay.v0
    payout_id = await skipped(pay, "a-payout-of-a-former-router", recipient, "pay")
    async with moved(pay):
        shown = await held(pay, payout_id)
        assert shown["proves"] == "settled"
        assert shown["evidence"][0]["router"] == former
        path = f"{QUARANTINE}/{payout_id}"
        wrong = await pay.post(f"{path}/propose", {"outcome": "failed", "note": "?"})
        assert refusal(wrong) == (409, "not_proved", "outcome")
        await pay.post(f"{path}/propose", {"outcome": "settled", "note": "looked"})
        yes = await pay.post(f"{path}/resolve", {"agree": True}, role="treasurer", sub="tr-1")
        assert (yes.status_code, yes.json()["status"]) == (200, "resolved")
        again = await pay.post(f"/payouts/{payout_id}/retry")
        assert refusal(again)[:2] == (409, "not_retryable")
        await pay.settle(2)
        assert await pay.held(recipient) == UNITS


async def test_what_an_older_build_took_for_unpaid_is_not_paid_anew(pay: Pay) -> None:
    recipient = person()
    payout_id = await skipped(pay, "a-payout-wrongly-failed", recipient, "pay")
    async with moved(pay):
        await failed_by_an_older_build(pay, payout_id)
        again = await pay.post(f"/payouts/{payout_id}/retry")
        assert refusal(again)[:2] == (409, "not_retryable")
        assert "has paid it" in again.json()["detail"]
        await pay.settle(2)
        assert await pay.held(recipient) == UNITS


async def test_what_the_former_router_has_closed_is_paid_once_by_the_new_one(pay: Pay) -> None:
    recipient = person()
    payout_id = await skipped(pay, "a-payout-closed-by-a-former", recipient, "cancel")
    async with moved(pay):
        path = f"{QUARANTINE}/{payout_id}"
        await pay.post(f"{path}/propose", {"outcome": "failed", "note": "closed"})
        yes = await pay.post(f"{path}/resolve", {"agree": True}, role="treasurer", sub="tr-1")
        assert (yes.status_code, yes.json()["status"]) == (200, "resolved")
        again = await pay.post(f"/payouts/{payout_id}/retry")
        assert again.status_code == 202, again.text
        await pay.settle(2)
        assert (await pay.payout(again.json()["payout_id"]))["status"] == "settled"
        assert await pay.held(recipient) == UNITS


@pytest.mark.parametrize("field", ["contract", "ref", "units"])
async def test_an_order_that_names_it_to_no_router_that_answers_proves_nothing(
    pay: Pay, field: str
) -> None:
    payout_id = await skipped(pay, f"a-payout-without-{field}", person(), "cancel")
    other: dict[str, Any] = {"contract": person(), "ref": "pay_another", "units": UNITS + 1}
    stored = await Payout.get(payout_id)
    assert stored is not None
    order = await pay.house.engine.find(stored.order_id)
    assert order is not None
    await order.get_pymongo_collection().update_one(
        {"_id": order.id}, {"$set": {f"expects.0.{field}": other[field]}}
    )
    path = f"{QUARANTINE}/{payout_id}"
    body = {"outcome": "failed", "note": "?"}
    for answer in (await pay.get(path), await pay.post(f"{path}/propose", body)):
        assert refusal(answer)[:2] == (409, "not_proved"), answer.text
    await failed_by_an_older_build(pay, payout_id)
    again = await pay.post(f"/payouts/{payout_id}/retry")
    assert refusal(again)[:2] == (409, "not_retryable")


class Other:
    """A node that is behind, or says the opposite."""

    behind = False

    def __init__(self, node: Any) -> None:
        self.node, self.alias = node, node.alias

    async def solid_head(self) -> Any:
        head = await self.node.solid_head()
        return replace(head, number=0) if self.behind else head

    async def constant_call(self, *args: Any) -> Any:
        answer = await self.node.constant_call(*args)
        (said,) = ROUTER.decode_output("paid", answer.output)
        return replace(answer, output=(not said).to_bytes(32, "big"))


@pytest.mark.parametrize("trouble", ["silent", "behind", "contradicting"])
async def test_while_the_nodes_do_not_tell_a_retry_is_put_off_and_not_refused(
    pay: Pay, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """A refusal for good would make its reader pay in another way what may be paid already."""
    recipient = person()
    payout_id = await skipped(pay, f"a-payout-while-{trouble}", recipient, "cancel")
    await failed_by_an_older_build(pay, payout_id)
    nodes, path, key = pay.house.nodes, f"/payouts/{payout_id}/retry", f"retry-of-a-{trouble}"
    (node,) = await nodes.picks(1)
    shown = {"silent": (node,), "behind": (Other(node), node), "contradicting": (node, Other(node))}

    async def picks(count: int) -> Any:
        return shown[trouble][:count]

    with monkeypatch.context() as patch:
        patch.setattr(nodes, "agreement", 2)
        patch.setattr(nodes, "picks", picks)
        patch.setattr(Other, "behind", trouble == "behind")
        answer = await pay.post(path, key=key)
    assert refusal(answer)[:2] == (503, "nodes_unavailable"), answer.text
    assert await Payout.find({"retry_of": payout_id}).count() == 0
    again = await pay.post(path, key=key)
    assert again.status_code == 202, again.text
    await pay.settle(2)
    assert await pay.held(recipient) == UNITS

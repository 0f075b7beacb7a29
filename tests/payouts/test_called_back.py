"""A payout that was shown to co-signers and called back: nobody signs it any more."""

from typing import Any

from coincurve import PrivateKey

from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.contracts import signer_address
from tron_payment.engine import documents as orders
from tron_payment.payouts.documents import Payout

FIRST, SECOND = (PrivateKey(bytes([n]) * 32) for n in (0x77, 0x78))


async def shown(pay: Pay, key: PrivateKey, recipient: str) -> tuple[str, Any]:
    """A payout from a cold wallet, and the request for its signature."""
    address = signer_address(key)
    vault = {"label": f"vault {address}", "kind": "cold", "address": address}
    made = await pay.post("/wallets", vault)
    assert made.status_code == 201, made.text
    await pay.world.fund(address, "1000")
    await pay.world.tick()
    await pay.world.fund(address, "100", "USDT")
    await pay.settle(2)
    body = wish(recipient_address=recipient, wallet_id=made.json()["wallet_id"])
    paid = await pay.post("/payouts/direct", body)
    assert paid.status_code == 202, paid.text
    await pay.world.work()
    listed = await pay.get("/signing-requests?status=open", role="treasurer")
    (request,) = listed.json()["data"]
    return paid.json()["payout_id"], request


async def signed(pay: Pay, key: PrivateKey, request: Any) -> Any:
    signature = key.sign_recoverable(bytes.fromhex(request["txid"]), hasher=None).hex()
    path = f"/signing-requests/{request['signing_request_id']}/signatures"
    return await pay.post(path, {"signature": signature}, role="treasurer")


async def status_of(pay: Pay, request: Any) -> str:
    path = f"/signing-requests/{request['signing_request_id']}"
    return str((await pay.get(path, role="treasurer")).json()["status"])


async def test_its_request_is_closed_before_the_answer(pay: Pay) -> None:
    recipient = person()
    payout_id, request = await shown(pay, FIRST, recipient)
    answer = await pay.post(f"/payouts/{payout_id}/cancel")
    assert refusal(answer)[:2] == (409, "not_cancelable")
    assert "no signature is taken now" in answer.json()["detail"]
    assert await status_of(pay, request) == "canceled"
    late = await signed(pay, FIRST, request)
    assert refusal(late)[:2] == (409, "signing_request_closed")
    await pay.settle(2)
    told = await pay.payout(payout_id)
    assert (told["status"], told["waiting_for"]) == ("awaiting_signature", "called_back")
    story = (await pay.get(f"/payouts/{payout_id}/explain")).json()
    assert story["waits_for"].startswith("its bytes to expire")
    assert await pay.held(recipient) == 0


async def test_a_request_that_was_made_in_that_moment_is_closed(pay: Pay) -> None:
    """The process that called it back died before it closed anything, or an older build did it."""
    recipient = person()
    payout_id, request = await shown(pay, SECOND, recipient)
    stored = await Payout.get(payout_id)
    assert stored is not None
    order = await pay.house.engine.find(stored.order_id)
    assert order is not None
    await orders.Order.get_pymongo_collection().update_one(
        {"_id": order.id}, {"$set": {"cancel_requested": True}}
    )
    await pay.world.wait(61)
    assert await status_of(pay, request) == "canceled"
    assert refusal(await signed(pay, SECOND, request))[:2] == (409, "signing_request_closed")
    await pay.settle(2)
    assert await pay.held(recipient) == 0

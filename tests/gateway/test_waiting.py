"""What waits does not hold up what comes behind it, and what died half-way is not refused."""

from typing import Any

import pytest

from tests.gateway.test_doors import enforce
from tests.gateway.test_refunds import paid
from tests.gateway.world import API, World, somebody
from tron_payment.db.faults import StoreUnavailable
from tron_payment.gateway import Gateway
from tron_payment.gateway import documents as store
from tron_payment.gateway.sweep_documents import Sweep
from tron_payment.payouts.policy import Cap
from tron_payment.wallets import Wallets

CAROL = somebody(0xCA201)
MICRO = 1


async def process(world: World, key: str, **body: Any) -> Any:
    content = {"to_address": CAROL, "amount": "12.5", **body}
    return await world.post("/payments/process", content, role="operator", sub="op-1", key=key)


async def test_payments_that_wait_long_do_not_starve_the_others(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "TRACKED_AT_ONCE", 1)
    first = await process(gateway, "waits-for-a-lower-fee", kind="usdt", max_fee_trx="0")
    second = await process(gateway, "is-paid-meanwhile", kind="usdt")
    await gateway.tick(3)
    await gateway.solidify()
    await gateway.tick(2)
    seen = [await gateway.payment(each.json()["payment_id"]) for each in (first, second)]
    assert [each["status"] for each in seen] == ["queued", "settled"]


@pytest.mark.parametrize(("kind", "currency"), [("usdt", "USDT"), ("trx", "TRX")])
async def test_a_repeat_of_what_was_handed_over_is_not_judged_anew(
    gateway: World, monkeypatch: pytest.MonkeyPatch, kind: str, currency: str
) -> None:
    """The owner has it, we died before our own was stored, and the policy is stricter now."""
    key = "handed-over-and-died"
    processing = gateway.service(Gateway).processing

    class Dying:
        async def insert(self, _: object) -> bool:
            raise StoreUnavailable

    with monkeypatch.context() as dying:
        dying.setattr(processing, "_inserts", Dying())
        assert (await process(gateway, key, kind=kind)).status_code == 503
    await enforce(gateway, caps=(Cap(currency, MICRO),))
    fresh = await process(gateway, "another-key-of-mine", kind=kind)
    assert fresh.json()["code"] == "payout_cap_exceeded"
    again = await process(gateway, key, kind=kind)
    assert again.status_code == 202, again.text
    await gateway.tick(3)
    await gateway.solidify()
    assert (await gateway.payment(again.json()["payment_id"]))["status"] == "settled"


async def freeze(world: World, wallet_id: str, *, frozen: bool) -> None:
    headers = world.bearer("operator", "op-1")
    path = f"{API}/wallets/{wallet_id}"
    answer = await world.http.put(path, json={"frozen": frozen}, headers=headers)
    assert answer.status_code == 200, answer.text


async def test_money_is_swept_after_the_treasury_has_thawed(gateway: World) -> None:
    wallets: Wallets = gateway.service(Wallets)
    treasury = (await wallets.signing_wallet(None)).wallet_id
    await freeze(gateway, treasury, frozen=True)
    await paid(gateway, "25")
    await gateway.tick(2)
    assert await Sweep.find({}).count() == 0
    await freeze(gateway, treasury, frozen=False)
    await gateway.tick(2)
    assert await Sweep.find({}).count() == 1

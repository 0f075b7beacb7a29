"""Payments of other kinds go to the module that owns them and are followed to their end."""

from typing import Any

import pytest

from tests.gateway.world import World, somebody
from tron_payment.core.address import Address
from tron_payment.wallets import Wallets

CAROL = somebody(0xCA201)


async def settled(world: World, answer: Any) -> Any:
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] == "queued"
    await world.tick(3)
    await world.solidify()
    return await world.payment(answer.json()["payment_id"])


async def process(world: World, role: str = "operator", **body: Any) -> Any:
    return await world.post("/payments/process", body, role=role, sub="op-1")


async def test_both_answers_are_in_the_document(gateway: World) -> None:
    document = (await gateway.http.get("/schema")).json()
    answers = document["paths"]["/api/v1/payments/process"]["post"]["responses"]
    assert answers["202"]["content"] == answers["201"]["content"] != {}


async def test_usdt_is_a_transfer_of_the_usdt_module(gateway: World) -> None:
    answer = await process(gateway, kind="usdt", to_address=CAROL, amount="12.5")
    payment = await settled(gateway, answer)
    assert (payment["status"], payment["amount"], payment["currency"]) == (
        "settled",
        "12.5",
        "USDT",
    )
    assert payment["subject_id"].startswith("trf_")
    assert payment["txid"] and payment["fee_paid_trx"]
    transfer = await gateway.get(f"/usdt/transfers/{payment['subject_id']}", role="operator")
    assert transfer.json()["txid"] == payment["txid"]


async def test_trx_is_a_direct_payout(gateway: World) -> None:
    answer = await process(gateway, kind="trx", to_address=CAROL, amount="12.5")
    payment = await settled(gateway, answer)
    assert (payment["status"], payment["currency"]) == ("settled", "TRX")
    assert payment["subject_id"].startswith("pay_")


async def test_staking_is_the_staking_modules(gateway: World) -> None:
    answer = await process(gateway, kind="staking", amount="100", resource="ENERGY")
    payment = await settled(gateway, answer)
    assert payment["status"] == "settled"
    assert payment["subject_id"].startswith("stk_")


async def test_fees_go_to_our_own_addresses_only(gateway: World) -> None:
    wallets: Wallets = gateway.service(Wallets)
    other = await wallets.ensure(None, "other")
    payment = await settled(
        gateway, await process(gateway, kind="fee", to_address=other.address, amount="30")
    )
    assert payment["status"] == "settled"
    strange = await process(gateway, kind="fee", to_address=CAROL, amount="30")
    assert strange.json()["code"] == "recipient_not_own"


async def test_a_cap_of_nothing_is_a_cap(gateway: World) -> None:
    wallets: Wallets = gateway.service(Wallets)
    other = await wallets.ensure(None, "other")
    fee = {"kind": "fee", "to_address": other.address, "amount": "30"}
    payment = await settled(gateway, await process(gateway, **fee, max_fee_trx="0"))
    assert payment["status"] == "queued"
    assert payment["waiting_for"].startswith("fee_above_maximum: ")
    for body in (fee, {"kind": "usdt", "to_address": CAROL, "amount": "12"}):
        above = await process(gateway, **body, max_fee_trx="15000.000001")
        assert (above.status_code, above.json()["code"]) == (422, "max_fee_too_high")


async def test_a_strangers_contract_is_called_and_ours_are_not(gateway: World) -> None:
    from tests.gateway.test_deposits import PAYER, deploy_fake

    await gateway.fund(PAYER.address, "5000")
    await gateway.tick()
    strange = await deploy_fake(gateway)
    data = "095ea7b3" + "00" * 31 + "01" + "00" * 32
    answer = await process(gateway, kind="contract", contract_address=strange, data=data)
    payment = await settled(gateway, answer)
    assert (payment["status"], payment["to_address"]) == ("settled", strange)
    ours = await process(gateway, kind="contract", contract_address=gateway.usdt, data=data)
    assert (ours.status_code, ours.json()["code"]) == (422, "contract_refused")


async def test_a_former_router_is_not_called_either(gateway: World) -> None:
    """It pays for whoever signs with its operator's wallet, past every rule about payouts."""
    from tests.gateway.test_deposits import PAYER, deploy_fake

    await gateway.fund(PAYER.address, "5000")
    await gateway.tick()
    former = Address(await deploy_fake(gateway))
    await gateway.house.openings.request(former)
    await gateway.solidify()
    for _ in range(2):
        refused = await process(gateway, kind="contract", contract_address=former, data="8456cb59")
        assert (refused.status_code, refused.json()["code"]) == (422, "contract_refused")
        watched = {"label": "a strangers", "address": former}
        await gateway.post("/wallets/import", watched, role="operator")


async def test_the_same_key_pays_once(gateway: World) -> None:
    body = {"kind": "usdt", "to_address": CAROL, "amount": "12.5"}
    key = "pay-carol-only-once"
    answers = [
        await gateway.post("/payments/process", body, role="operator", sub="op-1", key=key)
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    await settled(gateway, answers[1])
    balance = await gateway.get(f"/usdt/balance/{CAROL}", role="operator")
    assert balance.json()["balance"] == "12.5"


@pytest.mark.parametrize("kind", ["usdt", "trx", "fee"])
async def test_each_kind_asks_for_its_own_permission(gateway: World, kind: str) -> None:
    answer = await process(gateway, "merchant", kind=kind, to_address=CAROL, amount="12.5")
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_permission")


async def test_what_the_owner_refuses_is_refused_and_nothing_is_kept(gateway: World) -> None:
    answer = await process(gateway, kind="usdt", to_address=gateway.usdt, amount="12.5")
    assert answer.status_code == 422
    low = await process(gateway, kind="trx", to_address=CAROL, amount="0.5")
    assert (low.status_code, low.json()["code"]) == (422, "amount_below_minimum")
    assert (await gateway.get("/payments", role="operator")).json()["data"] == []

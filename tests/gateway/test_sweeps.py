"""Sweeps: worth their fee, with the treasury's own energy when that is cheaper, done once."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.conftest import Mongo
from tests.gateway.test_reconciliation import run
from tests.gateway.test_refunds import paid
from tests.gateway.test_waiting import freeze
from tests.gateway.world import World, again, somebody
from tron_payment.core.address import Address
from tron_payment.core.errors import Refused
from tron_payment.gateway import worth
from tron_payment.gateway.lending import Lending
from tron_payment.gateway.sweep_documents import Sweep
from tron_payment.gateway.worth import is_worth_it
from tron_payment.staking import Stake
from tron_payment.wallets import Wallets

STAKED = "50000"


async def stake(world: World) -> None:
    """The treasury has energy of its own."""
    answer = await world.post(
        "/payments/process",
        {"kind": "staking", "amount": STAKED, "resource": "ENERGY"},
        role="operator",
    )
    assert answer.status_code == 202, answer.text
    await world.tick(2)
    await world.solidify()


async def rest(world: World) -> None:
    for _ in range(8):
        await world.tick(2)
        await world.solidify()


async def only() -> Any:
    (sweep,) = await Sweep.find({"asset": "USDT"}).to_list()
    return sweep


async def test_without_a_stake_the_address_gets_trx_and_burns_it(gateway: World) -> None:
    invoice = await paid(gateway, "25")
    await rest(gateway)
    sweep = await only()
    assert (sweep.status, sweep.lent_sun, sweep.fee_sun > 0) == ("settled", 0, True)
    held = await gateway.house.ledger.holdings(invoice["address"])
    assert held.get("USDT", {}).get("available", 0) == 0
    assert (await run(gateway))["balanced"] is True


async def test_energy_of_the_stake_is_lent_used_and_taken_back(gateway: World) -> None:
    await stake(gateway)
    invoice = await paid(gateway, "25")
    await rest(gateway)
    sweep = await only()
    assert (sweep.status, sweep.has_moved, sweep.lent_sun > 0) == ("settled", True, True)
    stakes = {each.operation: each for each in await Stake.find({}).to_list()}
    assert stakes["delegate"].status == stakes["undelegate"].status == "settled"
    assert stakes["delegate"].receiver == invoice["address"]
    assert stakes["delegate"].amount_sun == stakes["undelegate"].amount_sun == sweep.lent_sun
    order = await gateway.house.engine.find(sweep.order_id)
    assert order.outcome.energy_used > 0
    assert order.outcome.fee_sun < 1_000_000  # bandwidth at most, no energy burned
    node = gateway.nodes.members[0].client
    assert await node.delegations(gateway.treasury, invoice["address"]) == ()
    assert (await run(gateway))["balanced"] is True


async def test_a_lending_that_the_chain_refuses_falls_back_to_burning(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stake(gateway)

    async def refuse(*_: Any) -> Any:
        raise Refused

    monkeypatch.setattr(Lending, "_asked", refuse)
    await paid(gateway, "25")
    await rest(gateway)
    sweep = await only()
    assert (sweep.status, sweep.lent_sun) == ("settled", 0)
    assert (await run(gateway))["balanced"] is True


async def test_energy_is_taken_back_after_the_treasury_was_frozen(gateway: World) -> None:
    await stake(gateway)
    invoice = await paid(gateway, "25")
    for _ in range(80):
        if (await only()).status == "moving":
            break
        await gateway.tick(1)
    treasury = (await only()).treasury_wallet_id
    await freeze(gateway, treasury, frozen=True)
    await rest(gateway)
    assert ((await only()).status, (await only()).has_moved) == ("returning", True)
    await freeze(gateway, treasury, frozen=False)
    await rest(gateway)
    assert (await only()).status == "settled"
    node = gateway.nodes.members[0].client
    assert await node.delegations(gateway.treasury, invoice["address"]) == ()


async def test_a_new_process_goes_on_wherever_the_sweep_is(gateway: World, mongo: Mongo) -> None:
    await stake(gateway)
    await paid(gateway, "25")
    seen: set[str] = set()
    async with AsyncExitStack() as stack:
        process = gateway
        for _ in range(80):
            sweep = await only()
            if sweep.status.value not in seen:  # the process that brought it here is no more
                seen.add(sweep.status.value)
                process = await stack.enter_async_context(again(mongo, process))
            if sweep.status == "settled":
                break
            await process.tick(2)
    assert {"lending", "moving", "returning", "settled"} <= seen
    assert await Stake.find({"operation": "delegate"}).count() == 1
    assert await Stake.find({"operation": "undelegate"}).count() == 1


@pytest.fixture
def dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a TRX were worth a USDT: the devnet's token burns less than the main net's."""
    monkeypatch.setattr(worth, "TRX_WORTH_UNITS", 1_000_000)


async def test_what_is_not_worth_its_fee_waits_for_more(gateway: World, dear: None) -> None:
    invoice = await paid(gateway, "6")
    await rest(gateway)
    assert await Sweep.find({}).count() == 0
    await gateway.fund(invoice["address"], "30", "USDT")
    await rest(gateway)
    assert (await only()).units == 36_000_000


async def test_with_energy_of_our_own_less_is_worth_it(gateway: World, dear: None) -> None:
    await stake(gateway)
    await paid(gateway, "6")
    await rest(gateway)
    assert (await only()).units == 6_000_000


async def test_a_treasury_that_cannot_sign_for_a_while_makes_nothing_forgotten(
    gateway: World,
) -> None:
    seen = await imported(gateway, "watch")
    gateway.service(Wallets).default_address = seen
    await paid(gateway, "25")
    await gateway.tick(2)
    gateway.service(Wallets).default_address = gateway.treasury
    await rest(gateway)
    assert (await only()).status == "settled"


async def test_without_a_default_wallet_nothing_is_swept(gateway: World) -> None:
    """The only funded one may be whoever's who imported it."""
    gateway.service(Wallets).default_address = None
    await paid(gateway, "25")
    await rest(gateway)
    assert await Sweep.find({}).count() == 0
    gateway.service(Wallets).default_address = gateway.treasury
    await rest(gateway)
    assert (await only()).status == "settled"


async def test_a_treasury_whose_key_is_elsewhere_is_asked_for_the_fee(gateway: World) -> None:
    vault = await imported(gateway, "cold")
    await gateway.fund(vault, "5000")
    await gateway.solidify()
    gateway.service(Wallets).default_address = vault
    await paid(gateway, "25")
    await gateway.tick(2)
    order = await gateway.house.engine.find((await only()).fee_order_id)
    assert (order.status, order.detached) == ("awaiting_signature", True)


async def imported(world: World, kind: str) -> Address:
    """A wallet without a key of ours."""
    address = somebody(0x3EE3)
    body = {"label": "elsewhere", "kind": kind, "address": address}
    answer = await world.post("/wallets/import", body, role="operator", sub="op-1")
    assert answer.status_code == 201, answer.text
    await world.work()
    await world.solidify()
    return address


@pytest.mark.parametrize(
    ("units", "fee_sun", "worth"),
    [
        (20_000_000, 14_285_714, True),  # 14.285714 TRX count as 4.999999 USDT: a quarter
        (20_000_000, 14_285_718, False),
        (5_000_000, 0, True),
        (0, 1, True),  # less than the smallest unit
        (5_000_000, 1_024_000, True),
    ],
)
def test_a_quarter_may_go_to_the_network(units: int, fee_sun: int, worth: bool) -> None:
    assert is_worth_it("USDT", units, fee_sun) is worth

"""Sweeps that cannot go on are given up and begun anew: no deposit waits for ever."""

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.conftest import Mongo
from tests.gateway.test_deposits import PAYER
from tests.gateway.test_refunds import paid
from tests.gateway.test_sweeps import only, rest, stake
from tests.gateway.test_waiting import freeze
from tests.gateway.world import World, again, world
from tron_payment.chain import TriggerContract
from tron_payment.core.address import Address
from tron_payment.core.errors import Refused
from tron_payment.engine import MustWait
from tron_payment.engine.fees import SIMULATION_REVERTED
from tron_payment.gateway import sweep_turn_documents as turn
from tron_payment.gateway import sweeps
from tron_payment.gateway.documents import Payment
from tron_payment.gateway.lending import Lending
from tron_payment.gateway.sweep_documents import Sweep, SweepStatus, rests
from tron_payment.gateway.sweep_starts import DEAR_PAUSE, RETRY_AFTER
from tron_payment.gateway.sweeps import LEND_PATIENCE, NOT_FUNDED, PATIENCE
from tron_payment.wallets import Wallets

MUCH_TIME = 60
DISPATCH = frozenset({"engine.dispatch"})


async def swept(world: World, address: str) -> bool:
    held = await world.house.ledger.holdings(Address(address))
    return not any(held.get("USDT", {}).values())


async def ends() -> list[tuple[str, str]]:
    found = await Sweep.find({"asset": "USDT"}).sort("+created_at").to_list()
    return [(each.status.value, each.reason) for each in found]


async def funding(world: World) -> Any:
    """A sweep whose fee is asked for and not sent."""
    world.quiet = DISPATCH
    invoice = await paid(world, "100")
    assert (await only()).status == "funding"
    return invoice


async def test_a_fee_that_rose_after_it_was_sent_is_completed_by_the_next_sweep(
    gateway: World,
) -> None:
    """It is sent exactly, and energy costs more by 1 % when the order sets it aside."""
    invoice = await funding(gateway)
    gateway.quiet = frozenset()
    for _ in range(MUCH_TIME):
        sweep = await only()
        if sweep.status == "moving":
            break
        fee = await gateway.house.engine.find(sweep.fee_order_id)
        if fee is not None and fee.status in ("signed", "settled"):
            gateway.quiet = DISPATCH
        await gateway.devnet.mine(4)
        await gateway.work()
    gateway.devnet.chain.change_parameters({"getEnergyFee": 101})
    await gateway.devnet.mine(40)
    gateway.quiet = frozenset()
    await gateway.work()
    order = await gateway.house.engine.find(sweep.order_id)
    assert (order.status, order.waiting_for) == ("queued", "funds")
    await gateway.wait(PATIENCE.seconds)
    assert await ends() == [("failed", "canceled")]
    await gateway.wait(RETRY_AFTER.seconds)
    await rest(gateway)
    assert await ends() == [("failed", "canceled"), ("settled", "")]
    assert await swept(gateway, invoice["address"])


async def test_a_fee_that_a_frozen_treasury_owes_is_asked_of_the_new_one(gateway: World) -> None:
    wallets = gateway.service(Wallets)
    invoice = await funding(gateway)
    await freeze(gateway, (await only()).treasury_wallet_id, frozen=True)
    new = await wallets.ensure(None, "second-treasury")
    gateway.quiet = frozenset()
    await gateway.work()
    await gateway.fund(new.address, "5000")
    wallets.default_address = Address(new.address)
    await gateway.solidify()
    await gateway.wait(PATIENCE.seconds)
    await gateway.wait(RETRY_AFTER.seconds)
    await rest(gateway)
    assert await ends() == [("failed", "fee: canceled"), ("settled", "")]
    assert await swept(gateway, invoice["address"])
    held = await gateway.house.ledger.holdings(Address(new.address))
    assert held["USDT"]["available"] == 100_000_000


async def test_a_fee_that_could_not_even_be_asked_for_ends_the_sweep(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: Any) -> bool:
        return False

    with monkeypatch.context() as failing:
        failing.setattr(sweeps.Sweeps, "_send_fee", nothing)
        invoice = await paid(gateway, "100")
        await gateway.wait(PATIENCE.seconds)
    assert await ends() == [("failed", NOT_FUNDED)]
    await gateway.wait(RETRY_AFTER.seconds)
    await rest(gateway)
    assert await swept(gateway, invoice["address"])


async def test_a_fee_above_the_maximum_is_told_and_begins_nothing(mongo: Mongo) -> None:
    async with world(mongo, max_fee_trx="2") as gateway:
        with capture_logs() as logs:
            await paid(gateway, "1000")
            await gateway.tick(3)
        (said,) = [each for each in logs if each["event"] == "sweep.too_dear"]
        assert said["reason"].startswith("fee_above_maximum")
        assert await Sweep.find({}).count() == 0
        assert await Payment.find({"sweepable": True}).count() == 1, "it may cost less one day"


async def test_a_fee_that_rose_above_the_maximum_before_it_was_asked_for_ends_the_sweep(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: Any) -> bool:
        return False

    with monkeypatch.context() as failing:
        failing.setattr(sweeps.Sweeps, "_send_fee", nothing)
        await paid(gateway, "100")
    gateway.devnet.chain.change_parameters({"getEnergyFee": 100_000})
    await gateway.wait(120)
    ((status, reason),) = await ends()
    assert status == "failed" and reason.startswith("fee_above_maximum")


async def test_a_fee_whose_block_comes_between_two_looks_is_not_taken_for_too_little(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await funding(gateway)
    gateway.quiet = frozenset()
    sweep, engine, came = await only(), gateway.house.engine, []
    for _ in range(MUCH_TIME):
        fee = await engine.find(sweep.fee_order_id)
        if fee is not None and fee.status == "signed":
            break
        await gateway.tick(1)
    real = engine.find

    async def find(order_id: str) -> Any:
        if order_id == sweep.fee_order_id and not came:
            came.append(order_id)
            await gateway.devnet.mine(22)
            while await gateway.assembly.follower.step():
                pass
        return await real(order_id)

    monkeypatch.setattr(engine, "find", find)
    loop = next(each for each in gateway.assembly.loops.all if each.name == "gateway.sweep")
    await loop.step()
    assert came and await ends() == [("moving", "")]


async def test_what_costs_too_much_today_is_looked_at_again_when_it_costs_less(
    gateway: World,
) -> None:
    gateway.devnet.chain.change_parameters({"getEnergyFee": 1400})
    await gateway.devnet.mine(2)
    invoice = await paid(gateway, "40")
    await gateway.tick(2)
    assert await Sweep.find({}).count() == 0
    gateway.devnet.chain.change_parameters({"getEnergyFee": 100})
    await gateway.wait(DEAR_PAUSE.seconds)
    await rest(gateway)
    assert await swept(gateway, invoice["address"])


def reverting(world: World, failing: pytest.MonkeyPatch) -> None:
    """As if the token were paused, or the address on its blacklist."""
    fees = world.house.engine.fees
    real = fees.bound

    async def bound(contract: Any, **more: Any) -> Any:
        if isinstance(contract, TriggerContract):
            raise MustWait(SIMULATION_REVERTED)
        return await real(contract, **more)

    failing.setattr(fees, "bound", bound)


async def test_a_sweep_whose_transfer_reverts_once_its_fee_has_come_is_given_up_and_begun_anew(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token may be paused for months: the address is free for what else comes there."""
    invoice = await funding(gateway)
    with monkeypatch.context() as failing:
        reverting(gateway, failing)
        gateway.quiet = frozenset()
        await rest(gateway)
        fee = await gateway.house.engine.find((await only()).fee_order_id)
        assert (fee.status, (await only()).status) == ("settled", "funding")
        await gateway.wait(PATIENCE.seconds)
        assert await ends() == [("failed", SIMULATION_REVERTED)]
        await gateway.wait(RETRY_AFTER.seconds)
        assert len(await ends()) == 1, "nothing is begun while it reverts"
    await gateway.wait(RETRY_AFTER.seconds)
    await rest(gateway)
    assert await ends() == [("failed", SIMULATION_REVERTED), ("settled", "")]
    assert await swept(gateway, invoice["address"])


async def test_a_sweep_that_reverts_and_is_lent_nothing_is_given_up(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stake(gateway)
    with monkeypatch.context() as failing:

        async def refuse(*_: Any) -> Any:
            reverting(gateway, failing)
            raise Refused

        failing.setattr(Lending, "_asked", refuse)
        invoice = await paid(gateway, "25")
        for _ in range(MUCH_TIME):
            if (await only()).status == "lending":
                break
            await gateway.tick(1)
        assert await ends() == [("lending", "")]
        await gateway.wait(LEND_PATIENCE.seconds)
        await gateway.tick(2)
        assert await ends() == [("failed", SIMULATION_REVERTED)]
    await gateway.wait(RETRY_AFTER.seconds)
    await rest(gateway)
    assert (await ends())[1:] == [("settled", "")]
    assert await swept(gateway, invoice["address"])


async def test_what_costs_too_much_keeps_nothing_else_and_rests_over_a_restart(
    gateway: World, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many small ones there are, a large deposit's turn is the next one."""
    monkeypatch.setattr(turn, "SWEEPS_AT_ONCE", 1)
    gateway.devnet.chain.change_parameters({"getEnergyFee": 400})
    await gateway.devnet.mine(2)
    (loop,) = [each for each in gateway.assembly.loops.all if each.name == "gateway.sweep"]
    small = [await paid(gateway, "12") for _ in range(3)]
    for _ in range(6):
        await loop.step()
    assert await Sweep.find({}).count() == 0
    gateway.quiet = frozenset({"gateway.sweep"})
    large = await paid(gateway, "900")
    async with again(mongo, gateway) as process:
        (loop,) = [each for each in process.assembly.loops.all if each.name == "gateway.sweep"]
        await loop.step()
        assert (await only()).address == large["address"]
    resting = await Payment.find({"sweep_not_before": {"$gt": gateway.clock.now()}}).to_list()
    assert {each.address for each in resting} == {each["address"] for each in small}


async def test_what_arrives_ends_a_rest_even_in_the_moment_in_which_that_begins(
    gateway: World,
) -> None:
    gateway.quiet = frozenset({"gateway.sweep"})
    invoice = await paid(gateway, "12")
    (seen,), until = await turn.fresh(0), gateway.clock.now() + DEAR_PAUSE
    await turn.put_off([seen], until)
    assert await turn.fresh(0) == await turn.rested(gateway.clock.now()) == []
    assert [each.id for each in await turn.rested(until)] == [seen.id]
    await gateway.pay(PAYER, invoice["address"], "900")
    await gateway.solidify()
    assert [each.id for each in await turn.fresh(0)] == [seen.id]
    await turn.put_off([seen], until)
    assert [each.id for each in await turn.fresh(0)] == [seen.id], "it was seen before that came"


async def test_a_rest_ends_by_the_clock_as_it_is_whatever_a_clock_that_was_ahead_has_said(
    gateway: World,
) -> None:
    """It was a year ahead for one look at what costs too much."""
    gateway.devnet.chain.change_parameters({"getEnergyFee": 1400})
    await gateway.devnet.mine(2)
    (loop,) = [each for each in gateway.assembly.loops.all if each.name == "gateway.sweep"]
    gateway.quiet = frozenset({"gateway.sweep"})
    invoice = await paid(gateway, "40")
    right = gateway.clock.skew
    gateway.clock.skew = right + timedelta(days=365)
    await loop.step()
    gateway.clock.skew = right
    (row,) = await Payment.find({"sweep_not_before": {"$gt": gateway.clock.now()}}).to_list()
    assert row.sweep_not_before is not None
    assert row.sweep_not_before - gateway.clock.now() > timedelta(days=364)
    gateway.devnet.chain.change_parameters({"getEnergyFee": 100})
    await gateway.devnet.mine(2)
    gateway.quiet = frozenset()
    await gateway.tick(2)
    assert (await only()).address == invoice["address"], "in the process that has seen it, too"


async def test_a_failure_that_is_dated_a_year_ahead_does_not_count(gateway: World) -> None:
    now = gateway.clock.now()
    names = ("payment_id", "wallet_id", "destination", "treasury_wallet_id", "fee_order_id")
    sweep = Sweep(
        **dict.fromkeys(names, "x"),
        id="swp_ahead",
        order_id="x",
        address="T1",
        asset="USDT",
        units=1,
        status=SweepStatus.FAILED,
        created_at=now,
        updated_at=now + timedelta(days=365),
    )
    await sweep.insert()
    assert not await rests("T1", "USDT", now - RETRY_AFTER, now)
    await sweep.set({"updated_at": now})
    assert await rests("T1", "USDT", now - RETRY_AFTER, now)


async def test_what_rests_is_found_by_as_many_looks_as_are_taken(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rest as they should, or longer than anything may."""
    monkeypatch.setattr(turn, "SWEEPS_AT_ONCE", 5)
    invoice = await paid(gateway, "12")
    rows, now = Payment.get_pymongo_collection(), gateway.clock.now()
    row = await rows.find_one({"_id": invoice["payment_id"]})
    assert row is not None
    for unique in ("_id", "address_key"):
        del row[unique]
    ages = {"rested": -60, "resting": 600, "ahead": 365 * 86_400}
    for name, seconds in ages.items():
        until = now + timedelta(seconds=seconds)
        same = row | {"sweepable": True, "status": "paid", "sweep_not_before": until}
        await rows.insert_many([same | {"_id": f"inv_{name}_{n}"} for n in range(50)])
    await rows.delete_many({"_id": {"$in": [f"inv_rested_{n}" for n in range(3, 50)]}})
    await rows.database.command({"profile": 2})
    try:
        found = [each.id for each in await turn.rested(now)]
    finally:
        await rows.database.command({"profile": 0})
    assert [each.split("_")[1] for each in found] == ["rested"] * 3 + ["ahead"] * 2
    profile = rows.database["system.profile"].find({"ns": f"{rows.database.name}.{rows.name}"})
    looked = [each["keysExamined"] async for each in profile if "keysExamined" in each]
    assert looked and max(looked) <= 6, looked

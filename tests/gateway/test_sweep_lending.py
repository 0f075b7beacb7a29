"""Sweeps and the treasury's stake: whatever is lent comes back, and nobody is promised it twice."""

from dataclasses import replace
from typing import Any

import pytest

from tests.gateway import test_sweeps as sweeping
from tests.gateway.test_deposits import PAYER
from tests.gateway.test_refunds import paid
from tests.gateway.test_sweeps import only, rest, stake
from tests.gateway.test_waiting import freeze
from tests.gateway.world import World
from tron_payment.chain import NodeClient, NodeRefused, Nodes, NodesUnavailable
from tron_payment.core.errors import AppError, Refused
from tron_payment.gateway import sweeps, worth
from tron_payment.gateway.documents import Payment
from tron_payment.gateway.lending import US, Lending
from tron_payment.gateway.sweep_documents import Sweep
from tron_payment.gateway.sweep_starts import DEAR_PAUSE, LATER_PAUSE, RETRY_AFTER
from tron_payment.gateway.sweeps import EMPTY_FOR, LEND_PATIENCE, NOT_WORTH_IT
from tron_payment.staking import Stake, Staking
from tron_payment.staking.rules import NotActivated
from tron_payment.wallets import WalletArchived

ENOUGH_FOR_ONE = "1"
MUCH_TIME = 60
"""Rounds."""

BLOCKS = 4
"""A round's, where something must be caught that lasts until a block is solidified."""


@pytest.fixture
def dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a TRX were worth a USDT."""
    monkeypatch.setattr(worth, "TRX_WORTH_UNITS", 1_000_000)


@pytest.fixture
def unsure(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A node that says of nothing that it is lent, while the list has something in it."""
    lying: list[bool] = []
    real = NodeClient.delegations

    async def says(self: NodeClient, *pair: Any) -> Any:
        return () if lying else await real(self, *pair)

    monkeypatch.setattr(NodeClient, "delegations", says)
    return lying


async def until(world: World, status: str) -> Sweep:
    for _ in range(MUCH_TIME):
        sweep: Sweep = await only()
        if sweep.status.value == status:
            return sweep
        await world.devnet.mine(BLOCKS)
        await world.work()
    raise AssertionError(sweep.status)


async def lent(world: World, address: str) -> int:
    found = await world.nodes.members[0].client.delegations(world.treasury, address)
    return sum(each.energy_sun for each in found)


async def test_one_odd_answer_of_a_node_does_not_end_the_taking_back(
    gateway: World, unsure: list[bool]
) -> None:
    await stake(gateway)
    invoice = await paid(gateway, "25")
    await until(gateway, "moving")
    unsure.append(True)
    sweep = await until(gateway, "returning")
    await gateway.tick(1)
    assert (await only()).empty_since is not None
    assert await Stake.find({"operation": "undelegate"}).count() == 0
    unsure.clear()
    await rest(gateway)
    assert ((await only()).status, (await only()).empty_since) == ("settled", None)
    assert sweep.has_moved and await lent(gateway, invoice["address"]) == 0


async def test_what_no_node_shows_any_more_was_taken_back_by_somebody_else(
    gateway: World, unsure: list[bool]
) -> None:
    await stake(gateway)
    await paid(gateway, "25")
    await until(gateway, "moving")
    unsure.append(True)
    await until(gateway, "returning")
    await gateway.tick(1)
    await gateway.wait(EMPTY_FOR.seconds // 2)
    assert (await only()).status == "returning"
    await gateway.wait(EMPTY_FOR.seconds)
    assert (await only()).status == "settled"


async def test_a_taking_back_that_was_canceled_is_asked_for_again(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stake(gateway)
    invoice = await paid(gateway, "25")
    await until(gateway, "moving")
    staking = gateway.service(Staking)
    real, canceled = Staking.request, []

    async def canceling(self: Staking, principal: Any, key: str, wish: Any, **more: Any) -> Any:
        answer = await real(self, principal, key, wish, **more)
        if wish.operation == "undelegate" and not canceled:
            (found,) = await Stake.find({"operation": "undelegate"}).to_list()
            canceled.append(await staking.cancel(US, found.id))
        return answer

    monkeypatch.setattr(Staking, "request", canceling)
    await rest(gateway)
    assert (await only()).status == "settled"
    stakes = await Stake.find({"operation": "undelegate"}).to_list()
    assert sorted(each.status.value for each in stakes) == ["canceled", "settled"]
    assert await lent(gateway, invoice["address"]) == 0


@pytest.mark.parametrize("refusal", [NotActivated, WalletArchived])
async def test_no_refusal_ends_the_taking_back_and_the_address_is_free_meanwhile(
    gateway: World, monkeypatch: pytest.MonkeyPatch, refusal: type[AppError]
) -> None:
    await stake(gateway)
    invoice = await paid(gateway, "25")
    await until(gateway, "moving")

    async def refuse(*_: Any, **__: Any) -> Any:
        raise refusal

    with monkeypatch.context() as refusing:
        refusing.setattr(Staking, "request", refuse)
        await until(gateway, "returning")
        await gateway.fund(invoice["address"], "30", "USDT")
        await gateway.wait(60)
        assert await Sweep.find({"asset": "USDT"}).count() == 2, "another sweep is under way"
    await rest(gateway)
    assert {each.status.value for each in await Sweep.find({"asset": "USDT"}).to_list()} == {
        "settled"
    }
    assert await lent(gateway, invoice["address"]) == 0


async def test_energy_goes_back_when_the_money_cannot_move(gateway: World) -> None:
    await stake(gateway)
    invoice = await paid(gateway, "25")
    sweep = await until(gateway, "lending")
    await freeze(gateway, sweep.wallet_id, frozen=True)
    await until(gateway, "moving")
    await gateway.wait(LEND_PATIENCE.seconds)
    await rest(gateway)
    sweep = await only()
    assert (sweep.status, sweep.has_moved) == ("failed", False)
    assert await lent(gateway, invoice["address"]) == 0
    await freeze(gateway, sweep.wallet_id, frozen=False)
    await gateway.tick(2)
    assert await Sweep.find({"asset": "USDT"}).count() == 1, "it rests for a while"
    await gateway.wait(RETRY_AFTER.seconds)
    await rest(gateway)
    held = await gateway.house.ledger.holdings(invoice["address"])
    assert held.get("USDT", {}).get("available", 0) == 0


async def test_who_gets_no_energy_is_judged_anew_before_it_burns(
    gateway: World, monkeypatch: pytest.MonkeyPatch, dear: None
) -> None:
    await stake(gateway)

    async def refuse(*_: Any) -> Any:
        raise Refused

    with monkeypatch.context() as refusing:
        refusing.setattr(Lending, "_asked", refuse)
        invoice = await paid(gateway, "6")
        await rest(gateway)
    sweep = await only()
    assert (sweep.status, sweep.reason, sweep.has_moved) == ("failed", NOT_WORTH_IT, False)
    assert await gateway.house.engine.find(sweep.order_id) is None
    await gateway.wait(RETRY_AFTER.seconds)
    await rest(gateway)
    held = await gateway.house.ledger.holdings(invoice["address"])
    assert held.get("USDT", {}).get("available", 0) == 0, "with energy it is worth it later"


async def test_one_stake_is_lent_to_one_after_the_other(
    gateway: World, monkeypatch: pytest.MonkeyPatch, dear: None
) -> None:
    monkeypatch.setattr(sweeping, "STAKED", ENOUGH_FOR_ONE)
    await stake(gateway)
    await gateway.fund(PAYER.address, "5000")
    await gateway.fund(PAYER.address, "5000", "USDT")
    await gateway.tick()
    for invoice in [await gateway.invoice("6", "USDT") for _ in range(2)]:
        await gateway.pay(PAYER, invoice["address"], "6", "USDT")
    await gateway.solidify()
    assert len(await Sweep.find({"asset": "USDT"}).to_list()) == 1, "the other one waits for it"
    for _ in range(MUCH_TIME):
        live = await Sweep.find({"asset": "USDT", "live": {"$gt": ""}}).to_list()
        assert sum(each.status.value != "returning" for each in live) <= 1
        if not live and await Sweep.find({"asset": "USDT", "status": "settled"}).count() == 2:
            break
        await (gateway.solidify() if live else gateway.wait(3600))
    done = await Sweep.find({"asset": "USDT"}).to_list()
    assert [(each.status.value, each.lent_sun > 0) for each in done] == [("settled", True)] * 2
    stakes = await Stake.find({"operation": "delegate"}).to_list()
    assert [(each.status.value, each.attempts) for each in stakes] == [("settled", 1)] * 2


@pytest.mark.parametrize("refused_by", [1, 2])
async def test_a_node_that_refuses_one_question_stops_no_sweep(
    gateway: World, unsure: list[bool], monkeypatch: pytest.MonkeyPatch, refused_by: int
) -> None:
    """A node's operator may have switched that off; the others are asked, and what comes after
    this sweep in the list goes on."""
    await stake(gateway)
    await paid(gateway, "25")
    await until(gateway, "moving")
    unsure.append(True)
    await until(gateway, "returning")
    await gateway.tick(1)
    real, asked = Nodes.ask, []

    async def refuses(self: Nodes, alias: str, call: Any) -> Any:
        asked.append(alias)
        if len(asked) <= refused_by:
            raise NodeRefused("ERROR", "this API is unavailable due to config")
        return await real(self, alias, call)

    monkeypatch.setattr(Nodes, "ask", refuses)
    await gateway.wait(EMPTY_FOR.seconds + 60)
    await gateway.tick(2)
    assert len(asked) > refused_by and (await only()).status == "settled"


@pytest.mark.parametrize(
    "refusal", [NodeRefused("ERROR", "whatever it is"), NodesUnavailable("for this question")]
)
async def test_what_keeps_one_sweep_stops_no_other_and_is_told(
    gateway: World, monkeypatch: pytest.MonkeyPatch, refusal: AppError
) -> None:
    """Its loop fails, so that somebody looks."""
    await paid(gateway, "25")
    kept = await until(gateway, "funding")
    real = sweeps.Sweeps._advance

    async def advance(self: Any, sweep: Sweep) -> bool:
        if sweep.id == kept.id:
            raise refusal
        return await real(self, sweep)

    monkeypatch.setattr(sweeps.Sweeps, "_advance", advance)
    loop = next(each for each in gateway.assembly.loops.all if each.name == "gateway.sweep")
    gateway.quiet = frozenset({loop.name})
    await paid(gateway, "26")
    for _ in range(MUCH_TIME):
        with pytest.raises(type(refusal)):
            await loop.step()
        found = await Sweep.find({"asset": "USDT"}).to_list()
        if any(each.status == "settled" for each in found):
            break
        await gateway.solidify()
    statuses = {each.id: each.status.value for each in found}
    assert statuses.pop(kept.id) == "funding"
    assert list(statuses.values()) == ["settled"]


async def test_a_deposit_that_waits_for_energy_is_not_asked_about_all_the_time(
    gateway: World, monkeypatch: pytest.MonkeyPatch, dear: None
) -> None:
    """Its stake is in use for long; what others lent to the treasury is nothing to wait for."""
    await stake(gateway)
    asked: list[Any] = []
    real, mine = NodeClient.constant_call, NodeClient.account

    async def none(*_: Any) -> int:
        return 0

    async def counted(self: NodeClient, *what: Any, **more: Any) -> Any:
        asked.append(what)
        return await real(self, *what, **more)

    async def rented(self: NodeClient, *what: Any) -> Any:
        found = await mine(self, *what)
        return None if found is None else replace(found, frozen={})

    monkeypatch.setattr(NodeClient, "can_delegate_max", none)
    await paid(gateway, "6")
    await gateway.tick(2)
    monkeypatch.setattr(NodeClient, "constant_call", counted)
    for _ in range(9):
        await gateway.wait(LATER_PAUSE.seconds // 3)
    assert 2 <= len(asked) <= 4, "of nine looks"
    assert await Payment.find({"sweepable": True}).count() == 1, "it waits"
    monkeypatch.setattr(NodeClient, "account", rented)
    await gateway.wait(LATER_PAUSE.seconds)
    await gateway.tick(1)
    asked.clear()
    for _ in range(4):
        await gateway.wait(DEAR_PAUSE.seconds // 4)
    assert len(asked) <= 1, "nothing is waited for but lower prices"
    assert await Sweep.find({"asset": "USDT"}).count() == 0

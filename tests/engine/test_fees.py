"""What an order may burn: every byte is paid for, a liar's figures are not believed, and a fee
limit is looked at again before it is signed."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from tests.conftest import Mongo
from tests.engine import sim_node
from tests.engine.network import Network
from tests.engine.sim_node import SimNode
from tests.engine.world import ALICE, ALL_DOCUMENTS, BOB, FixedTokens, World
from tron_payment import chain
from tron_payment.chain import (
    CallResult,
    CancelAllUnfreezeV2,
    Contract,
    CreateAccount,
    CreateContract,
    Delegate,
    FreezeV2,
    Nodes,
    NodesUnavailable,
    Permission,
    PermissionKind,
    PermissionUpdate,
    Resource,
    Transfer,
    TriggerContract,
    Undelegate,
    UnfreezeV2,
    Vote,
    WithdrawExpireUnfreeze,
    WithdrawReward,
)
from tron_payment.core.address import address_of
from tron_payment.core.clock import ManualClock, from_ms
from tron_payment.core.money import UNITS_MAX
from tron_payment.engine import Fees, Order, OrderStatus
from tron_payment.engine.fees import UNTOLD_MS

STRANGERS = [address_of(b"\x41" + number.to_bytes(20, "big")) for number in range(100)]
ALL_OPERATIONS = bytes([255] * 32)
WEIGHT = 2**31
KEYS = tuple((key, WEIGHT) for key in STRANGERS[:5])


def permission(number: int) -> Permission:
    kind = PermissionKind.OWNER if number == 0 else PermissionKind.ACTIVE
    operations = ALL_OPERATIONS if number else b""
    return Permission(kind, 5 * WEIGHT, KEYS, "n" * 32, number, operations)


LARGEST: list[Contract] = [
    Transfer(ALICE, BOB, UNITS_MAX),
    CreateAccount(ALICE, BOB),
    TriggerContract(ALICE, BOB, b"\xff" * 68),
    TriggerContract(ALICE, BOB, b"\xff" * 30_000, UNITS_MAX),
    CreateContract(ALICE, "n" * 32, "[]", b"\xff" * 20_000, call_value_sun=UNITS_MAX),
    FreezeV2(ALICE, UNITS_MAX, Resource.ENERGY),
    UnfreezeV2(ALICE, UNITS_MAX, Resource.ENERGY),
    CancelAllUnfreezeV2(ALICE),
    WithdrawExpireUnfreeze(ALICE),
    WithdrawReward(ALICE),
    Delegate(ALICE, BOB, UNITS_MAX, Resource.ENERGY, True, 864_000),
    Undelegate(ALICE, BOB, UNITS_MAX, Resource.ENERGY),
    Vote(ALICE, tuple((each, UNITS_MAX) for each in STRANGERS[:30])),
    PermissionUpdate(ALICE, permission(0), None, tuple(map(permission, range(2, 10)))),
]


@pytest.fixture
async def world(mongo: Mongo) -> World:
    await mongo.connect(ALL_DOCUMENTS)
    return await World.create()


@pytest.mark.parametrize("signatures", [1, 5])
@pytest.mark.parametrize("contract", LARGEST, ids=lambda each: type(each).__name__)
async def test_what_is_set_aside_pays_for_every_byte(contract: Contract, signatures: int) -> None:
    network = Network()
    nodes = Nodes([SimNode(network)])  # type: ignore[list-item]  # shaped like NodeClient
    clock = ManualClock(from_ms(network.tip.timestamp_ms))
    bound = await Fees(nodes, clock, FixedTokens()).bound(contract, signatures=signatures)
    raw = chain.encode(
        chain.RawData(
            contract=contract,
            ref_block_bytes=b"\1\1",
            ref_block_hash=b"\1" * 8,
            expiration_ms=network.tip.timestamp_ms + 60_000,
            timestamp_ms=network.tip.timestamp_ms,
            fee_limit_sun=bound.fee_limit_sun,
            permission_id=9,
        )
    )
    bandwidth = chain.bandwidth_bytes(raw, signatures) * sim_node.PRICES["getTransactionFee"]
    least = bound.fee_limit_sun + bandwidth
    assert least <= bound.hold_sun <= least + 2_200_000, "nor much more: an activation, signatures"


@pytest.mark.parametrize("energy", [-5_000, 0])
async def test_a_call_that_takes_no_energy_is_not_believed(
    world: World, monkeypatch: pytest.MonkeyPatch, energy: int
) -> None:
    """The fee limit would be too small, and stored for as long as the order lives."""

    async def lies(*_: object, **__: object) -> CallResult:
        return CallResult(energy, 0, b"", False, "")

    with monkeypatch.context() as patch:
        patch.setattr(SimNode, "constant_call", lies)
        await world.engine.place(world.wish("a"))
        await world.tick(2)
        order = await world.order("a")
        assert (order.status, order.waiting_for.partition(":")[0]) == (OrderStatus.QUEUED, "node")
    await world.run_until_final("a")
    assert (await world.order("a")).status is OrderStatus.SETTLED


async def until_reserved(world: World) -> int:
    """Everything is asked but the signature; the fee limit."""
    world.engine.dispatcher.gates.append(only_unreserved)
    await world.engine.place(world.wish("a"))
    await world.tick()
    order = await world.order("a")
    assert order.status is OrderStatus.RESERVED
    world.engine.dispatcher.gates.clear()
    return order.fee_limit_sun


async def only_unreserved(orders: Sequence[Order]) -> dict[str, str]:
    return {each.id: "test" for each in orders if each.status is OrderStatus.RESERVED}


async def test_a_limit_is_made_anew_within_its_hold(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Energy has risen and bandwidth has fallen: what is set aside is enough for both."""
    before = await until_reserved(world)
    monkeypatch.setitem(sim_node.PRICES, "getEnergyFee", 130)
    monkeypatch.setitem(sim_node.PRICES, "getTransactionFee", 0)
    await world.tick(30)
    order = await world.order("a")
    assert before < order.fee_limit_sun <= sum(h.units for h in order.held if h.asset == "TRX")
    assert [each.fee_limit_sun for each in order.tried] == [order.fee_limit_sun]
    await world.run_until_final("a")
    assert (await world.order("a")).status is OrderStatus.SETTLED


async def test_a_limit_that_is_too_small_is_not_signed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await until_reserved(world)
    with monkeypatch.context() as patch:
        patch.setitem(sim_node.PRICES, "getEnergyFee", 210)
        await world.tick(30)
        order = await world.order("a")
        assert (order.status, order.waiting_for) == (OrderStatus.RESERVED, "fee_limit_outdated")
        assert (order.attempts, world.key.signed) == ([], [])
    await world.tick(30)
    await world.run_until_final("a")
    order = await world.order("a")
    assert (order.status, order.fee_limit_sun) == (OrderStatus.SETTLED, before)


async def test_prices_are_asked_for_once_by_all_who_need_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    real = SimNode.parameters

    async def counted(self: SimNode) -> dict[str, int]:
        asked.append(self.alias)
        await asyncio.sleep(0)
        return await real(self)

    monkeypatch.setattr(SimNode, "parameters", counted)
    network = Network()
    nodes = Nodes([SimNode(network, name) for name in ("a", "b", "c")], agreement=2)
    fees = Fees(nodes, ManualClock(from_ms(network.tip.timestamp_ms)), FixedTokens())
    await chain.all_of(fees.bound(Transfer(ALICE, ALICE, 1)) for _ in range(50))
    assert sorted(asked) == ["a", "b", "c"]


async def test_nodes_that_tell_no_price_keep_orders_waiting_once_not_each_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def late(self: SimNode) -> dict[str, int]:
        asked.append(self.alias)
        await asyncio.sleep(0)
        raise NodesUnavailable("no answer in time")

    network = Network()
    nodes = Nodes([SimNode(network, name) for name in ("a", "b", "c")], agreement=2)
    clock = ManualClock(from_ms(network.tip.timestamp_ms))
    fees = Fees(nodes, clock, FixedTokens())
    with monkeypatch.context() as patch:
        patch.setattr(SimNode, "parameters", late)
        bounds = (fees.bound(Transfer(ALICE, ALICE, 1)) for _ in range(50))
        told = await asyncio.gather(*bounds, return_exceptions=True)
        assert {type(each) for each in told} == {NodesUnavailable}
        assert sorted(asked) == ["a", "b", "c"]
    clock.advance(timedelta(milliseconds=UNTOLD_MS + 1))
    assert (await fees.bound(Transfer(ALICE, ALICE, 1))).hold_sun > 0

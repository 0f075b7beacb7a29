"""The engine on a real store and a simulated network; can be killed and started again."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from coincurve import PrivateKey

from tests.engine.network import BLOCK_MS, ROUTER, ROUTER_CODE, TOKEN, Network, address_of_key
from tests.engine.network import router_id as router_id
from tests.engine.points import Points
from tests.engine.sim_node import SimNode
from tron_payment import chain
from tron_payment.chain import Follower, MongoCursors, Nodes, Transfer, TriggerContract
from tron_payment.core.address import Address, address_bytes, address_of
from tron_payment.core.clock import Clock, ManualClock, from_ms, to_ms
from tron_payment.core.money import TRX
from tron_payment.db import ledger as books
from tron_payment.db.group import GroupInsert
from tron_payment.db.ledger import Draft, Ledger, Opened, Pocket, Posting, account
from tron_payment.engine import (
    DOCUMENTS,
    CannotSign,
    Engine,
    Expect,
    ExpectKind,
    Openings,
    Order,
    OrderStatus,
    Spend,
    Wish,
)

ALICE = address_of(b"\x41" + bytes(19) + b"\x0a")
BOB = address_of(b"\x41" + bytes(19) + b"\x0b")
START_TRX = 10_000_000_000
START_USDT = 1_000_000_000
ALL_DOCUMENTS = (*DOCUMENTS, *books.DOCUMENTS, *chain.DOCUMENTS)
FINAL = {OrderStatus.SETTLED, OrderStatus.FAILED, OrderStatus.CANCELED}


class Key:
    """A signer with one key in memory."""

    def __init__(self, seed: int, points: Points) -> None:
        self._key = PrivateKey(seed.to_bytes(32, "big"))
        self._points = points
        self.address = address_of_key(self._key)
        self.signed: list[tuple[str, str]] = []
        """Order and txid of everything that was ever signed."""

    async def sign_many(self, requests: Sequence[tuple[Order, bytes]]) -> list[bytes | CannotSign]:
        return [await self.sign(order, raw) for order, raw in requests]

    async def sign(self, order: Order, raw: bytes) -> bytes:
        await self._points.before("sign")
        self.signed.append((order.id, chain.txid(raw)))
        signature = self._key.sign_recoverable(bytes.fromhex(chain.txid(raw)), hasher=None)
        await self._points.after("sign")
        return signature


class FixedTokens:
    by_contract: Mapping[Address, str] = {TOKEN: "USDT"}


@dataclass
class SkewedClock:
    """A machine's clock that is wrong."""

    true: ManualClock
    by: timedelta = timedelta(0)

    def now(self) -> datetime:
        return self.true.now() + self.by


class Process:
    """One running service on the shared store. It remembers nothing that is not stored."""

    def __init__(
        self,
        nodes: Sequence[SimNode],
        clock: Clock,
        key: Key,
        *,
        agreement: int = 1,
        lifetime_s: int = 60,
        read_ahead: int = 4,
        also: "Also | None" = None,
    ) -> None:
        """
        Args:
            also: Told of every block after the engine, as invoices are.
        """
        self.heard: list[tuple[str, str]] = []
        self.alarms: list[tuple[str, Mapping[str, object]]] = []
        cursors = MongoCursors()
        self.nodes = Nodes(
            list(nodes),  # type: ignore[arg-type]  # shaped like NodeClient
            agreement,
            monotonic=partial(_seconds, clock),
        )
        self.ledger = Ledger(clock)
        self.engine = Engine(
            clock=clock,
            ledger=self.ledger,
            nodes=self.nodes,
            signer=key,
            tokens=FixedTokens(),
            cursors=cursors,
            inserts=GroupInsert(),
            alarm=self._alarm,
            lifetime_s=lifetime_s,
            monotonic=partial(_seconds, clock),
        )
        self.openings = Openings(
            clock=clock,
            ledger=self.ledger,
            nodes=self.nodes,
            cursors=cursors,
            tokens=FixedTokens(),
            alarm=self._alarm,
        )
        self.engine.hear("test", self._hear)
        self.follower = Follower(
            self.nodes,
            cursors,
            [self.engine.on_block, *([partial(also, self)] if also is not None else [])],
            read_ahead,
            quiet=self.engine.watched.quiet,
        )

    async def _hear(self, orders: Sequence[Order]) -> None:
        self.heard += [(order.id, order.status) for order in orders]

    async def _alarm(self, event: str, facts: Mapping[str, object]) -> None:
        self.alarms.append((event, facts))

    async def run_dry(self) -> None:
        """Do everything that is due."""
        while await self.engine.dispatcher.step():
            pass
        while await self.follower.step():
            pass
        await self.openings.step()
        await self.engine.internal.step()
        await self.engine.dispatcher.close_books()
        await self.engine.tell()


def _seconds(clock: Clock) -> float:
    return to_ms(clock.now()) / 1000


Also = Callable[[Process, chain.SolidBlock], Awaitable[None]]


@dataclass
class World:
    """One installation with one wallet and one router."""

    network: Network
    clock: ManualClock
    key: Key
    points: Points
    nodes: list[SimNode]
    process: Process
    lifetime_s: int
    agreement: int = 1
    also: Also | None = None
    dead_alarms: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    @classmethod
    async def create(
        cls,
        points: Points | None = None,
        *,
        nodes: int = 1,
        solid_lag: int = 3,
        lifetime_s: int = 60,
        agreement: int = 1,
        also: Also | None = None,
    ) -> "World":
        points = points or Points()
        network = Network(solid_lag)
        clock = ManualClock(from_ms(network.tip.timestamp_ms))
        key = Key(7, points)
        members = [SimNode(network, f"n{i}", points.node, points.node_done) for i in range(nodes)]
        network.trx[key.address] = START_TRX
        network.token[key.address] = START_USDT
        network.token[ROUTER] = START_USDT
        network.mine(10)
        process = Process(
            members, clock, key, agreement=agreement, lifetime_s=lifetime_s, also=also
        )
        world = cls(network, clock, key, points, members, process, lifetime_s, agreement, also)
        await world.follower.start_at(0)
        await open_books(world.ledger, key.address, TRX=START_TRX, USDT=START_USDT)
        await open_books(world.ledger, ROUTER, USDT=START_USDT)
        return world

    def start(self) -> None:
        """A fresh process on the same store."""
        self.dead_alarms += self.process.alarms
        self.follower.close()
        self.process = self.another()

    def another(self, skew: timedelta = timedelta(0)) -> Process:
        """One more process, with a clock of its own."""
        clock = SkewedClock(self.clock, skew)
        return Process(
            self.nodes,
            clock,
            self.key,
            agreement=self.agreement,
            lifetime_s=self.lifetime_s,
            also=self.also,
        )

    @property
    def engine(self) -> Engine:
        return self.process.engine

    @property
    def ledger(self) -> Ledger:
        return self.process.ledger

    @property
    def follower(self) -> Follower:
        return self.process.follower

    @property
    def heard(self) -> list[tuple[str, str]]:
        return self.process.heard

    @property
    def alarms(self) -> list[tuple[str, Mapping[str, object]]]:
        return [*self.dead_alarms, *self.process.alarms]

    # ---- wishes ------------------------------------------------------------------------------
    def wish(self, name: str, units: int = 5_000_000, to: Address = ALICE) -> Wish:
        """A direct USDT transfer."""
        sender = self.key.address
        data = (
            bytes.fromhex("a9059cbb")
            + address_bytes(to)[1:].rjust(32, b"\0")
            + units.to_bytes(32, "big")
        )
        expect = Expect(ExpectKind.TRC20_TRANSFER, name, TOKEN, sender, to, units)
        return self._wish(
            name, TriggerContract(sender, TOKEN, data), (expect,), (Spend(sender, "USDT", units),)
        )

    def trx_wish(self, name: str, sun: int = 5_000_000, to: Address = ALICE) -> Wish:
        sender = self.key.address
        return self._wish(name, Transfer(sender, to, sun), (), (Spend(sender, TRX.code, sun),))

    def batch_wish(self, name: str, items: Sequence[tuple[str, Address, int]]) -> Wish:
        """Many payments by the router in one transaction: (reference name, recipient, units)."""
        rows = [(reference(ref), to, units) for ref, to, units in items]
        data = ROUTER_CODE.call_data("payMany", *(list(c) for c in zip(*rows, strict=True)))
        expects = tuple(
            Expect(
                ExpectKind.ROUTER_PAID,
                ref,
                ROUTER,
                ROUTER,
                to,
                units,
                router_id(reference(ref), to, units).hex(),
            )
            for ref, to, units in items
        )
        total = sum(units for _, _, units in items)
        return self._wish(
            name,
            TriggerContract(self.key.address, ROUTER, data),
            expects,
            (Spend(ROUTER, "USDT", total),),
        )

    def _wish(
        self,
        name: str,
        contract: chain.Contract,
        expects: tuple[Expect, ...],
        spends: tuple[Spend, ...],
    ) -> Wish:
        return Wish(
            order_id=f"ord_{name}",
            module="test",
            kind="test.transfer",
            subject=name,
            wallet_id="wal_1",
            signer=self.key.address,
            contract=contract,
            max_fee_sun=50_000_000,
            expects=expects,
            spends=spends,
        )

    # ---- time --------------------------------------------------------------------------------
    def pass_time(self, blocks: int = 1) -> None:
        self.network.mine(blocks)
        self.clock.advance(timedelta(milliseconds=BLOCK_MS * blocks))

    async def tick(self, blocks: int = 1) -> None:
        """Some blocks pass, and everything that is due is done."""
        for _ in range(blocks):
            self.pass_time()
            await self.process.run_dry()

    async def order(self, name: str) -> Order:
        order = await self.engine.find(f"ord_{name}")
        assert order is not None
        return order

    async def run_until_final(self, *names: str, blocks: int = 200) -> None:
        orders: list[Order] = []
        for _ in range(blocks):
            await self.tick()
            orders = [await self.order(name) for name in names]
            if all(order.status in FINAL and not order.books_open for order in orders):
                return
        raise AssertionError([(order.id, order.status, order.waiting_for) for order in orders])

    # ---- what must be true -------------------------------------------------------------------
    async def assert_books_equal_chain(self) -> None:
        """Everything solid; then ledger and chain agree to the sun and nothing is set aside."""
        self.network.mine(self.network.solid_lag + 1)
        while await self.follower.step():
            pass
        await assert_books(self.network, self.ledger, [self.key.address, ROUTER])


async def assert_books(network: Network, ledger: Ledger, holders: Sequence[Address]) -> None:
    """Books and chain agree for each holder, to the sun; the journal is whole."""
    for holder in holders:
        held = await ledger.holdings(holder)
        for asset, on_chain in ((TRX.code, network.trx), ("USDT", network.token)):
            booked = sum(held.get(asset, {}).values())
            assert booked == on_chain[holder], (holder, asset, held.get(asset), on_chain[holder])
    assert await ledger.verify() is None
    recomputed = await ledger.recompute()
    for holder in holders:
        for asset, pockets in (await ledger.holdings(holder)).items():
            for pocket, units in pockets.items():
                assert recomputed.get((account(holder, pocket), asset), 0) == units, (holder, asset)


async def assert_nothing_reserved(ledger: Ledger, holders: Sequence[Address]) -> None:
    for holder in holders:
        for asset, pockets in (await ledger.holdings(holder)).items():
            assert pockets.get(Pocket.RESERVED, 0) == 0, (holder, asset, pockets)


async def open_books(ledger: Ledger, holder: Address, **units: int) -> None:
    async def build(_: object) -> Draft:
        postings = tuple(
            Posting("opening", account(holder, Pocket.AVAILABLE), asset, amount, "o")
            for asset, amount in units.items()
        )
        return Draft(f"open:{holder}", postings, opens=(Opened(holder, 0),))

    await ledger.append(build)


def reference(name: str) -> bytes:
    """The 32 bytes by which the router knows one payment."""
    return hashlib.sha256(name.encode()).digest()

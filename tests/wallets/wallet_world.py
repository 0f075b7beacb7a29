"""A house with real store, ledger and signer; the chain is a script for live balances only."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import jwt
from litestar.di import Provide
from pydantic import SecretStr

from tron_payment import chain, engine, wallets
from tron_payment.chain import (
    AccountResources,
    BlockHeader,
    CallResult,
    NodesUnavailable,
    Transfer,
)
from tron_payment.core.address import Address
from tron_payment.core.clock import ManualClock
from tron_payment.core.errors import Unavailable
from tron_payment.core.money import USDT
from tron_payment.db import audit, ledger
from tron_payment.db.audit import Audit
from tron_payment.db.group import GroupInsert
from tron_payment.db.ledger import WORLD, Draft, Ledger, Pocket, Posting, account
from tron_payment.engine import Openings, Order, OrderStatus, Watched, Wish
from tron_payment.engine.documents import contract_document
from tron_payment.http import idempotency
from tron_payment.http.app import create_http
from tron_payment.http.authentication import Authenticator
from tron_payment.http.idempotency import Idempotency
from tron_payment.http.permissions import permissions_of
from tron_payment.http.principals import Principal, Role
from tron_payment.http.tokens import TrustAnchor
from tron_payment.module import Deployment, House, Module
from tron_payment.settings import Settings
from tron_payment.wallets import Cost, KeySigner, Wallets, browser

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
KEK = "11" * 32
CHEAP = Cost(memory_kib=64, iterations=1, lanes=1)
JWT_SECRET = b"a-secret-of-the-gateway-that-has-40-byte"
TEST_USDT = Address("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")
BOB = Address("TLsV52sRDL79HXGGm9yzwKibb6BeruhUzy")

DOCUMENTS = (
    audit.AuditEntry,
    ledger.LedgerEntry,
    ledger.Balance,
    ledger.Holder,
    ledger.LedgerHead,
    chain.Cursor,
    *engine.DOCUMENTS,
    idempotency.StoredRequest,
    *wallets.DOCUMENTS,
)


class ScriptedNodes:
    """What a node shows of an address, set by the test."""

    def __init__(self) -> None:
        self.block = 100
        self.sun: dict[Address, int] = {}
        self.usdt: dict[Address, int] = {}
        self.permissions: dict[str, tuple[Any, tuple[Any, ...]]] = {}
        self.reads = 0
        self.away = False

    async def pick(self) -> "ScriptedNodes":
        return self

    async def head(self) -> BlockHeader:
        return BlockHeader(self.block, f"{self.block:064x}", f"{self.block - 1:064x}", 0)

    async def account(self, address: Address, solid: bool = False) -> Any:
        self.reads += 1
        if self.away:
            raise NodesUnavailable("no node answers")
        if address not in self.sun and address not in self.permissions:
            return None
        owner, actives = self.permissions.get(address, (None, ()))
        return SimpleNamespace(
            balance_sun=self.sun.get(address, 0),
            owner_permission=owner,
            witness_permission=None,
            actives=actives,
        )

    async def resources(self, address: Address) -> AccountResources:
        return AccountResources(100, 600, 0, 50, 10, 1_000, 0, 0, 0, 0, 0, 0)

    async def constant_call(
        self, owner: Address, contract: Address, data: bytes, solid: bool = False
    ) -> CallResult:
        return CallResult(1, 0, self.usdt.get(owner, 0).to_bytes(32), False, "")


class PlacedOrders:
    """Takes the module's orders down; what the engine does with them is the engine's tests'."""

    def __init__(self) -> None:
        self.wishes: dict[str, Wish] = {}
        self.watched = Watched()
        self.away = False

        self.taken: list[tuple[str, str, tuple[bytes, ...]]] = []

    def hear(self, module: str, handler: Any) -> None:
        self.handler = handler

    def desk(self, desk: Any, follow: Any) -> None:
        self.follow = follow

    async def take_signatures(self, order_id: str, txid: str, given: tuple[bytes, ...]) -> None:
        if self.away:
            raise Unavailable
        self.taken.append((order_id, txid, given))

    async def find(self, order_id: str) -> Wish | None:
        return self.wishes.get(order_id)

    async def place(self, wish: Wish) -> bool:
        new = wish.order_id not in self.wishes
        self.wishes[wish.order_id] = wish
        return new


async def no_alarm(event: str, facts: Any) -> None:
    raise AssertionError(event, facts)


class NoTokens:
    by_contract = {TEST_USDT: USDT.code}


@dataclass
class World:
    house: House
    module: Module
    clock: ManualClock
    nodes: ScriptedNodes

    @property
    def wallets(self) -> Wallets:
        return self.house.use(Wallets)

    @property
    def signer(self) -> KeySigner:
        return self.house.use(KeySigner)

    async def fund(
        self, address: str, units: int, asset: str = "TRX", pocket: Pocket = Pocket.AVAILABLE
    ) -> None:
        """Book money as if a block had brought it."""
        posting = Posting(WORLD, account(Address(address), pocket), asset, units, "test")
        seq = (await self.house.ledger.view()).seq
        await self.house.ledger.append(lambda view: _draft(f"test:{seq}", posting))


async def _draft(cause: str, posting: Posting) -> Draft:
    return Draft(cause, (posting,))


async def build_world(mongo: Any, **settings: Any) -> World:
    """Bind a fresh database and build the module as app.py does."""
    await mongo.connect(list(DOCUMENTS))
    return await rebuild(**settings)


async def rebuild(**settings: Any) -> World:
    """A new process on the same database."""
    options = {"lucid_env": "development", "wallet_encryption_key": SecretStr(KEK)} | settings
    configured = Settings(**options)
    clock, nodes = ManualClock(NOW), ScriptedNodes()
    books, cursors, inserts = Ledger(clock), chain.MongoCursors(), GroupInsert()
    everything: dict[str, Any] = {
        "settings": configured,
        "clock": clock,
        "secret": b"s" * 32,
        "deployment": Deployment(genesis_id="0" * 64, usdt=TEST_USDT),
        "nodes": nodes,
        "cursors": cursors,
        "ledger": books,
        "engine": PlacedOrders(),
        "openings": Openings(
            clock=clock,
            ledger=books,
            nodes=nodes,  # type: ignore[arg-type]
            cursors=cursors,
            tokens=NoTokens(),
            alarm=no_alarm,
        ),
        "audit": Audit(clock),
        "events": None,
        "inserts": inserts,
        "idempotency": Idempotency(b"s" * 32, clock, inserts),
    }
    house = House(**everything)
    house.offer(wallets.build_signer(configured, clock))
    module = await wallets.build(house, password_cost=CHEAP, file_cost=CHEAP)
    assert module.start is not None
    await module.start()
    return World(house, module, clock, nodes)


def principal(role: Role = Role.OPERATOR, name: str = "op-1") -> Principal:
    return Principal(id=name, role=role, permissions=permissions_of(role))


def order(wallet: Any, order_id: str = "ord_1", **changes: Any) -> Order:
    """An order that pays 1 TRX from this wallet to Bob."""
    fields: dict[str, Any] = {
        "id": order_id,
        "module": "payouts",
        "kind": "payout.direct",
        "subject": "pay_1",
        "wallet_id": wallet.id,
        "signer": wallet.address,
        "contract": contract_document(Transfer(Address(wallet.address), BOB, 1_000_000)),
        "max_fee_sun": 1_000_000,
        "fee_limit_sun": 0,
        "rank": 0,
        "status": OrderStatus.RESERVED,
        "due_at": NOW,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Order(**(fields | changes))


def raw_of(order: Order, *, timestamp_ms: int = 1_000, **changes: Any) -> bytes:
    """The bytes that the engine would build for the order."""
    fields: dict[str, Any] = {
        "contract": order.wanted_contract,
        "ref_block_bytes": b"\x00\x01",
        "ref_block_hash": b"\x02" * 8,
        "expiration_ms": 60_000,
        "timestamp_ms": timestamp_ms,
        "fee_limit_sun": order.fee_limit_sun,
        "permission_id": order.permission_id,
    }
    return chain.encode(chain.RawData(**(fields | changes)))


def bearer(role: str = "operator", sub: str = "op-1", **claims: Any) -> dict[str, str]:
    content = {
        "sub": sub,
        "role": role,
        "iss": "api-gateway",
        "aud": "tron-payment",
        "exp": int((NOW + timedelta(hours=1)).timestamp()),
    } | claims
    token = jwt.encode(content, JWT_SECRET, algorithm="HS256")
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def served(world: World, modules: Sequence[Module] = ()) -> AsyncIterator[httpx.AsyncClient]:
    """The module behind the real HTTP floor."""
    anchor = TrustAnchor(
        issuer="api-gateway", audience="tron-payment", clock=world.clock, secret=JWT_SECRET
    )
    objects = {"house": world.house, **world.module.dependencies}
    page = await browser.build(world.house)

    def always(value: Any) -> Any:
        return lambda: value

    app = create_http(
        [*world.module.routers, *page.routers],
        authenticator=Authenticator(anchor),
        dependencies={
            name: Provide(always(each), sync_to_thread=False) for name, each in objects.items()
        },
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://service", headers=bearer()
    ) as client:
        yield client

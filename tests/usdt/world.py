"""The real modules on a real store and the embedded devnet, with an HTTP client in front.

Blocks are made by hand and time is the chain's, so every test is deterministic.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
from beanie import Document
from litestar import Router
from litestar.di import Provide

from tests.client_pool import ClientPool
from tron_payment import chain, engine, network, usdt, wallets
from tron_payment.chain import Follower, MongoCursors, NodeClient, Nodes
from tron_payment.configuration import load
from tron_payment.contracts import artifact
from tron_payment.contracts.codec import keccak256
from tron_payment.core.address import Address, address_bytes, address_of
from tron_payment.core.clock import ManualClock, from_ms, to_ms
from tron_payment.db import ledger as books
from tron_payment.db.audit import Act, Audit, AuditEntry
from tron_payment.db.events import Event, Events
from tron_payment.db.group import GroupInsert
from tron_payment.db.ledger import Ledger
from tron_payment.devnet import Devnet, DevnetConfig
from tron_payment.devnet.genesis import FAUCET
from tron_payment.devnet.proto import MESSAGES
from tron_payment.devnet.transactions import CREATE_CONTRACT, TRIGGER_CONTRACT
from tron_payment.engine import Engine, Openings
from tron_payment.http.app import create_http
from tron_payment.http.authentication import Authenticator
from tron_payment.http.idempotency import Idempotency, StoredRequest
from tron_payment.http.tokens import TrustAnchor
from tron_payment.module import Deployment, House, Module

START_MS = 1_795_173_600_000
JWT_SECRET = b"a-secret-of-the-gateway-that-has-40-byte"
HOT_KEY = "5" * 64
ALICE = address_of(b"\x41" + bytes(19) + b"\x0a")
BOB = address_of(b"\x41" + bytes(19) + b"\x0b")
SOLID = 22
"""Blocks after which what was just sent is solidified."""

DOCUMENTS: tuple[type[Document], ...] = (
    *books.DOCUMENTS,
    chain.Cursor,
    *engine.DOCUMENTS,
    AuditEntry,
    Event,
    StoredRequest,
    *network.DOCUMENTS,
    *wallets.DOCUMENTS,
    *usdt.DOCUMENTS,
)


@dataclass
class World:
    """One installation and its chain."""

    devnet: Devnet
    clock: ManualClock
    house: House
    follower: Follower
    modules: Sequence[Module]
    http: httpx.AsyncClient
    alarms: list[tuple[str, Any]] = field(default_factory=list)
    keys: int = 0

    @property
    def hot(self) -> Address:
        return self.house.use(wallets.Wallets).default_address

    async def wallet_id(self) -> str:
        found = await self.house.use(wallets.Wallets).find_by_address(self.hot)
        return found.id

    async def mine(self, blocks: int = 1, *, skip_ms: int = 0) -> None:
        await self.devnet.mine(blocks, skip_ms=skip_ms)
        now = from_ms(self.devnet.chain.head.timestamp_ms)
        if now > self.clock.now():
            self.clock.advance(now - self.clock.now())

    async def work(self) -> None:
        """Let every loop run until nobody has anything to do."""
        busy = True
        while busy:
            busy = False
            for step in (
                self.follower.step,
                self.house.openings.step,
                self.house.engine.dispatcher.step,
                self.house.engine.dispatcher.close_books,
                self.house.engine.tell,
                *(loop.step for module in self.modules for loop in module.loops),
            ):
                busy |= await step()

    async def settle(self) -> None:
        """Send what is due, make it solid, and let everybody hear of it."""
        await self.work()
        await self.mine(SOLID)
        await self.work()

    async def fund(self, address: Address, *, trx: int = 0, usdt_units: int = 0) -> None:
        """Give an address money from the faucet, in a block."""
        raw, now = address_bytes(address), self.devnet.now_ms()
        if trx:
            self.devnet.faucet.send_trx(raw, trx * 1_000_000, now)
        if usdt_units:
            self.devnet.faucet.send_usdt(raw, usdt_units, now)
        await self.mine()

    async def blacklist(self, address: Address) -> None:
        """The token's owner freezes an address; solid afterwards."""
        await self.issuer("addBlackList", address)
        await self.mine(SOLID)
        await self.work()

    async def issuer(self, function: str, *arguments: Any) -> None:
        """The token's owner, which is the faucet, calls it; in a block afterwards."""
        data = artifact("TestUSDT").call_data(function, *arguments)
        self.devnet.chain.push(self._faucet_call(data))
        await self.mine(2)

    async def deploy_token(self, name: str, symbol: str, decimals: int) -> Address:
        """Another TRC-20 contract, owned by the faucet, which holds its whole supply."""
        code = artifact("TestUSDT")
        message = MESSAGES["CreateSmartContract"](owner_address=FAUCET)
        new = message.new_contract
        new.origin_address = FAUCET
        new.name = name
        new.consume_user_resource_percent = 100
        new.origin_energy_limit = 10_000_000
        new.bytecode = code.init_code(10**18, name, symbol, decimals)
        tx = self.devnet.faucet._sign(
            CREATE_CONTRACT, message, self.devnet.now_ms(), 15_000_000_000
        )
        self.devnet.chain.push(tx)
        await self.mine(2)
        return address_of(b"\x41" + keccak256(tx.txid + FAUCET)[-20:])

    async def token_transfer(self, token: Address, to: Address, units: int) -> None:
        """The faucet gives some of another token; in a block afterwards."""
        data = artifact("TestUSDT").call_data("transfer", to, units)
        self.devnet.chain.push(self._faucet_call(data, address_bytes(token)))
        await self.mine(2)

    def _faucet_call(self, data: bytes, contract: bytes | None = None) -> Any:
        message = MESSAGES["TriggerSmartContract"](
            owner_address=FAUCET,
            contract_address=contract or self.devnet.faucet.usdt,
            data=data,
        )
        return self.devnet.faucet._sign(
            TRIGGER_CONTRACT, message, self.devnet.now_ms(), 1_000_000_000
        )

    def headers(self, role: str = "operator", **claims: Any) -> dict[str, str]:
        now_s = to_ms(self.clock.now()) // 1000
        content = {
            "sub": "user-1",
            "role": role,
            "iss": "api-gateway",
            "aud": "tron-payment",
            "exp": now_s + 3600,
            **claims,
        }
        return {"Authorization": f"Bearer {jwt.encode(content, JWT_SECRET, algorithm='HS256')}"}

    async def get(self, path: str, *, role: str = "operator", **params: Any) -> httpx.Response:
        return await self.http.get(path, params=params, headers=self.headers(role))

    async def post(
        self, path: str, body: Any, *, role: str = "operator", key: str | None = ""
    ) -> httpx.Response:
        """`key` empty: a fresh one; None: no header."""
        headers = self.headers(role)
        if key == "":
            self.keys += 1
            key = f"key-of-the-test-{self.keys:06d}"
        if key is not None:
            headers["Idempotency-Key"] = key
        return await self.http.post(path, json=body, headers=headers)


@asynccontextmanager
async def world_of(
    mongo: Any,
    folder: Path,
    *,
    builders: Sequence[Any] = (network, wallets, usdt),
    documents: Sequence[type[Document]] = (),
    settings: dict[str, str] | None = None,
    parameters: tuple[tuple[str, int], ...] = (),
    second_node: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[World]:
    """Build and start an installation whose hot wallet has 10,000 TRX and 5,000 USDT."""
    devnet = Devnet(
        DevnetConfig(block_ms=0, seed="tests", start_ms=START_MS, parameters=parameters)
    )
    await devnet.start()
    await devnet.mine(30)
    clock = ManualClock(from_ms(devnet.chain.head.timestamp_ms))
    await mongo.connect([*DOCUMENTS, *documents])
    token = address_of(devnet.faucet.usdt)
    config = load(
        {
            "LUCID_ENV": "development",
            "TRON_NETWORK": "devnet",
            "HOT_WALLET_PRIVATE_KEY": HOT_KEY,
            "WALLET_ENCRYPTION_KEY": "7" * 64,
            "USDT_CONTRACT_ADDRESS": token,
            "VAR_DIR": str(folder),
            **(settings or {}),
        },
        secrets_dir=folder,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(devnet.asgi)) as node_http:
        clients = [NodeClient("devnet", "http://devnet", "http://devnet", ClientPool(node_http))]
        if second_node is not None:
            second = httpx.AsyncClient(transport=second_node)
            second_node.devnet = devnet
            clients.append(
                NodeClient("second", "http://second", "http://second", ClientPool(second))
            )
        nodes = Nodes(clients)
        house = await _house(devnet, clock, nodes, config, token)
        modules = [await package.build(house) for package in builders]
        handlers = [
            house.engine.on_block,
            *(each.on_block for each in modules if each.on_block is not None),
        ]
        follower = Follower(nodes, house.cursors, handlers)
        await follower.start_at()
        for module in modules:
            if module.start is not None:
                await module.start()
        app = create_http(
            [Router("/api/v1", route_handlers=list(each.routers)) for each in modules],
            authenticator=Authenticator(
                TrustAnchor(
                    issuer="api-gateway", audience="tron-payment", clock=clock, secret=JWT_SECRET
                )
            ),
            dependencies={
                "house": Provide(_always(house), sync_to_thread=False),
                **{
                    name: Provide(_always(value), sync_to_thread=False)
                    for each in modules
                    for name, value in each.dependencies.items()
                },
            },
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service/api/v1") as http:
            world = World(devnet, clock, house, follower, modules, http)
            await world.fund(world.hot, trx=10_000, usdt_units=5_000_000_000)
            await world.settle()
            yield world
    await devnet.stop()


async def _house(
    devnet: Devnet, clock: ManualClock, nodes: Nodes, config: Any, token: Address
) -> House:
    genesis = await nodes.check_genesis(None)
    ledger, cursors, inserts = Ledger(clock), MongoCursors(), GroupInsert()
    secret = b"s" * 32
    registry = usdt.build_tokens(config, token)
    signer = wallets.build_signer(config, clock)
    audit = Audit(clock)

    async def alarm(event: str, facts: Any) -> None:
        await audit.append(
            Act(actor="service", role="service", action=event, object_id="", after=facts)
        )

    machine = Engine(
        clock=clock,
        ledger=ledger,
        nodes=nodes,
        signer=signer,
        tokens=registry,
        cursors=cursors,
        inserts=inserts,
        alarm=alarm,
        lifetime_s=300,
    )
    house = House(
        settings=config,
        clock=clock,
        secret=secret,
        deployment=Deployment(genesis_id=genesis, usdt=token),
        nodes=nodes,
        cursors=cursors,
        ledger=ledger,
        engine=machine,
        openings=Openings(
            clock=clock, ledger=ledger, nodes=nodes, cursors=cursors, tokens=registry, alarm=alarm
        ),
        audit=audit,
        events=Events(),
        inserts=inserts,
        idempotency=Idempotency(secret, clock, inserts),
    )
    house.offer(registry)
    house.offer(signer)
    return house


def _always(value: Any) -> Any:
    def provide() -> Any:
        return value

    return provide

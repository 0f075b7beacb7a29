"""The whole service in the test's own process: real store, the devnet by hand, every module.

Loops do not run by themselves: `tick` makes blocks and lets everything that is due happen.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import jwt
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from tests.client_pool import ClientPool
from tests.conftest import Mongo
from tron_payment.app import DOCUMENTS, MOUNTS, assemble, create_app
from tron_payment.assembly import Assembly
from tron_payment.chain import MongoCursors, NodeClient, Nodes
from tron_payment.core.address import Address, address_bytes, address_of
from tron_payment.core.clock import from_ms
from tron_payment.core.money import parse_units
from tron_payment.db.connect import Store
from tron_payment.devnet import Devnet, DevnetConfig
from tron_payment.devnet.keys import address_of_key, base58check, sha256, sign
from tron_payment.http.api_keys import ApiKeys
from tron_payment.http.authentication import Authenticator
from tron_payment.http.rate_limits import Rate, RateClass, RateLimiter
from tron_payment.http.tokens import TrustAnchor
from tron_payment.module import Deployment
from tron_payment.settings import Network, Settings
from tron_payment.wallets import Wallets

START_MS = 1_795_173_600_000
SOLID_LAG = 18
JWT_SECRET = "a-secret-of-the-gateway-that-has-40-byte"
NOTICE_SECRET = "n" * 64
TREASURY_TRX = "100000"
TREASURY_USDT = "50000"
STEPS_MAX = 5_000
API = "/api/v1"
SERVED = ("wallets", "usdt", "staking", "payouts", "gateway", "checkout")
"""Modules whose routes most tests call."""


class Payer:
    """Somebody outside, with a key of their own."""

    def __init__(self, number: int) -> None:
        self.key = number.to_bytes(32, "big")
        self.raw = address_of_key(self.key)
        self.address = Address(base58check(self.raw))


class DevnetClock:
    """The time of the devnet's head, and a little more for every question."""

    def __init__(self, devnet: Devnet) -> None:
        self._devnet = devnet
        self.skew = timedelta()

    def now(self) -> Any:
        return from_ms(self._devnet.now_ms()) + self.skew


def settings(**changes: Any) -> Settings:
    options = {
        "lucid_env": "development",
        "tron_network": Network.DEVNET,
        "public_base_url": "https://pay.example",
        "wallet_encryption_key": SecretStr("11" * 32),
        "kyc_attestation_private_key": SecretStr("22" * 32),
        "jwt_secret_key": SecretStr(JWT_SECRET),
        "payment_webhook_secret": SecretStr(NOTICE_SECRET),
        "var_dir": Path("/nonexistent"),
    }
    return Settings(**(options | changes))


@dataclass
class World:
    devnet: Devnet
    nodes: Nodes
    store: Store
    assembly: Assembly
    chain: httpx.AsyncClient
    http: httpx.AsyncClient
    options: Settings
    clock: DevnetClock
    treasury: Address = field(default=Address(""))
    keys: int = 0
    quiet: frozenset[str] = frozenset()
    """Loops that `work` leaves alone besides QUIET and `unused`."""

    unused: frozenset[str] = frozenset()
    """Those that would find nothing here, whatever a test does."""

    @property
    def house(self) -> Any:
        return self.assembly.house

    def service(self, kind: Any) -> Any:
        return self.house.use(kind)

    # ---- the chain -----------------------------------------------------------------------------

    async def fund(self, address: str, amount: str, currency: str = "TRX") -> str:
        """Money from the faucet; it stands in the next block."""
        answer = await self.chain.post(
            "/devnet/faucet", json={"address": address, "amount": amount, "currency": currency}
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["txid"])

    async def pay(self, payer: Payer, to: str, amount: str, currency: str = "USDT") -> str:
        """A payment signed by somebody outside; it stands in the next block."""
        if currency == "TRX":
            built = await self._wallet(
                "createtransaction",
                owner_address=payer.raw.hex(),
                to_address=address_bytes(Address(to)).hex(),
                amount=parse_units(6, amount),
            )
        else:
            data = _word(to) + f"{parse_units(6, amount):064x}"
            built = await self.call(payer, self.usdt, "a9059cbb" + data)
        return await self.send(payer, built)

    async def call(self, payer: Payer, contract: str, data: str, value_sun: int = 0) -> Any:
        built = await self._wallet(
            "triggersmartcontract",
            owner_address=payer.raw.hex(),
            contract_address=address_bytes(Address(contract)).hex(),
            data=data,
            fee_limit=1_000_000_000,
            call_value=value_sun,
        )
        return built["transaction"]

    async def send(self, payer: Payer, transaction: dict[str, Any]) -> str:
        digest = sha256(bytes.fromhex(transaction["raw_data_hex"]))
        signed = transaction | {"signature": [sign(payer.key, digest).hex()]}
        answer = await self._wallet("broadcasttransaction", **signed)
        assert answer.get("result"), answer
        return str(transaction["txID"])

    @property
    def usdt(self) -> Address:
        return Address(self.house.deployment.usdt)

    async def _wallet(self, path: str, **body: Any) -> Any:
        return (await self.chain.post(f"/wallet/{path}", json=body)).json()

    # ---- time ----------------------------------------------------------------------------------

    async def tick(self, blocks: int = 1) -> None:
        """Some blocks pass, and everything that is due is done."""
        for _ in range(blocks):
            await self.devnet.mine()
            await self.work()

    async def solidify(self) -> None:
        """Everything that stands in a block now becomes final, and we hear of it."""
        await self.devnet.mine(SOLID_LAG + 2)
        await self.work()

    async def wait(self, seconds: int) -> None:
        """Chain time passes without blocks, then it is final."""
        await self.devnet.mine(skip_ms=seconds * 1000)
        await self.solidify()
        await self.work()  # what was called off is looked at again

    async def work(self) -> None:
        """Each loop goes on while it finds something, all of them until none does.

        What a loop does without saying so (it returns False) others see at the next work.
        """
        left = QUIET | self.quiet | self.unused
        loops = [each for each in self.assembly.loops.all if each.name not in left]
        steps, idle = 0, 0
        for loop in cycle(loops):
            idle += 1
            while await loop.step():
                steps, idle = steps + 1, 0
                assert steps < STEPS_MAX, f"something is due for ever: {loop.name}"
            if idle >= len(loops):
                return

    # ---- HTTP ----------------------------------------------------------------------------------

    def bearer(self, role: str = "operator", sub: str = "op-1", **claims: Any) -> dict[str, str]:
        content = {
            "sub": sub,
            "role": role,
            "iss": "api-gateway",
            "aud": "tron-payment",
            "exp": int((self.clock.now() + timedelta(hours=1)).timestamp()),
        } | claims
        return {"Authorization": f"Bearer {jwt.encode(content, JWT_SECRET, algorithm='HS256')}"}

    async def post(
        self, path: str, body: Any, *, role: str = "merchant", sub: str = "shop-1", key: str = ""
    ) -> httpx.Response:
        self.keys += 1
        headers = self.bearer(role, sub) | {"Idempotency-Key": key or f"test-key-{self.keys:012}"}
        return await self.http.post(API + path, json=body, headers=headers)

    async def get(
        self, path: str, *, role: str = "merchant", sub: str = "shop-1"
    ) -> httpx.Response:
        return await self.http.get(API + path, headers=self.bearer(role, sub))

    async def invoice(self, amount: str = "25", currency: str = "USDT", **more: Any) -> Any:
        answer = await self.post(
            "/payments/process",
            {"kind": "invoice", "amount": amount, "currency": currency, **more},
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def payment(self, payment_id: str) -> Any:
        answer = await self.get(f"/payments/{payment_id}", role="operator", sub="op-1")
        assert answer.status_code == 200, answer.text
        return answer.json()


QUIET = {
    *("gateway.reconcile", "gateway.deliver"),
    *("network.drift", "network.certify", "wallets.scan", "usdt.token_openings"),
}
"""Loops that tests step themselves, or that have nothing to do with what tests do here."""

PAYING_OUT = frozenset({
    *("payouts.batches", "payouts.days", "payouts.schedules", "payouts.screen", "payouts.sweep"),
    *("usdt.sweep", "staking.sweep", "wallets.addresses"),
})  # fmt: skip
"""Those that find nothing where nobody is paid out."""

TAKING_IN = frozenset(
    f"gateway.{each}" for each in ("export", "hints", "refunds", "sweep", "track")
)
"""And those where nothing is taken in."""


def _word(address: str) -> str:
    return address_bytes(Address(address))[1:].rjust(32, b"\0").hex()


def somebody(seed: int) -> Address:
    """An address that nobody has the key of."""
    return address_of(b"\x41" + seed.to_bytes(20, "big"))


@asynccontextmanager
async def world(
    mongo: Mongo,
    *,
    whole: bool = False,
    unused: frozenset[str] = PAYING_OUT,
    **changes: Any,
) -> AsyncIterator[World]:
    """A fresh chain and a fresh installation with a funded treasury.

    Args:
        whole: Serve every module at every path, not only what most tests call: a second's work.
        unused: Loops that need not run.
        changes: Settings.
    """
    devnet = Devnet(DevnetConfig(block_ms=0, seed="gateway", start_ms=START_MS))
    await devnet.start()
    await devnet.mine(SOLID_LAG + 5)
    try:
        async with _house(mongo, devnet, settings(**changes), whole) as made:
            made.unused = unused
            await _treasury(made)
            yield made
    finally:
        await devnet.stop()


@asynccontextmanager
async def again(mongo: Mongo, before: World) -> AsyncIterator[World]:
    """A new process on the same store and chain."""
    async with _house(mongo, before.devnet, before.options) as made:
        made.treasury = before.treasury
        made.house.use(Wallets).default_address = before.treasury
        made.keys, made.quiet, made.unused = before.keys, before.quiet, before.unused
        yield made


@asynccontextmanager
async def _house(
    mongo: Mongo, devnet: Devnet, options: Settings, whole: bool = False
) -> AsyncIterator[World]:
    store = await mongo.connect(DOCUMENTS)
    clock = DevnetClock(devnet)
    transport = httpx.ASGITransport(devnet.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://devnet.example") as chain:
        node = NodeClient(
            "node-1",
            "http://devnet.example",
            "http://devnet.example",
            ClientPool(chain),
            SecretStr(""),
            15,
        )
        nodes = Nodes([node])
        genesis_id = await nodes.check_genesis(None)
        info = (await chain.get("/devnet/info")).json()
        assembly = await assemble(
            options,
            clock=clock,
            secret=b"s" * 32,
            nodes=nodes,
            cursors=MongoCursors(),
            deployment=Deployment(genesis_id=genesis_id, usdt=Address(info["usdt_contract"])),
            store=store,
        )
        for module in assembly.modules:
            if module.start is not None:
                await module.start()
        async with _front(assembly, clock, whole) as http:
            yield World(devnet, nodes, store, assembly, chain, http, options, clock)
        assembly.follower.close()


def _front(assembly: Assembly, clock: DevnetClock, whole: bool) -> httpx.AsyncClient:
    """A client of the service; `whole`: with every module at every path."""
    keys = ApiKeys(clock)
    anchor = TrustAnchor(
        issuer="api-gateway",
        audience="tron-payment",
        clock=clock,
        secret=JWT_SECRET.encode(),
    )
    served = tuple(each for each in assembly.modules if whole or each.name in SERVED)
    app = create_app(
        replace(assembly, modules=served),
        authenticator=Authenticator(anchor, keys=keys),
        keys=keys,
        checks={},
        registry=CollectorRegistry(),
        limiter=RateLimiter({each: Rate(10_000, 50_000) for each in RateClass}),
        mounts=MOUNTS if whole else {name: paths[:1] for name, paths in MOUNTS.items()},
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="https://pay.example")


async def _treasury(made: World) -> None:
    wallets: Wallets = made.house.use(Wallets)
    wallet = await wallets.ensure(None, "treasury")
    made.treasury = wallets.default_address = Address(wallet.address)
    await made.work()
    await made.fund(wallet.address, TREASURY_TRX)
    await made.devnet.mine()
    await made.fund(wallet.address, TREASURY_USDT, "USDT")
    await made.solidify()

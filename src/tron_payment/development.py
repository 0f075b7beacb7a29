"""The development mode: a MongoDB and a TRON node as children, secrets, money and contracts.

Nothing here exists in production. Every step finds what an earlier start has made, so starting
again, or after a kill in the middle, goes on where it was.
"""

import asyncio
import secrets
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import structlog
from coincurve import PrivateKey
from litestar import Litestar
from pydantic import SecretStr

from tron_payment import logs, ports
from tron_payment.chain import all_of, both
from tron_payment.contracts import ContractName, signer_address
from tron_payment.core.address import Address, parse_address
from tron_payment.core.errors import Unavailable
from tron_payment.core.money import TRX, USDT, decimal_text
from tron_payment.db.child import Child
from tron_payment.db.embedded import EmbeddedMongod
from tron_payment.db.ledger import Pocket
from tron_payment.engine import balance_of
from tron_payment.loops import end
from tron_payment.settings import Network, Settings
from tron_payment.wallets import Wallets
from tron_payment.welcome import announce

if TYPE_CHECKING:
    from tron_payment.assembly import Assembly

SECRET_BYTES: Final = 32
TREASURY: Final = "treasury"
"""The wallet that pays by default on a devnet of our own."""

TREASURY_TRX_UNITS: Final = 1_000_000 * 10**6
TREASURY_USDT_UNITS: Final = 1_000_000 * 10**6
ROUTER_USDT_UNITS: Final = 1_000_000 * 10**6
DEPLOYER_TRX_UNITS: Final = 10_000 * 10**6
HISTORY_BLOCKS: Final = 240
"""A new devnet's quick first blocks: enough for wallets, routers and books to be solidified."""

CALL_S: Final = 10.0
POLL_S: Final = 0.1
RETRY_S: Final = 1.0
LOOPBACK: Final = "127.0.0.1"
NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody, and spares reading the system's authorities for each call to our own child."""
CHILD_PATIENCE_S: Final = 60.0
DEVELOPMENT_SECRETS: Final = (
    "wallet_encryption_key",
    "jwt_secret_key",
    "kyc_attestation_private_key",
    "payment_webhook_secret",
    "audit_signing_key",
)

log = structlog.get_logger()


def with_secrets(settings: Settings) -> Settings:
    """Settings with a secret for everything that was not given; made once, kept in `var`."""
    folder = settings.var_dir / "dev-secrets"
    made: dict[str, SecretStr] = {}
    for name in DEVELOPMENT_SECRETS:
        if not getattr(settings, name).get_secret_value():
            made[name] = SecretStr(_kept_secret(folder / name))
    return settings.model_copy(update=made)


def secrets_made(settings: Settings) -> bool:
    """Whether it is known already who signs the callers' tokens: given, or made at a start."""
    given = settings.jwt_secret_key.get_secret_value()
    return bool(given) or (settings.var_dir / "dev-secrets" / "jwt_secret_key").exists()


def _kept_secret(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(SECRET_BYTES))
        draft.rename(path)
    return path.read_text().strip()


class DevnetUnavailable(Unavailable, code="devnet_unavailable"):
    """The development mode's own chain does not start."""


@dataclass(slots=True)
class Children:
    """The servers that the development mode runs, and the settings that point to them."""

    settings: Settings
    devnet_url: str | None

    @classmethod
    @asynccontextmanager
    async def of(cls, settings: Settings) -> AsyncIterator["Children"]:
        """Start what is not configured elsewhere; stop it at the end."""
        print("Starting: up to a minute the first time, more on a slow machine ...", flush=True)
        if settings.level == "INFO":
            logs.set_level("WARNING")  # a person waits: the lines begin when everything stands
        async with AsyncExitStack() as stack:
            devnet_url = None
            waits: list[Coroutine[Any, Any, Any]] = []
            if settings.tron_network is Network.DEVNET:
                devnet_url = settings.node_urls[0]
                if not (settings.tron_node_url or settings.tron_full_node_url):
                    waits.append(_run_devnet(settings, stack))
            if not settings.mongo_uri.get_secret_value():
                waits.append(_run_mongod(settings, stack))
            for found in await all_of(waits):
                if isinstance(found, SecretStr):
                    settings = settings.model_copy(update={"mongodb_uri": found})
            yield cls(settings, devnet_url)


async def _run_mongod(settings: Settings, stack: AsyncExitStack) -> SecretStr:
    server = EmbeddedMongod(settings.var_dir / "mongodb", settings.embedded_mongo_port)
    uri = await server.start()
    stack.push_async_callback(server.stop)
    _supervised(stack, server.supervise())
    return SecretStr(uri)


async def _run_devnet(settings: Settings, stack: AsyncExitStack) -> None:
    argv = [
        sys.executable,
        "-m",
        "tron_payment.devnet",
        *("--port", str(settings.devnet_port)),
        *("--block-ms", str(settings.devnet_block_ms)),
        *("--data", str(settings.var_dir / "devnet")),
        *("--history-ms", str(HISTORY_BLOCKS * settings.devnet_block_ms)),
    ]
    for port in (settings.devnet_port, settings.devnet_port + 1):  # full and solidity node
        await ports.free(LOOPBACK, port, "DEVNET_PORT")
    keeper = _Keeper(argv)
    keeper.start()
    stack.push_async_callback(keeper.stop)
    _supervised(stack, keeper.supervise())
    deadline = asyncio.get_running_loop().time() + CHILD_PATIENCE_S
    while True:
        try:
            await _devnet("GET", settings.node_urls[0], "/devnet/info")
            return
        except (httpx.HTTPError, ValueError) as error:
            if asyncio.get_running_loop().time() > deadline:
                said = keeper.died or f"it is silent for {CHILD_PATIENCE_S:.0f} s"
                raise DevnetUnavailable(f"the devnet does not start: {said}") from error
            await asyncio.sleep(POLL_S / 2)


class _Keeper:
    """Keeps a child running until it is told to stop."""

    def __init__(self, argv: list[str]) -> None:
        self._argv = argv
        self._child: Child | None = None
        self._stopping = False
        self.died: str | None = None
        """What a child said last, of those that ended by themselves."""

    def start(self) -> None:
        self._child = Child(self._argv, None)

    async def supervise(self) -> None:
        while not self._stopping:
            assert self._child is not None
            await self._child.gone.wait()
            if self._stopping:
                return
            self.died = self._child.last_words()
            log.error("devnet.died", reason=self.died)
            await asyncio.sleep(POLL_S)
            self.start()

    async def stop(self) -> None:
        self._stopping = True
        if self._child is not None:
            await self._child.stop()


def _supervised(stack: AsyncExitStack, work: Any) -> None:
    stack.push_async_callback(end, asyncio.create_task(work))


async def devnet_usdt(settings: Settings) -> Address:
    """Where the devnet's test USDT is; it is deployed in the first blocks."""
    async with asyncio.timeout(CHILD_PATIENCE_S):
        while True:
            info = await _devnet("GET", settings.node_urls[0], "/devnet/info")
            if info.get("usdt_contract"):
                return parse_address(info["usdt_contract"])
            await asyncio.sleep(POLL_S)


async def _devnet(method: str, base: str, path: str, body: Any = None) -> dict[str, Any]:
    async with httpx.AsyncClient(
        base_url=base, timeout=CALL_S, trust_env=False, verify=NO_TLS
    ) as client:
        answer = await client.request(method, path, json=body)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


class NotPrepared(Exception):
    """The development mode is still making its wallets and contracts."""


class Preparation:
    """Wallets with money and routers on the devnet, made while the service is already up."""

    def __init__(self, assembly: "Assembly", children: Children) -> None:
        self._assembly = assembly
        self._house = assembly.house
        self._devnet_url = children.devnet_url
        self._done = asyncio.Event()
        self._step = "starting"
        self._trouble = ""

    async def check(self) -> None:
        """For `/health/ready`."""
        if not self._done.is_set():
            raise NotPrepared(self._step + self._trouble)

    @asynccontextmanager
    async def lifespan(self, _: Litestar) -> AsyncIterator[None]:
        """Prepare in the background while the application is up."""
        task = asyncio.create_task(self._prepare_patiently())
        try:
            yield
        finally:
            await end(task)

    async def _prepare_patiently(self) -> None:
        await self.repeat()
        await announce(self._assembly)
        logs.set_level(self._house.settings.level)

    async def repeat(self) -> None:
        """Prepare until it is done. Each step finds what an earlier try has made, so whatever
        went wrong is told and tried again: nobody else would notice that a start stands still."""
        while not self._done.is_set():
            try:
                await self._prepare()
            except Exception as error:
                self._trouble = f": {type(error).__name__}: {error}"
                log.warning("development.retried", step=self._step, error=type(error).__name__)
                await asyncio.sleep(RETRY_S)

    async def _prepare(self) -> None:
        wallets = self._house.use(Wallets)
        if self._devnet_url is not None:
            treasury = await wallets.ensure(None, TREASURY)
            deployer = await wallets.ensure(None, "deployer", category="contracts")
            wallets.default_address = wallets.default_address or Address(treasury.address)
            operator, owner = Address(treasury.address), Address(deployer.address)
            self._step = "funding the wallets"
            await all_of(
                [
                    self._fund(operator, TRX.code, TREASURY_TRX_UNITS),
                    self._fund(operator, USDT.code, TREASURY_USDT_UNITS),
                    self._fund(owner, TRX.code, DEPLOYER_TRX_UNITS),
                ]
            )
            await self._routers(deployer.id, owner, operator)
        for prepare in self._assembly.preparations:
            self._step = prepare.__name__
            await prepare()
        self._done.set()

    async def _fund(self, address: Address, asset: str, units: int) -> None:
        """Once, from the devnet's faucet: an address that ever had this asset is left alone."""
        if await self._has(address, asset):
            return
        if not await self._on_chain(address, asset):
            await _devnet(
                "POST",
                self._devnet_url or "",
                "/devnet/faucet",
                {"address": address, "amount": decimal_text(units, 6), "currency": asset},
            )
        await self._until(lambda: self._has(address, asset))

    async def _has(self, address: Address, asset: str) -> bool:
        holdings = await self._house.ledger.holdings(address)
        return bool(sum(holdings.get(asset, {}).values())) or Pocket.RESERVED in holdings.get(
            asset, {}
        )

    async def _on_chain(self, address: Address, asset: str) -> bool:
        if asset == TRX.code:
            account = await self._house.nodes.account(address)
            return account is not None and account.balance_sun > 0
        usdt = self._house.deployment.usdt
        answer = await self._house.nodes.constant_call(address, usdt, balance_of(address))
        return int.from_bytes(answer.output[:32], "big") > 0

    async def _routers(self, wallet_id: str, owner: Address, operator: Address) -> None:
        deployment = self._house.deployment
        usdt = deployment.usdt
        compliance = _compliance_address(self._house.settings)
        roles = (usdt, owner, operator, operator)
        known = deployment.router_v0, deployment.router_kyc
        self._step = "deploying the routers"
        v0, kyc = await both(
            self._router(known[0], "PayoutRouterV0", roles, wallet_id, owner),
            self._router(known[1], "PayoutRouterKYC", (*roles, compliance), wallet_id, owner),
        )
        self._step = "funding the routers"
        await both(
            self._fund(v0, USDT.code, ROUTER_USDT_UNITS),
            self._fund(kyc, USDT.code, ROUTER_USDT_UNITS),
        )
        deployment.router_v0, deployment.router_kyc = v0, kyc

    async def _router(
        self,
        configured: Address | None,
        name: ContractName,
        arguments: tuple[object, ...],
        wallet_id: str,
        owner: Address,
    ) -> Address:
        if configured is not None:
            return configured
        deployments = self._assembly.deployments
        order_id = await deployments.deploy(name, arguments, wallet_id, owner)
        found: list[Address] = []

        async def deployed() -> bool:
            address = await deployments.address(order_id)
            found.extend([address] if address is not None else [])
            return bool(found)

        await self._until(deployed)
        await self._house.openings.open_fresh(found[:1])
        return found[0]

    async def _until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        while not await holds():  # noqa: ASYNC110 - another process's chain cannot wake us
            await asyncio.sleep(POLL_S)


def _compliance_address(settings: Settings) -> Address:
    key = settings.kyc_attestation_private_key.get_secret_value()
    return signer_address(PrivateKey(bytes.fromhex(key)))

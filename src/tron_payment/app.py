"""The whole house: which modules there are, where they are mounted, and who needs whom.

The only place that knows everybody. `assemble` builds the floors from below and the modules in
dependency order; `create_app` puts their routes under the prefixes of MOUNTS.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, Final

from beanie import Document
from litestar import Litestar, Router
from prometheus_client import CollectorRegistry

from tron_payment import (
    chain,
    console,
    deployments,
    devices,
    engine,
    gateway,
    network,
    payouts,
    staking,
    usdt,
    wallets,
)
from tron_payment.assembly import Assembly
from tron_payment.chain import APART_POLL_S, Apart, Cursors, Follower, Nodes, Quiet, SolidBlock
from tron_payment.core.clock import Clock
from tron_payment.db import ledger
from tron_payment.db.audit import Act, Audit, AuditEntry
from tron_payment.db.audit_heads import HeadSigner
from tron_payment.db.connect import Store
from tron_payment.db.events import Event, Events
from tron_payment.db.group import GroupInsert
from tron_payment.db.installation import Installation
from tron_payment.db.leases import Lease
from tron_payment.db.ledger import Ledger
from tron_payment.deployments import Deployments
from tron_payment.engine import Engine, Openings
from tron_payment.gateway import checkout
from tron_payment.http.api_key_routes import api_keys_router
from tron_payment.http.api_keys import ApiKey, ApiKeys
from tron_payment.http.app import HttpApp, Lifespan, create_http
from tron_payment.http.audit_routes import audit_router
from tron_payment.http.authentication import Authenticator
from tron_payment.http.given import always
from tron_payment.http.health import Check
from tron_payment.http.idempotency import Idempotency, StoredRequest
from tron_payment.http.journal import IDLE_S as JOURNAL_IDLE_S
from tron_payment.http.journal import Journal, PendingAct
from tron_payment.http.one_time import UsedToken
from tron_payment.http.rate_limits import RateLimiter
from tron_payment.http.shared_rates import RateBucket
from tron_payment.http.step_up import SecondFactor, StepUp
from tron_payment.http.step_up_routes import step_up_router
from tron_payment.loops import Loop, Loops
from tron_payment.module import Deployment, House, Module
from tron_payment.reload import Reloader
from tron_payment.service import service_routes
from tron_payment.settings import Network, Settings

MODULES: Final[Mapping[str, ModuleType]] = {
    "network": network,
    "wallets": wallets,
    "sign": wallets.browser,
    "usdt": usdt,
    "staking": staking,
    "payouts": payouts,
    "gateway": gateway,
    "checkout": checkout,
    "console": console,
}
"""In dependency order: a module uses only those above it. Each is a package with `DOCUMENTS` and
`async build(house) -> Module` (module.py)."""

CANONICAL: Final = "/api/v1"
MOUNTS: Final[Mapping[str, tuple[str, ...]]] = {
    "network": (CANONICAL, "/"),
    "wallets": (CANONICAL, "/tron"),
    "sign": ("/", CANONICAL),
    "usdt": (CANONICAL, "/tron"),
    "staking": (CANONICAL, "/tron"),
    "payouts": (CANONICAL, "/tron", "/"),
    "gateway": (CANONICAL,),
    "checkout": ("/",),
    "console": ("/",),
}
"""Canonical prefix first; the others are the gateway's older paths to the same handlers."""

FOLLOW_IDLE_S: Final = 0.5
FOLLOW_PUBLIC_IDLE_S: Final = 1.5
"""Public networks: a block comes every 3 s, and a node's plan counts each call."""

DOCUMENTS: Final[tuple[type[Document], ...]] = (
    Installation,
    AuditEntry,
    Event,
    Lease,
    *ledger.DOCUMENTS,
    *chain.DOCUMENTS,
    *engine.DOCUMENTS,
    *deployments.DOCUMENTS,
    StoredRequest,
    PendingAct,
    UsedToken,
    RateBucket,
    SecondFactor,
    ApiKey,
    *(document for package in MODULES.values() for document in package.DOCUMENTS),
)


async def assemble(
    settings: Settings,
    *,
    clock: Clock,
    secret: bytes,
    nodes: Nodes,
    cursors: Cursors,
    deployment: Deployment,
    store: Store,
) -> Assembly:
    """Build every floor and module on a connected store and reachable nodes."""
    inserts, books = GroupInsert(), Ledger(clock)
    log, news = Audit(clock), Events()
    journal = Journal(log, clock, inserts)
    token_registry = usdt.build_tokens(settings, deployment.usdt)
    signer = wallets.build_signer(settings, clock)

    async def alarm(event: str, facts: Mapping[str, object]) -> None:
        await log.append(
            Act(actor="service", role="service", action=event, object_id="", after=facts)
        )

    machine = Engine(
        clock=clock,
        ledger=books,
        nodes=nodes,
        signer=signer,
        tokens=token_registry,
        cursors=cursors,
        inserts=inserts,
        alarm=alarm,
        lifetime_s=settings.payout_timeout,
    )
    house = House(
        settings=settings,
        clock=clock,
        secret=secret,
        deployment=deployment,
        nodes=nodes,
        cursors=cursors,
        ledger=books,
        engine=machine,
        openings=Openings(
            clock=clock,
            ledger=books,
            nodes=nodes,
            cursors=cursors,
            tokens=token_registry,
            alarm=alarm,
        ),
        audit=log,
        events=news,
        inserts=inserts,
        idempotency=Idempotency(secret, clock, inserts, journal=journal),
    )
    house.offer(token_registry)
    house.offer(signer)
    modules = tuple([await package.build(house) for package in MODULES.values()])
    loops = Loops()

    async def wake(block: SolidBlock) -> None:
        if (await machine.watched.part(block)).transactions:
            loops.worked()

    handlers = [machine.on_block, *(m.on_block for m in modules if m.on_block is not None), wake]
    follower = Follower(nodes, cursors, handlers, quiet=_quiet(machine, modules))
    apart = Apart(nodes, clock, log)
    await apart.step()  # nothing is asked of a node that was outvoted before this start
    journal_loop = Loop("http.journal", journal.step, JOURNAL_IDLE_S, "payment-gateway")
    journal.wake = journal_loop.wake.set
    apart_loop = Loop("chain.apart", apart.step, APART_POLL_S, "tron-client", pulse=True)
    nodes.members.outvoted = apart_loop.wake.set
    loops.add(
        journal_loop,
        Loop(
            "chain.follow",
            follower.step,
            _follow_idle_s(settings),
            "tron-client",
            more=follower.has_more,
        ),
        apart_loop,
        Loop("engine.openings", house.openings.step, FOLLOW_IDLE_S, "payment-gateway"),
        *machine.loops,
        *(loop for module in modules for loop in module.loops),
        *devices.direct_loops(settings, house.use(wallets.SigningRequests)),
    )
    return Assembly(
        house=house,
        modules=modules,
        loops=loops,
        follower=follower,
        apart=apart,
        store=store,
        journal=journal,
        deployments=Deployments(machine, secret),
        preparations=tuple(m.prepare for m in modules if m.prepare is not None),
    )


def _quiet(machine: Engine, modules: Sequence[Module]) -> Quiet:
    """Blocks without an address of ours that every module lets pass."""
    passes = [module.passes for module in modules if module.passes is not None]

    async def quiet(blocks: Sequence[SolidBlock]) -> int:
        count = await machine.watched.quiet(blocks)
        for number, block in enumerate(blocks[:count]):
            if not all(lets_pass(block) for lets_pass in passes):
                return number
        return count

    return quiet


def create_app(
    assembly: Assembly,
    *,
    authenticator: Authenticator,
    keys: ApiKeys,
    checks: Mapping[str, Check],
    registry: CollectorRegistry,
    limiter: RateLimiter,
    lifespans: Sequence[Lifespan] = (),
    reloader: Reloader | None = None,
    mounts: Mapping[str, tuple[str, ...]] = MOUNTS,
) -> HttpApp:
    """Mount every module and the service's own routes; `mounts` is for those who need less."""
    house = assembly.house
    routers = [
        (_mount(module, mounts[module.name]), mounts[module.name]) for module in assembly.modules
    ]
    objects = {
        "house": house,
        **{name: o for module in assembly.modules for name, o in module.dependencies.items()},
    }

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        for module in assembly.modules:
            if module.start is not None:
                await module.start()
        assembly.loops.start()
        try:
            yield
        finally:
            await assembly.loops.stop()
            for module in assembly.modules:
                if module.stop is not None:
                    await module.stop()

    step_up = StepUp(
        house.clock,
        wallets.build_sealing(house.settings),
        house.audit,
        required=house.settings.step_up_required,
    )
    signing_key = house.settings.audit_signing_key.get_secret_value()
    audit_routes = audit_router(house.audit, house.clock, HeadSigner.of(signing_key))
    return create_http(
        [
            *(router for router, _ in routers),
            _Mount(
                CANONICAL,
                route_handlers=[api_keys_router(keys), audit_routes, step_up_router(step_up)],
            ),
            *service_routes(assembly, checks, registry, reloader),
        ],
        authenticator=authenticator,
        dependencies={name: always(each) for name, each in objects.items()},
        limiter=limiter,
        step_up=step_up,
        journal=assembly.journal,
        registry=registry,
        lifespan=[lifespan, *lifespans],
        further=[
            (router, [prefix for prefix in prefixes if prefix != router.path])
            for router, prefixes in routers
        ],
        open_schema=house.settings.is_development,
    )


def _mount(module: Module, prefixes: Sequence[str]) -> Router:
    """The module's handlers at their canonical path, or at the first they have."""
    path = CANONICAL if CANONICAL in prefixes else prefixes[0]
    return _Mount(
        path=path, route_handlers=list(module.routers), include_in_schema=path == CANONICAL
    )


class _Mount(Router):
    """Made for one application, so Litestar need not copy it: a quarter of what that takes."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Mount":
        return self


def _follow_idle_s(settings: Settings) -> float:
    """Half of the time between two blocks, where that is our own setting."""
    if settings.tron_network is Network.DEVNET:
        half_s = settings.devnet_block_ms / 2_000
        return min(max(half_s, FOLLOW_IDLE_S), FOLLOW_PUBLIC_IDLE_S)
    return FOLLOW_IDLE_S if settings.tron_network is Network.PRIVATE else FOLLOW_PUBLIC_IDLE_S

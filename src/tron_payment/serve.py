"""Runs the service: children first (development), then the store, the nodes, the house, HTTP.

Everything that is started here is stopped here, in reverse order; any kill in between is safe.
"""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import structlog
import uvicorn
from litestar import Litestar

from tron_payment import configuration, development, logs, ports, wallets
from tron_payment.app import DOCUMENTS, assemble, create_app
from tron_payment.assembly import Assembly, take_turns
from tron_payment.auditing import Auditing
from tron_payment.chain import MongoCursors, NodeClient, Nodes, node_pool
from tron_payment.core.address import parse_address
from tron_payment.core.clock import Clock, SystemClock
from tron_payment.core.errors import Unavailable
from tron_payment.db import installation
from tron_payment.db.audit_heads import EXPORT_EVERY_S, HeadExport, HeadSigner
from tron_payment.db.connect import Store, make_indexes, open_beside, open_store, see_indexes
from tron_payment.http.api_keys import ApiKeys
from tron_payment.http.authentication import Authenticator
from tron_payment.http.health import Check
from tron_payment.http.one_time import UsedTokens
from tron_payment.http.server import Server
from tron_payment.http.shared_rates import MongoBuckets
from tron_payment.http.tokens import TrustAnchor, pinned_keys
from tron_payment.http.transport import BoundedProtocol
from tron_payment.keeping import Keeping
from tron_payment.loops import Loop
from tron_payment.measuring import Measuring
from tron_payment.metrics import Figures, MongoWatch, make_registry, watch_mongo
from tron_payment.module import Deployment
from tron_payment.reload import ChangingLimiter, Reloader, rates
from tron_payment.service import VERSION
from tron_payment.settings import GENESIS_IDS, Settings
from tron_payment.telemetry import Spans

NODE_RETRY_S: Final = 0.2
NODE_PATIENCE_S: Final = 60.0
KNOWN_PATIENCE_S: Final = 10.0
"""The same where the store knows its chain: then the service can stand without a node."""

NODE_TOLD_S: Final = 10.0
"""Between two lines in the log that say that no node answers yet."""

STOP_DEADLINE_S: Final = 15
JOURNAL_SUFFIX: Final = "_signer"
"""The signer's journal is a database of its own, never restored together with the orders."""

log = structlog.get_logger()


class NotSettled(Exception):
    """A readiness check that does not hold yet."""


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        Unavailable: A port is taken, or the store or the nodes are not there.
    """
    terminal = settings.is_development and sys.stderr.isatty()
    logs.configure(json=not terminal, level=settings.level)
    await ports.free(settings.listen_host, settings.port, "PORT")
    mongo = watch_mongo()
    async with AsyncExitStack() as stack:
        children = None
        if settings.is_development:
            settings = development.with_secrets(settings)
            children = await stack.enter_async_context(development.Children.of(settings))
            settings = children.settings
        assembly = await stack.enter_async_context(running(settings, serves=True))
        server = Server(http_config(_application(assembly, children, mongo), settings))
        _stop_on_signals(server)
        gc.freeze()  # what stands by now stays: looking through it again took half of following
        gc.enable()
        await server.serve()


def http_config(application: Litestar, settings: Settings) -> uvicorn.Config:
    """How the application is served; a stop gives its requests `STOP_DEADLINE_S` to end."""
    return uvicorn.Config(
        application,
        host=settings.listen_host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        http=BoundedProtocol,
        ws="none",
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=STOP_DEADLINE_S,
        loop="none",
    )


@asynccontextmanager
async def running(settings: Settings, *, serves: bool = False) -> AsyncIterator[Assembly]:
    """The assembled service on its store and nodes; loops not yet started.

    Args:
        serves: It is the service itself: it brings an older store forward, makes its indexes, and
            stands where no node answers, too, if the store knows its chain. A command begins a
            new database, and refuses one in the shape of another release.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        uri = settings.mongo_uri.get_secret_value()
        ours = [model for model in DOCUMENTS if model not in wallets.JOURNAL_DOCUMENTS]
        store = await open_store(uri, settings.payment_db_name, ours)
        stack.push_async_callback(store.close)
        begins = not serves and not await installation.refuse_other(store.database)
        kept_by_signers = wallets.JOURNAL_DOCUMENTS
        if own_uri := settings.signer_journal_uri.get_secret_value():
            journal = await open_store(
                own_uri, settings.payment_db_name + JOURNAL_SUFFIX, kept_by_signers
            )
            stack.push_async_callback(journal.close)
        else:
            journal = await open_beside(
                store, settings.payment_db_name + JOURNAL_SUFFIX, kept_by_signers
            )
        nodes = await nodes_of(settings, stack)
        expected = settings.tron_network_id or GENESIS_IDS.get(settings.tron_network)
        genesis_id = await _chain(nodes, expected, needs_nodes=not serves)
        kept = ((store, ours), (journal, kept_by_signers))
        if begins:  # its indexes first: after a crash in between it is new still
            for each, documents in kept:
                await make_indexes(each, documents)
        installed = await installation.load(genesis_id, clock, migrates=serves)
        for each, documents in kept:
            await (make_indexes if serves else see_indexes)(each, documents)
        assembly = await assemble(
            settings,
            clock=clock,
            secret=installed.secret,
            nodes=nodes,
            cursors=MongoCursors(),
            deployment=await _deployment(settings, genesis_id),
            store=store,
        )
        stack.callback(assembly.follower.close)
        yield assembly


def authenticator(settings: Settings, clock: Clock, keys: ApiKeys) -> Authenticator:
    """Who is believed: the configured secret or key set, and our API keys."""
    secret = settings.jwt_secret_key.get_secret_value()
    anchor = TrustAnchor(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        clock=clock,
        secret=secret.encode() if secret else None,
        keys=pinned_keys(Path(settings.jwt_jwks_file)) if settings.jwt_jwks_file else None,
    )
    return Authenticator(
        anchor, keys=keys, one_time=UsedTokens() if settings.jwt_one_time else None
    )


def _application(
    assembly: Assembly, children: development.Children | None, mongo: MongoWatch
) -> Litestar:
    house, settings = assembly.house, assembly.house.settings
    figures = Figures()
    assembly.loops.add(*Measuring(assembly, figures, VERSION).loops)
    if settings.otel_exporter_otlp_endpoint:
        spans = Spans(settings.otel_exporter_otlp_endpoint, settings.service_name, VERSION)
        logs.watchers.append(spans)
        assembly.loops.add(*spans.loops)
    assembly.loops.add(*Auditing(house.audit, house.clock, figures).loops)
    keeping = Keeping(house.clock, settings.retention_days)
    assembly.loops.add(*keeping.loops)
    if signer := HeadSigner.of(settings.audit_signing_key.get_secret_value()):
        export = HeadExport(house.audit, house.clock, signer)
        assembly.loops.add(Loop("audit.export", export.step, EXPORT_EVERY_S, "payment-gateway"))
    checks: dict[str, Check] = {
        "store": lambda: _writable(assembly.store),
        "follower": lambda: _following(assembly),
    }
    lifespans = [take_turns(assembly, f"{socket.gethostname()}:{settings.port}")]
    if children is not None:
        preparation = development.Preparation(assembly, children)
        checks["development"] = preparation.check
        lifespans.append(preparation.lifespan)
    keys = ApiKeys(house.clock, house.audit)
    buckets = MongoBuckets() if settings.shares_rates else None
    limiter = ChangingLimiter(rates(settings), buckets)
    return create_app(
        assembly,
        authenticator=authenticator(settings, house.clock, keys),
        keys=keys,
        checks=checks,
        registry=make_registry(figures, mongo),
        limiter=limiter,
        reloader=Reloader(settings, limiter, _loading(settings)),
        lifespans=lifespans,
    )


def _loading(started: Settings) -> Callable[[], Settings]:
    """Reads the configuration again; in development with what the start has added."""
    added = {
        name: getattr(started, name)
        for name in (*development.DEVELOPMENT_SECRETS, "mongodb_uri")
        if started.is_development
    }
    return lambda: configuration.load().model_copy(update=added)


async def nodes_of(settings: Settings, stack: AsyncExitStack) -> Nodes:
    """The configured nodes, each on connections of its own; closed with the stack."""
    clients = []
    pairs = zip(settings.node_urls, settings.solidity_urls, strict=True)
    for number, (full, solidity) in enumerate(pairs, 1):
        alias = f"node-{number}"
        pool = node_pool(settings.node_proxy, alias)
        stack.push_async_callback(pool.aclose)
        clients.append(
            NodeClient(
                alias,
                full,
                solidity,
                pool,
                settings.tron_node_api_key,
                settings.node_deadline_s,
            )
        )
    outvotes = settings.node_dissent == "set_apart"
    return Nodes(clients, settings.node_agreement, outvotes=outvotes)


async def _chain(nodes: Nodes, expected: str | None, needs_nodes: bool) -> str:
    """The genesis id, by a node, or where none answers and none is needed by the store.

    Each node that answers later is asked for it before anything else, and left alone when it is of
    another chain. A process that starts while nodes are away is ready as those that run are.
    """
    with suppress(Unavailable):
        return await nodes.check_genesis(expected)
    known = None if needs_nodes else await installation.known_genesis()
    try:
        within_s = NODE_PATIENCE_S if known is None else KNOWN_PATIENCE_S
        return await _patiently(nodes, expected, within_s)
    except Unavailable:
        if known is None:
            raise
    log.warning("nodes.away", detail="the service starts all the same and awaits them")
    nodes.members.genesis_id = expected or known
    return expected or known


async def _patiently(nodes: Nodes, expected: str | None, patience_s: float) -> str:
    """The genesis id, once a node answers; nodes and proxies may start later than we do."""
    now = asyncio.get_running_loop().time
    deadline, told_at = now() + patience_s, -NODE_TOLD_S
    while True:
        try:
            return await nodes.check_genesis(expected)
        except Unavailable as error:
            if now() > deadline:
                raise
            if now() - told_at >= NODE_TOLD_S:
                told_at = now()
                log.info("nodes.awaited", detail=error.detail)
            await asyncio.sleep(NODE_RETRY_S)


async def _deployment(settings: Settings, genesis_id: str) -> Deployment:
    usdt = settings.usdt_contract
    if usdt is None:
        usdt = await development.devnet_usdt(settings)
    v0, kyc = settings.payout_router_v0_address, settings.payout_router_kyc_address
    return Deployment(
        genesis_id=genesis_id,
        usdt=usdt,
        router_v0=parse_address(v0) if v0 else None,
        router_kyc=parse_address(kyc) if kyc else None,
    )


async def _writable(store: Store) -> None:
    if not await store.ping():
        raise NotSettled("no writable primary")


async def _following(assembly: Assembly) -> None:
    if assembly.follower.status().halted:
        raise NotSettled("the follower has halted on a contradiction")


def _stop_on_signals(server: Server) -> None:
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, server.end)

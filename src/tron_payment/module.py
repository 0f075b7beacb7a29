"""What a module is, and the house that it is built into.

Every module is a package with the same rooms: `__init__` (public names, `DOCUMENTS`, `build`),
`domain` (pure), `documents` (shape, indexes, every query), `service` (use cases), `routes`
(HTTP). `build(house)` wires it and answers a `Module`; a module may use the packages of those
built before it, by `house.use(ThatService)`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from litestar.handlers import HTTPRouteHandler
from litestar.router import Router

from tron_payment.chain import Cursors, Nodes, SolidBlock
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock
from tron_payment.db.audit import Audit
from tron_payment.db.events import Events
from tron_payment.db.group import GroupInsert
from tron_payment.db.ledger import Ledger
from tron_payment.engine import Engine, Openings
from tron_payment.http.idempotency import Idempotency
from tron_payment.loops import Loop
from tron_payment.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One module, built."""

    name: str
    """Under `/api/v1`: its paths are in its routers."""

    service: str
    """Its name among the six former services, for `/…/stats` and `/restart/…`."""

    routers: tuple[Router | type[Any] | HTTPRouteHandler, ...] = ()
    """Relative to the canonical prefix `/api/v1`; app.py mounts the older paths too."""

    dependencies: Mapping[str, Any] = field(default_factory=dict)
    """Objects that handlers ask for by name."""

    loops: tuple[Loop, ...] = ()
    on_block: Callable[[SolidBlock], Awaitable[None]] | None = None
    """Called for each solidified block after the engine has applied it. Blocks without an address
    of ours may be left out when others are at hand that follow them, if `passes` agrees."""

    passes: Callable[[SolidBlock], bool] | None = None
    """Look at a block without an address of ours that may be left out; False: let `on_block` have
    it. A module without it lives by our addresses and by the time of the newest block."""

    start: Callable[[], Awaitable[None]] | None = None
    """Once, before requests are served: idempotent preparations."""

    stop: Callable[[], Awaitable[None]] | None = None
    """Once, after its loops have ended: ends what they left under way."""

    prepare: Callable[[], Awaitable[None]] | None = None
    """In development, once the devnet's wallets and contracts stand: examples to look at."""

    stats: Callable[[], Awaitable[Mapping[str, Any]]] | None = None


@dataclass(slots=True, kw_only=True)
class Deployment:
    """The network that this installation is bound to, and its contracts there.

    The development mode deploys the routers while the service is already up, and fills them in.
    """

    genesis_id: str
    usdt: Address
    router_v0: Address | None = None
    router_kyc: Address | None = None

    @property
    def chain_id(self) -> int:
        """What the CHAINID opcode answers: the last four bytes of the genesis block's id."""
        return int(self.genesis_id[-8:], 16)


@dataclass(slots=True, kw_only=True)
class House:
    """Everything below the modules, and the services of those that stand already."""

    settings: Settings
    clock: Clock
    secret: bytes = field(repr=False)
    """The installation's secret: derived ids are HMACs with it."""

    deployment: Deployment
    nodes: Nodes
    cursors: Cursors
    ledger: Ledger
    engine: Engine
    openings: Openings
    audit: Audit
    events: Events
    inserts: GroupInsert
    idempotency: Idempotency
    services: dict[type[Any], Any] = field(default_factory=dict)

    def offer(self, service: object) -> None:
        """Let later modules use this service."""
        assert type(service) not in self.services, type(service)
        self.services[type(service)] = service

    def use(self, kind: type[T]) -> T:
        """The service of an earlier module."""
        service = self.services[kind]
        assert isinstance(service, kind)
        return service

"""The service, built but not yet running: what `app.assemble` answers and others are given.

Of several processes one does the background work, by a lease; the others answer requests.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from litestar import Litestar

from tron_payment.chain import Apart, Follower
from tron_payment.core.errors import Unavailable
from tron_payment.db.connect import Store
from tron_payment.db.leases import BEAT_S, Leases, Turn
from tron_payment.deployments import Deployments
from tron_payment.http.journal import Journal
from tron_payment.loops import Loop, Loops
from tron_payment.module import House, Module

WORK: Final = "background"
"""One lease for all of it: a block wakes what waits for it inside one process."""

VITAL: Final = ("chain.follow", "engine.dispatch")
SHARED: Final = frozenset(
    {
        *VITAL,
        *("engine.openings", "engine.internal", "engine.tell", "engine.close_books"),
        *("gateway.outbox", "gateway.track", "gateway.refunds", "gateway.fan_out"),
        *("gateway.deliver", "gateway.export", "gateway.sweep", "gateway.reconcile"),
        *("network.drift", "network.certify", "payouts.sweep", "payouts.batches"),
        *("payouts.days", "payouts.schedules", "staking.sweep"),
        *("usdt.token_openings", "wallets.signatures", "keeping.forget"),
    }
)
"""Loops that work on the store and the chain alone. The others keep something in the memory of
their process (`gateway.hints`, `http.journal`, `payouts.screen`, `usdt.sweep`, figures) and run
in every one."""


@dataclass(slots=True)
class Assembly:
    """Every floor and module, and what runs them."""

    house: House
    modules: tuple[Module, ...]
    loops: Loops
    follower: Follower
    apart: Apart
    store: Store
    journal: Journal
    deployments: Deployments
    preparations: tuple[Callable[[], Awaitable[None]], ...]
    """What modules do once in development before the service is called ready."""

    process: str = ""
    """Its name among the processes of the installation."""


def take_turns(
    assembly: Assembly, owner: str
) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    """Let one process after the other do the shared work; a lifespan that gives it back.

    Args:
        owner: This process's name; the same after a restart, so that it goes on at once.
    """
    loops = assembly.loops
    assembly.process = owner
    by_name = {loop.name: loop for loop in loops.all}

    vital = [by_name[name] for name in VITAL]
    anew = assembly.house.engine.safe_mode.look_anew
    turn = Turn(Leases(owner), WORK, vital, loops.wake_all, anew=anew)
    follow = by_name["chain.follow"]
    follow.standby, follow.pulse = assembly.follower.watch, True
    loops.share(SHARED, lambda: turn.mine)
    loops.add(Loop("leases.turn", turn.step, BEAT_S, "tron-client", pulse=True))

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        yield
        with suppress(Unavailable):
            await turn.close()

    return lifespan

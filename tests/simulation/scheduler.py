"""One thing at a time: every database access, node call and signature waits to be let go.

Processes are asyncio tasks that run until their next point; then nothing moves until the schedule
picks one. As no two things are ever under way together, a seed reproduces a run.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import Random

from pymongo.errors import AutoReconnect

from tron_payment.loops import end

IDLE = "idle"
SPINS = 40
"""Rounds of the event loop in which a task reaches its next point, when nothing is on the wire."""

QUIET_POLLS_MAX = 20_000
BLOCKED_POLLS = 1_500
"""Far longer than any pause in the code itself."""


class Killed(BaseException):
    """The process is gone."""


@dataclass(eq=False)
class Actor:
    """A task whose points we decide about: a replica's work, or a caller's request to it."""

    name: str
    body: Callable[[], Awaitable[None]]
    task: "asyncio.Task[None] | None" = None
    parked: "list[Parked]" = field(default_factory=list)
    paused: bool = False
    dead: bool = False
    kill_after: bool = False
    """Dies when what was just let go is done, before it hears the answer."""

    blocked: bool = False
    """It waits for another task, which is parked: a place in a group insert, a lock."""

    lose_answer: bool = False
    """The database does what it was asked, and the connection breaks."""

    @property
    def is_done(self) -> bool:
        return self.task is None or self.task.done()

    @property
    def is_moving(self) -> bool:
        return not (self.parked or self.is_done or self.dead or self.blocked)

    @property
    def is_idle(self) -> bool:
        return bool(self.parked) and all(each.label == IDLE for each in self.parked)


@dataclass(eq=False)
class Parked:
    actor: Actor
    label: str
    go: "asyncio.Future[None]"


ACTOR: ContextVar[Actor | None] = ContextVar("actor", default=None)


class Scheduler:
    """Knows who waits where, and lets one go."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.actors: list[Actor] = []
        self.trace: list[str] = []
        self.in_flight = 0
        self.steps = 0

    def note(self, text: str) -> None:
        self.trace.append(f"{self.steps:5} {text}")

    # ---- what the watched code calls -----------------------------------------------------------
    async def before(self, label: str) -> None:
        actor = ACTOR.get()
        if actor is None:
            return
        await self._park(actor, label)

    def asked(self) -> None:
        if ACTOR.get() is not None:
            self.in_flight += 1

    def left(self) -> None:
        if ACTOR.get() is not None:
            self.in_flight -= 1

    async def after(self, label: str) -> None:
        actor = ACTOR.get()
        if actor is None:
            return
        if actor.kill_after or actor.dead:
            actor.dead = True
            raise Killed(label)
        if actor.lose_answer:
            actor.lose_answer = False
            if label.startswith("db:"):
                raise AutoReconnect("the answer is lost")

    async def idle(self) -> None:
        actor = ACTOR.get()
        assert actor is not None
        await self._park(actor, IDLE)

    async def _park(self, actor: Actor, label: str) -> None:
        if actor.dead:
            raise Killed(label)
        go: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        parked = Parked(actor, label, go)
        actor.parked.append(parked)
        actor.blocked = False
        try:
            await go
        finally:
            actor.parked.remove(parked)

    # ---- what the schedule calls ---------------------------------------------------------------
    async def start(self, name: str, body: Callable[[], Awaitable[None]]) -> Actor:
        actor = Actor(name, body)

        async def run() -> None:
            ACTOR.set(actor)
            await body()

        actor.task = asyncio.create_task(run(), name=name)
        self.actors.append(actor)
        await self.quiet()
        return actor

    def waiting(self, *, with_idle: bool) -> list[Parked]:
        """Everything that could be let go now, in a fixed order."""
        return [
            parked
            for actor in self.actors
            if not actor.paused and not actor.dead
            for parked in actor.parked
            if with_idle or parked.label != IDLE
        ]

    async def let_go(self, parked: Parked) -> None:
        self.steps += 1
        if not parked.go.done():
            parked.go.set_result(None)
        await self.quiet()

    async def refuse(self, parked: Parked, error: BaseException) -> None:
        """Nothing happens, and the process hears this."""
        self.steps += 1
        parked.go.set_exception(error)
        await self.quiet()

    async def kill(self, actor: Actor) -> None:
        actor.dead = True
        for parked in list(actor.parked):
            parked.go.set_exception(Killed(parked.label))
        await self.quiet()
        await self.bury()

    async def bury(self) -> None:
        """Forget who is done; what they died of was planned, or is the run's failure."""
        for actor in [each for each in self.actors if each.dead or each.is_done]:
            assert actor.task is not None
            if actor.dead:
                for parked in list(actor.parked):
                    parked.go.set_exception(Killed(parked.label))
                await end(actor.task)
            else:
                await actor.task
            self.actors.remove(actor)

    async def quiet(self) -> None:
        """Until every task waits at a point or has ended. Whoever has just got an answer from the
        wire gets all the rounds, too: another branch of the same task may be parked already."""
        for poll in range(QUIET_POLLS_MAX):
            answered = not self.in_flight
            for _ in range(SPINS if answered else 1):
                await asyncio.sleep(0)
            if answered and not self.in_flight:
                moving = [each for each in self.actors if each.is_moving]
                if not moving:
                    return
                if poll > BLOCKED_POLLS:  # it waits for somebody who waits for us
                    for actor in moving:
                        actor.blocked = True
            await asyncio.sleep(0.0001)
        raise AssertionError([(each.name, len(each.parked)) for each in self.actors])

"""After a restore from a backup the store knows less than the chain: sign nothing until it knows.

Safe mode begins, durably and for all replicas, when a store may be a restored one:

- it is far behind the head when a process starts (`LAG_MAX_MS`);
- a block between it and the head, solidified or not, holds a transaction of a holder's that no
  attempt explains, when a process starts: this notices a backup of any age;
- it goes back under a running process, far, or so that the blocks say the same as at a start;
- a solidified block does what an unsigned order wants, by a transaction that nothing explains.

While it lasts

- nothing is signed, and no unsigned order ends: a block that is still to be read may pay it;
- a transaction of a signer of ours that no attempt explains, but that says exactly what an
  unsigned order wants, becomes that order's attempt (adopting.py), and ends it as if we had
  signed it ourselves, which we had, after the backup;
- one that nothing explains is written down, and a human has to look at it (`acknowledge`).

It ends by itself when the follower is past every transaction that may have been signed before the
restore, and nothing is unexplained; a human may end it early (`end`), as when a node lied about the
head's time. A service that was merely down for a while goes through the
same, and loses a minute.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Final

import structlog
from beanie import Document
from pymongo import ASCENDING, IndexModel

from tron_payment.chain import (
    READ_AHEAD_BLOCKS,
    Block,
    Cursors,
    Nodes,
    NodesUnavailable,
    Position,
)
from tron_payment.core.clock import Clock, to_ms
from tron_payment.db.cas import LostRace, insert_once
from tron_payment.db.ledger import Ledger
from tron_payment.engine import documents as store
from tron_payment.engine.forgotten import unknown
from tron_payment.engine.ports import Alarm
from tron_payment.engine.reading import Patience, Reading
from tron_payment.engine.tip import FRESH_BLOCKS, NO_CLAIM, Tip, due, tip
from tron_payment.engine.torn import refuse_torn

LAG_MAX_MS: Final = 5 * 60 * 1000
"""Behind the head at a start; in normal times it is the minute that solidification takes."""

SCAN_BLOCKS_MAX: Final = 2_000
"""Between the store and the head at a start; more of them count as far behind. Five minutes of the
main net are 100."""

LOOK_MAX_S: Final = 40.0
"""One look takes no longer, however slowly a node answers; the next goes on where it ended. Two,
one of which waits for the other, end before their loops count as hanging (db/leases.py)."""

REWIND_BLOCKS_MAX: Final = READ_AHEAD_BLOCKS + 5
"""A new primary may show the cursor as it was a moment ago, at most one step and a few blocks,
which the blocks will bear out; further back is another store."""

BEGIN_ATTEMPTS_MAX: Final = 10
"""Times that somebody may begin or end it while we begin it."""

TXIDS_SHOWN_MAX: Final = 10
"""In one line of the log."""

UNEXPLAINED_MAX: Final = 1_000
"""Listed for the human at once."""

_ID: Final = "safe_mode"

log = structlog.get_logger()


class SafeMode(Document):
    """At most one document; while it exists nothing is signed."""

    id: str = _ID  # type: ignore[assignment]
    since: datetime
    lag_ms: int
    why: str = ""
    """``behind``, ``forgotten``, ``rewound`` or ``adopted``: see the top of this file."""

    until_ms: int
    """Chain time after which no transaction from before the restore can come."""

    claimed_from: int = NO_CLAIM
    claimed_to: int = 0
    """Heights, lowest and highest, that a node claimed while too few others answered to refute it,
    or with a date that its height alone does not bear out: it does not end before that is told."""

    begun_again: int = 0
    """Times that it was found to be on when it was to begin. Who ends it has read all of them."""

    class Settings:
        name = "safe_mode"
        indexes: ClassVar[list[IndexModel]] = []


class Unexplained(Document):
    """A transaction that moved a holder's money and is no order's. Written once per txid."""

    id: str  # type: ignore[assignment]  # the txid
    owner: str
    block_number: int
    seen_at: datetime
    acknowledged_by: str = ""

    class Settings:
        name = "unexplained_transactions"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("acknowledged_by", ASCENDING)], name="acknowledged_by")
        ]


def _late_ms(moment_ms: int, at: Position) -> int:
    """How far the position is behind; beside the genesis block, which has no date, that is unknown
    and the blocks that there are tell all."""
    return moment_ms - at.timestamp_ms if at.timestamp_ms else 0


class SafeModes:
    """Begins, keeps and ends safe mode."""

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: Ledger,
        nodes: Nodes,
        cursors: Cursors,
        alarm: Alarm,
        lifetime_s: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._nodes = nodes
        self._cursors = cursors
        self._alarm = alarm
        self._lifetime_ms = lifetime_s * 1000
        self._patience = Patience(monotonic)
        self._looking = asyncio.Lock()
        self._looked = False
        self._anew = False
        self._reading = Reading(nodes)
        self._seen = 0

    async def look(self, at: Position) -> None:
        """Before a process applies a block or signs: may the store be a restored one?

        At the first call, after `look_anew`, and when the store has gone back since, the blocks up
        to the head are read; the other calls cost nothing.

        Raises:
            Unavailable: Too few nodes tell the head or show a block; nothing may be done yet.
        """
        async with self._looking:
            if self._anew:
                self._anew, self._looked, self._reading = False, False, Reading(self._nodes)
            if at.number < self._seen:
                at = await self._look_back(at)
            if not self._looked:
                await refuse_torn(self._cursors, self._ledger)
                if at.number < self._reading.at:  # another store than when the look began
                    self._reading = Reading(self._nodes)
                self._reading.at = at.number
                said = await self._tip(at)
                self._reading.aim(said, at, to_ms(self._clock.now()))
                if why := await self._suspicion(at, said):
                    await self._begin(why, said, at)
                self._looked = True
                self._patience.begin()
            self._seen = max(self._seen, at.number)

    def look_anew(self) -> None:
        """Others have done the work meanwhile: what this process has seen of the store is old.
        For how long blocks were kept back counts on (`Patience`)."""
        self._anew = True

    async def _suspicion(self, at: Position, said: Tip) -> str:
        """Why a store that stands there may be a restored one; empty when it is not.

        Each block is read from as many nodes as have to agree: one alone could hide what was paid,
        or be on a fork of its own. What any of them shows counts, also behind the common head, so
        that nobody hides it by standing still.
        """
        head = said.head
        ahead = head.number - at.number
        if _late_ms(head.timestamp_ms, at) > LAG_MAX_MS or ahead > SCAN_BLOCKS_MAX:
            return "behind"
        if any(claim.number > said.scanned_to(at) for _, claim in said.undecided()):
            return "behind"
        try:
            async with asyncio.timeout(LOOK_MAX_S):
                return await self._reading.go_on(said, at, partial(self._judge, at, said))
        except (TimeoutError, NodesUnavailable) as problem:
            slow = isinstance(problem, TimeoutError)
            if self._reading.read >= self._reading.to:
                return ""  # what is left was made since the look began
            claimed_only = self._reading.read >= self._reading.agreed_to(said)
            fresh_only = self._reading.read >= self._reading.must(said)
            if claimed_only and ((slow and not fresh_only) or self._patience.is_over()):
                return "behind"  # what is only fresh by now the next try finds with the others
            if slow:
                raise NodesUnavailable(f"blocks up to {head.number} are shown slowly") from None
            raise

    async def _judge(self, at: Position, said: Tip, block: Block) -> str:
        told_ms = min(block.timestamp_ms, said.bound_ms(block.number, at))
        if _late_ms(told_ms, at) > LAG_MAX_MS:
            return "behind"
        if txids := await unknown(self._ledger, block.number, block.transactions):
            log.warning("safe_mode.forgotten", txids=txids[:TXIDS_SHOWN_MAX], block=block.number)
            return "forgotten"
        return ""

    async def _look_back(self, shown: Position) -> Position:
        """The caller's position is older than one that we have seen: is the store's, too? Answers
        the one to go on from."""
        at = await self._cursors.load()
        if at is None or at.number >= self._seen:
            return shown
        if at.number < self._seen - REWIND_BLOCKS_MAX:
            await self._begin("rewound", await self._tip(at), at)
        else:
            self._looked, self._reading = False, Reading(self._nodes)
        self._seen = at.number
        return at

    async def begin(self, at: Position, why: str = "adopted") -> None:
        """A block did what an unsigned order wants, by a transaction that nothing explains; or a
        person lets the chain be read once more from there.

        Raises:
            Unavailable: Too few nodes tell the head.
        """
        await self._begin(why, await self._tip(at), at)

    async def _tip(self, at: Position) -> Tip:
        return await tip(self._nodes, due(at, to_ms(self._clock.now())))

    async def _begin(self, why: str, said: Tip, at: Position) -> None:
        """Begin it, or let it last longer: a restored store may hold one that had begun before.

        Written down before it is done: rather twice than never.
        """
        lowest, claimed = said.claimed(at)
        newest_ms = max(said.newest_ms(at), at.timestamp_ms)
        lag_ms, until_ms = newest_ms - at.timestamp_ms, newest_ms + self._lifetime_ms
        mode = SafeMode(since=self._clock.now(), lag_ms=lag_ms, why=why, until_ms=until_ms)
        mode.claimed_from, mode.claimed_to = lowest, claimed
        later: dict[str, Any] = {"$max": {"until_ms": until_ms, "claimed_to": claimed}}
        later |= {"$min": {"claimed_from": lowest}, "$inc": {"begun_again": 1}}
        for _ in range(BEGIN_ATTEMPTS_MAX):
            lasts = await SafeMode.get_pymongo_collection().update_one({"_id": _ID}, later)
            if lasts.matched_count:
                return
            log.warning("safe_mode.begun", lag_ms=lag_ms, why=why)
            await self._alarm("safe_mode.begun", {"lag_ms": lag_ms, "why": why})
            if await insert_once(mode):
                return
        raise LostRace("others keep beginning and ending safe mode")

    async def is_on(self) -> bool:
        return await SafeMode.find_one({"_id": _ID}) is not None

    async def may_have_forgotten(self) -> bool:
        """Whether a block that is still to be read may pay what the store calls unsigned: then it
        must not end unpaid. Looks first, so that nothing ends before a store is known.

        Raises:
            Unavailable: Too few nodes tell the head or show a block: nobody knows yet.
        """
        at = await self._cursors.load()
        if at is None:
            return False  # it has never signed
        await self.look(at)
        mode = await SafeMode.find_one({"_id": _ID})
        if mode is not None and _is_to_decide(mode, at):
            await self._decide(mode, at)  # perhaps nothing is there to be signed, and nobody asks
            mode = await SafeMode.find_one({"_id": _ID})
        return mode is not None and (at.timestamp_ms < mode.until_ms or mode.claimed_to > 0)

    async def why_not_sign(self, at: Position) -> str:
        """Empty when orders may be signed; ends safe mode when its time is over."""
        await self.look(at)
        mode = await SafeMode.find_one({"_id": _ID})
        if mode is None:
            return ""
        if _is_to_decide(mode, at):
            await self._decide(mode, at)
            return "safe_mode"
        if at.timestamp_ms < mode.until_ms:
            return "safe_mode"
        if await Unexplained.find_one({"acknowledged_by": ""}) is not None:
            return "unexplained_transaction"
        if await SafeMode.find_one(_as_read(mode)) is None:
            return "safe_mode"  # somebody has let it last longer meanwhile, or ended it: look again
        await store.tell_what_waits()  # a wish to end it was refused, and is heard again
        log.warning("safe_mode.ended")
        await self._alarm("safe_mode.ended", {"lag_ms": mode.lag_ms})  # rather twice than never
        ended = await SafeMode.get_pymongo_collection().delete_one(_as_read(mode))
        return "" if ended.deleted_count else "safe_mode"

    async def _decide(self, mode: SafeMode, at: Position) -> None:
        """Forget a claim that is refuted; one that came true lets it last longer. None is refuted
        while a node is away: it may be the one that has told the truth.

        The chain may be further than where the claim came true: from there a whole lifetime.
        """
        until_ms = mode.until_ms
        if at.number >= mode.claimed_to:
            until_ms = max(until_ms, at.timestamp_ms + self._lifetime_ms)
        else:
            said = await self._tip(at)
            if said.undecided() or not said.whole:
                return
            if said.head.number + FRESH_BLOCKS >= mode.claimed_from:
                until_ms = max(until_ms, said.newest_ms(at) + self._lifetime_ms)
        decided = {"until_ms": until_ms, "claimed_from": NO_CLAIM, "claimed_to": 0}
        await SafeMode.get_pymongo_collection().update_one(_as_read(mode), {"$set": decided})

    async def end(self, by: str) -> bool:
        """A human ends it early and answers for that; False when it was not on.

        Written down before it is done, as when it ends by itself.

        Raises:
            LostRace: It has begun again meanwhile, of which the human could not know, and goes on.
        """
        mode = await SafeMode.find_one({"_id": _ID})
        if mode is None:
            return False
        await self._alarm("safe_mode.ended", {"by": by})
        result = await SafeMode.get_pymongo_collection().delete_one(_as_read(mode))
        if not result.deleted_count and await self.is_on():
            raise LostRace("safe mode has begun again meanwhile: look why, and end it again")
        await store.tell_what_waits()
        return bool(result.deleted_count)

    async def note(self, txid: str, owner: str, block_number: int) -> None:
        """Write down a transaction that nothing explains."""
        await insert_once(
            Unexplained(id=txid, owner=owner, block_number=block_number, seen_at=self._clock.now())
        )

    async def unexplained(self) -> list[Unexplained]:
        """Those that wait for a human, oldest block first."""
        found = Unexplained.find({"acknowledged_by": ""}).sort("+block_number")
        return await found.limit(UNEXPLAINED_MAX).to_list()

    async def acknowledge(self, txid: str, by: str) -> bool:
        """A human has looked at it and answers for it; False when nobody waits for that."""
        result = await Unexplained.get_pymongo_collection().update_one(
            {"_id": txid, "acknowledged_by": ""}, {"$set": {"acknowledged_by": by}}
        )
        return bool(result.matched_count)


def _is_to_decide(mode: SafeMode, at: Position) -> bool:
    """Whether what was claimed has come true there, or its time is over."""
    over = at.number >= mode.claimed_to or at.timestamp_ms >= mode.until_ms
    return mode.claimed_to > 0 and over


def _as_read(mode: SafeMode) -> dict[str, Any]:
    """It has not begun again since, nor lasts it longer. What an older build began has no claims
    and counts nothing."""
    claims = {"claimed_from": mode.claimed_from, "claimed_to": mode.claimed_to}
    none = {"claimed_to": {"$in": [0, None]}}
    again = mode.begun_again or {"$in": [0, None]}
    read = {"_id": _ID, "since": mode.since, "until_ms": mode.until_ms, "begun_again": again}
    return read | (claims if mode.claimed_to else none)

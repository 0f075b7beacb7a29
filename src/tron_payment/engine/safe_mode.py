"""After a restore from a backup the store knows less than the chain: sign nothing until it knows.

A store that is far behind the head when a process starts may be a restored one. Then safe mode
begins, durably and for all replicas. While it lasts

- nothing is signed;
- a transaction of a signer of ours that no attempt explains, but that says exactly what an
  unsigned order wants, becomes that order's attempt (`candidates`), and ends it as if we had
  signed it ourselves, which we had, after the backup;
- one that nothing explains is written down, and a human has to look at it (`acknowledge`).

It ends by itself when the follower is past every transaction that may have been signed before the
restore, and nothing is unexplained; a human may end it early (`end`), as when a node lied about the
head's time. A service that was merely down for a while goes through the
same, and loses a minute.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import ClassVar, Final

import structlog
from beanie import Document
from pymongo import ASCENDING, IndexModel

from tron_payment.chain import Cursors, Nodes, Position, SolidTransaction
from tron_payment.core.clock import Clock
from tron_payment.db.cas import insert_once
from tron_payment.engine import documents as store
from tron_payment.engine.documents import Order
from tron_payment.engine.ports import Alarm

LAG_MAX_MS: Final = 5 * 60 * 1000
"""Behind the head at a start; in normal times it is the minute that solidification takes."""

UNEXPLAINED_MAX: Final = 1_000
"""Listed for the human at once."""

_ID: Final = "safe_mode"

log = structlog.get_logger()


class SafeMode(Document):
    """At most one document; while it exists nothing is signed."""

    id: str = _ID  # type: ignore[assignment]
    since: datetime
    lag_ms: int
    until_ms: int
    """Chain time after which no transaction from before the restore can come."""

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


class SafeModes:
    """Begins, keeps and ends safe mode."""

    def __init__(
        self, *, clock: Clock, nodes: Nodes, cursors: Cursors, alarm: Alarm, lifetime_s: int
    ) -> None:
        self._clock = clock
        self._nodes = nodes
        self._cursors = cursors
        self._alarm = alarm
        self._lifetime_ms = lifetime_s * 1000
        self._looked = False

    async def look(self, at: Position) -> None:
        """Once per process, before it applies a block or signs: is the store far behind?

        Raises:
            Unavailable: No node tells the head; nothing may be done yet.
        """
        if self._looked:
            return
        head = await self._nodes.head()
        lag_ms = head.timestamp_ms - at.timestamp_ms
        if lag_ms > LAG_MAX_MS:
            begun = await insert_once(
                SafeMode(
                    since=self._clock.now(),
                    lag_ms=lag_ms,
                    until_ms=head.timestamp_ms + self._lifetime_ms,
                )
            )
            if begun:
                log.warning("safe_mode.begun", lag_ms=lag_ms)
                await self._alarm("safe_mode.begun", {"lag_ms": lag_ms})
        self._looked = True

    async def is_on(self) -> bool:
        return await SafeMode.find_one({"_id": _ID}) is not None

    async def why_not_sign(self, at: Position) -> str:
        """Empty when orders may be signed; ends safe mode when its time is over."""
        await self.look(at)
        mode = await SafeMode.find_one({"_id": _ID})
        if mode is None:
            return ""
        if at.timestamp_ms < mode.until_ms:
            return "safe_mode"
        if await Unexplained.find_one({"acknowledged_by": ""}) is not None:
            return "unexplained_transaction"
        await SafeMode.get_pymongo_collection().delete_one({"_id": _ID, "until_ms": mode.until_ms})
        log.warning("safe_mode.ended")
        await self._alarm("safe_mode.ended", {"lag_ms": mode.lag_ms})
        return ""

    async def end(self, by: str) -> bool:
        """A human ends it early and answers for that; False when it was not on."""
        result = await SafeMode.get_pymongo_collection().delete_one({"_id": _ID})
        if result.deleted_count:
            await self._alarm("safe_mode.ended", {"by": by})
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


async def candidates(
    transactions: Collection[SolidTransaction], taken: Mapping[str, Order]
) -> list[tuple[Order, SolidTransaction]]:
    """Unsigned orders that these transactions, which no attempt explains, carry out to the letter.

    Equal orders are as good as each other: the first in rank is taken, each once.
    """
    signers = set(await store.unsigned_signers())
    equal: dict[str, list[SolidTransaction]] = defaultdict(list)
    for transaction in transactions:
        if transaction.txid not in taken and transaction.owner in signers:
            equal[repr(transaction.contract)].append(transaction)
    found = []
    for same in equal.values():
        contract = store.contract_document(same[0].contract)
        orders = await store.unsigned_with(same[0].owner, contract, limit=len(same))
        found += list(zip(orders, same, strict=False))
    return found

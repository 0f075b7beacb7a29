"""A store whose parts are of two moments, as after restoring a dump without its oplog.

The cursor names the newest journal entry of a block by number and hash. A journal without that
entry is older: what was paid in the blocks between is known to nobody, and they would never be
read again. It is not appended to, for a later entry may take the number of the one that it lacks.
"""

import asyncio
from typing import Final

import structlog

from tron_payment.chain import ChainContradiction, Cursors
from tron_payment.db.ledger import Ledger

TORN_LOOKS: Final = 3
TORN_LOOK_AGAIN_S: Final = 1.0
TORN: Final = (
    "the journal is older than the rest of the database, as after restoring a dump without its "
    "oplog: see Backups in docs/operations.md; either restore a dump of one moment, or let "
    "`tron-payment resume --from-block` read the chain once more"
)
"""Why following halts on a store whose parts are of two moments."""

log = structlog.get_logger()


def tie(ledger: Ledger, cursors: Cursors) -> None:
    """Let nothing be appended to a journal without the entry that the cursor names."""

    async def named() -> tuple[int, str]:
        at = await cursors.load()
        return (0, "") if at is None else (at.journal, at.journal_hash)

    ledger.must_have(named)


async def refuse_torn(cursors: Cursors, ledger: Ledger) -> None:
    """Stop following where the journal is older than what it is tied to.

    Raises:
        ChainContradiction: It is; a person restores both of one moment, or lets the blocks be
            read once more.
    """
    for _ in range(TORN_LOOKS):
        if await ledger.newest() is not None:
            return
        await asyncio.sleep(TORN_LOOK_AGAIN_S)  # a new primary may be a moment behind
    log.critical("store.torn", journal=(await ledger.last())[0])
    await cursors.halt(TORN)
    raise ChainContradiction(TORN)

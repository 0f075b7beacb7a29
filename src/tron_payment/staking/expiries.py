"""Unstakings of our holders: noticed when a solid block begins one, announced when it ends."""

from datetime import datetime
from typing import Any, Final

import structlog

from tron_payment.chain import (
    TYPE_NUMBERS,
    CancelAllUnfreezeV2,
    Cursors,
    SolidBlock,
    SolidTransaction,
    UnfreezeV2,
    WithdrawExpireUnfreeze,
)
from tron_payment.core.clock import from_ms
from tron_payment.core.ids import derived_id
from tron_payment.core.money import trx_text
from tron_payment.db.events import Event, Events
from tron_payment.db.ledger import Ledger
from tron_payment.engine import Fees, Watched
from tron_payment.staking import documents as store
from tron_payment.staking.documents import Unstaking

DAY_MS: Final = 24 * 3600 * 1000
OWNER: Final = "service"
EVENT: Final = "unstaking.ended"
_TYPES: Final = frozenset(
    TYPE_NUMBERS[each] for each in (UnfreezeV2, WithdrawExpireUnfreeze, CancelAllUnfreezeV2)
)
"""Judged by number: most transactions of a block need not be decoded."""

log = structlog.get_logger()


class Expiries:
    """Keeps the unstakings of our holders."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        cursors: Cursors,
        watched: Watched,
        fees: Fees,
        events: Events,
        secret: bytes,
    ) -> None:
        self._ledger = ledger
        self._cursors = cursors
        self._watched = watched
        self._fees = fees
        self._events = events
        self._secret = secret
        self._quiet_at = -1
        """The block up to which we know of all that is to be announced: of the next one, too,
        unless another process has had blocks in between."""

        self._due: datetime | None = None
        """When the next of them ends; None when there is none."""

    async def on_block(self, block: SolidBlock) -> None:
        """Take in what the block began and ended; harmless when repeated."""
        for transaction in await self._ours(await self._watched.part(block)):
            self._quiet_at = -1
            await self._apply(transaction, block)
        await self._announce(block)

    async def pending(self) -> list[Unstaking]:
        """What is on its way back or may be taken back, soonest first."""
        return await store.pending_unstakings()

    async def _ours(self, block: SolidBlock) -> list[SolidTransaction]:
        found = [
            each for each in block.transactions if each.type_number in _TYPES and each.succeeded
        ]
        if not found:
            return []
        ours = await (await self._ledger.view()).holders({each.owner for each in found})
        return [each for each in found if each.owner in ours]

    async def _apply(self, transaction: SolidTransaction, block: SolidBlock) -> None:
        """The chain counts from the time of the block before (java-tron: the latest header's)."""
        before_ms, contract = await self._before_ms(block), transaction.contract
        if isinstance(contract, UnfreezeV2):
            days = (await self._fees.parameters()).get("getUnfreezeDelayDays", 0)
            row = Unstaking(
                id=transaction.txid,
                address=transaction.owner,
                resource=contract.resource.value,
                amount_sun=contract.amount_sun,
                started_at=from_ms(block.timestamp_ms),
                expires_at=from_ms(before_ms + days * DAY_MS),
            )
            await store.remember_unstakings([row])
        everything = isinstance(contract, CancelAllUnfreezeV2)
        expired_by = None if everything else from_ms(before_ms)
        await store.end_unstakings(transaction.owner, transaction.txid, expired_by)

    async def _before_ms(self, block: SolidBlock) -> int:
        """Chain time when the block was made: that of the block before, which was applied last."""
        at = await self._cursors.load()
        if at is not None and at.number == block.number - 1:
            return at.timestamp_ms
        return block.timestamp_ms  # somebody else has applied the block, too

    async def _announce(self, block: SolidBlock) -> None:
        """Tell of each unstaking whose time is over, once."""
        now = from_ms(block.timestamp_ms)
        if self._quiet_at == block.number - 1 and (self._due is None or now < self._due):
            self._quiet_at = block.number
            return
        waiting = await store.unannounced_unstakings()
        if due := [each for each in waiting if each.expires_at <= now]:
            await self._events.append_many([self._event(each) for each in due])
            await store.announced([each.id for each in due])
            for each in due:
                log.info("unstaking.ended", txid=each.id, address=each.address)
        later = waiting[len(due) :]
        self._due = later[0].expires_at if later else None
        self._quiet_at = block.number if later or len(waiting) < store.EXPIRIES_MAX else -1

    def _event(self, unstaking: Unstaking) -> Event:
        data: dict[str, Any] = {
            "address": unstaking.address,
            "amount": trx_text(unstaking.amount_sun),
            "currency": "TRX",
            "resource": unstaking.resource,
            "txid": unstaking.id,
        }
        return Event(
            id=derived_id("evt", self._secret, unstaking.id, EVENT),
            type=EVENT,
            object_id=unstaking.id,
            owner=OWNER,
            object_seq=0,
            at=unstaking.expires_at,
            data=data,
        )

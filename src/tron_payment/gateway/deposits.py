"""Finds money for invoices in solidified blocks and credits it, each transfer once.

For each block: the deposits are stored under ids derived from their place in the chain, then each
invoice takes the block's sum by one compare-and-set that moves its `booked_block` on. Dying
anywhere repeats the block, and a block that an invoice has booked is not booked again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog

from tron_payment.chain import SolidBlock
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock, from_ms
from tron_payment.core.ids import derived_id
from tron_payment.core.money import UNITS_MAX
from tron_payment.db.cas import LostRace, Move, compare_and_set_many, insert_many_once
from tron_payment.db.ledger import Ledger
from tron_payment.engine import Watched
from tron_payment.gateway import deposit_documents as deposit_store
from tron_payment.gateway import documents as store
from tron_payment.gateway.documents import Deposit, Payment
from tron_payment.gateway.domain import Asked, DepositOutcome, PaymentStatus, outcome_of
from tron_payment.gateway.incoming import Incoming, incoming
from tron_payment.gateway.own_documents import own_of
from tron_payment.usdt import TokenRegistry

BOOK_ATTEMPTS_MAX: Final = 20
EVENTS_WAITING_MAX: Final = 100
"""Of one payment, until the outbox has them: each holds the payment with its metadata, and the
store takes 16 MB in one document."""

EVENTS_STUCK_MAX: Final = 300
"""So many wait when nothing could be told for a long time: from then on only the payment's
statuses are told, of which there are few. Anybody may send to it in every block."""

SEARCH_BATCH: Final = 5_000
"""Addresses per query."""

log = structlog.get_logger()

Describe = Callable[[Payment], dict[str, Any]]
Found = dict[str, tuple[Payment, list[Incoming]]]


class Deposits:
    """The follower's handler for invoices."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: bytes,
        ledger: Ledger,
        watched: Watched,
        tokens: TokenRegistry,
        describe: Describe,
    ) -> None:
        self._clock = clock
        self._secret = secret
        self._ledger = ledger
        self._watched = watched
        self._tokens = tokens
        self._describe = describe

    async def on_block(self, block: SolidBlock) -> None:
        """Apply one solidified block: credit what came, then expire what was waited for."""
        found = await self._find(await self._watched.part(block))
        if found:
            await self._store(block, found)
        await self._expire(block)

    async def on_its_way(self, block: SolidBlock) -> dict[str, list[Deposit]]:
        """What a block that may still go away would credit to invoices, by payment id, judged by
        the rules by which it will be. For screens: nothing is written."""
        found = await self._find(await self._watched.perhaps(block))
        open_for = {each: one for each, one in found.items() if one[0].booked_block < block.number}
        judged = await self._judged(block, open_for)
        credited = {
            payment_id: [one for one in rows if one.outcome is DepositOutcome.CREDITED]
            for payment_id, rows in judged.items()
        }
        return {payment_id: rows for payment_id, rows in credited.items() if rows}

    async def _find(self, hits: SolidBlock) -> Found:
        """What a block brings to invoices, by payment id.

        An invoice's address is watched before it is issued.

        Args:
            hits: Those of its transactions that may concern us.
        """
        keys = list(self._watched.ours(hits))
        payments: dict[Address, Payment] = {}
        for start in range(0, len(keys), SEARCH_BATCH):
            payments |= await store.by_keys(keys[start : start + SEARCH_BATCH])
        if not payments:
            return {}
        found: Found = {}
        for one in incoming(hits, payments.keys(), self._tokens.by_contract):
            payment = payments[one.recipient]
            found.setdefault(payment.id, (payment, []))[1].append(one)
        return found

    async def _store(self, block: SolidBlock, found: Found) -> None:
        deposits = await self._judged(block, found)
        rows = [one for several in deposits.values() for one in several]
        new = await insert_many_once(rows)
        if len(new) < len(rows):  # somebody died here, or is here too: what was stored first holds
            earlier = await deposit_store.by_ids([one.id for one in rows if one.id not in new])
            for several in deposits.values():
                several[:] = [earlier.get(one.id, one) for one in several]
        await self._book(block, deposits)

    async def _judged(self, block: SolidBlock, found: Found) -> dict[str, list[Deposit]]:
        """What a block brought to invoices and what each of it counts as."""
        senders = {one.sender for _, arrivals in found.values() for one in arrivals if one.sender}
        ours = await own_of(self._ledger, senders)
        left_out = await self._ledger.left_out(block.number) if found else frozenset()
        judged: dict[str, list[Deposit]] = {}
        for payment_id, (payment, arrivals) in found.items():
            asked = Asked(
                currency=payment.currency,
                decimals=self._tokens.asset(payment.currency).decimals,
                due=payment.units,
                received=payment.received_units,
            )
            rows = judged[payment_id] = []
            for one in arrivals:
                booked = not left_out.intersection((one.txid, f"{one.txid}:{one.index}"))
                own = one.sender in ours
                outcome = outcome_of(one.asset, one.units, asked, own=own, booked=booked)
                if outcome is DepositOutcome.CREDITED:
                    asked = replace(asked, received=asked.received + one.units)
                rows.append(self._deposit(block, payment, one, outcome))
        return judged

    def _deposit(
        self, block: SolidBlock, payment: Payment, one: Incoming, outcome: DepositOutcome
    ) -> Deposit:
        return Deposit(
            id=derived_id("dep", self._secret, one.txid, one.index),
            payment_id=payment.id,
            principal=payment.principal,
            address=one.recipient,
            txid=one.txid,
            index=one.index,
            block_number=block.number,
            block_id=block.block_id,
            at=from_ms(block.timestamp_ms),
            asset=one.asset,
            token=one.token,
            units=one.units if one.asset is not None and one.units <= UNITS_MAX else None,
            units_text=str(one.units),
            sender=one.sender,
            outcome=outcome,
        )

    async def _book(self, block: SolidBlock, deposits: Mapping[str, Sequence[Deposit]]) -> None:
        """Give each invoice the block's deposits; nothing to those that have them."""
        waiting = dict(deposits)
        for _ in range(BOOK_ATTEMPTS_MAX):
            payments = await store.by_ids(list(waiting))
            assert payments.keys() == waiting.keys(), "payments are never removed"
            waiting = {
                payment_id: rows
                for payment_id, rows in waiting.items()
                if payments[payment_id].booked_block < block.number
            }
            if not waiting:
                return
            moves = [self._booking(block, payments[each], waiting[each]) for each in waiting]
            moved = await compare_and_set_many(Payment, moves)
            for move in moves:
                if move.doc_id in moved:
                    log.info(
                        "payment.booked",
                        payment_id=move.doc_id,
                        block=block.number,
                        status=move.set["status"],
                    )
                    del waiting[move.doc_id]
        raise LostRace(f"{len(waiting)} payments keep changing")

    def _booking(self, block: SolidBlock, payment: Payment, deposits: Sequence[Deposit]) -> Move:
        """What an invoice is after the block."""
        at = from_ms(block.timestamp_ms)
        credited = [d for d in deposits if d.outcome is DepositOutcome.CREDITED]
        received = payment.received_units + sum(d.units or 0 for d in credited)
        completed_at = payment.completed_at
        if completed_at is None and received >= payment.units - payment.tolerance_units:
            completed_at = at
        status = payment.status_at(at, received=received, completed_at=completed_at)
        changes: dict[str, Any] = {
            "received_units": received,
            "booked_block": block.number,
            "status": status.value,
            "sweepable": True,
        }
        if completed_at is not None:
            changes["completed_at"] = completed_at
        after = payment.model_copy(update=changes | {"status": status})
        shown = self._describe(after)
        happenings = _told(payment, deposits, shown)
        if status is not payment.status:
            happenings.append((f"payment.{status.value}", shown))
        unset = ("sweep_not_before",)
        return store.move(payment, self._clock.now(), changes, happenings, unset)

    async def _expire(self, block: SolidBlock) -> None:
        """Invoices whose time is over by the chain's own clock; watching them goes on."""
        at = from_ms(block.timestamp_ms)
        while payments := await store.expiring(at):
            moves = []
            for payment in payments:
                status = payment.status_at(at)
                assert status is PaymentStatus.EXPIRED, (payment.id, status)
                after = payment.model_copy(update={"status": status})
                happening = (f"payment.{status.value}", self._describe(after))
                changes = {"status": status.value}
                moves.append(store.move(payment, self._clock.now(), changes, [happening]))
            moved = await compare_and_set_many(Payment, moves)
            log.info("invoices.expired", invoices=len(moved), block=block.number)


def _told(
    payment: Payment, deposits: Sequence[Deposit], shown: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    """An event for each deposit, what counts first; anybody may send thousands in one block, and
    the payment has to have room for its events: the last one then says how many more there are."""
    if len(payment.events) >= EVENTS_STUCK_MAX:
        log.error("payment.events_left_out", payment_id=payment.id, deposits=len(deposits))
        return []
    room = max(1, EVENTS_WAITING_MAX - len(payment.events))
    by_weight = sorted(deposits, key=lambda each: each.outcome is not DepositOutcome.CREDITED)
    told = [(_event_of(each), shown | _facts(each)) for each in by_weight[:room]]
    if len(by_weight) > room:
        told[-1][1]["deposit"]["more_in_block"] = len(by_weight) - room
    return told


def _event_of(deposit: Deposit) -> str:
    if deposit.outcome is DepositOutcome.CREDITED:
        return "payment.deposit_credited"
    return "payment.deposit_ignored"


def _facts(deposit: Deposit) -> dict[str, Any]:
    return {
        "deposit": {
            "txid": deposit.txid,
            "index": deposit.index,
            "block_number": deposit.block_number,
            "outcome": deposit.outcome.value,
            "currency": deposit.asset,
            "token": deposit.token,
            "units": deposit.units_text,
        }
    }

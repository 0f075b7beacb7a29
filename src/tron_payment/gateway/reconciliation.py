"""Do our books equal the chain? Compared address by address, each at one solidified block.

Nothing is corrected here: a difference is told, signed and kept, and a person looks.
"""

import asyncio
import hashlib
import hmac
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tron_payment.core.address import Address
from tron_payment.core.clock import Clock, rfc3339
from tron_payment.core.errors import NotFound, Unavailable
from tron_payment.core.ids import derived_id, new_id
from tron_payment.core.money import UNITS_MAX
from tron_payment.db.audit import Act, Audit
from tron_payment.db.cas import LostRace, insert_once
from tron_payment.db.ledger import Ledger, Pocket
from tron_payment.engine import Openings, beyond_books
from tron_payment.gateway import books, hold_documents
from tron_payment.gateway import reconciliation_documents as store
from tron_payment.gateway.readings import READ_AGAIN_S, Readings, Witnesses
from tron_payment.gateway.reconciliation_documents import (
    UNMATCHED_MAX,
    Reconciliation,
    ReconciliationStatus,
    Row,
)
from tron_payment.module import Deployment
from tron_payment.wallets import Wallets

INTERVAL: Final = timedelta(minutes=15)
"""A difference is known this soon."""

FIRST_AFTER: Final = timedelta(minutes=1)
"""A fresh installation has so long to open its first books before they are compared."""

CHUNK: Final = 20
"""Addresses read at the same time, between the same two solidified blocks if possible."""

IDLE_PER_RUN: Final = 200
"""Empty addresses compared by each run; each one's turn comes, after `round_seconds` at most."""

ROWS_MAX: Final = 10_000
SERVICE: Final = "service"
_KEY_LABEL: Final = b"reconciliation report key"

log = structlog.get_logger()


SubjectOf = Callable[[Address], Awaitable[str | None]]
"""What an address that is no wallet's belongs to, such as an invoice."""


class ReconciliationNotFound(NotFound, code="reconciliation_not_found"):
    """There is no such reconciliation."""


class Reconciliations:
    """Runs comparisons, one at a time, and keeps their signed reports."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: bytes,
        ledger: Ledger,
        openings: Openings,
        readings: Readings,
        audit: Audit,
        wallets: Wallets,
        deployment: Deployment,
        subject_of: SubjectOf,
    ) -> None:
        self._subject_of = subject_of
        self._clock = clock
        self._ledger = ledger
        self._openings = openings
        self._readings = readings
        self._audit = audit
        self._wallets = wallets
        self._deployment = deployment
        self._secret = secret
        seed = hmac.digest(secret, _KEY_LABEL, hashlib.sha256)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._one = asyncio.Lock()
        self._waited_since: datetime | None = None
        """The first step of this process that found no comparison at all."""

        self.wake = asyncio.Event()

    async def last(self) -> Reconciliation | None:
        """The last finished one."""
        return await store.last(ReconciliationStatus.FINISHED)

    async def get(self, reconciliation_id: str) -> Reconciliation:
        """
        Raises:
            ReconciliationNotFound
        """
        report = await store.by_id(reconciliation_id)
        if report is None:
            raise ReconciliationNotFound
        return report

    async def request(self, requested_by: str) -> Reconciliation:
        """Ask for a run; the one that is under way counts."""
        running = await store.last(ReconciliationStatus.RUNNING)
        if running is None:
            running = Reconciliation(
                id=new_id("rec"), requested_by=requested_by, created_at=self._clock.now()
            )
            await insert_once(running)
        self.wake.set()
        return running

    async def step(self) -> bool:
        """For the loop: do the run that is asked for or due; True when one was finished."""
        self.wake.clear()
        running = await store.last(ReconciliationStatus.RUNNING)
        if running is None:
            if not await self._is_due():
                return False
            running = await self.request(SERVICE)
        await self.run(running)
        return True

    async def _is_due(self) -> bool:
        now, last = self._clock.now(), await self.last()
        if last is not None:
            return now - last.created_at >= INTERVAL
        self._waited_since = self._waited_since or now
        return now - self._waited_since >= FIRST_AFTER and await self._readings.can_begin()

    async def finish_first(self) -> None:
        """Have one finished report before anybody looks."""
        while await self.last() is None:
            report = await self.request(SERVICE)
            try:
                await self.run(report)
            except (Unavailable, LostRace) as problem:
                log.info("reconciliation.postponed", reason=problem.code)
                await asyncio.sleep(READ_AGAIN_S)

    async def run(self, report: Reconciliation) -> Reconciliation:
        """Compare everything and store the signed report; one run at a time in a process.

        Raises:
            Unavailable: A node or the store is away; the run begins again later.
            LostRace: Another process has finished this run.
        """
        async with self._one:
            now = await self.get(report.id)
            return now if now.status is ReconciliationStatus.FINISHED else await self._run(now)

    async def of_one(self, address: Address) -> tuple[list[Row], int]:
        """One address now: ledger and chain at one solidified block, and its number.

        Nothing is stored. The block must be booked first, by a running service.

        Raises:
            Unavailable: A node is away, or the block is not booked for a long while.
        """
        return await self._compare([address], Witnesses())

    async def _run(self, report: Reconciliation) -> Reconciliation:
        before = await self.last()
        if before is not None and not await store.is_noted(before.id):
            await self._note(before)  # whoever finished it died before
        rows: list[Row] = []
        waiting = set(await self._openings.all_pending(ROWS_MAX))
        compared, looked_at, witnesses = 0, 0, Witnesses()
        addresses = await books.holders_with_money()
        idle, idle_cursor = await self._idle(before, set(addresses))
        for chunk in _pieces([*addresses, *idle]):
            ready = []
            for address in chunk:
                if await self._openings.pending(address):
                    waiting.add(address)
                else:
                    ready.append(address)
            if ready:
                found, block_number = await self._compare(ready, witnesses)
                rows += found
                looked_at = max(looked_at, block_number)
                compared += len(ready)
        rows += await self._astray(looked_at)
        rows.sort(key=lambda r: (_is_equal(r), r.address, r.asset, r.pocket))
        head = await self._audit.head()
        audit_seq = head.seq if head else 0
        known = before.unmatched if before else []
        fresh = await store.alarms_after(before.audit_seq if before else 0, audit_seq)
        holders = max(await books.count_holders(), len(addresses))
        fields: dict[str, Any] = {
            "addresses": compared,
            "holders": holders,
            "round_seconds": round_s(holders, len(addresses)),
            "solid_block": max((row.block_number for row in rows), default=looked_at),
            "difference": _difference(rows),
            "rows": rows[:ROWS_MAX],
            "confirmed": witnesses.confirmed,
            "dissent": witnesses.dissent[:ROWS_MAX],
            "waiting": sorted(waiting)[:ROWS_MAX],
            "unmatched": [*known, *fresh][-UNMATCHED_MAX:],
            "idle_cursor": idle_cursor,
            "audit_seq": audit_seq,
        }
        return await self._finish(report, fields)

    async def _idle(
        self, before: Reconciliation | None, busy: set[Address]
    ) -> tuple[list[Address], str]:
        """Some of the addresses that should be empty, going on where the last run ended.

        The very first run leaves them out: nobody has had the time to pay there.
        """
        if before is None:
            return [], ""
        chosen: list[Address] = []
        cursor = before.idle_cursor
        page = await books.holders_after(cursor) or await books.holders_after("")
        for address in page:
            cursor = address
            if address not in busy:
                chosen.append(address)
            if len(chosen) >= IDLE_PER_RUN:
                break
        return chosen, cursor

    async def _compare(
        self, addresses: Sequence[Address], witnesses: Witnesses
    ) -> tuple[list[Row], int]:
        readings = await self._readings.of(addresses, witnesses)
        blocks = {address: read.block_number for address, read in readings.items()}
        await self._readings.applied(max(blocks.values()))
        held = await books.as_of(self._ledger, blocks)
        rows = []
        for address, read in readings.items():
            number, on_chain = read.block_number, read.balances
            keys = {(p, a) for who, p, a in held if who == address} | set(on_chain)
            for pocket, asset in sorted(keys):
                ours = held.get((address, pocket, asset), 0)
                theirs = on_chain.get((pocket, asset), 0)
                if ours or theirs:
                    name = await self._name(address)
                    beyond = beyond_books(theirs)
                    theirs = min(theirs, UNITS_MAX)
                    row = Row(address, name, asset, pocket.value, ours, theirs, number, beyond)
                    rows.append(row)
        return rows, max(blocks.values())

    async def _astray(self, block_number: int) -> list[Row]:
        """What is set aside for no order, or is not: of the pocket `reserved` the other side is not
        the chain, but what open orders hold."""
        return [
            Row(
                address=each.address,
                name=await self._name(each.address),
                asset=each.asset,
                pocket=Pocket.RESERVED.value,
                ledger_units=each.reserved_units,
                chain_units=each.held_units,
                block_number=block_number,
            )
            for each in await hold_documents.astray(self._ledger)
        ]

    async def _name(self, address: Address) -> str:
        routers = {
            self._deployment.router_v0: "router v0",
            self._deployment.router_kyc: "router kyc",
        }
        if address in routers:
            return routers[address]
        if (wallet := await self._wallets.find_by_address(address)) is not None:
            return wallet.label
        return await self._subject_of(address) or ""

    async def _finish(self, report: Reconciliation, fields: dict[str, Any]) -> Reconciliation:
        now = self._clock.now()
        content = msgspec.json.encode(
            {
                "reconciliation_id": report.id,
                "genesis_id": self._deployment.genesis_id,
                "created_at": rfc3339(report.created_at),
                "finished_at": rfc3339(now),
                **fields,
            },
            order="deterministic",
        )
        digest = hashlib.sha256(content).hexdigest()
        finished = await store.change(
            report,
            **fields,
            status=ReconciliationStatus.FINISHED.value,
            content=content,
            sha256=digest,
            signature=self._key.sign(content).hex(),
            public_key=self._key.public_key().public_bytes_raw().hex(),
            finished_at=now,
        )
        await self._note(finished)
        wrong = any(fields["difference"].values()) or fields["dissent"]
        tell = log.error if wrong else log.info
        tell(
            "reconciliation.finished",
            reconciliation_id=report.id,
            solid_block=fields["solid_block"],
            difference=fields["difference"],
            confirmed=fields["confirmed"],
            dissent=len(fields["dissent"]),
            unmatched=len(fields["unmatched"]),
            beyond_books=sum(row.beyond_books for row in fields["rows"]),
            addresses=fields["addresses"],
            holders=fields["holders"],
            waiting=len(fields["waiting"]),
        )
        return finished

    async def _note(self, report: Reconciliation) -> None:
        """Write a finished report's hash into the audit log; again, it is there once."""
        await self._audit.append(
            Act(
                actor=SERVICE,
                role=SERVICE,
                action=store.FINISHED_ACTION,
                object_id=report.id,
                after={
                    "solid_block": report.solid_block,
                    "difference": report.difference,
                    "dissent": len(report.dissent),
                    "sha256": report.sha256,
                },
                entry_id=derived_id("aud", self._secret, report.id),
                at=report.finished_at,
            )
        )


def round_s(holders: int, with_money: int) -> int:
    """Seconds in which each empty address is compared once: ``round_s(1_000_000, 0) == 4_500_000``,
    which is 52 days.

    Args:
        holders: Addresses that we keep books for.
        with_money: Those of them that every run compares.
    """
    idle = max(0, holders - with_money)
    runs = max(-(-idle // IDLE_PER_RUN), -(-holders // books.HOLDERS_PER_PAGE)) if idle else 1
    return runs * int(INTERVAL.total_seconds())


def _pieces(addresses: Sequence[Address]) -> Iterator[Sequence[Address]]:
    for start in range(0, len(addresses), CHUNK):
        yield addresses[start : start + CHUNK]


def _is_equal(row: Row) -> bool:
    return row.difference == 0 and not row.beyond_books


def _difference(rows: Sequence[Row]) -> dict[str, int]:
    totals: dict[str, int] = defaultdict(int)
    for row in rows:
        totals[row.asset] += abs(row.difference)
    return dict(totals)

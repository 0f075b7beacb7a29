"""Payments and deposits as stored, and every query on them."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final

from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel

from tron_payment.core.address import Address, address_bytes
from tron_payment.core.money import UNITS_MAX
from tron_payment.db.audit import Act
from tron_payment.db.cas import Move, compare_and_set
from tron_payment.db.faults import store_errors
from tron_payment.gateway.domain import (
    OPEN,
    DepositOutcome,
    Facts,
    PaymentKind,
    PaymentStatus,
    RefundState,
    RefundStatus,
    state_of,
    status_of,
)

EXPIRED_AT_ONCE: Final = 500
TRACKED_AT_ONCE: Final = 200
NEWS_AT_ONCE: Final = 200
NOTED: Final[dict[str, Any]] = {"$or": [{"metadata": {"$gt": {}}}, {"return_url": {"$gt": ""}}]}
"""Has notes or a return address (keeping.py). Other words need another index's name."""


@dataclass(frozen=True, slots=True)
class Happening:
    """An event in its own document, until the outbox has it. `seq` counts within the object."""

    seq: int
    type: str
    at: datetime
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefundPart:
    """One refund's share of the money that a payment received, and its whole story.

    Everything that its order is made of stands here, so that the order can be placed again by
    whoever comes after a crash.
    """

    units: int
    to_address: str
    reason: str
    requested_by: str
    wallet_id: str
    signer: str
    detached: bool
    order_id: str
    created_at: datetime
    status: RefundStatus = RefundStatus.QUEUED
    order_version: int = -1
    waiting_for: str = ""
    txid: str | None = None
    block_number: int | None = None
    fee_paid_sun: int | None = None
    settled_at: datetime | None = None
    """The solidified block's own time."""

    @property
    def state(self) -> RefundState:
        return state_of(self.status)


class Payment(Document):
    """An invoice, or a payment of another kind that was handed to the module that owns it.

    An invoice's money: `received_units` is the sum of its credited deposits of blocks up to
    `booked_block`; each block is added once, by compare-and-set. `refunds` holds a part for each
    refund, which never goes away.
    """

    id: str  # type: ignore[assignment]  # inv_...
    kind: PaymentKind
    principal: str
    currency: str
    units: int = Field(ge=0, le=UNITS_MAX)
    metadata: dict[str, str] = Field(default_factory=dict)
    status: PaymentStatus
    version: int = 0
    op_id: str = ""

    address: str | None = None
    """Where an invoice is paid to; of no other one, ever."""

    address_key: bytes | None = None
    """The address's last 20 bytes: how blocks are searched."""

    wallet_id: str | None = None
    """Of an invoice the wallet that its address belongs to; else the one that pays."""

    return_url: str | None = None
    expires_at: datetime | None = None
    tolerance_units: int = 0
    received_units: int = 0
    completed_at: datetime | None = None
    booked_block: int = 0
    canceled: bool = False
    refunds: dict[str, RefundPart] = Field(default_factory=dict)
    refunding: bool | None = None
    """True while a refund's order has not ended."""

    sweepable: bool | None = None
    """True while its address may hold something worth moving."""

    sweep_not_before: datetime | None = None
    """When what costs too much to move is looked at again; what arrives unsets it."""

    to_address: str | None = None
    subject: str | None = None
    """Id of the transfer, payout or stake that does it."""

    order_id: str | None = None
    order_version: int = -1
    signer: str | None = None
    call_data: bytes | None = None
    """Of a contract's call."""

    max_fee_sun: int = 0
    detached: bool = False
    tracked: bool | None = None
    """True while the order has not ended."""

    txid: str | None = None
    block_number: int | None = None
    fee_paid_sun: int | None = None
    waiting_for: str = ""
    reason: str = ""

    event_seq: int = 0
    events: list[Happening] = Field(default_factory=list)
    news: bool | None = None
    """True while `events` holds what the outbox has not."""

    created_at: datetime
    updated_at: datetime

    def act(self, role: str) -> Act:
        """Its acceptance for the audit log; what is left out is the request's."""
        names = ("subject", "order_id", "wallet_id", "address", "to_address")
        facts = {name: value for name in names if (value := getattr(self, name)) is not None}
        facts |= {"kind": self.kind.value, "currency": self.currency, "units": self.units}
        if self.call_data is not None:
            facts["call_data_sha256"] = hashlib.sha256(self.call_data).hexdigest()
        return Act(actor=self.principal, role=role, action="", object_id=self.id, after=facts)

    class Settings:
        name = "payments"
        keep_nulls = False
        bson_encoders: ClassVar[dict[Any, Any]] = {Happening: asdict, RefundPart: asdict}
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel(
                [("address_key", ASCENDING)],
                name="address",
                unique=True,
                partialFilterExpression={"address_key": {"$type": "binData"}},
            ),
            IndexModel([("created_at", DESCENDING), ("_id", DESCENDING)], name="list"),
            IndexModel(
                [("principal", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
                name="own_list",
            ),
            IndexModel(
                [("status", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
                name="status_list",
            ),
            IndexModel([("status", ASCENDING), ("expires_at", ASCENDING)], name="expiry"),
            IndexModel([("updated_at", ASCENDING)], name="updated_at"),
            IndexModel([("updated_at", ASCENDING)], name="noted", partialFilterExpression=NOTED),
            IndexModel([("tracked", ASCENDING)], name="tracked", sparse=True),
            IndexModel([("refunding", ASCENDING)], name="refunding", sparse=True),
            IndexModel(
                [("sweep_not_before", ASCENDING)],
                name="sweep_turn",
                partialFilterExpression={"sweepable": True},
            ),
            IndexModel([("order_id", ASCENDING)], name="order", sparse=True),
            IndexModel([("news", ASCENDING)], name="news", sparse=True),
        ]

    @property
    def refunded_units(self) -> int:
        """What has left again, by solidified blocks."""
        return self._refunds(RefundState.PAID)

    @property
    def refunding_units(self) -> int:
        """What is on its way out."""
        return self._refunds(RefundState.HELD)

    @property
    def parts(self) -> Mapping[str, tuple[int, RefundState]]:
        return {key: (part.units, part.state) for key, part in self.refunds.items()}

    def _refunds(self, state: RefundState) -> int:
        return sum(part.units for part in self.refunds.values() if part.state is state)

    def facts(self, now: datetime, **changes: Any) -> Facts:
        """What an invoice's status follows from, with `changes` made to it.

        What has expired stays so: whoever comes with an older block's time is late.
        """
        assert self.expires_at is not None, self.id
        if self.status is PaymentStatus.EXPIRED:
            now = max(now, self.expires_at)
        known: dict[str, Any] = {
            "due": self.units,
            "received": self.received_units,
            "refunded": self.refunded_units,
            "expires_at": self.expires_at,
            "completed_at": self.completed_at,
            "now": now,
            "canceled": self.canceled,
            "tolerance": self.tolerance_units,
        }
        return Facts(**(known | changes))

    def status_at(self, now: datetime, **changes: Any) -> PaymentStatus:
        return status_of(self.facts(now, **changes))


class Deposit(Document):
    """Something that arrived at an invoice's address, on a solidified block."""

    id: str  # type: ignore[assignment]  # dep_...
    payment_id: str
    principal: str
    """The payment's."""

    address: str
    txid: str
    index: str
    """Unique within the transaction: ``log:3``, ``value``, ``int:0``, ``trc10``."""

    block_number: int
    block_id: str
    at: datetime
    """The block's own time."""

    asset: str | None = None
    token: str | None = None
    """The contract of a token that is not registered, or a TRC-10 token's id."""

    units: int | None = None
    """None for unknown tokens, whose numbers may be larger than we can hold."""

    units_text: str
    sender: str | None = None
    outcome: DepositOutcome

    class Settings:
        name = "deposits"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("txid", ASCENDING), ("index", ASCENDING)], name="place", unique=True),
            IndexModel([("payment_id", ASCENDING), ("block_number", ASCENDING)], name="payment"),
            IndexModel([("at", ASCENDING)], name="at"),
            IndexModel(
                [("payment_id", ASCENDING), ("block_number", ASCENDING)],
                name="credited",
                partialFilterExpression={"outcome": DepositOutcome.CREDITED.value},
            ),
        ]


async def by_id(payment_id: str, owner: Mapping[str, str] | None = None) -> Payment | None:
    with store_errors():
        return await Payment.find_one({"_id": payment_id, **(owner or {})})


async def by_keys(keys: Collection[bytes]) -> dict[Address, Payment]:
    """The invoices of these addresses (their last 20 bytes).

    By the partial index, which the server takes only when its own condition is asked for.
    """
    query = {"address_key": {"$in": list(keys), "$type": "binData"}}
    with store_errors():
        rows = await Payment.find(query).to_list()
    return {Address(row.address or ""): row for row in rows}


async def id_by_address(address: Address) -> str | None:
    """The invoice that an address belongs to."""
    found = await by_keys([address_bytes(address)[1:]])
    return found[address].id if address in found else None


async def by_ids(payment_ids: Collection[str]) -> dict[str, Payment]:
    with store_errors():
        rows = await Payment.find({"_id": {"$in": list(payment_ids)}}).to_list()
    return {row.id: row for row in rows}


def move(
    payment: Payment,
    now: datetime,
    changes: Mapping[str, Any],
    happenings: Sequence[tuple[str, dict[str, Any]]] = (),
    unset: Sequence[str] = (),
) -> Move:
    """One move of a payment with its events, valid only while it is as we saw it."""
    fields: dict[str, Any] = {**changes, "updated_at": now}
    push: dict[str, Any] = {}
    if happenings:
        push["events"] = [
            Happening(payment.event_seq + number, kind, now, data)
            for number, (kind, data) in enumerate(happenings, 1)
        ]
        fields |= {"event_seq": payment.event_seq + len(happenings), "news": True}
    return Move(doc_id=payment.id, version=payment.version, set=fields, push=push, unset=unset)


async def change(
    payment: Payment,
    now: datetime,
    changes: Mapping[str, Any],
    happenings: Sequence[tuple[str, dict[str, Any]]] = (),
    unset: Sequence[str] = (),
) -> Payment:
    """The same, written at once.

    Raises:
        LostRace: Somebody else has changed it.
    """
    one = move(payment, now, changes, happenings, unset)
    return await compare_and_set(
        Payment, one.doc_id, version=one.version, set=one.set, push=one.push, unset=one.unset
    )


async def expiring(now: datetime) -> list[Payment]:
    """Open invoices whose time is over."""
    query = {
        "status": {"$in": [status.value for status in OPEN]},
        "expires_at": {"$lte": now},
    }
    with store_errors():
        found = Payment.get_pymongo_collection().find(query)
        rows = await found.limit(EXPIRED_AT_ONCE).to_list()
    return [Payment.model_validate(row) for row in rows]


async def any_open() -> bool:
    """Whether anybody waits for an invoice to be paid."""
    query = {"status": {"$in": [status.value for status in OPEN]}}
    with store_errors():
        return await Payment.find_one(query) is not None


async def tracked(skip: int = 0) -> list[Payment]:
    """Payments whose order has not ended, from the one after `skip` others on."""
    with store_errors():
        return await Payment.find({"tracked": True}).skip(skip).limit(TRACKED_AT_ONCE).to_list()


async def refunding(skip: int = 0) -> list[Payment]:
    """Payments with a refund whose order has not ended, from the one after `skip` others on."""
    with store_errors():
        return await Payment.find({"refunding": True}).skip(skip).limit(TRACKED_AT_ONCE).to_list()


async def with_news() -> list[Payment]:
    with store_errors():
        return await Payment.find({"news": True}).limit(NEWS_AT_ONCE).to_list()


async def told(payment: Payment) -> None:
    """The outbox has the events up to those we saw; later ones stay."""
    with store_errors():
        await Payment.get_pymongo_collection().update_one(
            {"_id": payment.id, "event_seq": payment.event_seq},
            {"$set": {"events": []}, "$unset": {"news": ""}},
        )


async def counts() -> dict[str, int]:
    """How many payments are in each status."""
    pipeline = [{"$group": {"_id": "$status", "n": {"$sum": 1}}}]
    with store_errors():
        cursor = await Payment.get_pymongo_collection().aggregate(pipeline)
        return {row["_id"]: row["n"] async for row in cursor}

"""Orders as stored, and the queries on them. Status changes go through `moves` and nowhere else."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import msgspec
from pydantic import Field
from pymongo import ASCENDING, IndexModel, UpdateMany

from tron_payment import chain
from tron_payment.core.address import Address
from tron_payment.core.money import UNITS_MAX
from tron_payment.db.cas import BY_ID, Move, compare_and_set, compare_and_set_many
from tron_payment.db.lean import LeanDocument, fetch
from tron_payment.engine.domain import (
    LIFECYCLE,
    Attempt,
    Death,
    Expect,
    OrderStatus,
    Result,
    Spend,
)

WORK_MAX: Final = 500
"""Orders looked at by one step."""

AT_ONCE: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""`due_at` of an order whose next step may be taken now: by a process with any clock."""

WITH_LIVE_BYTES: Final = (OrderStatus.SIGNED, OrderStatus.AWAITING_SIGNATURE)

CONTRACT_TYPES: Final = {
    cls.__name__: cls
    for cls in (
        chain.Transfer,
        chain.TriggerContract,
        chain.CreateAccount,
        chain.CreateContract,
        chain.FreezeV2,
        chain.UnfreezeV2,
        chain.WithdrawExpireUnfreeze,
        chain.CancelAllUnfreezeV2,
        chain.Delegate,
        chain.Undelegate,
        chain.Vote,
        chain.WithdrawReward,
        chain.PermissionUpdate,
    )
}
_BUILTIN: Final = (bytes, datetime)


def stored(value: Any) -> Any:
    """A frozen dataclass as MongoDB keeps it."""
    return msgspec.to_builtins(value, builtin_types=_BUILTIN, str_keys=True)


class Order(LeanDocument):
    """One transaction that shall stand in the chain exactly once, whatever it takes.

    Its id is derived from what it is for, so that asking twice finds the same order. `contract`
    is what the bytes must say; `expects` what the receipt must show; `spends` what may leave.
    """

    id: str  # type: ignore[assignment]  # ord_...
    module: str
    """Who hears of it: the name of the module that placed it."""

    kind: str
    """For people and metrics: ``payout.direct``, ``staking.stake``, ..."""

    subject: str
    """The object it is for, such as a payout's, batch's or transfer's id."""

    wallet_id: str
    signer: str
    contract: dict[str, Any]
    permission_id: int = 0
    expects: list[dict[str, Any]] = Field(default_factory=list)
    spends: list[dict[str, Any]] = Field(default_factory=list)
    max_fee_sun: int = Field(ge=0, le=UNITS_MAX)
    rank: int
    detached: bool = False
    """The key is elsewhere: the bytes wait for a signature from outside."""

    lifetime_s: int = 0
    """Expiration minus head time; 0 means the engine's setting."""

    status: OrderStatus = OrderStatus.QUEUED
    version: int = 0
    op_id: str = ""
    due_at: datetime
    waiting_for: str = ""
    holds: list[dict[str, Any]] = Field(default_factory=list)
    """What the journal has set aside for it; written with RESERVED."""

    fee_limit_sun: int = 0
    """What its bytes may burn for energy; decided with the hold."""

    attempts: list[dict[str, Any]] = Field(default_factory=list)
    live_txid: str | None = None
    live_expiration_ms: int | None = None
    cancel_requested: bool = False
    books_open: bool = False
    """True for an order that has ended and whose hold may not yet be released."""

    news: bool = False
    """Its module has not yet heard of the last change."""

    result: dict[str, Any] | None = None
    reason: str = ""
    created_at: datetime
    updated_at: datetime

    class Settings:
        name = "orders"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("status", ASCENDING), ("rank", ASCENDING)], name="work"),
            IndexModel([("status", ASCENDING), ("due_at", ASCENDING)], name="due"),
            IndexModel([("status", ASCENDING), ("live_expiration_ms", ASCENDING)], name="expiry"),
            IndexModel([("attempts.txid", ASCENDING)], name="txid", unique=True, sparse=True),
            IndexModel([("module", ASCENDING), ("news", ASCENDING)], name="news"),
            IndexModel([("books_open", ASCENDING)], name="books_open"),
            IndexModel([("result.block_timestamp_ms", ASCENDING)], name="ended", sparse=True),
            IndexModel([("subject", ASCENDING)], name="subject"),
            IndexModel([("wallet_id", ASCENDING), ("status", ASCENDING)], name="wallet"),
            IndexModel([("signer", ASCENDING), ("status", ASCENDING)], name="signer"),
        ]

    @property
    def wanted_contract(self) -> chain.Contract:
        """What the transaction must say."""
        fields = dict(self.contract)
        kind: type[chain.Contract] = CONTRACT_TYPES[fields.pop("type")]
        return msgspec.convert(fields, kind, builtin_types=_BUILTIN)

    @property
    def wanted_expects(self) -> tuple[Expect, ...]:
        return tuple(msgspec.convert(each, Expect) for each in self.expects)

    @property
    def wanted_spends(self) -> tuple[Spend, ...]:
        return tuple(msgspec.convert(each, Spend) for each in self.spends)

    @property
    def held(self) -> tuple[Spend, ...]:
        return tuple(msgspec.convert(each, Spend) for each in self.holds)

    @property
    def tried(self) -> tuple[Attempt, ...]:
        """All attempts, oldest first."""
        return tuple(
            msgspec.convert(each, Attempt, builtin_types=_BUILTIN) for each in self.attempts
        )

    @property
    def live(self) -> Attempt | None:
        """The one attempt that may still come into the chain."""
        attempts = self.tried
        return attempts[-1] if attempts and attempts[-1].death is None else None

    @property
    def outcome(self) -> Result | None:
        return None if self.result is None else msgspec.convert(self.result, Result)


def contract_document(contract: chain.Contract) -> dict[str, Any]:
    return {"type": type(contract).__name__, **stored(contract)}


def move(
    order: Order,
    target: OrderStatus,
    now: datetime,
    *,
    set: dict[str, Any] | None = None,
    push: dict[str, Any] | None = None,
    where: dict[str, Any] | None = None,
    quiet: bool = False,
) -> Move:
    """One state move as a compare-and-set on (status, version).

    Args:
        quiet: Nobody needs to hear of it; else its module will.
    """
    LIFECYCLE.require(order.status, target)
    changes = {"status": target.value, "updated_at": now, **(set or {})}
    if not quiet:
        changes["news"] = True
    return Move(
        doc_id=order.id,
        version=order.version,
        where={"status": order.status.value, **(where or {})},
        set=changes,
        push=push or {},
    )


async def apply_moves(moves: Sequence[Move]) -> set[str]:
    """Write many moves at once; the ids of those that were still where we thought."""
    return await compare_and_set_many(Order, moves) if moves else set()


async def apply_move(one: Move) -> Order:
    """Write one move.

    Raises:
        LostRace: Somebody else has moved the order.
    """
    return await compare_and_set(
        Order, one.doc_id, version=one.version, where=one.where, set=one.set, push=one.push
    )


async def by_id(order_id: str) -> Order | None:
    return await Order.find_one({"_id": order_id})


async def owning(txids: Iterable[str]) -> list[Order]:
    """Orders that ever signed one of these transactions."""
    return await fetch(Order, {"attempts.txid": {"$in": list(txids)}})


UNSIGNED: Final = [OrderStatus.QUEUED.value, OrderStatus.RESERVED.value]
"""Without live bytes."""


async def expired(timestamp_ms: int, *, limit: int = WORK_MAX) -> list[Order]:
    """Orders whose live attempt expires at or before this block time.

    Bytes that were shown to be signed elsewhere count as live: whoever has a key may send them.
    """
    condition = {
        "status": {"$in": [status.value for status in WITH_LIVE_BYTES]},
        "live_expiration_ms": {"$lte": timestamp_ms},
    }
    return await fetch(Order, condition, sort="live_expiration_ms", limit=limit)


async def with_open_books(*, limit: int = WORK_MAX) -> list[Order]:
    return await fetch(Order, {"books_open": True}, limit=limit)


async def with_news(module: str, *, without: Iterable[str], limit: int = WORK_MAX) -> list[Order]:
    where: dict[str, Any] = {"module": module, "news": True}
    others = {"_id": {"$nin": sorted(without)}} if without else {}
    return await fetch(Order, where | others, limit=limit)


async def tell_what_waits() -> None:
    """Modules hear once more of what is not signed and waits for something."""
    where = {"status": {"$in": UNSIGNED}, "waiting_for": {"$ne": ""}, "news": {"$ne": True}}
    await Order.get_pymongo_collection().update_many(where, {"$set": {"news": True}})


async def hush(orders: Sequence[Order]) -> None:
    """The module has heard of these, as they are now; a later change makes news again.

    Hints (sent, waiting) leave the version as it is and move `due_at`.
    """
    same: dict[tuple[int, datetime], list[str]] = defaultdict(list)
    for o in orders:
        same[(o.version, o.due_at)].append(o.id)
    await _hint(
        ({"_id": {"$in": ids}, "version": version, "due_at": due_at}, {"news": False})
        for (version, due_at), ids in same.items()
    )


async def _hint(hints: Iterable[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """Fields for people and for the next look, no state: orders that get the same, together."""
    writes = [UpdateMany(here, {"$set": fields}, hint=BY_ID) for here, fields in hints]
    if writes:
        await Order.get_pymongo_collection().bulk_write(writes, ordered=False)


async def close_books(order_ids: Sequence[str]) -> None:
    """Their holds are released in the journal."""
    if order_ids:
        await Order.get_pymongo_collection().update_many(
            {"_id": {"$in": list(order_ids)}}, {"$set": {"books_open": False}}
        )


async def postpone(
    orders: Sequence[Order], until: datetime, *, waiting_for: str | None = None
) -> None:
    """Look again later. Not a state move: status and version stay."""
    changes: dict[str, Any] = {"due_at": until}
    if waiting_for is not None:
        changes |= {"waiting_for": waiting_for}
        if any(order.waiting_for != waiting_for for order in orders):
            changes |= {"news": True}
    same: dict[int, list[str]] = defaultdict(list)
    for o in orders:
        same[o.version].append(o.id)
    await _hint(
        ({"_id": {"$in": ids}, "version": version}, changes) for version, ids in same.items()
    )


async def mark_sent(orders: Sequence[Order], now: datetime, again_at: datetime) -> None:
    """A hint for screens and the next rebroadcast; no state."""
    same: dict[tuple[int, int, bool], dict[str, str | None]] = defaultdict(dict)
    for o in orders:
        again = o.attempts[-1].get("sent_at") is not None
        same[(o.version, len(o.attempts), again)][o.id] = o.live_txid
    await _hint(
        (
            {"_id": {"$in": [*sent]}, "version": version, "live_txid": {"$in": [*sent.values()]}},
            {"due_at": again_at}
            | ({} if again else {f"attempts.{number - 1}.sent_at": now, "news": True}),
        )
        for (version, number, again), sent in same.items()
    )


async def request_cancel(order: Order) -> Order:
    """Let it end as canceled once its live bytes are proved dead. Its status stays.

    The version grows: who read the order before, to store a signature or to say that its module
    has heard, must look again. It is looked at now, and its module and the desk hear of it.

    Raises:
        LostRace: Somebody else has moved the order.
    """
    return await compare_and_set(
        Order,
        order.id,
        version=order.version,
        where={"status": order.status.value},
        set={"cancel_requested": True, "news": True, "due_at": AT_ONCE},
    )


async def counts(statuses: Sequence[OrderStatus] = tuple(OrderStatus)) -> dict[str, int]:
    """How many orders are in each of these statuses."""
    pipeline: list[dict[str, Any]] = [
        {"$match": {"status": {"$in": [each.value for each in statuses]}}},  # by index alone
        {"$group": {"_id": "$status", "n": {"$sum": 1}}},
    ]
    cursor = await Order.get_pymongo_collection().aggregate(pipeline)
    return {row["_id"]: row["n"] async for row in cursor}


def addresses_of(order: Order) -> set[Address]:
    """Holders whose money the order may move."""
    return {Address(order.signer), *(spend.holder for spend in order.wanted_spends)}


__all__ = [
    "Attempt",
    "Death",
    "Order",
    "addresses_of",
    "apply_move",
    "apply_moves",
    "by_id",
    "close_books",
    "contract_document",
    "counts",
    "expired",
    "hush",
    "mark_sent",
    "move",
    "owning",
    "postpone",
    "request_cancel",
    "stored",
    "tell_what_waits",
    "with_news",
    "with_open_books",
]

"""Transfers, registered tokens and movements of our holders as stored, and every query on them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne

from tron_payment.core.money import DECIMALS_MAX, UNITS_MAX
from tron_payment.db.cas import insert_many_once, insert_once
from tron_payment.db.ledger import Holder
from tron_payment.http.paging import InvalidFilter
from tron_payment.usdt.domain import LIFECYCLE, Kind, TransferStatus

SWEEP_AFTER: Final = timedelta(seconds=10)
"""A queued transfer this old must have its order; the sweeper makes sure."""

SWEEP_MAX: Final = 200
BROADCAST: Final = "broadcast"
TOKENS_MAX: Final = 200
OPENINGS_BATCH: Final = 500
OPENINGS_PER_STEP: Final = 20


class Transfer(Document):
    """A token transfer, or an approval of a spender, on its way to the chain.

    The id is derived from the principal and the idempotency key. Units are the token's smallest.
    `status` follows the order, and only an order's newer version changes it.
    """

    id: str  # type: ignore[assignment]  # trf_...
    kind: Kind
    principal: str
    wallet_id: str
    signer: str
    counterparty: str
    """The recipient, or the spender of an approval."""

    currency: str
    token: str
    """The contract."""

    units: int = Field(ge=0, le=UNITS_MAX)
    detached: bool = False
    """The wallet's key is elsewhere: the order waits for a signature from outside."""

    max_fee_sun: int
    order_id: str
    order_version: int = -1
    """Version of the order that the fields below were taken from; it only grows."""

    live_approval: str | None = None
    """Owner, token and spender of an approval while it moves: there is one at a time."""

    status: TransferStatus = TransferStatus.QUEUED
    version: int = 0
    op_id: str = ""
    waiting_for: str = ""
    reason: str = ""
    txid: str | None = None
    attempts: int = 0
    sent_at: datetime | None = None
    fee_paid_sun: int | None = None
    energy_used: int | None = None
    block_number: int | None = None
    block_id: str | None = None
    settled_at: datetime | None = None
    """The solidified block's own time."""

    sweep_at: datetime | None = None
    created_at: datetime
    updated_at: datetime

    class Settings:
        name = "transfers"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("order_id", ASCENDING)], name="order"),
            IndexModel([("status", ASCENDING), ("sweep_at", ASCENDING)], name="sweep"),
            IndexModel([("created_at", DESCENDING), ("_id", DESCENDING)], name="history"),
            IndexModel(
                [("principal", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
                name="own_history",
            ),
            IndexModel([("live_approval", ASCENDING)], name="approval", unique=True, sparse=True),
        ]


class Token(Document):
    """A TRC-20 token that we keep books for, as its contract said when it was registered."""

    id: str  # type: ignore[assignment]  # the contract's address
    symbol: str
    name: str
    decimals: int = Field(ge=0, le=DECIMALS_MAX)
    code_hash: str
    registered_by: str
    registered_at: datetime
    openings_requested: bool = False
    """Every holder of that time has its `TokenOpening`, or had."""

    class Settings:
        name = "tokens"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("symbol", ASCENDING)], name="symbol", unique=True),
            IndexModel([("registered_at", ASCENDING)], name="registered_at"),
        ]


class TokenOpening(Document):
    """A holder's books of a token that was registered later than the holder."""

    id: str  # type: ignore[assignment]  # contract and holder
    address: str
    asset: str
    registered_at_block: int
    read_at_block: int | None = None
    units: str | None = None
    """The balance at `read_at_block`, as a decimal integer."""

    class Settings:
        name = "token_openings"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = []


class TokenMovement(Document):
    """Tokens that came to or left one of our holders in a solidified block."""

    id: str  # type: ignore[assignment]  # block, transaction and log number: sorts by time
    txid: str
    log_index: int
    block_number: int
    block_time: datetime
    currency: str
    token: str
    units: str
    """As a decimal integer: a stranger's token may move more than fits an int64."""

    sender: str
    recipient: str
    holders: list[str]
    """Which of the two are ours."""

    class Settings:
        name = "token_movements"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel(
                [("holders", ASCENDING), ("block_time", DESCENDING), ("_id", DESCENDING)],
                name="history",
            )
        ]


class TokenNotice(Document):
    """Something that USDT's issuer did in a solidified block."""

    id: str  # type: ignore[assignment]  # as a movement's: block, transaction and log number
    txid: str
    block_number: int
    at: datetime
    kind: str
    """The event: ``Pause``, ``Params``, ``AddedBlackList``, ..."""

    details: dict[str, str] = Field(default_factory=dict)

    class Settings:
        name = "token_notices"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("at", DESCENDING), ("_id", DESCENDING)], name="history")
        ]


def movement_id(block_number: int, index: int, log_index: int) -> str:
    """The same for the same log, and in the chain's order as text."""
    return f"{block_number:012d}.{index:06d}.{log_index:06d}"


def showing(statuses: Sequence[str]) -> dict[str, Any]:
    """The filter for statuses as the view shows them; everything for none.

    `signed` and `broadcast` are one stored state: a send time tells them apart.

    Raises:
        InvalidFilter: An unknown one.
    """
    known = {each.value for each in TransferStatus} | {BROADCAST}
    if set(statuses) - known:
        raise InvalidFilter("a status is one of " + ", ".join(sorted(known)), param="status")
    sent = {"status": TransferStatus.SIGNED.value, "sent_at": {"$ne": None}}
    unsent = {"status": TransferStatus.SIGNED.value, "sent_at": None}
    shown = {BROADCAST: sent, TransferStatus.SIGNED.value: unsent}
    wanted = [shown.get(each, {"status": each}) for each in statuses]
    return {"$or": wanted} if wanted else {}


async def by_id(transfer_id: str, owner: dict[str, str]) -> Transfer | None:
    return await Transfer.find_one({"_id": transfer_id, **owner})


async def moving_approval(live: str) -> Transfer | None:
    """The approval of this owner, token and spender that has not ended."""
    return await Transfer.find_one({"live_approval": live})


async def follow_orders(changes: Sequence[tuple[str, int, dict[str, Any]]]) -> None:
    """Take over what orders say: (order id, order version, fields).

    A compare-and-set on the order's version: telling it twice, or late, changes nothing.
    """
    updates = []
    for order_id, order_version, fields in changes:
        update: dict[str, Any] = {
            "$set": {**fields, "order_version": order_version},
            "$inc": {"version": 1},
        }
        if LIFECYCLE.is_final(TransferStatus(fields["status"])):
            update["$unset"] = {"live_approval": ""}
        condition = {"order_id": order_id, "order_version": {"$lte": order_version}}
        updates.append(UpdateOne(condition, update))
    if updates:
        await Transfer.get_pymongo_collection().bulk_write(updates, ordered=False)


async def unswept(now: datetime) -> list[Transfer]:
    """Queued transfers whose order may be missing."""
    return (
        await Transfer.find({"status": TransferStatus.QUEUED.value, "sweep_at": {"$lte": now}})
        .limit(SWEEP_MAX)
        .to_list()
    )


async def swept(transfer_ids: Sequence[str]) -> None:
    """Their orders exist."""
    if transfer_ids:
        await Transfer.get_pymongo_collection().update_many(
            {"_id": {"$in": list(transfer_ids)}}, {"$unset": {"sweep_at": ""}}
        )


async def counts() -> dict[str, int]:
    """How many transfers are in each status."""
    pipeline = [{"$group": {"_id": "$status", "n": {"$sum": 1}}}]
    cursor = await Transfer.get_pymongo_collection().aggregate(pipeline)
    return {row["_id"]: row["n"] async for row in cursor}


async def tokens() -> list[Token]:
    """The registered tokens, oldest first."""
    return await Token.find_all().sort("+registered_at").limit(TOKENS_MAX).to_list()


async def remember(movements: Sequence[TokenMovement]) -> None:
    """Store movements; those that are stored already stay as they are."""
    if movements:
        await insert_many_once(movements)


async def remember_notice(notice: TokenNotice) -> bool:
    """Store a notice; False when it is stored already."""
    return await insert_once(notice)


async def newest_notices(limit: int) -> list[TokenNotice]:
    """The newest notices first."""
    return await TokenNotice.find_all().sort("-at", "-_id").limit(limit).to_list()


async def unopened_tokens() -> list[Token]:
    return await Token.find({"openings_requested": False}).limit(TOKENS_MAX).to_list()


async def openings_requested(contract: str) -> None:
    await Token.get_pymongo_collection().update_one(
        {"_id": contract}, {"$set": {"openings_requested": True}}
    )


async def request_openings(contract: str, asset: str, block_number: int) -> None:
    """One for each holder that has none."""
    batch: list[TokenOpening] = []
    async for holder in Holder.find_all():
        batch.append(
            TokenOpening(
                id=f"{contract}:{holder.id}",
                address=holder.id,
                asset=asset,
                registered_at_block=block_number,
            )
        )
        if len(batch) == OPENINGS_BATCH:
            await insert_many_once(batch)
            batch = []
    if batch:
        await insert_many_once(batch)


async def pending_openings(limit: int = OPENINGS_PER_STEP) -> list[TokenOpening]:
    return await TokenOpening.find_all().sort("+_id").limit(limit).to_list()


async def opening_read(opening_id: str, block_number: int, units: int) -> None:
    await TokenOpening.get_pymongo_collection().update_one(
        {"_id": opening_id}, {"$set": {"read_at_block": block_number, "units": str(units)}}
    )


async def opening_done(opening_id: str) -> None:
    await TokenOpening.get_pymongo_collection().delete_one({"_id": opening_id})

"""Transfers, registered tokens and movements of our holders as stored, and every query on them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Final

from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel

from tron_payment.core.money import DECIMALS_MAX, UNITS_MAX
from tron_payment.db.cas import insert_many_once, insert_once
from tron_payment.db.lean import LeanDocument
from tron_payment.db.ledger import Holder, LedgerEntry
from tron_payment.db.ledger_cache import OPENED
from tron_payment.ordered import OrderedDocument, ordered_indexes
from tron_payment.usdt.domain import Kind

TOKENS_MAX: Final = 200
OPENINGS_BATCH: Final = 500
OPENINGS_PER_STEP: Final = 20
KNOWN_AFTER: Final = timedelta(hours=1)
"""So long after its registration everybody knows a token, and opens new holders with it."""


class Transfer(OrderedDocument):
    """A token transfer, or an approval of a spender, on its way to the chain.

    Units are the token's smallest. What follows the order is in `OrderedDocument`.
    """

    kind: Kind
    counterparty: str
    """The recipient, or the spender of an approval."""

    currency: str
    token: str
    """The contract."""

    units: int = Field(ge=0, le=UNITS_MAX)
    live_approval: str | None = None
    """Owner, token and spender of an approval while it moves: there is one at a time."""

    class Settings:
        name = "transfers"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = ordered_indexes(
            IndexModel([("live_approval", ASCENDING)], name="approval", unique=True, sparse=True)
        )


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
    """Every holder of that time has its `TokenOpening`, or had. `ask_again` takes it back."""

    asked_again: bool = False

    class Settings:
        name = "tokens"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("symbol", ASCENDING)], name="symbol", unique=True),
            IndexModel([("registered_at", ASCENDING)], name="registered_at"),
        ]

    @classmethod
    async def ask_again(cls) -> None:
        """Of every token, when a service starts: the journal may have lost openings. Safe to
        repeat, also where no token was ever registered."""
        rows = Holder.get_pymongo_collection().database[cls.Settings.name]
        await rows.update_many({}, {"$set": {"openings_requested": False, "asked_again": True}})


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


class TokenMovement(LeanDocument):
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


async def moving_approval(live: str) -> Transfer | None:
    """The approval of this owner, token and spender that has not ended."""
    return await Transfer.find_one({"live_approval": live})


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
    """One for each holder that has none and needs one."""
    token = await Token.get(contract)
    assert token is not None, contract
    batch: list[Holder] = []
    async for holder in Holder.find_all():
        batch.append(holder)
        if len(batch) == OPENINGS_BATCH:
            await insert_many_once(await _needed(token, asset, block_number, batch))
            batch = []
    if batch:
        await insert_many_once(await _needed(token, asset, block_number, batch))


async def _needed(
    token: Token, asset: str, block_number: int, some: Sequence[Holder]
) -> list[TokenOpening]:
    """Of all but those whose opening is booked, and who were opened long after the registration."""
    causes = [f"{OPENED}{token.id}:{each.id}" for each in some]
    seqs = [each.opened_seq for each in some]
    late = {"$gt": token.registered_at + KNOWN_AFTER}
    rows = LedgerEntry.get_pymongo_collection()
    booked = rows.find({"cause": {"$in": causes}}, {"cause": 1})
    done = {row["cause"] async for row in booked}
    young = {row["_id"] async for row in rows.find({"_id": {"$in": seqs}, "at": late}, {"_id": 1})}
    return [
        TokenOpening(
            id=f"{token.id}:{each.id}",
            address=each.id,
            asset=asset,
            registered_at_block=block_number,
        )
        for each, cause in zip(some, causes, strict=True)
        if cause not in done and not (token.asked_again and each.opened_seq in young)
    ]


async def pending_openings(limit: int = OPENINGS_PER_STEP) -> list[TokenOpening]:
    return await TokenOpening.find_all().sort("+_id").limit(limit).to_list()


async def opening_read(opening_id: str, block_number: int, units: int) -> None:
    await TokenOpening.get_pymongo_collection().update_one(
        {"_id": opening_id}, {"$set": {"read_at_block": block_number, "units": str(units)}}
    )


async def opening_done(opening_id: str) -> None:
    await TokenOpening.get_pymongo_collection().delete_one({"_id": opening_id})

"""Signing requests as stored, and every query on them."""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, IndexModel

from tron_payment.core.lifecycle import Lifecycle
from tron_payment.db.cas import compare_and_set
from tron_payment.db.faults import store_errors

DELIVERED_AT_ONCE: Final = 100


class RequestStatus(StrEnum):
    """`complete`: the weights of the signatures reach the threshold."""

    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"
    CANCELED = "canceled"


S = RequestStatus
LIFECYCLE: Final = Lifecycle(
    {
        S.OPEN: {S.COMPLETE, S.EXPIRED, S.CANCELED},
        S.COMPLETE: set(),
        S.EXPIRED: set(),
        S.CANCELED: set(),
    }
)


@dataclass(frozen=True, slots=True)
class AllowedKey:
    """A key that may sign, and what its signature weighs."""

    address: str
    weight: int


@dataclass(frozen=True, slots=True)
class Given:
    """An accepted signature."""

    address: str
    weight: int
    signature: bytes
    principal: str
    at: datetime


class SigningRequest(Document):
    """Bytes, what they mean, who may sign them, and who has."""

    id: str  # type: ignore[assignment]  # sgn_..., derived from order and txid
    order_id: str
    wallet_id: str
    address: str
    """Whose money it is: the owner of the contract."""

    path: str = ""
    raw: bytes = Field(repr=False)
    txid: str
    expiration_ms: int
    permission_id: int
    threshold: int
    keys: list[AllowedKey]
    given: list[Given] = Field(default_factory=list)
    status: RequestStatus = RequestStatus.OPEN
    delivered: bool = False
    """The engine has the signatures."""

    version: int = 0
    op_id: str = ""
    created_at: datetime
    updated_at: datetime

    class Settings:
        name = "signing_requests"
        keep_nulls = False
        bson_encoders: ClassVar[dict[Any, Any]] = {AllowedKey: asdict, Given: asdict}
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("status", ASCENDING), ("created_at", ASCENDING), ("_id", ASCENDING)]),
            IndexModel([("created_at", ASCENDING), ("_id", ASCENDING)], name="list"),
            IndexModel([("order_id", ASCENDING)], name="order"),
            IndexModel([("status", ASCENDING), ("delivered", ASCENDING)], name="delivery"),
        ]

    @property
    def weight(self) -> int:
        return sum(each.weight for each in self.given)

    @property
    def missing(self) -> tuple[AllowedKey, ...]:
        """Keys that have not signed."""
        signed = {each.address for each in self.given}
        return tuple(key for key in self.keys if key.address not in signed)

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """In the order in which they came."""
        return tuple(each.signature for each in self.given)


async def add(request: SigningRequest, given: Given, *, complete: bool) -> SigningRequest:
    """Store one more signature.

    Raises:
        LostRace: Somebody else has changed the request.
    """
    changes: dict[str, Any] = {"updated_at": given.at}
    if complete:
        LIFECYCLE.require(request.status, RequestStatus.COMPLETE)
        changes["status"] = RequestStatus.COMPLETE.value
    return await compare_and_set(
        SigningRequest,
        request.id,
        version=request.version,
        where={"status": request.status.value, "given.address": {"$ne": given.address}},
        set=changes,
        push={"given": given},
    )


async def by_id(request_id: str) -> SigningRequest | None:
    with store_errors():
        return await SigningRequest.find_one({"_id": request_id})


async def open_of(order_id: str) -> list[SigningRequest]:
    query = {"order_id": order_id, "status": RequestStatus.OPEN.value}
    with store_errors():
        return await SigningRequest.find(query).to_list()


async def open_of_wallets(wallet_ids: list[str], *, limit: int) -> list[SigningRequest]:
    """Oldest first."""
    if not wallet_ids:
        return []
    query = {"status": RequestStatus.OPEN.value, "wallet_id": {"$in": wallet_ids}}
    with store_errors():
        return await SigningRequest.find(query).sort("+created_at").limit(limit).to_list()


async def undelivered() -> list[SigningRequest]:
    query = {"status": RequestStatus.COMPLETE.value, "delivered": False}
    with store_errors():
        return await SigningRequest.find(query).limit(DELIVERED_AT_ONCE).to_list()


async def move(request: SigningRequest, status: RequestStatus, now: datetime) -> SigningRequest:
    """Close a request; nothing of it has to be delivered then.

    Raises:
        LostRace: Somebody else has changed it.
    """
    LIFECYCLE.require(request.status, status)
    return await compare_and_set(
        SigningRequest,
        request.id,
        version=request.version,
        where={"status": request.status.value},
        set={"status": status.value, "delivered": True, "updated_at": now},
    )


async def mark_delivered(request: SigningRequest, now: datetime) -> SigningRequest:
    """The engine has the signatures.

    Raises:
        LostRace: Somebody else has marked it.
    """
    return await compare_and_set(
        SigningRequest,
        request.id,
        version=request.version,
        set={"delivered": True, "updated_at": now},
    )

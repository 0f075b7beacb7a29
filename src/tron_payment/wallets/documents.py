"""Wallets as stored, and every query on them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

from pydantic import Field
from pymongo import ASCENDING, IndexModel

from tron_payment.core.address import Address
from tron_payment.db.cas import compare_and_set
from tron_payment.db.faults import store_errors
from tron_payment.db.lean import LeanDocument
from tron_payment.engine import Order, OrderStatus
from tron_payment.wallets.domain import LIFECYCLE, WalletKind, WalletStatus
from tron_payment.wallets.keystore import Bond, Envelope, stored_envelope

DEFAULT_CANDIDATES_MAX: Final = 100
"""Hot wallets looked at when no wallet is named."""

OF_KIND_MAX: Final = 1_000
SCANNED_AT_ONCE: Final = 20

ISSUING_MAX: Final = 1_000
"""HD wallets whose pools are kept full."""

LIVE_ORDERS: Final = tuple(
    status.value
    for status in OrderStatus
    if status not in (OrderStatus.SETTLED, OrderStatus.FAILED, OrderStatus.CANCELED)
)


class Wallet(LeanDocument):
    """An address that we know, and its encrypted key where we hold it.

    `status` changes through `move` and nowhere else. A wallet is never deleted, nor is its key.
    """

    id: str  # type: ignore[assignment]  # wal_...
    label: str
    kind: WalletKind
    address: str
    status: WalletStatus = WalletStatus.ACTIVE
    category: str = ""
    principal: str
    """Who made it; a merchant sees only its own."""

    envelope: Envelope | None = Field(default=None, repr=False)
    path: str = ""
    """What the envelope's bond says besides: empty for a single key."""

    permission_id: int = 0
    """Of multisig wallets: the account permission by which they sign, 0 for the owner's."""

    xpub: str | None = None
    """The account's public key, of wallets that issue addresses."""

    owner_proven_at: datetime | None = None
    """When somebody signed a message with its key; None when nobody has."""

    keys_made_here: bool = False
    """Nobody else has ever had its keys: the books of its addresses open at zero."""

    held_before: bool = False
    """Books of its address were kept before it was a wallet: it is one of ours, such as a router's,
    whatever kind of wallet somebody makes of it."""

    former_ids: list[str] | None = None
    """Ids that it had in an installation whose backup was restored onto it: it answers to them."""

    index_floor: int = 0
    """Addresses up to this index are never issued (again): set by a restore."""

    scan_from: int | None = None
    """Of imported accounts: the next index to look for on the chain; None when that is done."""

    override_by: str | None = None
    """Who asked to archive it although it holds money; a second person has to agree."""

    override_at: datetime | None = None

    backed_up_at: datetime | None = None
    """When a backup of its key was first handed out or brought in: somebody may have the key.
    Backups from before this was kept stand in the audit log only (agreement.py)."""

    version: int = 0
    op_id: str = ""
    created_at: datetime
    updated_at: datetime

    class Settings:
        name = "wallets"
        keep_nulls = False
        bson_encoders: ClassVar[dict[Any, Any]] = {Envelope: stored_envelope}
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("address", ASCENDING)], name="address", unique=True),
            IndexModel([("created_at", ASCENDING), ("_id", ASCENDING)], name="list"),
            IndexModel(
                [("principal", ASCENDING), ("created_at", ASCENDING), ("_id", ASCENDING)],
                name="own_list",
            ),
            IndexModel([("kind", ASCENDING), ("status", ASCENDING)], name="default"),
            IndexModel([("former_ids", ASCENDING)], name="former_ids", sparse=True),
            IndexModel([("envelope.kek_id", ASCENDING)], name="kek", sparse=True),
            IndexModel([("status", ASCENDING), ("xpub", ASCENDING)], name="issuing"),
            IndexModel([("scan_from", ASCENDING)], name="scanning", sparse=True),
        ]

    @property
    def bond(self) -> Bond:
        """What its envelope is bound to."""
        return Bond(self.id, Address(self.address), self.path)


async def by_id(wallet_id: str, owner: Mapping[str, str] | None = None) -> Wallet | None:
    """The wallet with this id, or the one that had it before a restore."""
    with store_errors():
        for field in ("_id", "former_ids"):
            if (found := await Wallet.find_one({field: wallet_id, **(owner or {})})) is not None:
                return found
    return None


async def by_ids(wallet_ids: Sequence[str]) -> dict[str, Wallet]:
    """Wallets by their present ids; what is not there is left out."""
    with store_errors():
        found = Wallet.get_pymongo_collection().find({"_id": {"$in": list(wallet_ids)}})
        return {raw["_id"]: Wallet.model_validate(raw) async for raw in found}


async def names_of(wallet_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """By each of these ids that is, or was before a restore, one of a wallet: all ids of that
    wallet, the present one first."""
    asked = sorted(set(wallet_ids))
    query = {"$or": [{"_id": {"$in": asked}}, {"former_ids": {"$in": asked}}]}
    named: dict[str, tuple[str, ...]] = {}
    with store_errors():
        rows = Wallet.get_pymongo_collection().find(query, {"former_ids": 1})
        async for row in rows:
            names = (row["_id"], *(row.get("former_ids") or ()))
            named |= {name: names for name in names if name in asked}
    return named


async def by_address(address: Address) -> Wallet | None:
    with store_errors():
        return await Wallet.find_one({"address": address})


async def watched_only(addresses: Collection[Address]) -> set[Address]:
    """Of these the strangers': watched by somebody's wish, and nothing here can sign for them.

    An account that was imported by its xpub is ours, for it issues addresses; so are those.
    """
    query = {
        "address": {"$in": sorted(addresses)},
        "kind": WalletKind.WATCH.value,
        "xpub": None,
        "held_before": {"$ne": True},
    }
    with store_errors():
        rows = Wallet.get_pymongo_collection().find(query, {"address": 1})
        return {Address(row["address"]) async for row in rows}


async def by_label(principal: str, label: str) -> Wallet | None:
    """The oldest wallet with this label that this principal made."""
    query = {"principal": principal, "label": label}
    with store_errors():
        found = await Wallet.find(query).sort("+created_at").limit(1).to_list()
    return found[0] if found else None


async def active_hot(owner: Mapping[str, str]) -> list[Wallet]:
    """Hot wallets that may sign, oldest first."""
    query = {"kind": WalletKind.HOT.value, "status": WalletStatus.ACTIVE.value, **owner}
    with store_errors():
        return await Wallet.find(query).sort("+created_at").limit(DEFAULT_CANDIDATES_MAX).to_list()


async def active_hd() -> list[Wallet]:
    """Wallets that issue addresses now."""
    query = {
        "status": WalletStatus.ACTIVE.value,
        "xpub": {"$type": "string"},
        "scan_from": None,
    }
    with store_errors():
        return await Wallet.find(query).limit(ISSUING_MAX).to_list()


async def ids_of(kind: WalletKind) -> list[str]:
    """Ids of the active wallets of a kind, at most `OF_KIND_MAX`."""
    query = {"kind": kind.value, "status": WalletStatus.ACTIVE.value}
    with store_errors():
        found = Wallet.get_pymongo_collection().find(query, {"_id": 1}).limit(OF_KIND_MAX)
        return [row["_id"] async for row in found]


async def scanning() -> list[Wallet]:
    """Wallets whose used addresses are still being looked for."""
    with store_errors():
        return await Wallet.find({"scan_from": {"$gte": 0}}).limit(SCANNED_AT_ONCE).to_list()


async def keyed(*, limit: int) -> list[Wallet]:
    """Wallets whose key is here, archived ones too."""
    with store_errors():
        return (
            await Wallet.find({"envelope.kek_id": {"$type": "string"}})
            .sort("+_id")
            .limit(limit)
            .to_list()
        )


async def under_other_keks(current: str, *, skip: list[str], limit: int) -> list[Wallet]:
    """Wallets whose data key another KEK wraps."""
    query = {"envelope.kek_id": {"$type": "string", "$ne": current}, "_id": {"$nin": skip}}
    with store_errors():
        return await Wallet.find(query).limit(limit).to_list()


async def count_under(kek_id: str) -> int:
    with store_errors():
        return await Wallet.find({"envelope.kek_id": kek_id}).count()


async def change(wallet: Wallet, now: datetime, **fields: Any) -> Wallet:
    """Change what is no status.

    Raises:
        LostRace: Somebody else has changed the wallet.
    """
    return await compare_and_set(
        Wallet, wallet.id, version=wallet.version, set={**fields, "updated_at": now}
    )


async def mark_backed_up(wallet_ids: Sequence[str], now: datetime) -> None:
    """Write down that backups of these are about to leave; the first time stays."""
    query = {"_id": {"$in": list(wallet_ids)}, "backed_up_at": None}
    with store_errors():
        wallets = Wallet.get_pymongo_collection()
        await wallets.update_many(query, {"$set": {"backed_up_at": now}})


async def move(wallet: Wallet, target: WalletStatus, now: datetime, **fields: Any) -> Wallet:
    """One status move.

    Raises:
        LostRace: Somebody else has moved it.
    """
    LIFECYCLE.require(wallet.status, target)
    return await compare_and_set(
        Wallet,
        wallet.id,
        version=wallet.version,
        where={"status": wallet.status.value},
        set={"status": target.value, "updated_at": now, **fields},
    )


async def has_live_orders(wallet: Wallet) -> bool:
    """Whether the engine still carries orders of this wallet or its address."""
    with store_errors():
        live = {"status": {"$in": list(LIVE_ORDERS)}}
        return (
            await Order.find_one({"wallet_id": wallet.id, **live}) is not None
            or await Order.find_one({"signer": wallet.address, **live}) is not None
        )


async def counts() -> dict[str, int]:
    """How many wallets are in each status."""
    pipeline = [{"$group": {"_id": "$status", "n": {"$sum": 1}}}]
    with store_errors():
        cursor = await Wallet.get_pymongo_collection().aggregate(pipeline)
        return {row["_id"]: row["n"] async for row in cursor}


async def count_by_kind() -> dict[str, int]:
    """How many wallets there are of each kind, archived ones apart."""
    pipeline: list[Mapping[str, Any]] = [
        {"$match": {"status": {"$ne": WalletStatus.ARCHIVED.value}}},
        {"$group": {"_id": "$kind", "n": {"$sum": 1}}},
    ]
    with store_errors():
        cursor = await Wallet.get_pymongo_collection().aggregate(pipeline)
        return {row["_id"]: row["n"] async for row in cursor}

"""Who we are: the secret that derives our ids, and the chain this store belongs to, once for all.

A store that was filled against one chain must never serve another: its order ids, cursors and
balances would be lies there.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import structlog
from beanie import Document
from pydantic import Field
from pymongo.asynchronous.database import AsyncDatabase

from tron_payment.core.clock import Clock
from tron_payment.core.errors import Conflict
from tron_payment.db.cas import insert_once
from tron_payment.db.faults import StoreUnavailable, store_errors
from tron_payment.db.leases import Lease
from tron_payment.db.migrations import FIRST_VERSION, MIGRATIONS, SCHEMA_VERSION, Migration
from tron_payment.db.migrations import floor_of as floor_of

SECRET_BYTES: Final = 32
_ID: Final = "installation"

log = structlog.get_logger()


class InstallationMismatch(Conflict, code="installation_mismatch"):
    """This database belongs to another chain, or is in the shape of another release."""


class Installation(Document):
    """The one document of its kind; written once, only its schema moves on."""

    id: str = _ID  # type: ignore[assignment]
    secret: bytes = Field(repr=False, min_length=SECRET_BYTES, max_length=SECRET_BYTES)
    """For `core.ids.derived_id`. It stands here in the clear: whoever reads the database computes
    ids, signs reports of a reconciliation as we do (whose hashes are in the audit log), and signs
    for webhook endpoints that have no root of their own (`gateway.webhook_signing`)."""

    genesis_id: str
    """Block 0's id in hex: the name of the chain."""

    created_at: datetime
    schema_version: int = SCHEMA_VERSION
    schema_floor: int | None = None
    """The least version that a release must know to work here; None: `schema_version` itself."""

    class Settings:
        name = "installation"


async def load(genesis_id: str, clock: Clock, *, migrates: bool = True) -> Installation:
    """The installation of this database; made when the database is new.

    Several processes may call it at once: the first insert wins, all see that one.

    Args:
        migrates: An older store is brought forward; else it is refused.

    Raises:
        InstallationMismatch: The database belongs to another chain or another release.
        StoreUnavailable: No answer.
    """
    found = await _find()
    if found is None:
        await insert_once(
            Installation(
                secret=secrets.token_bytes(SECRET_BYTES),
                genesis_id=genesis_id,
                created_at=clock.now(),
                schema_floor=floor_of(MIGRATIONS),
            )
        )
        found = await _find()
    if found is None:
        raise StoreUnavailable("the installation was written but cannot be read yet")
    if found.genesis_id != genesis_id:
        raise InstallationMismatch(
            f"the database belongs to the chain of genesis block {found.genesis_id}, "
            f"the node serves {genesis_id}: use another database or another node"
        )
    _refuse(found.schema_version, found.schema_floor)
    if not migrates:
        _refuse_older(found.schema_version)
        return found
    return await migrate(found, MIGRATIONS)


async def known_genesis() -> str | None:
    """The chain that this database belongs to; None while it is new.

    Raises:
        StoreUnavailable: No answer.
    """
    found = await _find()
    return None if found is None else found.genesis_id


async def refuse_newer(database: AsyncDatabase[dict[str, Any]]) -> None:
    """For who has no chain to compare with: a store that this release may not work on is refused.

    Raises:
        InstallationMismatch: The database belongs to a newer release.
        StoreUnavailable: No answer.
    """
    if (shape := await _shape(database)) is not None:
        _refuse(*shape)


async def refuse_other(database: AsyncDatabase[dict[str, Any]]) -> bool:
    """For who leaves the store's shape to the service: one of another release is refused.

    An older one is not brought forward here: the processes of the release before, which do the
    work, would lose their turn by it.

    Returns:
        Whether there is one; False while the database is new.

    Raises:
        InstallationMismatch: The database is in the shape of a newer release, or of an older one.
        StoreUnavailable: No answer.
    """
    if (shape := await _shape(database)) is None:
        return False
    _refuse(*shape)
    _refuse_older(shape[0])
    return True


async def _shape(database: AsyncDatabase[dict[str, Any]]) -> tuple[int, int | None] | None:
    """Schema and floor as they are stored; None while the database is new."""
    shape = {"schema_version": 1, "schema_floor": 1}
    with store_errors():
        found = await database[Installation.Settings.name].find_one({"_id": _ID}, shape)
    if found is None:
        return None
    return found.get("schema_version", FIRST_VERSION), found.get("schema_floor")


def _refuse_older(version: int) -> None:
    if version < SCHEMA_VERSION:
        raise InstallationMismatch(
            f"the database has schema {version}, this release works on {SCHEMA_VERSION}, and no "
            "command changes that: use the commands of the release that runs, or start the "
            "service of this one first (see Upgrade and rollback in the manual)"
        )


def _refuse(version: int, least: int | None) -> None:
    floor = version if least is None else least
    if floor > SCHEMA_VERSION:
        raise InstallationMismatch(
            f"the database has schema {version}, which needs a release that knows "
            f"{floor}; this one knows {SCHEMA_VERSION}: see Upgrade and rollback in the manual"
        )


async def migrate(found: Installation, steps: Sequence[Migration]) -> Installation:
    """Bring the store to the newest shape; several processes may do it at once.

    Dying anywhere repeats the step: the version moves after the step has done its work. Before
    one that older processes must not work beside, those that run are made to lose their lease.
    """
    collection = Installation.get_pymongo_collection()
    leases = collection.database[Lease.Settings.name]
    for step in steps:
        if step.to <= found.schema_version:
            continue
        log.info("schema.migrating", to=step.to, title=step.title)
        with store_errors():
            if not step.beside:
                await leases.update_many({}, {"$max": {"floor": step.to}})
            await step.run(collection.database)
            changes: dict[str, int] = {"schema_version": step.to}
            if found.schema_floor is None or not step.beside:
                changes["schema_floor"] = found.schema_version if step.beside else step.to
            seen = {"_id": _ID, "schema_version": found.schema_version}
            await collection.update_one(seen, {"$set": changes})
            log.info("schema.migrated", to=step.to, title=step.title)
        again = await _find()
        assert again is not None and again.schema_version >= step.to
        found = again
    return found


async def _find() -> Installation | None:
    with store_errors():
        return await Installation.get(_ID)

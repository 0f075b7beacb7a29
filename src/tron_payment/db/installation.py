"""Who we are: the secret that derives our ids, and the chain this store belongs to, once for all.

A store that was filled against one chain must never serve another: its order ids, cursors and
balances would be lies there.
"""

import secrets
from datetime import datetime
from typing import Final

from beanie import Document
from pydantic import Field

from tron_payment.core.clock import Clock
from tron_payment.core.errors import Conflict
from tron_payment.db.cas import insert_once
from tron_payment.db.faults import StoreUnavailable, store_errors

SCHEMA_VERSION: Final = 1
SECRET_BYTES: Final = 32
_ID: Final = "installation"


class InstallationMismatch(Conflict, code="installation_mismatch"):
    """This database belongs to another chain or to a newer release."""


class Installation(Document):
    """The one document of its kind; written once, never changed."""

    id: str = _ID  # type: ignore[assignment]
    secret: bytes = Field(repr=False, min_length=SECRET_BYTES, max_length=SECRET_BYTES)
    """For `core.ids.derived_id`. Whoever has it can compute ids, nothing more."""

    genesis_id: str
    """Block 0's id in hex: the name of the chain."""

    created_at: datetime
    schema_version: int = SCHEMA_VERSION

    class Settings:
        name = "installation"


async def load(genesis_id: str, clock: Clock) -> Installation:
    """The installation of this database; made when the database is new.

    Several processes may call it at once: the first insert wins, all see that one.

    Raises:
        InstallationMismatch: The database belongs to another chain or a newer release.
        StoreUnavailable: No answer.
    """
    found = await _find()
    if found is None:
        await insert_once(
            Installation(
                secret=secrets.token_bytes(SECRET_BYTES),
                genesis_id=genesis_id,
                created_at=clock.now(),
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
    if found.schema_version > SCHEMA_VERSION:
        raise InstallationMismatch(
            f"the database has schema {found.schema_version}, this release knows {SCHEMA_VERSION}"
        )
    return found


async def _find() -> Installation | None:
    with store_errors():
        return await Installation.get(_ID)

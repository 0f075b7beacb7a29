"""Remembers the ids of one-time tokens until the tokens have expired (``JWT_ONE_TIME``)."""

import hashlib
from datetime import datetime

from beanie import Document
from pymongo import ASCENDING, IndexModel

from tron_payment.db.cas import insert_once


class UsedToken(Document):
    """A token that was used; the server drops it after its expiry."""

    id: str  # type: ignore[assignment]  # SHA-256 of issuer and jti
    expires_at: datetime

    class Settings:
        name = "used_tokens"
        indexes = [IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)]


class UsedTokens:
    """The store behind `principals.OneTimeTokens`."""

    async def claim(self, token_id: str, expires_at: datetime) -> bool:
        """True the first time a token is seen.

        Raises:
            StoreUnavailable: No answer; the caller is not let in.
        """
        name = hashlib.sha256(token_id.encode()).hexdigest()
        return await insert_once(UsedToken(id=name, expires_at=expires_at))

"""Who is signed in at the console.

The browser holds 32 random bytes in a cookie that scripts cannot read. The store holds their
hash, and the person's token sealed with a key derived from those bytes: neither the database nor
the cookie alone gives the token away.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Final

from beanie import Document
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo import ASCENDING, IndexModel

from tron_payment.core.clock import Clock
from tron_payment.db.cas import insert_once

SESSION_LIFETIME: Final = timedelta(hours=8)
"""At most; the token's own expiry ends the work sooner."""

LINK_LIFETIME: Final = timedelta(minutes=15)
SECRET_BYTES: Final = 32
NONCE_BYTES: Final = 12


class ConsoleSession(Document):
    """One browser that is signed in."""

    id: str  # type: ignore[assignment]  # sha256 of the cookie's bytes
    subject: str
    role: str
    permissions: list[str] = []
    """As `/api/v1/me` told them at sign-in; for what is shown only, the API decides anew."""

    sealed_token: bytes
    created_at: datetime
    expires_at: datetime

    class Settings:
        name = "console_sessions"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)
        ]


class SignInLink(Document):
    """A link that signs in once, made by the command line in development."""

    id: str  # type: ignore[assignment]  # sha256 of the code
    sealed_token: bytes
    subject: str
    role: str
    expires_at: datetime

    class Settings:
        name = "console_links"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)
        ]


@dataclass(frozen=True, slots=True)
class Visitor:
    """The person behind a request."""

    subject: str
    role: str
    token: str
    permissions: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Visitor({self.subject}, {self.role})"


class Sessions:
    """Opens, finds and closes sessions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def open(self, visitor: Visitor) -> str:
        """Sign a visitor in whose token the API has accepted; the cookie's value."""
        code = secrets.token_urlsafe(SECRET_BYTES)
        now = self._clock.now()
        await insert_once(
            ConsoleSession(
                id=_name(code),
                subject=visitor.subject,
                role=visitor.role,
                permissions=sorted(visitor.permissions),
                sealed_token=_seal(code, visitor.token),
                created_at=now,
                expires_at=now + SESSION_LIFETIME,
            )
        )
        return code

    async def find(self, code: str | None) -> Visitor | None:
        """Who is signed in with this cookie; None for nobody."""
        if not code:
            return None
        found = await ConsoleSession.find_one({"_id": _name(code)})
        if found is None or found.expires_at <= self._clock.now():
            return None
        token = _open(code, found.sealed_token)
        if token is None:
            return None
        return Visitor(found.subject, found.role, token, frozenset(found.permissions))

    async def close(self, code: str) -> None:
        """Sign out."""
        await ConsoleSession.find_one({"_id": _name(code)}).delete()

    async def make_link(self, visitor: Visitor) -> str:
        """A code that signs in once, within `LINK_LIFETIME`."""
        code = secrets.token_urlsafe(SECRET_BYTES)
        await insert_once(
            SignInLink(
                id=_name(code),
                sealed_token=_seal(code, visitor.token),
                subject=visitor.subject,
                role=visitor.role,
                expires_at=self._clock.now() + LINK_LIFETIME,
            )
        )
        return code

    async def use_link(self, code: str) -> Visitor | None:
        """The visitor of a link, the first time; None ever after."""
        row = await SignInLink.get_pymongo_collection().find_one_and_delete({"_id": _name(code)})
        if row is None or row["expires_at"] <= self._clock.now():
            return None
        token = _open(code, row["sealed_token"])
        return None if token is None else Visitor(row["subject"], row["role"], token)


def _name(code: str) -> str:
    return hashlib.sha256(b"name" + code.encode()).hexdigest()


def _key(code: str) -> AESGCM:
    return AESGCM(hashlib.sha256(b"seal" + code.encode()).digest())


def _seal(code: str, token: str) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + _key(code).encrypt(nonce, token.encode(), _name(code).encode())


def _open(code: str, sealed: bytes) -> str | None:
    try:
        return (
            _key(code)
            .decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _name(code).encode())
            .decode()
        )
    except InvalidTag:
        return None

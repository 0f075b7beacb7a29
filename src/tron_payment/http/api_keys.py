"""API keys: how machines call. Hashed, scoped, expiring, and rotated with an overlap.

A key is ``key_<id>.<secret>``: the id finds the document, the secret of 32 random bytes is shown
once and only its SHA-256 is kept (it is random, so a slow hash would add nothing). A key acts as
its principal with its role's permissions, narrowed to its scopes.

An admin sees the secret of the keys that they make. So a key that may do what no admin may, such
as move money or read what belongs to others, sleeps until a second admin has approved it; and no
key makes, approves or rotates keys, has a hand in second factors, or asks for or agrees to what
takes two people: an account's permissions, the policy, a way out of the quarantine (`IN_PERSON`):
the name it acts under is its maker's choice.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from beanie import Document
from pymongo import ASCENDING, IndexModel

from tron_payment import logs
from tron_payment.core.clock import Clock
from tron_payment.core.errors import Conflict, Forbidden, NotFound, Refused
from tron_payment.core.ids import new_id
from tron_payment.db.audit import Act, Audit
from tron_payment.db.cas import LostRace, compare_and_set, insert_once
from tron_payment.db.faults import store_errors
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.permissions import (
    BEYOND_ADMIN,
    IN_PERSON,
    MOVES_MONEY,
    PERMISSIONS,
    owner_filter,
    permissions_of,
)
from tron_payment.http.principals import RESERVED, Principal, Role

SECRET_BYTES: Final = 32
LIFETIME_DAYS_MAX: Final = 366
LAST_USE_EVERY: Final = timedelta(minutes=1)
"""Last use is kept this coarsely, so that reading does not become writing."""

_KEY: Final = re.compile(r"(key_[a-z2-7]{24})\.([A-Za-z0-9_-]{43})")


class KeyNotFound(NotFound, code="api_key_not_found"):
    """There is no such API key, or it is not yours."""


class KeyGone(Conflict, code="api_key_not_active"):
    """The API key is revoked, expired or already rotated."""


class InvalidScope(Refused, code="invalid_scope"):
    """A scope is a permission of the key's role, and none that only people have."""


class ReservedName(Refused, code="reserved_principal"):
    """The service itself acts under this name; no key does."""


class OwnKey(Refused, code="api_key_for_yourself"):
    """A key that moves money must not act as the one who makes it."""


class OwnApproval(Forbidden, code="own_api_key"):
    """Another admin approves a key: neither its maker nor the one it acts as."""


class ApiKey(Document):
    """A machine's credential; the secret itself is nowhere."""

    id: str  # type: ignore[assignment]  # key_...
    digest: bytes
    label: str
    principal: str
    role: Role
    scopes: list[str]
    """Permissions, ``module:verb``; never empty."""

    created_at: datetime
    created_by: str
    approved_by: str | None = None
    expires_at: datetime
    revoked_at: datetime | None = None
    rotated_from: str | None = None
    rotated_to: str | None = None
    last_used_at: datetime | None = None
    version: int = 0
    op_id: str | None = None

    class Settings:
        name = "api_keys"
        indexes = [
            IndexModel([("principal", ASCENDING), ("created_at", ASCENDING), ("_id", ASCENDING)]),
            IndexModel([("created_at", ASCENDING), ("_id", ASCENDING)]),
        ]

    @property
    def waits_for_approval(self) -> bool:
        """It may do what its maker may not, and nobody else has looked at it."""
        return self.approved_by is None and not BEYOND_ADMIN.isdisjoint(self.scopes)

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at

    def is_active(self, now: datetime) -> bool:
        return self.is_live(now) and not self.waits_for_approval


class KeyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A wish for a key."""

    label: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    principal: Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,128}$(?!\n)")]
    role: Role
    scopes: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]
    expires_in_days: Annotated[int, msgspec.Meta(ge=1, le=LIFETIME_DAYS_MAX)] = 90


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret."""

    key_id: str
    label: str
    principal: str
    role: Role
    scopes: list[str]
    active: bool
    waits_for_approval: bool
    created_at: datetime
    created_by: str
    approved_by: str | None
    expires_at: datetime
    revoked_at: datetime | None
    rotated_from: str | None
    rotated_to: str | None
    last_used_at: datetime | None


class ApiKeys:
    """Makes, finds, rotates and revokes keys.

    Each act is in the audit log before it is done: power that nobody wrote down would be worse
    than an entry about a key that a crash prevented.
    """

    def __init__(self, clock: Clock, audit: Audit | None = None) -> None:
        self._clock = clock
        self._audit = audit or Audit(clock)

    async def create(self, wish: KeyRequest, creator: Principal) -> tuple[ApiKey, str]:
        """A new key and the text that its holder sends.

        Raises:
            InvalidScope: A scope that the role has not, or that no key has (`IN_PERSON`).
            ReservedName: It would act as the service itself (`principals.RESERVED`).
            OwnKey: It would let its maker move money.
        """
        if wish.principal in RESERVED:
            raise ReservedName(param="principal")
        scopes = sorted(set(wish.scopes))
        if not set(scopes) <= permissions_of(wish.role) & PERMISSIONS.keys():
            raise InvalidScope(f"the role {wish.role} does not have them all", param="scopes")
        if personal := IN_PERSON & set(scopes):
            raise InvalidScope(f"only a person has {', '.join(sorted(personal))}", param="scopes")
        _refuse_own(wish.principal, scopes, creator)
        return await self._store(
            creator,
            "apikey.create",
            label=wish.label,
            principal=wish.principal,
            role=wish.role,
            scopes=scopes,
            expires_at=self._clock.now() + timedelta(days=wish.expires_in_days),
        )

    async def approve(self, key_id: str, by: Principal) -> ApiKey:
        """Wake a key that another admin made; doing it again changes nothing.

        Raises:
            KeyNotFound
            KeyGone: Revoked or expired.
            OwnApproval: They made it, or it acts as them.
        """
        key = await self.find(key_id, by)
        if not key.is_live(self._clock.now()):
            raise KeyGone()
        if by.id in (key.created_by, key.principal):
            raise OwnApproval()
        if not key.waits_for_approval:
            return key
        await self._note(by, "apikey.approve", key)
        return await compare_and_set(
            ApiKey,
            key.id,
            version=key.version,
            where={"approved_by": None},
            set={"approved_by": by.id},
        )

    async def principal_of(self, secret: str) -> Principal | None:
        """Who sends this key; None when it is unknown, revoked or expired."""
        match = _KEY.fullmatch(secret)
        if match is None:
            return None
        with store_errors():
            key = await ApiKey.get(match[1])
        if key is None or not hmac.compare_digest(key.digest, _digest(match[2])):
            return None
        now = self._clock.now()
        if not key.is_active(now) or key.principal in RESERVED:
            return None
        if key.last_used_at is None or now - key.last_used_at >= LAST_USE_EVERY:
            with store_errors():
                await ApiKey.get_pymongo_collection().update_one(
                    {"_id": key.id}, {"$max": {"last_used_at": now}}
                )
        return Principal(
            id=key.principal,
            role=key.role,
            permissions=permissions_of(key.role) & frozenset(key.scopes) - IN_PERSON,
            token_id=key.id,
            via="api_key",
        )

    async def rotate(self, key_id: str, overlap_s: int, by: Principal) -> tuple[ApiKey, str]:
        """A new key like the old one; the old one ends after the overlap.

        The new one sleeps until it is approved, as any key whose secret an admin has seen.

        Raises:
            KeyNotFound, KeyGone
            OwnKey: It would let who rotates it move money.
        """
        old = await self.find(key_id, by)
        now = self._clock.now()
        if not old.is_active(now) or old.rotated_to is not None:
            raise KeyGone()
        _refuse_own(old.principal, old.scopes, by)
        lifetime = old.expires_at - old.created_at
        new, secret = await self._store(
            by,
            "apikey.rotate",
            label=old.label,
            principal=old.principal,
            role=old.role,
            scopes=old.scopes,
            expires_at=now + lifetime,
            rotated_from=old.id,
        )
        ends = min(old.expires_at, now + timedelta(seconds=overlap_s))
        try:
            await compare_and_set(
                ApiKey,
                old.id,
                version=old.version,
                where={"rotated_to": None},
                set={"rotated_to": new.id, "expires_at": ends},
            )
        except LostRace:
            await compare_and_set(ApiKey, new.id, version=new.version, set={"revoked_at": now})
            raise KeyGone() from None
        return new, secret

    async def revoke(self, key_id: str, by: Principal) -> ApiKey:
        """End a key now; again is harmless.

        Raises:
            KeyNotFound: Unknown, or another's.
        """
        key = await self.find(key_id, by)
        if key.revoked_at is not None:
            return key
        await self._note(by, "apikey.revoke", key)
        return await compare_and_set(
            ApiKey, key.id, version=key.version, set={"revoked_at": self._clock.now()}
        )

    async def find(self, key_id: str, reader: Principal) -> ApiKey:
        """A key that the reader may see.

        Raises:
            KeyNotFound: Unknown, or another's.
        """
        with store_errors():
            key = await ApiKey.find_one({"_id": key_id, **owner_filter(reader, "api_keys")})
        if key is None:
            raise KeyNotFound()
        return key

    async def page(self, page: PageRequest, reader: Principal) -> Page[KeyView]:
        """The keys that the reader may see, oldest first."""
        return await fetch_page(ApiKey, owner_filter(reader, "api_keys"), page, self.view)

    def view(self, key: ApiKey) -> KeyView:
        shown = {name: getattr(key, name) for name in _SHOWN}
        return KeyView(key_id=key.id, active=key.is_active(self._clock.now()), **shown)

    async def _store(self, by: Principal, action: str, **fields: Any) -> tuple[ApiKey, str]:
        text = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode()
        key = ApiKey(
            id=new_id("key"),
            digest=_digest(text),
            created_at=self._clock.now(),
            created_by=by.id,
            **fields,
        )
        await self._note(by, action, key)
        assert await insert_once(key), "a random id exists already"
        return key, f"{key.id}.{text}"

    async def _note(self, by: Principal, action: str, key: ApiKey) -> None:
        """Write down who does what to which key; never its secret or digest."""
        facts = {
            "label": key.label,
            "principal": key.principal,
            "role": key.role.value,
            "scopes": key.scopes,
            "expires_at": key.expires_at,
            "rotated_from": key.rotated_from,
            "waits_for_approval": key.waits_for_approval,
        }
        act = Act(
            actor=by.id,
            role=by.role.value,
            action=action,
            object_id=key.id,
            after=facts,
            request_id=logs.request_id.get(),
        )
        await self._audit.append(act)


_SHOWN: Final = frozenset(KeyView.__struct_fields__) - {"key_id", "active"}


def _refuse_own(principal: str, scopes: Collection[str], by: Principal) -> None:
    """
    Raises:
        OwnKey: The secret of a key that moves money would be told to whom it acts as.
    """
    if principal == by.id and not MOVES_MONEY.isdisjoint(scopes):
        raise OwnKey(param="principal")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()

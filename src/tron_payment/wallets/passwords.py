"""A wallet's password: a second lock before its backup is given out.

Argon2id (RFC 9106, second choice: 64 MiB, 3 passes, 4 lanes). Two are computed at once at most,
because each takes its memory; attempts are counted before they are tried, so that guessing in
parallel gains nothing. It does not encrypt the key: a hot wallet signs without a person.
"""

import asyncio
import hmac
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from beanie import Document
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from pydantic import Field
from pymongo import ReturnDocument

from tron_payment.core.clock import Clock
from tron_payment.core.errors import Conflict, Forbidden, RateLimited, Refused, Unavailable
from tron_payment.db.cas import insert_once
from tron_payment.db.faults import store_errors

MEMORY_KIB: Final = 64 * 1024
ITERATIONS: Final = 3
LANES: Final = 4
SALT_BYTES: Final = 16
DIGEST_BYTES: Final = 32
AT_ONCE: Final = 1
"""OpenSSL's Argon2 computes its lanes on threads of one pool; two derivations at once can each wait
for the other's threads, for ever."""

_DERIVING: Final = threading.Lock()
WAITING_MAX: Final = 20
LENGTH_MIN: Final = 8
LENGTH_MAX: Final = 256
FAILURES_MAX: Final = 5
LOCKED: Final = timedelta(minutes=5)
_NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
MEMORY_KIB_MAX: Final = 512 * 1024
"""A file from outside may not ask for more than this."""


class WeakPassword(Refused, code="weak_password"):
    """A password has 8 to 256 characters."""


class NoPassword(Conflict, code="wallet_has_no_password"):
    """This wallet has no password."""


class PasswordWrong(Forbidden, code="wallet_password_wrong"):
    """The wallet has a password, and this is not it."""


class PasswordLocked(RateLimited, code="wallet_password_locked"):
    """Too many wrong passwords; wait."""


class PasswordsBusy(Unavailable, code="passwords_busy"):
    """Too many passwords are being checked."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one derivation costs."""

    memory_kib: int = MEMORY_KIB
    iterations: int = ITERATIONS
    lanes: int = LANES

    def is_sane(self) -> bool:
        """Whether a stranger may ask us to do this."""
        return (
            8 * self.lanes <= self.memory_kib <= MEMORY_KIB_MAX
            and 1 <= self.iterations <= 10
            and 1 <= self.lanes <= 16
        )


class WalletPassword(Document):
    """The password of one wallet, as a hash, and the attempts on it."""

    id: str  # type: ignore[assignment]  # the wallet's id
    salt: bytes = Field(repr=False)
    digest: bytes = Field(repr=False)
    memory_kib: int
    iterations: int
    lanes: int
    failures: int = 0
    locked_until: datetime | None = None

    class Settings:
        name = "wallet_passwords"
        keep_nulls = False


class Deriver:
    """Derives keys from passwords, few at once, off the event loop."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def derive(self, password: str, salt: bytes, cost: Cost) -> bytes:
        """32 bytes.

        Raises:
            PasswordsBusy: Too many wait already.
        """
        if self._waiting >= WAITING_MAX:
            raise PasswordsBusy(retry_after_s=1)
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(_derive, password, salt, cost)
        finally:
            self._waiting -= 1


class Passwords:
    """Sets and checks wallets' passwords."""

    def __init__(self, clock: Clock, deriver: Deriver, cost: Cost | None = None) -> None:
        self._clock = clock
        self._deriver = deriver
        self._cost = cost or Cost()

    async def hashed(self, wallet_id: str, password: str) -> WalletPassword:
        """The document of a new password, not yet stored.

        Raises:
            WeakPassword, PasswordsBusy
        """
        check_password(password)
        salt = secrets.token_bytes(SALT_BYTES)
        return WalletPassword(
            id=wallet_id,
            salt=salt,
            digest=await self._deriver.derive(password, salt, self._cost),
            memory_kib=self._cost.memory_kib,
            iterations=self._cost.iterations,
            lanes=self._cost.lanes,
        )

    async def store(self, password: WalletPassword) -> None:
        """Store it; a wallet that has one keeps it."""
        await insert_once(password)

    async def find(self, wallet_id: str) -> WalletPassword | None:
        with store_errors():
            return await WalletPassword.find_one({"_id": wallet_id})

    async def verify(self, wallet_id: str, password: str) -> bool:
        """Whether this is the wallet's password; the attempt is counted first.

        Raises:
            NoPassword: The wallet has none.
            PasswordLocked: Too many wrong ones lately.
            PasswordsBusy
        """
        row = await self._attempt(wallet_id)
        cost = Cost(row.memory_kib, row.iterations, row.lanes)
        valid = len(password) <= LENGTH_MAX and hmac.compare_digest(
            await self._deriver.derive(password, row.salt, cost), row.digest
        )
        if valid:
            await self._update(
                {"_id": wallet_id}, {"$set": {"failures": 0}, "$unset": {"locked_until": ""}}
            )
        return valid

    async def require(self, wallet_id: str, password: str | None) -> None:
        """Pass when the wallet has no password or this is it.

        Raises:
            PasswordWrong: Missing or wrong.
            PasswordLocked, PasswordsBusy
        """
        if await self.find(wallet_id) is None:
            return
        if password is None or not await self.verify(wallet_id, password):
            raise PasswordWrong(param="wallet_password")

    async def _attempt(self, wallet_id: str) -> WalletPassword:
        """Count an attempt before it is made; the last one allowed sets the lock."""
        now = self._clock.now()
        open_now = {"$or": [{"failures": {"$lt": FAILURES_MAX}}, {"locked_until": {"$lte": now}}]}
        was_locked = {"$lte": [{"$ifNull": ["$locked_until", _NEVER]}, now]}
        count = {"$cond": [was_locked, 1, {"$add": ["$failures", 1]}]}
        lock = {"$cond": [{"$gte": ["$failures", FAILURES_MAX]}, now + LOCKED, "$$REMOVE"]}
        steps: list[Mapping[str, Any]] = [
            {"$set": {"failures": count}},
            {"$set": {"locked_until": lock}},
        ]
        after = await self._update({"_id": wallet_id, **open_now}, steps)
        if after is None:
            row = await self.find(wallet_id)
            if row is None:
                raise NoPassword
            until = row.locked_until or now
            raise PasswordLocked(retry_after_s=max(1, round((until - now).total_seconds())))
        return after

    async def _update(
        self, where: Mapping[str, Any], change: Mapping[str, Any] | list[Mapping[str, Any]]
    ) -> WalletPassword | None:
        with store_errors():
            raw = await WalletPassword.get_pymongo_collection().find_one_and_update(
                where, change, return_document=ReturnDocument.AFTER
            )
        return None if raw is None else WalletPassword.model_validate(raw)


def check_password(password: str, *, param: str = "password") -> None:
    """
    Raises:
        WeakPassword: Too short or too long.
    """
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise WeakPassword(param=param)


def _derive(password: str, salt: bytes, cost: Cost) -> bytes:
    kdf = Argon2id(
        salt=salt,
        length=DIGEST_BYTES,
        iterations=cost.iterations,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
    )
    with _DERIVING:
        return kdf.derive(password.encode())

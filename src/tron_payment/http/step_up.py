"""The second factor: a code from a person's own device, asked for besides the token to approve.

A stolen token approves nothing alone, and enrols nothing that counts: a new factor is released by
somebody else, an admin or who has the host, by the fingerprint that its owner was shown. The secret
is made here, shown once at its enrolment, and kept sealed by the same keys that seal wallets, bound
to its person. A code is good once: the time step of the last good one is stored by compare-and-set,
and nothing at or before it passes again. A wrong code is counted before it is told; after
`FAILURES_MAX` of them the person is locked for a while that doubles each time, so that guessing a
million codes takes lifetimes.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import structlog
from beanie import Document
from pymongo import ASCENDING, IndexModel

from tron_payment.core.clock import Clock
from tron_payment.core.errors import Conflict, Forbidden, NotFound, RateLimited
from tron_payment.db.audit import Act, Audit
from tron_payment.db.cas import LostRace, compare_and_set, insert_once
from tron_payment.db.faults import store_errors
from tron_payment.http.principals import Principal
from tron_payment.http.totp import DIGITS, SECRET_BYTES, enrolment_uri, matching_step

CODE_HEADER: Final = "X-TOTP-Code"
ISSUER: Final = "tron-payment"
FAILURES_MAX: Final = 5
LOCK: Final = timedelta(minutes=15)
LOCK_DOUBLINGS_MAX: Final = 6
"""The longest lock: 15 minutes times 64 are 16 hours."""

RESEALED_AT_ONCE: Final = 500
FINGERPRINT_HEX: Final = 10
"""40 bits: enough to tell by voice which of two secrets it is; nothing of the secret."""

HOST: Final = "command-line"
"""Who releases a factor with the command of the host."""

_CODE: Final = re.compile(rf"[0-9]{{{DIGITS}}}")

log = structlog.get_logger()


class CodeMissing(Forbidden, code="step_up_required"):
    """This needs a code of your second factor in the header X-TOTP-Code."""


class CodeWrong(Forbidden, code="step_up_failed"):
    """This code is wrong, or it was used already."""


class CodeLocked(RateLimited, code="step_up_locked"):
    """Too many wrong codes; wait."""


class NotEnrolled(Forbidden, code="step_up_not_enrolled"):
    """You have no second factor yet: enrol one first."""


class AlreadyEnrolled(Conflict, code="second_factor_exists"):
    """There is a second factor; remove it with one of its codes, or let an admin reset it."""


class NoFactor(NotFound, code="second_factor_not_found"):
    """There is no second factor."""


class OwnFactor(Forbidden, code="own_second_factor"):
    """Nobody releases or resets their own second factor; another admin does."""


class OtherFactor(Conflict, code="second_factor_differs"):
    """This is not the factor that waits: compare the fingerprint with its owner again."""


class Sealer(Protocol):
    """Closes and opens small secrets with the keys that also close wallets."""

    @property
    def current(self) -> str: ...

    def seal(self, owner: str, secret: bytes) -> dict[str, Any]: ...

    def open(self, owner: str, sealed: Mapping[str, Any]) -> bytes: ...

    def reseal(self, owner: str, sealed: Mapping[str, Any]) -> dict[str, Any]: ...


class SecondFactor(Document):
    """One person's second factor. The secret is nowhere but in `sealed`."""

    id: str  # type: ignore[assignment]  # the principal
    sealed: dict[str, Any]
    active: bool = False
    """It counts: a first code has shown that the secret arrived, and somebody else released it."""

    fingerprint: str = ""
    """Of the secret, for those who compare it by voice."""

    last_step: int = 0
    """The time step of the last good code; nothing at or before it is good again."""

    failures: int = 0
    """Wrong codes since the last good one or the last lock."""

    locks: int = 0
    locked_until: datetime | None = None
    created_at: datetime
    confirmed_at: datetime | None = None
    version: int = 0
    op_id: str | None = None

    class Settings:
        name = "second_factors"
        indexes = [IndexModel([("sealed.kek_id", ASCENDING)], name="kek")]


class StepUp:
    """Enrols second factors and judges their codes.

    Args:
        required: Whether approvals ask for a code.
    """

    def __init__(self, clock: Clock, sealer: Sealer, audit: Audit, *, required: bool) -> None:
        self._clock = clock
        self._sealer = sealer
        self._audit = audit
        self.required = required

    async def check(self, principal: Principal, code: str | None) -> None:
        """Take one code of this person.

        Raises:
            CodeMissing, NotEnrolled, CodeWrong, CodeLocked
            LostRace: Another code of theirs is being judged in this moment; nothing is told.
        """
        if code is None:
            raise CodeMissing(param=CODE_HEADER)
        factor = await _find(principal.id)
        if factor is None or not factor.active:
            raise NotEnrolled()
        await self._judge(factor, code)

    async def enrol(self, principal: Principal, request_id: str) -> tuple[str, str, str]:
        """A new secret for this person, in base32, the URI of its QR code, and its fingerprint.

        Told this once. It counts only once `confirm` has seen a code and `release` was called;
        until then a new one takes its place.

        Raises:
            AlreadyEnrolled: There is one that counts.
        """
        secret = secrets.token_bytes(SECRET_BYTES)
        sealed = self._sealer.seal(_owner(principal.id), secret)
        now = self._clock.now()
        await self._note(principal, "second_factor.enrol", principal.id, request_id)
        shown = fingerprint_of(secret)
        fresh = SecondFactor(id=principal.id, sealed=sealed, fingerprint=shown, created_at=now)
        if not await insert_once(fresh):
            held = await _find(principal.id)
            if held is None or held.active:
                raise AlreadyEnrolled()
            await compare_and_set(
                SecondFactor,
                held.id,
                version=held.version,
                where={"active": False},
                set={"sealed": sealed, "fingerprint": shown, "created_at": now},
                unset=["confirmed_at"],
            )
        uri = enrolment_uri(secret, issuer=ISSUER, account=principal.id)
        return uri.partition("secret=")[2].partition("&")[0], uri, shown

    async def confirm(self, principal: Principal, code: str, request_id: str) -> SecondFactor:
        """Show by a code of the enrolled secret that it arrived; then somebody may release it.

        Raises:
            NoFactor, AlreadyEnrolled, CodeWrong, CodeLocked, LostRace
        """
        factor = await _find(principal.id)
        if factor is None:
            raise NoFactor()
        if factor.active:
            raise AlreadyEnrolled()
        factor = await self._judge(factor, code)
        await self._note(principal, "second_factor.confirm", principal.id, request_id)
        return await compare_and_set(
            SecondFactor,
            factor.id,
            version=factor.version,
            where={"active": False},
            set={"confirmed_at": self._clock.now()},
        )

    async def release(
        self, person: str, fingerprint: str, by: Principal | None, request_id: str = ""
    ) -> SecondFactor:
        """Let the factor count that this person has confirmed.

        Args:
            fingerprint: As its owner was shown it and has told, not by way of this service.
            by: An admin, or None for who has the host.

        Raises:
            OwnFactor: It is the admin's own.
            NoFactor, AlreadyEnrolled, LostRace
            OtherFactor: Another secret waits there, or nobody has confirmed it.
        """
        if by is not None and person == by.id:
            raise OwnFactor()
        factor = await _find(person)
        if factor is None:
            raise NoFactor()
        if factor.active:
            raise AlreadyEnrolled()
        if factor.confirmed_at is None or fingerprint != factor.fingerprint:
            raise OtherFactor(param="fingerprint")
        await self._note(by, "second_factor.release", person, request_id)
        return await compare_and_set(
            SecondFactor,
            factor.id,
            version=factor.version,
            where={"active": False, "fingerprint": fingerprint},
            set={"active": True},
        )

    async def remove(self, principal: Principal, code: str, request_id: str) -> None:
        """Take one's own factor away, with one of its codes.

        Raises:
            NoFactor, CodeWrong, CodeLocked, LostRace
        """
        factor = await _find(principal.id)
        if factor is None:
            raise NoFactor()
        factor = await self._judge(factor, code)
        await self._note(principal, "second_factor.remove", principal.id, request_id)
        await _delete(factor)

    async def reset(self, person: str, by: Principal, request_id: str) -> None:
        """Take away the factor of somebody who lost their device; an admin's act.

        Raises:
            OwnFactor: It is the admin's own.
            NoFactor
        """
        if person == by.id:
            raise OwnFactor()
        factor = await _find(person)
        if factor is None:
            raise NoFactor()
        await self._note(by, "second_factor.reset", person, request_id)
        await _delete(factor)

    async def find(self, principal: Principal) -> SecondFactor | None:
        """This person's factor."""
        return await _find(principal.id)

    async def reseal(self) -> int:
        """Wrap secrets under the newest key; how many were not. Safe to repeat.

        Raises:
            AppError: A secret does not open with any key that is configured.
        """
        done = 0
        while batch := await _under_other_keks(self._sealer.current, RESEALED_AT_ONCE):
            for factor in batch:
                sealed = self._sealer.reseal(_owner(factor.id), factor.sealed)
                try:
                    await compare_and_set(
                        SecondFactor, factor.id, version=factor.version, set={"sealed": sealed}
                    )
                except LostRace:
                    continue  # its person uses it now; the next round sees it again
                done += 1
        return done

    async def _judge(self, factor: SecondFactor, code: str) -> SecondFactor:
        """The factor after one more good code.

        One judgement is one compare-and-set, whatever it says: of many guesses at once one is
        judged, and the others learn nothing.
        """
        now = self._clock.now()
        if factor.locked_until is not None and now < factor.locked_until:
            wait = factor.locked_until - now
            raise CodeLocked(retry_after_s=int(wait.total_seconds()) + 1)
        step = None
        if _CODE.fullmatch(code):
            secret = self._sealer.open(_owner(factor.id), factor.sealed)
            step = matching_step(secret, code, now.timestamp())
        if step is not None and step <= factor.last_step:
            raise CodeWrong(param=CODE_HEADER)  # used already: no guess, so it is not counted
        good = step is not None
        after = {"last_step": step, "failures": 0, "locks": 0} if good else _failed(factor, now)
        factor = await compare_and_set(
            SecondFactor,
            factor.id,
            version=factor.version,
            where={"last_step": factor.last_step},
            set=after | ({"locked_until": None} if good else {}),
        )
        if not good:
            log.warning("step_up.refused", principal=factor.id, locked=factor.failures == 0)
            raise CodeWrong(param=CODE_HEADER)
        return factor

    async def _note(self, by: Principal | None, action: str, person: str, request_id: str) -> None:
        """Written down before it is done: what happened without its entry would be worse."""
        await self._audit.append(
            Act(
                actor=by.id if by else HOST,
                role=by.role.value if by else HOST,
                action=action,
                object_id=person,
                request_id=request_id,
            )
        )


def _failed(factor: SecondFactor, now: datetime) -> dict[str, Any]:
    if factor.failures + 1 < FAILURES_MAX:
        return {"failures": factor.failures + 1}
    lock = LOCK * 2 ** min(factor.locks, LOCK_DOUBLINGS_MAX)
    return {"failures": 0, "locks": factor.locks + 1, "locked_until": now + lock}


def fingerprint_of(secret: bytes) -> str:
    """What tells a secret from another one."""
    return hashlib.sha256(b"second-factor" + secret).hexdigest()[:FINGERPRINT_HEX]


def _owner(principal_id: str) -> str:
    return f"second-factor:{principal_id}"


async def _find(principal_id: str) -> SecondFactor | None:
    with store_errors():
        return await SecondFactor.get(principal_id)


async def _delete(factor: SecondFactor) -> None:
    """
    Raises:
        LostRace: It was used or changed in this moment.
    """
    factors = SecondFactor.get_pymongo_collection()
    with store_errors():
        gone = await factors.delete_one({"_id": factor.id, "version": factor.version})
    if not gone.deleted_count:
        raise LostRace("the second factor changed under us")


async def _under_other_keks(current: str, limit: int) -> list[SecondFactor]:
    factors = SecondFactor.get_pymongo_collection()
    with store_errors():
        found = factors.find({"sealed.kek_id": {"$ne": current}}).limit(limit)
        return [SecondFactor.model_validate(raw) async for raw in found]

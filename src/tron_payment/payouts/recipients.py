"""The recipient book: who a merchant's users are, where they are paid, and what proves their KYC.

An attestation is compliance's word that this user, paid at this address, is verified, to a level
and until a time. It is worth nothing for another address or after its time.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, TypeVar

from beanie import Document
from pymongo import ASCENDING, IndexModel, ReturnDocument

from tron_payment.core.address import Address, parse_address
from tron_payment.core.clock import Clock
from tron_payment.core.errors import NotFound, Refused
from tron_payment.db.audit import Act, Audit
from tron_payment.db.cas import LostRace
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.payouts.domain import USER_ID_PATTERN

BOOKED_MAX: Final = 10_000

V = TypeVar("V")


class RecipientUnknown(NotFound, code="recipient_unknown"):
    """This user is not in the recipient book."""


class InvalidUserId(Refused, code="invalid_parameter"):
    """A user's id has 1 to 128 printable characters without spaces."""


class AttestationOver(Refused, code="attestation_over"):
    """An attestation ends in the future."""


class Recipient(Document):
    """A user as the merchants name them, and the address at which they are paid."""

    id: str  # type: ignore[assignment]  # the user's id
    recipient_address: str
    kyc_level: str | None = None
    kyc_expires_at: datetime | None = None
    attested_by: str | None = None
    attested_at: datetime | None = None
    address_changed_at: datetime | None = None
    """When another address took the place of an earlier one; None while there was no other."""

    created_at: datetime
    updated_at: datetime

    class Settings:
        name = "recipients"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("created_at", ASCENDING), ("_id", ASCENDING)], name="created"),
            IndexModel([("recipient_address", ASCENDING)], name="address"),
        ]

    def vouches_for(self, address: str, now: datetime) -> bool:
        """True while the attestation holds for this address."""
        return (
            self.kyc_level is not None
            and self.kyc_expires_at is not None
            and now < self.kyc_expires_at
            and self.recipient_address == address
        )


class Recipients:
    """Reads and writes the book."""

    def __init__(self, clock: Clock, audit: Audit) -> None:
        self._clock = clock
        self._audit = audit

    async def attest(
        self, principal: Principal, user_id: str, address: str, level: str, expires_at: datetime
    ) -> Recipient:
        """Store compliance's word; a later one takes the place of the earlier.

        Raises:
            InvalidAddress
            AttestationOver: `expires_at` is past.
        """
        if re.fullmatch(USER_ID_PATTERN, user_id) is None:
            raise InvalidUserId(param="user_id")
        recipient: Address = parse_address(address, param="recipient_address")
        now = self._clock.now()
        if expires_at.tzinfo is None:
            raise AttestationOver("a time needs its zone, such as Z", param="expires_at")
        if expires_at <= now:
            raise AttestationOver(param="expires_at")
        facts: dict[str, Any] = {
            "recipient_address": recipient,
            "kyc_level": level,
            "kyc_expires_at": expires_at,
            "attested_by": principal.id,
            "attested_at": now,
            "updated_at": now,
        }
        replaced = {"$ne": [{"$ifNull": ["$recipient_address", recipient]}, recipient]}
        kept = {"$ifNull": ["$address_changed_at", "$$REMOVE"]}
        literal = {name: {"$literal": value} for name, value in facts.items()}
        row = await Recipient.get_pymongo_collection().find_one_and_update(
            {"_id": user_id},
            [
                {
                    "$set": {
                        **literal,
                        "address_changed_at": {"$cond": [replaced, now, kept]},
                        "created_at": {"$ifNull": ["$created_at", now]},
                    }
                }
            ],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        if row is None:
            raise LostRace
        await self._audit.append(
            Act(
                actor=principal.id,
                role=principal.role.value,
                action="recipient.attest",
                object_id=user_id,
                after={"recipient_address": recipient, "level": level, "expires_at": expires_at},
            )
        )
        found: Recipient = Recipient.model_validate(row)
        return found

    async def get(self, principal: Principal, user_id: str) -> Recipient:
        """
        Raises:
            RecipientUnknown: Not in the book, or not for this caller's eyes.
        """
        found = await Recipient.find_one({"_id": user_id, **_owned(principal)})
        if found is None:
            raise RecipientUnknown
        return found

    async def page(
        self, principal: Principal, page: PageRequest, view: Callable[[Recipient], V]
    ) -> Page[V]:
        """The book as far as the caller may see it, oldest first."""
        return await fetch_page(Recipient, _owned(principal), page, view)

    async def of_users(self, user_ids: Sequence[str]) -> dict[str, Recipient]:
        """The entries of these users."""
        assert len(user_ids) <= BOOKED_MAX, len(user_ids)
        rows = Recipient.find({"_id": {"$in": list(set(user_ids))}})
        return {row.id: row async for row in rows}


def _owned(principal: Principal) -> dict[str, str]:
    return owner_filter(principal, "recipients", "attested_by")

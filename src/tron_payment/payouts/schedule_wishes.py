"""What a schedule is asked to be, whether it may be that, and as whom it is carried out."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tron_payment.core.errors import Refused
from tron_payment.http.permissions import permissions_of
from tron_payment.http.principals import Principal, Role
from tron_payment.payouts.batch_rows import RefusedRow, Upload, read_upload
from tron_payment.payouts.domain import KycNotVerified
from tron_payment.payouts.schedule_documents import Every

AHEAD_MAX: Final = timedelta(days=400)


class BadTime(Refused, code="invalid_field"):
    """The time is past, too far ahead, or without its zone; or the end lies before the first."""


class RowsRefused(Refused, code="rows_refused"):
    """Some of the rows would be refused; a schedule is accepted whole."""


class ReferenceRepeats(Refused, code="reference_repeats"):
    """A merchant reference is used once, and this would use it again and again."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be paid, how often, and when."""

    name: str
    body: bytes
    """The rows as a batch's JSON."""

    every: Every
    first_at: datetime
    until: datetime | None

    def check_times(self, now: datetime) -> None:
        """
        Raises:
            BadTime
        """
        for param, time in (("first_at", self.first_at), ("until", self.until)):
            if time is not None and (time.tzinfo is None or not now < time <= now + AHEAD_MAX):
                raise BadTime(param=param)
        if self.until is not None and self.until < self.first_at:
            raise BadTime("it ends before the first is due", param="until")


def acting(principal_id: str, role: Role, permissions: Collection[str]) -> Principal:
    """As whom a schedule is carried out: without what only the token said that asked for it."""
    return Principal(
        id=principal_id, role=role, permissions=permissions_of(role) & frozenset(permissions)
    )


async def read(body: bytes, principal: Principal, every: Every) -> Upload:
    """
    Raises:
        ReferenceRepeats
        Refused: The rows cannot be read.
    """
    upload = await read_upload(body, "application/json", principal)
    repeats = every is not Every.ONCE
    if repeats and any(wish.merchant_reference for _, wish in upload.rows):
        raise ReferenceRepeats(param="merchant_reference")
    return upload


def rows_refused(refused: list[RefusedRow], asked_by: Principal) -> RowsRefused:
    """The refusal that names these rows."""
    claim = asked_by.kyc is not None and any(row.code == KycNotVerified.code for row in refused)
    return RowsRefused(
        "the KYC claim of your token is not there when it is due: have these people attested"
        if claim
        else "",
        extra={"refused": [row.told() for row in refused]},
    )

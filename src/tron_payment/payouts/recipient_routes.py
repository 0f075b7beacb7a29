"""HTTP of the recipient book."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Controller, get, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody

from tron_payment.core.clock import rfc3339
from tron_payment.http.fields import AddressText
from tron_payment.http.paging import Page, PageRequest, provide_page
from tron_payment.http.principals import Principal
from tron_payment.payouts.recipients import Recipient, Recipients


class AttestRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Compliance's word about one user at one address."""

    level: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,32}$(?!\n)")]
    expires_at: datetime
    recipient_address: AddressText


class RecipientView(msgspec.Struct, frozen=True, kw_only=True):
    """A user in the recipient book."""

    user_id: str
    recipient_address: str
    kyc_level: str | None
    kyc_expires_at: str | None
    attested_by: str | None
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, found: Recipient) -> "RecipientView":
        until = found.kyc_expires_at
        return cls(
            user_id=found.id,
            recipient_address=found.recipient_address,
            kyc_level=found.kyc_level,
            kyc_expires_at=None if until is None else rfc3339(until),
            attested_by=found.attested_by,
            created_at=rfc3339(found.created_at),
            updated_at=rfc3339(found.updated_at),
        )


class RecipientController(Controller):
    """`/payouts/recipients`: who is paid where, and whose KYC is attested."""

    path = "/payouts/recipients"
    tags = ("payouts",)
    dependencies = {"page": Provide(provide_page, sync_to_thread=False)}

    @get("/", opt={"permission": "recipient:read"})
    async def book(
        self,
        page: NamedDependency[PageRequest],
        principal: NamedDependency[Principal],
        recipients: NamedDependency[Recipients],
    ) -> Page[RecipientView]:
        """The recipient book, oldest first."""
        return await recipients.page(principal, page, RecipientView.of)

    @get("/{user_id:str}", opt={"permission": "recipient:read"})
    async def read(
        self,
        user_id: FromPath[str],
        principal: NamedDependency[Principal],
        recipients: NamedDependency[Recipients],
    ) -> RecipientView:
        """One user of the book."""
        return RecipientView.of(await recipients.get(principal, user_id))

    @put("/{user_id:str}/kyc", opt={"permission": "recipient:attest"})
    async def attest(
        self,
        user_id: FromPath[str],
        data: JSONBody[AttestRequest],
        principal: NamedDependency[Principal],
        recipients: NamedDependency[Recipients],
    ) -> RecipientView:
        """Attest that a user, paid at this address, is verified."""
        return RecipientView.of(
            await recipients.attest(
                principal, user_id, data.recipient_address, data.level, data.expires_at
            )
        )

"""HTTP of the quarantine: what the chain contradicts, and how two people let it out on proof."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from tron_payment.core.clock import rfc3339
from tron_payment.http.principals import Principal
from tron_payment.payouts.quarantine import Held, QuarantineDesk
from tron_payment.payouts.quarantine_documents import Case

NOTE_MAX = 500
READ: dict[str, Any] = {"permission": "quarantine:read"}


class ProposeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How it shall end, and why: what was looked at, who was asked."""

    outcome: Literal["settled", "failed"]
    note: Annotated[str, msgspec.Meta(min_length=1, max_length=NOTE_MAX)]


class ResolveRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether what was proposed is carried out."""

    agree: bool


class CaseView(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal and what became of it."""

    object_id: str
    status: str
    """`proposed`, `resolved` or `rejected`."""

    outcome: str
    note: str
    proposed_by: str
    proposed_at: str
    decided_by: str | None
    decided_at: str | None
    evidence: list[dict[str, Any]]
    """As it was when it was proposed."""

    @classmethod
    def of(cls, case: Case) -> "CaseView":
        return cls(
            object_id=case.id,
            status=case.status.value,
            outcome=case.outcome,
            note=case.note,
            proposed_by=case.proposed_by,
            proposed_at=rfc3339(case.proposed_at),
            decided_by=case.decided_by,
            decided_at=None if case.decided_at is None else rfc3339(case.decided_at),
            evidence=case.evidence,
        )


class HeldView(msgspec.Struct, frozen=True, kw_only=True):
    """An order, or a payout whose order has settled, in quarantine."""

    object_id: str
    order_id: str
    kind: str
    reason: str
    proves: str | None
    """What the chain proves now: `settled`, `failed`, or null when nothing, or not asked."""

    evidence: list[dict[str, Any]]
    case: CaseView | None

    @classmethod
    def of(cls, held: Held) -> "HeldView":
        return cls(
            object_id=held.object_id,
            order_id=held.order_id,
            kind=held.kind,
            reason=held.reason,
            proves=held.proves,
            evidence=list(held.evidence),
            case=None if held.case is None else CaseView.of(held.case),
        )


class QuarantineController(Controller):
    """`/payouts/quarantine`."""

    path = "/payouts/quarantine"
    tags = ("payouts",)

    @get("/", opt=READ)
    async def waiting(
        self, principal: NamedDependency[Principal], quarantine: NamedDependency[QuarantineDesk]
    ) -> list[HeldView]:
        """Everything in quarantine, oldest first; the chain is asked only about a single one.

        Who only looks (viewers) sees payouts and their orders.
        """
        return [HeldView.of(held) for held in await quarantine.waiting(principal)]

    @get("/{object_id:str}", opt=READ)
    async def look(
        self,
        object_id: FromPath[str],
        principal: NamedDependency[Principal],
        quarantine: NamedDependency[QuarantineDesk],
        look: Annotated[bool, QueryParameter()] = True,
    ) -> HeldView:
        """One order or payout in quarantine, with what the chain shows and proves now.

        To look, nodes may be asked for every block of a transaction's lifetime; with `look=false`
        they are not asked, and `proves` is null.
        """
        ask = quarantine.look if look else quarantine.find
        return HeldView.of(await ask(principal, object_id))

    @post(
        "/{object_id:str}/propose",
        status_code=HTTP_200_OK,
        opt={"permission": "quarantine:propose", "rate": "approve"},
    )
    async def propose(
        self,
        object_id: FromPath[str],
        data: JSONBody[ProposeRequest],
        principal: NamedDependency[Principal],
        quarantine: NamedDependency[QuarantineDesk],
    ) -> HeldView:
        """Propose how it ends; only what the chain proves can be proposed."""
        return HeldView.of(await quarantine.propose(principal, object_id, data.outcome, data.note))

    @post(
        "/{object_id:str}/resolve",
        status_code=HTTP_200_OK,
        opt={"permission": "quarantine:resolve", "rate": "approve"},
    )
    async def resolve(
        self,
        object_id: FromPath[str],
        data: JSONBody[ResolveRequest],
        principal: NamedDependency[Principal],
        quarantine: NamedDependency[QuarantineDesk],
    ) -> CaseView:
        """Carry out what somebody else proposed, if the chain still proves it, or reject it."""
        return CaseView.of(await quarantine.resolve(principal, object_id, agree=data.agree))

"""HTTP of transactions that a human has to look at, and answers for.

Unexplained: it moved our money and is no order's. While one of them waits, safe mode does not end
and nothing is signed (engine/safe_mode.py).

Unproved: contracts sent us TRX, and too few nodes tell it. It is asked for again by itself
(engine/internal.py). When nobody will ever prove it, because it is not true or the nodes that could
are gone, somebody says so, once, and it counts nowhere for ever.
"""

from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from tron_payment.core.clock import rfc3339
from tron_payment.core.errors import NotFound
from tron_payment.db.audit import Act, Audit
from tron_payment.engine import InternalVerdict, InternalVerdicts, SafeModes, Unexplained
from tron_payment.http.principals import Principal

REASON_MAX: Final = 500
READ: Final[dict[str, Any]] = {"permission": "quarantine:read"}
DECIDE: Final[dict[str, Any]] = {"permission": "quarantine:resolve", "rate": "approve"}


class NothingUnexplained(NotFound, code="unexplained_not_found"):
    """No such transaction waits for a human."""


class NothingUnproved(NotFound, code="unproved_not_found"):
    """No such transaction waits to be proved: it counts by now, or somebody has closed it."""


class AcceptRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is not waited for any more: what was looked at, who was asked."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_MAX)]


class UnexplainedView(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction that nobody here has ordered."""

    txid: str
    owner: str
    block_number: int
    seen_at: str

    @classmethod
    def of(cls, row: Unexplained) -> "UnexplainedView":
        return cls(
            txid=row.id,
            owner=row.owner,
            block_number=row.block_number,
            seen_at=rfc3339(row.seen_at),
        )


class UnprovedView(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction by which contracts are said to have sent us TRX."""

    txid: str
    block_number: int
    told: list[str]
    """What was told at first: amounts in sun, and to whom."""

    seen_at: str
    looked_at: str
    """When the nodes were last asked for it."""

    @classmethod
    def of(cls, row: InternalVerdict) -> "UnprovedView":
        return cls(
            txid=row.id,
            block_number=row.block_number,
            told=row.told,
            seen_at=rfc3339(row.seen_at),
            looked_at=rfc3339(row.looked_at),
        )


class UnexplainedController(Controller):
    """`/policy/unexplained`."""

    path = "/policy/unexplained"
    tags = ("policy",)

    @get("/", opt=READ)
    async def waiting(self, safe_modes: NamedDependency[SafeModes]) -> list[UnexplainedView]:
        """Transactions that moved our money without an order, oldest block first."""
        return [UnexplainedView.of(each) for each in await safe_modes.unexplained()]

    @post("/{txid:str}/acknowledge", status_code=HTTP_200_OK, opt=DECIDE)
    async def acknowledge(
        self,
        txid: FromPath[str],
        principal: NamedDependency[Principal],
        safe_modes: NamedDependency[SafeModes],
        audit: NamedDependency[Audit],
    ) -> list[UnexplainedView]:
        """Say that you have looked at it and answer for it; the others that still wait."""
        if not await safe_modes.acknowledge(txid, principal.id):
            raise NothingUnexplained(param="txid")
        await audit.append(_act(principal, "unexplained.acknowledge", txid))
        return [UnexplainedView.of(each) for each in await safe_modes.unexplained()]


class UnprovedController(Controller):
    """`/policy/unproved`."""

    path = "/policy/unproved"
    tags = ("policy",)

    @get("/", opt=READ)
    async def waiting(self, internal: NamedDependency[InternalVerdicts]) -> list[UnprovedView]:
        """TRX that contracts sent us and too few nodes tell, oldest block first."""
        return [UnprovedView.of(each) for each in await internal.listed()]

    @post("/{txid:str}/accept", status_code=HTTP_200_OK, opt=DECIDE)
    async def accept(
        self,
        txid: FromPath[str],
        data: JSONBody[AcceptRequest],
        principal: NamedDependency[Principal],
        internal: NamedDependency[InternalVerdicts],
        audit: NamedDependency[Audit],
    ) -> list[UnprovedView]:
        """Close it as it is: it is not asked for any more, and is never credited, whatever nodes
        tell later. The others that still wait."""
        if not await internal.accept(txid, principal.id, data.reason):
            raise NothingUnproved(param="txid")
        await audit.append(_act(principal, "unproved.accept", txid, {"reason": data.reason}))
        return [UnprovedView.of(each) for each in await internal.listed()]


def _act(principal: Principal, action: str, txid: str, after: dict[str, Any] | None = None) -> Act:
    return Act(
        actor=principal.id, role=principal.role.value, action=action, object_id=txid, after=after
    )

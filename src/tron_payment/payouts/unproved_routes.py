"""HTTP of TRX that contracts sent us and too few nodes tell: a human looks, and closes it.

It is asked for again by itself (engine/internal.py). When nobody will ever prove it, because it is
not true or the nodes that could are gone, somebody says so, once, and it counts nowhere for ever.
"""

from typing import Annotated, Any

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from tron_payment.core.clock import rfc3339
from tron_payment.core.errors import NotFound
from tron_payment.db.audit import Act, Audit
from tron_payment.engine import InternalVerdicts
from tron_payment.http.principals import Principal

REASON_MAX = 500
READ: dict[str, Any] = {"permission": "quarantine:read"}


class NothingUnproved(NotFound, code="unproved_not_found"):
    """No such transaction waits to be proved: it counts by now, or somebody has closed it."""


class AcceptRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is not waited for any more: what was looked at, who was asked."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_MAX)]


class UnprovedView(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction by which contracts are said to have sent us TRX."""

    txid: str
    block_number: int
    told: list[str]
    """What was told at first: amounts in sun, and to whom."""

    seen_at: str
    looked_at: str
    """When the nodes were last asked for it."""


class UnprovedController(Controller):
    """`/policy/unproved`."""

    path = "/policy/unproved"
    tags = ("policy",)

    @get("/", opt=READ)
    async def waiting(self, internal: NamedDependency[InternalVerdicts]) -> list[UnprovedView]:
        """TRX that contracts sent us and too few nodes tell, oldest block first."""
        return await _views(internal)

    @post(
        "/{txid:str}/accept",
        status_code=HTTP_200_OK,
        opt={"permission": "quarantine:resolve", "rate": "approve"},
    )
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
        await audit.append(
            Act(
                actor=principal.id,
                role=principal.role.value,
                action="unproved.accept",
                object_id=txid,
                after={"reason": data.reason},
            )
        )
        return await _views(internal)


async def _views(internal: InternalVerdicts) -> list[UnprovedView]:
    return [
        UnprovedView(
            txid=each.id,
            block_number=each.block_number,
            told=each.told,
            seen_at=rfc3339(each.seen_at),
            looked_at=rfc3339(each.looked_at),
        )
        for each in await internal.listed()
    ]

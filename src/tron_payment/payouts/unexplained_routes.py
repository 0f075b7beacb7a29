"""HTTP of transactions that moved our money and are no order's: a human looks, and answers for it.

While one of them waits, safe mode does not end and nothing is signed (engine/safe_mode.py).
"""

from typing import Any

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK

from tron_payment.core.clock import rfc3339
from tron_payment.core.errors import NotFound
from tron_payment.db.audit import Act, Audit
from tron_payment.engine import SafeModes
from tron_payment.http.principals import Principal

READ: dict[str, Any] = {"permission": "quarantine:read"}


class NothingUnexplained(NotFound, code="unexplained_not_found"):
    """No such transaction waits for a human."""


class UnexplainedView(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction that nobody here has ordered."""

    txid: str
    owner: str
    block_number: int
    seen_at: str


class UnexplainedController(Controller):
    """`/policy/unexplained`."""

    path = "/policy/unexplained"
    tags = ("policy",)

    @get("/", opt=READ)
    async def waiting(self, safe_modes: NamedDependency[SafeModes]) -> list[UnexplainedView]:
        """Transactions that moved our money without an order, oldest block first."""
        return await _views(safe_modes)

    @post(
        "/{txid:str}/acknowledge",
        status_code=HTTP_200_OK,
        opt={"permission": "quarantine:resolve", "rate": "approve"},
    )
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
        await audit.append(
            Act(
                actor=principal.id,
                role=principal.role.value,
                action="unexplained.acknowledge",
                object_id=txid,
            )
        )
        return await _views(safe_modes)


async def _views(safe_modes: SafeModes) -> list[UnexplainedView]:
    return [
        UnexplainedView(
            txid=each.id,
            owner=each.owner,
            block_number=each.block_number,
            seen_at=rfc3339(each.seen_at),
        )
        for each in await safe_modes.unexplained()
    ]

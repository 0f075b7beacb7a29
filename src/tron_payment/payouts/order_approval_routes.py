"""HTTP of approvals of orders that are no payouts: transfers, refunds, calls of contracts."""

from typing import Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK

from tron_payment.core.clock import rfc3339
from tron_payment.core.money import decimal_text
from tron_payment.engine import Order
from tron_payment.http.principals import Principal
from tron_payment.payouts.bodies import ApproveBody, RejectBody
from tron_payment.payouts.calls import CallReader, CallView
from tron_payment.payouts.order_approval_documents import OrderApproval, order_hash
from tron_payment.payouts.order_approvals import OrderApprovals
from tron_payment.payouts.policy import DECIMALS
from tron_payment.payouts.views import ApproveRequest, RejectRequest


class OrderApprovalView(msgspec.Struct, frozen=True, kw_only=True):
    """An order that people are asked about."""

    order_id: str
    object_id: str
    """What it carries: a transfer, a refund, a payment."""

    kind: str
    principal: str
    wallet_id: str
    recipient_address: str
    amount: str
    currency: str
    status: str
    needed: int
    given_by: list[str]
    order_hash: str
    """Over everything that the order's bytes will say; name it to approve what you have seen."""

    call: CallView | None
    """What the transaction says where it calls a contract; the hash is over its bytes, too."""

    reason: str | None
    until: str
    created_at: str

    @classmethod
    def of(cls, pair: tuple[OrderApproval, Order], calls: CallReader) -> "OrderApprovalView":
        found, order = pair
        return cls(
            order_id=found.id,
            object_id=found.object_id,
            kind=order.kind,
            principal=found.principal,
            wallet_id=found.wallet_id,
            recipient_address=found.recipient,
            amount=decimal_text(found.units, DECIMALS),
            currency=found.currency,
            status=found.status.value,
            needed=found.needed,
            given_by=[each["by"] for each in found.approvals],
            order_hash=order_hash(order),
            call=calls.read(order.contract),
            reason=found.reason or None,
            until=rfc3339(found.until),
            created_at=rfc3339(found.created_at),
        )


class OrderApprovalController(Controller):
    """`/payouts/approvals`."""

    path = "/payouts/approvals"
    tags = ("payouts",)

    @get("/", opt={"permission": "policy:read"})
    async def waiting(
        self,
        principal: NamedDependency[Principal],
        order_approvals: NamedDependency[OrderApprovals],
    ) -> list[OrderApprovalView]:
        """Transfers, refunds and calls that wait for approvals, oldest first: one's own, or all for
        roles that see others' transfers."""
        calls, waiting = order_approvals.calls, await order_approvals.waiting(principal)
        return [OrderApprovalView.of(pair, calls) for pair in waiting]

    @post(
        "/{order_id:str}/approve",
        status_code=HTTP_200_OK,
        opt={"permission": "payout:approve", "rate": "approve"},
        operation_class=ApproveBody,
    )
    async def approve(
        self,
        order_id: FromPath[str],
        request: Request[Any, Any, Any],
        principal: NamedDependency[Principal],
        order_approvals: NamedDependency[OrderApprovals],
    ) -> OrderApprovalView:
        """Approve an order that waits for it; never one's own."""
        wish = ApproveRequest.read(await request.body())
        pair = await order_approvals.approve(principal, order_id, wish.order_hash)
        return OrderApprovalView.of(pair, order_approvals.calls)

    @post(
        "/{order_id:str}/reject",
        status_code=HTTP_200_OK,
        opt={"permission": "payout:reject", "rate": "approve"},
        operation_class=RejectBody,
    )
    async def reject(
        self,
        order_id: FromPath[str],
        request: Request[Any, Any, Any],
        principal: NamedDependency[Principal],
        order_approvals: NamedDependency[OrderApprovals],
    ) -> OrderApprovalView:
        """Say no to an order that waits for approval; it fails, unpaid."""
        wish = RejectRequest.read(await request.body())
        pair = await order_approvals.reject(principal, order_id, wish.reason)
        return OrderApprovalView.of(pair, order_approvals.calls)

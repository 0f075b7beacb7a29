"""HTTP of payments: translates, does not think."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_202_ACCEPTED

from tron_payment.db.acts import describe
from tron_payment.gateway.service import Gateway
from tron_payment.gateway.views import (
    InvoiceRequest,
    PaymentDetailView,
    PaymentView,
    ProcessRequest,
    RefundRequest,
    RefundView,
)
from tron_payment.http.idempotency import IdempotencyKey, canonical, respond
from tron_payment.http.paging import Page, PageRequest, provide_page
from tron_payment.http.permissions import require
from tron_payment.http.principals import Principal

READ: dict[str, Any] = {"permission": "payment:read"}


class PaymentController(Controller):
    """`/payments`: money that is asked for, and money that is sent by other modules."""

    path = "/payments"
    tags = ("payments",)
    dependencies = {"page": Provide(provide_page, sync_to_thread=False)}

    @post(
        "/process",
        status_code=HTTP_201_CREATED,
        opt={
            "permission": "payment:process",
            "idempotent": True,
            "rate": "payout",
            "audit": "request",
            "answers_also": (HTTP_202_ACCEPTED,),
        },
    )
    async def process(
        self,
        data: JSONBody[ProcessRequest],
        idempotency_key: IdempotencyKey,
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> Response[PaymentView]:
        """Make an invoice (201), or hand a payment of another kind to its module (202)."""
        viewer = gateway.viewer
        if isinstance(data, InvoiceRequest):
            require(principal, "payment:create")
            stored = await gateway.invoices.request(
                principal,
                idempotency_key,
                data,
                operation="payments.process",
                content=canonical(data),
                answer=lambda payment: msgspec.json.encode(viewer.payment(payment)),
            )
            return respond(stored, PaymentView)
        stored = await gateway.processing.request(
            principal,
            idempotency_key,
            data,
            operation="payments.process",
            content=canonical(data),
            answer=lambda payment: msgspec.json.encode(viewer.payment(payment)),
        )
        return respond(stored, PaymentView)

    @post(
        "/refund",
        status_code=HTTP_202_ACCEPTED,
        opt={
            "permission": "payment:refund",
            "idempotent": True,
            "rate": "payout",
            "audit": "request",
        },
    )
    async def refund(
        self,
        data: JSONBody[RefundRequest],
        idempotency_key: IdempotencyKey,
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> Response[RefundView]:
        """Give back, whole or in part, what an invoice has received."""
        viewer = gateway.viewer
        stored = await gateway.refunds.request(
            principal,
            idempotency_key,
            data,
            content=canonical(data),
            answer=lambda payment, refund_id: msgspec.json.encode(
                viewer.refund(payment, refund_id)
            ),
        )
        return respond(stored, RefundView)

    @get("/", opt=READ)
    async def page(
        self,
        page: NamedDependency[PageRequest],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
        newest_first: Annotated[bool, QueryParameter()] = False,
    ) -> Page[PaymentView]:
        """Payments that you may see, oldest first unless `newest_first` is true."""
        return await gateway.invoices.page(
            principal, page, gateway.viewer.payment, newest_first=newest_first
        )

    @get("/{payment_id:str}", opt=READ)
    async def read(
        self,
        payment_id: FromPath[str],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> PaymentDetailView:
        """One payment with its deposits, refunds and what is on its way."""
        payment = await gateway.invoices.get(principal, payment_id)
        return await gateway.invoices.detail(payment)

    @post("/{payment_id:str}/cancel", status_code=HTTP_200_OK, opt={"permission": "payment:create"})
    async def cancel(
        self,
        payment_id: FromPath[str],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> PaymentView:
        """Cancel an invoice on which nothing was paid."""
        canceled = await gateway.invoices.cancel(principal, payment_id)
        describe(action="payment.cancel", after={"status": canceled.status.value})
        return gateway.viewer.payment(canceled)

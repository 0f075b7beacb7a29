"""HTTP of payouts: translates, does not think."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from tron_payment.http.idempotency import (
    IdempotencyKey,
    MaybeIdempotencyKey,
    canonical,
    required_key,
    respond,
)
from tron_payment.http.openapi import answer_spec
from tron_payment.http.paging import Page, PageRequest, provide_page
from tron_payment.http.principals import Principal
from tron_payment.payouts.analytics import Analytics, AnalyticsView
from tron_payment.payouts.bodies import ApproveBody, RejectBody
from tron_payment.payouts.decisions import Decisions
from tron_payment.payouts.domain import Route
from tron_payment.payouts.explain import Explanation, explained
from tron_payment.payouts.quotes import Quotes
from tron_payment.payouts.service import Payouts
from tron_payment.payouts.views import (
    ApproveRequest,
    PayoutRequest,
    PayoutView,
    QuoteView,
    RejectRequest,
)

CREATE: dict[str, Any] = {"permission": "payout:create", "rate": "payout", "audit": "request"}
DRY_RUN = {200: answer_spec(QuoteView, "A dry run: what it would cost; nothing is stored.")}
READ: dict[str, Any] = {"permission": "payout:read"}
SearchText = Annotated[str | None, QueryParameter(min_length=1, max_length=128)]


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which payout."""

    payout_id: str


class PayoutController(Controller):
    """`/payouts`: money on its way out."""

    path = "/payouts"
    tags = ("payouts",)
    dependencies = {"page": Provide(provide_page, sync_to_thread=False)}

    @post("/initiate", status_code=HTTP_202_ACCEPTED, opt=CREATE, responses=DRY_RUN)
    async def initiate(
        self,
        data: JSONBody[PayoutRequest],
        principal: NamedDependency[Principal],
        payouts: NamedDependency[Payouts],
        quotes: NamedDependency[Quotes],
        idempotency_key: MaybeIdempotencyKey = None,
    ) -> Response[PayoutView]:
        """Queue a payout by the route that the recipient's KYC state decides.

        Repeat with the same key to get the same payout back.
        """
        return await _request(
            payouts, quotes, principal, data, idempotency_key, None, "payouts.initiate"
        )

    @post("/v0", status_code=HTTP_202_ACCEPTED, opt=CREATE, responses=DRY_RUN)
    async def pay_v0(
        self,
        data: JSONBody[PayoutRequest],
        principal: NamedDependency[Principal],
        payouts: NamedDependency[Payouts],
        quotes: NamedDependency[Quotes],
        idempotency_key: MaybeIdempotencyKey = None,
    ) -> Response[PayoutView]:
        """Queue a payout to a recipient without KYC, by the V0 router."""
        return await _request(
            payouts, quotes, principal, data, idempotency_key, Route.V0, "payouts.v0"
        )

    @post("/kyc", status_code=HTTP_202_ACCEPTED, opt=CREATE, responses=DRY_RUN)
    async def pay_kyc(
        self,
        data: JSONBody[PayoutRequest],
        principal: NamedDependency[Principal],
        payouts: NamedDependency[Payouts],
        quotes: NamedDependency[Quotes],
        idempotency_key: MaybeIdempotencyKey = None,
    ) -> Response[PayoutView]:
        """Queue a payout to a verified recipient, by the KYC router with an attestation."""
        return await _request(
            payouts, quotes, principal, data, idempotency_key, Route.KYC, "payouts.kyc"
        )

    @post(
        "/direct",
        status_code=HTTP_202_ACCEPTED,
        opt={"permission": "payout:direct", "rate": "payout", "audit": "request"},
        responses=DRY_RUN,
    )
    async def pay_direct(
        self,
        data: JSONBody[PayoutRequest],
        principal: NamedDependency[Principal],
        payouts: NamedDependency[Payouts],
        quotes: NamedDependency[Quotes],
        idempotency_key: MaybeIdempotencyKey = None,
    ) -> Response[PayoutView]:
        """Queue a plain transfer to a trusted recipient."""
        return await _request(
            payouts, quotes, principal, data, idempotency_key, Route.DIRECT, "payouts.direct"
        )

    @get(["/", "/history"], opt=READ)
    async def history(
        self,
        page: NamedDependency[PageRequest],
        principal: NamedDependency[Principal],
        payouts: NamedDependency[Payouts],
        user_id: SearchText = None,
        recipient_address: SearchText = None,
        merchant_reference: SearchText = None,
        txid: SearchText = None,
        waiting_for: SearchText = None,
    ) -> Page[PayoutView]:
        """Your payouts, newest first; by one of person, recipient, reference, transaction, wait.

        Of a merchant reference its beginning is enough. `waiting_for` takes a word of
        docs/errors.md, or `somebody`: what does not go on before a person has done something.
        """
        return await payouts.history(
            principal,
            page,
            PayoutView.of,
            user_id=user_id,
            recipient_address=recipient_address,
            merchant_reference=merchant_reference,
            txid=txid,
            waiting_for=waiting_for,
        )

    @get("/analytics", opt=READ)
    async def analytics(
        self,
        principal: NamedDependency[Principal],
        analytics: NamedDependency[Analytics],
        created_after: Annotated[datetime | None, QueryParameter()] = None,
        created_before: Annotated[datetime | None, QueryParameter()] = None,
    ) -> AnalyticsView:
        """How payouts fare, by route and day; the last 30 days unless said."""
        return await analytics.report(principal, created_after, created_before)

    @get("/{payout_id:str}/explain", opt=READ)
    async def explain(
        self,
        payout_id: FromPath[str],
        principal: NamedDependency[Principal],
        payouts: NamedDependency[Payouts],
        decisions: NamedDependency[Decisions],
    ) -> Explanation:
        """In plain words: what happened, what it waits for, what to do.

        Takes a payout's id or the txid of its transaction.
        """
        payout = await payouts.find(principal, payout_id)
        return explained(payout, await decisions.who_ended(payout))

    @post(
        "/{payout_id:str}/approve",
        status_code=HTTP_200_OK,
        opt={"permission": "payout:approve", "rate": "approve"},
        operation_class=ApproveBody,
    )
    async def approve(
        self,
        payout_id: FromPath[str],
        request: Request[Any, Any, Any],
        principal: NamedDependency[Principal],
        decisions: NamedDependency[Decisions],
    ) -> PayoutView:
        """Approve a payout that waits for it; never one's own."""
        wish = ApproveRequest.read(await request.body())
        return PayoutView.of(await decisions.approve(principal, payout_id, wish.order_hash))

    @post(
        "/{payout_id:str}/reject",
        status_code=HTTP_200_OK,
        opt={"permission": "payout:reject", "rate": "approve"},
        operation_class=RejectBody,
    )
    async def reject(
        self,
        payout_id: FromPath[str],
        request: Request[Any, Any, Any],
        principal: NamedDependency[Principal],
        decisions: NamedDependency[Decisions],
    ) -> PayoutView:
        """Say no to a payout that waits for approval."""
        wish = RejectRequest.read(await request.body())
        return PayoutView.of(await decisions.reject(principal, payout_id, wish.reason))

    @post(
        "/{payout_id:str}/retry",
        status_code=HTTP_202_ACCEPTED,
        opt={**CREATE, "idempotent": True},
    )
    async def retry(
        self,
        payout_id: FromPath[str],
        principal: NamedDependency[Principal],
        payouts: NamedDependency[Payouts],
        idempotency_key: IdempotencyKey,
    ) -> Response[PayoutView]:
        """Pay what a failed payout did not, as a new payout linked to it; once."""
        stored = await payouts.retry(
            principal,
            idempotency_key,
            payout_id,
            content=canonical(payout_id),
            answer=lambda payout: msgspec.json.encode(PayoutView.of(payout)),
        )
        return respond(stored, PayoutView)

    @get("/{payout_id:str}", opt=READ)
    async def read(
        self,
        payout_id: FromPath[str],
        principal: NamedDependency[Principal],
        payouts: NamedDependency[Payouts],
    ) -> PayoutView:
        """One payout as it stands."""
        return PayoutView.of(await payouts.get(principal, payout_id))

    @post("/{payout_id:str}/cancel", status_code=HTTP_200_OK, opt={"permission": "payout:cancel"})
    async def cancel(
        self,
        payout_id: FromPath[str],
        principal: NamedDependency[Principal],
        decisions: NamedDependency[Decisions],
    ) -> PayoutView:
        """Cancel a payout that is not yet signed."""
        return PayoutView.of(await decisions.cancel(principal, payout_id))

    @post("/cancel", status_code=HTTP_200_OK, opt={"permission": "payout:cancel"})
    async def cancel_by_body(
        self,
        data: JSONBody[CancelRequest],
        principal: NamedDependency[Principal],
        decisions: NamedDependency[Decisions],
    ) -> PayoutView:
        """Cancel a payout that is not yet signed; the older form."""
        return PayoutView.of(await decisions.cancel(principal, data.payout_id))


async def _request(
    payouts: Payouts,
    quotes: Quotes,
    principal: Principal,
    data: PayoutRequest,
    key: str | None,
    route: Route | None,
    operation: str,
) -> Response[Any]:
    wish = data.wish(route)
    if data.dry_run:
        judged = await payouts.judge(principal, wish)
        (cost,) = await quotes.costs([judged.payout])
        view = QuoteView.of(judged, cost, quotes.expires_at, dry_run=True)
        return Response(view, status_code=HTTP_200_OK)
    stored = await payouts.request(
        principal,
        required_key(key),
        wish,
        operation=operation,
        content=canonical(data),
        answer=lambda payout: msgspec.json.encode(PayoutView.of(payout)),
    )
    return respond(stored, PayoutView)

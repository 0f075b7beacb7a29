"""HTTP of batches and quotes: translates, does not think."""

from collections import Counter
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.datastructures.headers import Accept
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from tron_payment.http.idempotency import MaybeIdempotencyKey, required_key, respond
from tron_payment.http.limits import BODY_BYTES_MAX, JSON
from tron_payment.http.openapi import answer_spec
from tron_payment.http.paging import Page, PageRequest, provide_page
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.http.problems import BodyMissing, BodyTooLarge
from tron_payment.payouts.batch_documents import unpack_refused
from tron_payment.payouts.batch_rows import (
    CSV,
    MEDIA_TYPES,
    Upload,
    read_upload,
)
from tron_payment.payouts.batch_views import (
    BatchDetail,
    BatchSummary,
    BatchView,
    QuotedBatchView,
    QuotedRowView,
    RefusedRowView,
    export_csv,
    totals_text,
)
from tron_payment.payouts.batches import Batches
from tron_payment.payouts.bodies import ApproveBody, BatchBody, QuoteBody, RejectBody
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.earlier_documents import earlier_than, same_rows
from tron_payment.payouts.quotes import Quotes
from tron_payment.payouts.service import Payouts
from tron_payment.payouts.views import (
    ApproveRequest,
    PayoutRequest,
    PayoutView,
    QuotedFeeView,
    QuoteView,
    RejectRequest,
)

QUOTED_ROWS_MAX = 1_000
READ: dict[str, Any] = {"permission": "payout:read"}


class BatchController(Controller):
    """`/payouts/batch`: many payouts, accepted as one."""

    path = "/payouts/batch"
    tags = ("payouts",)
    dependencies = {"page": Provide(provide_page, sync_to_thread=False)}

    @post(
        "/",
        status_code=HTTP_202_ACCEPTED,
        opt={
            "permission": "payout:batch",
            "audit": "request",
            "rate": "payout",
            "body": "batch",
            "consumes": MEDIA_TYPES,
        },
        operation_class=BatchBody,
        responses={200: answer_spec(QuotedBatchView, "A dry run: nothing is stored.")},
    )
    async def create(
        self,
        request: Request[Any, Any, Any],
        principal: NamedDependency[Principal],
        batches: NamedDependency[Batches],
        quotes: NamedDependency[Quotes],
        dry_run: Annotated[bool, QueryParameter()] = False,
        idempotency_key: MaybeIdempotencyKey = None,
    ) -> Response[BatchView]:
        """Queue up to 10,000 payouts; bad rows are refused one by one, the others are paid.

        JSON ``{"payouts": [...]}``, CSV with the header ``user_id,recipient_address,amount,
        currency,route,merchant_reference,kyc_verified``, or NDJSON, a row a line.
        """
        upload = await _upload(request, principal)
        if upload.dry_run or dry_run:
            view: Any = await _quoted(
                batches, quotes, principal, upload, dry_run=True, key=idempotency_key
            )
            return Response(view, status_code=HTTP_200_OK)
        stored = await batches.request(
            principal,
            required_key(idempotency_key),
            upload,
            lambda batch: msgspec.json.encode(BatchView.of(batch)),
        )
        return respond(stored, BatchView)

    @get("/", opt=READ)
    async def history(
        self,
        page: NamedDependency[PageRequest],
        principal: NamedDependency[Principal],
        batches: NamedDependency[Batches],
    ) -> Page[BatchSummary]:
        """Your batches, newest first."""
        return await batches.page(principal, page, BatchSummary.of)

    @get("/{batch_id:str}", opt={**READ, "produces": (JSON, CSV)})
    async def read(
        self,
        batch_id: FromPath[str],
        page: NamedDependency[PageRequest],
        request: Request[Any, Any, Any],
        principal: NamedDependency[Principal],
        batches: NamedDependency[Batches],
    ) -> Response[BatchDetail]:
        """A batch as it stands, with a page of its rows; as CSV every row."""
        if Accept(request.headers.get("accept") or JSON).best_match([JSON, CSV]) == CSV:
            exported: Any = await _export(batches, principal, batch_id)
            return exported  # type: ignore[no-any-return]
        batch = await batches.get(principal, batch_id)
        rows = await batches.rows(principal, batch_id, page, PayoutView.of)
        return Response(
            BatchDetail(
                **msgspec.structs.asdict(BatchView.of(batch)),
                data=rows.data,
                has_more=rows.has_more,
                next_cursor=rows.next_cursor,
            )
        )

    @get("/{batch_id:str}/rows", opt=READ)
    async def rows(
        self,
        batch_id: FromPath[str],
        page: NamedDependency[PageRequest],
        principal: NamedDependency[Principal],
        batches: NamedDependency[Batches],
    ) -> Page[PayoutView]:
        """A batch's accepted rows, oldest first."""
        return await batches.rows(principal, batch_id, page, PayoutView.of)

    @get("/{batch_id:str}/export", media_type=CSV, opt={**READ, "produces": (CSV,)})
    async def export(
        self,
        batch_id: FromPath[str],
        principal: NamedDependency[Principal],
        batches: NamedDependency[Batches],
    ) -> Response[str]:
        """Every row of the upload with what became of it, refused ones too."""
        return await _export(batches, principal, batch_id)

    @post("/{batch_id:str}/cancel", status_code=HTTP_200_OK, opt={"permission": "payout:cancel"})
    async def cancel(
        self,
        batch_id: FromPath[str],
        principal: NamedDependency[Principal],
        batches: NamedDependency[Batches],
    ) -> BatchView:
        """Call back every row that is not yet signed."""
        return BatchView.of(await batches.cancel(principal, batch_id))

    @post(
        "/{batch_id:str}/approve",
        status_code=HTTP_200_OK,
        opt={"permission": "payout:approve", "rate": "approve"},
        operation_class=ApproveBody,
    )
    async def approve(
        self,
        batch_id: FromPath[str],
        request: Request[Any, Any, Any],
        principal: NamedDependency[Principal],
        batches: NamedDependency[Batches],
    ) -> BatchView:
        """Approve a batch as a whole."""
        wish = ApproveRequest.read(await request.body())
        return BatchView.of(await batches.approve(principal, batch_id, wish.order_hash))

    @post(
        "/{batch_id:str}/reject",
        status_code=HTTP_200_OK,
        opt={"permission": "payout:reject", "rate": "approve"},
        operation_class=RejectBody,
    )
    async def reject(
        self,
        batch_id: FromPath[str],
        request: Request[Any, Any, Any],
        principal: NamedDependency[Principal],
        batches: NamedDependency[Batches],
    ) -> BatchView:
        """Say no to a batch that waits for approval."""
        wish = RejectRequest.read(await request.body())
        return BatchView.of(await batches.reject(principal, batch_id, wish.reason))


class QuoteController(Controller):
    """`/payouts/quote`."""

    path = "/payouts/quote"
    tags = ("payouts",)

    @post(
        "/",
        status_code=HTTP_200_OK,
        opt={"permission": "payout:quote", "body": "batch", "consumes": (JSON,), "audit": "none"},
        operation_class=QuoteBody,
    )
    async def quote(
        self,
        request: Request[Any, Any, Any],
        principal: NamedDependency[Principal],
        payouts: NamedDependency[Payouts],
        batches: NamedDependency[Batches],
        quotes: NamedDependency[Quotes],
    ) -> Response[QuoteView | QuotedBatchView]:
        """What one payout (the body of `initiate`) or many (``{"payouts": [...]}``) would cost.

        The maximum is binding for whoever names the `quote_id`; nothing is paid.
        """
        body = await request.body()
        if not body:
            raise BodyMissing
        if _is_many(body):
            upload = await read_upload(body, JSON, principal)
            view: Any = await _quoted(batches, quotes, principal, upload)
            return Response(view)
        if len(body) > BODY_BYTES_MAX:
            raise BodyTooLarge(f"at most {BODY_BYTES_MAX} bytes for one payout")
        wish = PayoutRequest.read(body)
        judged = await payouts.judge(principal, wish.wish(None))
        (cost,) = await quotes.costs([judged.payout])
        kept = await quotes.keep(principal, judged.payout, cost)
        return Response(QuoteView.of(judged, cost, kept.expires_at, quote_id=kept.id))


class _Many(msgspec.Struct):
    payouts: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def _is_many(body: bytes) -> bool:
    try:
        return msgspec.json.decode(body, type=_Many).payouts is not msgspec.UNSET
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


async def _upload(request: Request[Any, Any, Any], principal: Principal) -> Upload:
    body = await request.body()
    if not body:
        raise BodyMissing
    return await read_upload(body, request.headers.get("content-type") or JSON, principal)


async def _quoted(
    batches: Batches,
    quotes: Quotes,
    principal: Principal,
    upload: Upload,
    *,
    dry_run: bool = False,
    key: str | None = None,
) -> QuotedBatchView:
    """The costs of many payouts together, as views."""
    made = None if key is None else await batches.made_with(principal, key)
    judged, refused = await batches.judge(principal, upload, made.id if made else "")
    payouts = [each.payout for each in judged]
    look = await earlier_than(payouts, owner_filter(principal, "payouts"))
    twins = same_rows(payouts)
    until = quotes.expires_at
    costs = await quotes.costs(payouts[:QUOTED_ROWS_MAX])
    totals: Counter[str] = Counter()
    for payout in payouts:
        totals[payout.currency] += payout.units
    return QuotedBatchView(
        quotes=[
            QuotedRowView.of_row(
                each, cost, until, look.found.get(each.payout.id), twins.get(each.payout.id)
            )
            for each, cost in zip(judged, costs, strict=False)
        ],
        refused=[RefusedRowView(**row.told()) for row in refused],
        accepted=len(payouts),
        totals=totals_text(totals),
        sent_before=len(look.found),
        sent_before_complete=look.complete,
        same_rows=len(twins),
        fee=QuotedFeeView.of(costs, until) if costs else None,
        would_be_status=payouts[0].status.value if payouts else None,
        dry_run=dry_run,
        batch_id=None if made is None else made.id,
    )


async def _export(batches: Batches, principal: Principal, batch_id: str) -> Response[str]:
    batch = await batches.get(principal, batch_id)
    rows: list[Payout] = await batches.every_row(batch)
    return Response(
        export_csv(rows, unpack_refused(batch)),
        media_type=CSV,
        headers={"Content-Disposition": f'attachment; filename="{batch.id}.csv"'},
    )

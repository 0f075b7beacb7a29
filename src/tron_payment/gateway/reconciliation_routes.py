"""HTTP of the reconciliation: the last report, its signed file, and a new run."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from tron_payment.core.clock import rfc3339
from tron_payment.core.errors import Conflict
from tron_payment.core.money import TRX, USDT, decimal_text
from tron_payment.gateway.reconciliation_documents import (
    Dissent,
    Reconciliation,
    ReconciliationStatus,
    answered_for,
)
from tron_payment.gateway.service import Gateway
from tron_payment.http.permissions import require
from tron_payment.http.principals import Principal
from tron_payment.usdt import TokenRegistry

READ: dict[str, Any] = {"permission": "reconciliation:read"}
LAST: dict[str, Any] = {**READ, "answers_also": (202,)}
FILE: dict[str, Any] = {**READ, "problems": ("409",)}
ROWS_SHOWN_MAX = 1_000


class NotFinished(Conflict, code="reconciliation_not_finished"):
    """The reconciliation is still running; its file is written at its end."""


class RowView(msgspec.Struct, frozen=True, kw_only=True):
    """A holder's pocket of one asset by both sides, at one solidified block."""

    address: str
    name: str
    currency: str
    pocket: str
    ledger: str
    chain: str
    difference: str
    solid_block: int
    beyond_books: bool
    """More on the chain (`chain` is the least it can be) than the books have room for, as a token's
    contract may claim: told as `transfer.left_out`, in no balance, and no difference."""


class UnmatchedView(msgspec.Struct, frozen=True, kw_only=True):
    """Money that left by a transaction that nobody here ordered."""

    txid: str
    block_number: int
    address: str
    amount: str
    currency: str
    acknowledged_by: str | None
    """Who has looked at it and answers for it; null while nobody does."""


class DissentView(msgspec.Struct, frozen=True, kw_only=True):
    """Two nodes that contradict each other about an address, at the same solidified block.

    `about` is `units`, or `block_id` when they show different blocks; then no amounts follow.
    """

    address: str
    about: str
    currency: str | None
    pocket: str | None
    node: str
    amount: str | None
    other_node: str
    other_amount: str | None
    block_number: int


class ReconciliationView(msgspec.Struct, frozen=True, kw_only=True):
    """`difference` is, by currency, the sum of all differences without their signs.

    `confirmed` of the `addresses` were shown alike by a second node at the same block.

    This run compared `addresses` of the `holders` that we keep books for: all with money by our
    books, and some of the empty ones, each of which has its turn within `round_seconds`.
    `complete` is false while the books of some (`waiting`) are still being opened, so that they
    were not compared; nothing being different elsewhere, `balanced` is null then.
    """

    reconciliation_id: str | None
    status: str
    solid_block: int | None
    difference: dict[str, str]
    balanced: bool | None
    complete: bool | None
    addresses: int
    holders: int | None
    round_seconds: int | None
    confirmed: int
    dissent: list[DissentView]
    rows: list[RowView]
    waiting: list[str]
    unmatched: list[UnmatchedView]
    sha256: str | None
    signature: str | None
    public_key: str | None
    created_at: str | None
    finished_at: str | None

    @classmethod
    def of(
        cls, report: Reconciliation | None, tokens: TokenRegistry, answered_for: Mapping[str, str]
    ) -> "ReconciliationView":
        def text(asset: str, units: int) -> str:
            return decimal_text(units, tokens.asset(asset).decimals)

        if report is None:
            return _NONE
        finished = report.status is ReconciliationStatus.FINISHED
        totals = {TRX.code: 0, USDT.code: 0} | report.difference if finished else {}
        return cls(
            reconciliation_id=report.id,
            status=report.status.value,
            solid_block=report.solid_block,
            difference={asset: text(asset, units) for asset, units in totals.items()},
            balanced=_balanced(report) if finished else None,
            complete=not report.waiting if finished else None,
            addresses=report.addresses,
            holders=report.holders,
            round_seconds=report.round_seconds,
            confirmed=report.confirmed,
            dissent=[_dissent(each, text) for each in report.dissent[:ROWS_SHOWN_MAX]],
            rows=[
                RowView(
                    address=row.address,
                    name=row.name,
                    currency=row.asset,
                    pocket=row.pocket,
                    ledger=text(row.asset, row.ledger_units),
                    chain=text(row.asset, row.chain_units),
                    difference=text(row.asset, row.difference),
                    solid_block=row.block_number,
                    beyond_books=row.beyond_books,
                )
                for row in report.rows[:ROWS_SHOWN_MAX]
            ],
            waiting=report.waiting,
            unmatched=[
                UnmatchedView(
                    txid=each.txid,
                    block_number=each.block_number,
                    address=each.address,
                    amount=text(each.asset, each.units),
                    currency=each.asset,
                    acknowledged_by=answered_for.get(each.txid),
                )
                for each in report.unmatched
            ],
            sha256=report.sha256 or None,
            signature=report.signature or None,
            public_key=report.public_key or None,
            created_at=rfc3339(report.created_at),
            finished_at=None if report.finished_at is None else rfc3339(report.finished_at),
        )


def _balanced(report: Reconciliation) -> bool | None:
    """Of a finished one; None when nothing is wrong, but not all was compared."""
    if any(report.difference.values()) or report.dissent:
        return False
    return None if report.waiting else True


def _dissent(each: Dissent, text: Callable[[str, int], str]) -> DissentView:
    known = bool(each.asset)
    return DissentView(
        address=each.address,
        about=each.about,
        currency=each.asset or None,
        pocket=each.pocket or None,
        node=each.node,
        amount=text(each.asset, each.units) if known else None,
        other_node=each.other_node,
        other_amount=text(each.asset, each.other_units) if known else None,
        block_number=each.block_number,
    )


_NONE = ReconciliationView(
    reconciliation_id=None,
    status="none",
    solid_block=None,
    difference={},
    balanced=None,
    complete=None,
    addresses=0,
    holders=None,
    round_seconds=None,
    confirmed=0,
    dissent=[],
    rows=[],
    waiting=[],
    unmatched=[],
    sha256=None,
    signature=None,
    public_key=None,
    created_at=None,
    finished_at=None,
)


async def _view(report: Reconciliation | None, gateway: Gateway) -> ReconciliationView:
    """As it is now: people answer for what a report lists after it is signed."""
    answered = await answered_for(each.txid for each in report.unmatched) if report else {}
    return ReconciliationView.of(report, gateway.tokens, answered)


class ReconciliationController(Controller):
    """`/payments/reconciliation`: ledger against chain."""

    path = "/payments/reconciliation"
    tags = ("payments",)

    @get("/", opt=LAST)
    async def last(
        self,
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
        run: Annotated[bool, QueryParameter()] = False,
    ) -> Response[ReconciliationView]:
        """The last finished report; with `run=true` start one and answer 202."""
        if run:
            require(principal, "reconciliation:run")
            started = await gateway.reconciliations.request(principal.id)
            return Response(await _view(started, gateway), status_code=HTTP_202_ACCEPTED)
        report = await gateway.reconciliations.last()
        return Response(await _view(report, gateway), status_code=HTTP_200_OK)

    @get("/{reconciliation_id:str}", opt=READ)
    async def read(
        self,
        reconciliation_id: FromPath[str],
        gateway: NamedDependency[Gateway],
    ) -> ReconciliationView:
        """One reconciliation as it stands."""
        return await _view(await gateway.reconciliations.get(reconciliation_id), gateway)

    @get("/{reconciliation_id:str}/file", opt=FILE, media_type="application/json")
    async def file(
        self,
        reconciliation_id: FromPath[str],
        gateway: NamedDependency[Gateway],
    ) -> Response[bytes]:
        """The report's bytes as they were signed (Ed25519; amounts in the smallest unit)."""
        report = await gateway.reconciliations.get(reconciliation_id)
        if not report.content:
            raise NotFinished()
        return Response(
            report.content,
            media_type="application/json",
            headers={
                "Content-Disposition": f'attachment; filename="{report.id}.json"',
                "X-Report-Signature": report.signature,
                "X-Report-Public-Key": report.public_key,
            },
        )

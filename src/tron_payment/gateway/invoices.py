"""Use cases of payments: ask for money, look, cancel. What arrives is found in deposits.py."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from litestar.status_codes import HTTP_201_CREATED

from tron_payment.chain import Cursors
from tron_payment.core.address import address_bytes
from tron_payment.core.clock import Clock, from_ms
from tron_payment.core.money import Amount
from tron_payment.db.cas import LostRace
from tron_payment.db.group import GroupInsert
from tron_payment.gateway import deposit_documents as deposit_store
from tron_payment.gateway import documents as store
from tron_payment.gateway.documents import Happening, Payment
from tron_payment.gateway.domain import (
    EXPIRES_IN_DEFAULT_S,
    TOLERANCE_UNITS,
    InvalidUrl,
    InvoiceNotOpen,
    NotAnInvoice,
    PaymentKind,
    PaymentNotFound,
    PaymentStatus,
)
from tron_payment.gateway.hints import Hints
from tron_payment.gateway.views import InvoiceRequest, PaymentDetailView, Viewer
from tron_payment.http.idempotency import Idempotency, KeyReused, StoredAnswer
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.usdt import TokenRegistry
from tron_payment.wallets import Wallets

ISSUER_LABEL: Final = "deposits"
"""The HD wallet that gives invoices their addresses when no wallet is named."""

CANCEL_ATTEMPTS_MAX: Final = 5
LOOPBACK: Final = ("127.0.0.1", "localhost")

V = TypeVar("V")


class Invoices:
    """Invoices, and the list of all payments."""

    def __init__(
        self,
        *,
        clock: Clock,
        cursors: Cursors,
        idempotency: Idempotency,
        inserts: GroupInsert,
        tokens: TokenRegistry,
        wallets: Wallets,
        viewer: Viewer,
        hints: Hints,
        allow_http: bool,
    ) -> None:
        self._clock = clock
        self._cursors = cursors
        self._idempotency = idempotency
        self._inserts = inserts
        self._tokens = tokens
        self._wallets = wallets
        self._viewer = viewer
        self._hints = hints
        self._allow_http = allow_http
        self._issuer = ""

    async def start(self) -> None:
        """Make sure that the wallet of the addresses exists."""
        self._issuer = (await self._wallets.ensure_hd(ISSUER_LABEL, category="gateway")).id

    async def request(
        self,
        principal: Principal,
        key: str,
        asked: InvoiceRequest,
        *,
        operation: str,
        content: bytes,
        answer: Callable[[Payment], bytes],
    ) -> StoredAnswer:
        """Make an invoice once; a repeat gets the stored answer.

        Raises:
            Refused: Amount, currency or URL.
            WalletNotFound, NotDerived: The wallet named issues no addresses for the caller.
            InFlight: The same request is under way.
        """

        async def attempt() -> StoredAnswer:
            return await self._request(principal, key, asked, operation, content, answer)

        return await self._idempotency.once(principal.id, key, attempt)

    async def _request(
        self,
        principal: Principal,
        key: str,
        asked: InvoiceRequest,
        operation: str,
        content: bytes,
        answer: Callable[[Payment], bytes],
    ) -> StoredAnswer:
        payment_id = self._idempotency.object_id("inv", principal.id, key)
        payment = None
        earlier = await self._idempotency.find(
            principal_id=principal.id, key=key, operation=operation, content=content
        )
        if earlier is not None:
            payment = await store.by_id(payment_id)
        if payment is None:
            payment = await self.judge(principal, asked, payment_id)
        accepted = payment
        return await self._idempotency.run(
            principal_id=principal.id,
            key=key,
            operation=operation,
            content=content,
            answer=(HTTP_201_CREATED, answer(accepted)),
            effect=lambda: self._store(accepted),
            object_ids=[payment_id],
            act=accepted.act(principal.role.value),
        )

    async def judge(self, principal: Principal, asked: InvoiceRequest, payment_id: str) -> Payment:
        """The invoice with an address of its own; the same id always has the same address."""
        amount = Amount.parse(self._tokens.asset(asked.currency), asked.amount)
        if asked.return_url is not None:
            check_return_url(asked.return_url, allow_http=self._allow_http)
        wallet_id = self._issuer
        if asked.wallet_id is not None:
            wallet_id = (await self._wallets.get(principal, asked.wallet_id)).id
        issued = await self._wallets.issue_address(wallet_id, payment_id)
        now = self._clock.now()
        lifetime_s = asked.expires_in_s or EXPIRES_IN_DEFAULT_S
        payment = Payment(
            id=payment_id,
            kind=PaymentKind.INVOICE,
            principal=principal.id,
            currency=amount.asset.code,
            units=amount.units,
            metadata=dict(asked.metadata),
            status=PaymentStatus.AWAITING_PAYMENT,
            address=issued.address,
            address_key=address_bytes(issued.address)[1:],
            wallet_id=wallet_id,
            return_url=asked.return_url,
            expires_at=now + timedelta(seconds=lifetime_s),
            tolerance_units=TOLERANCE_UNITS,
            event_seq=1,
            news=True,
            created_at=now,
            updated_at=now,
        )
        payment.events = [Happening(1, "payment.created", now, self._viewer.describe(payment))]
        return payment

    async def _store(self, payment: Payment) -> None:
        """Store an invoice; harmless when it is there."""
        if not await self._inserts.insert(payment):
            earlier = await store.by_id(payment.id)
            assert earlier is not None, payment.id
            if (earlier.kind, earlier.currency, earlier.units) != (
                payment.kind,
                payment.currency,
                payment.units,
            ):
                raise KeyReused

    async def get(self, principal: Principal, payment_id: str) -> Payment:
        """
        Raises:
            PaymentNotFound: No such payment, or another merchant's.
        """
        payment = await store.by_id(payment_id, owner_filter(principal, "payments"))
        if payment is None:
            raise PaymentNotFound
        return payment

    async def detail(self, payment: Payment) -> PaymentDetailView:
        """A payment with its deposits and what is on its way."""
        if payment.kind is not PaymentKind.INVOICE:
            return self._viewer.detail(payment, [], [])
        cursor = await self._cursors.load()
        solid = cursor.number if cursor else 0
        seen = self._hints.of(payment.id, payment.booked_block, solid)
        return self._viewer.detail(payment, await deposit_store.shown(payment.id), seen)

    async def open_view(self, payment_id: str) -> PaymentDetailView | None:
        """An invoice for whoever has its address in the browser; None when there is none."""
        payment = await store.by_id(payment_id, {"kind": PaymentKind.INVOICE.value})
        return None if payment is None else await self.detail(payment)

    async def page(
        self,
        principal: Principal,
        page: PageRequest,
        view: Callable[[Payment], V],
        *,
        newest_first: bool = False,
    ) -> Page[V]:
        """Payments that the caller may see."""
        where: dict[str, Any] = owner_filter(principal, "payments")
        if statuses := page.statuses_of(PaymentStatus):
            where |= {"status": {"$in": [each.value for each in statuses]}}
        return await fetch_page(Payment, where, page, view, newest_first=newest_first)

    async def cancel(self, principal: Principal, payment_id: str) -> Payment:
        """Cancel an invoice on which nothing was paid; canceling it again changes nothing.

        Raises:
            PaymentNotFound
            NotAnInvoice: Another kind is canceled where it was handed to.
            InvoiceNotOpen: Paid, at least in part, or expired.
        """
        for _ in range(CANCEL_ATTEMPTS_MAX):
            payment = await self.get(principal, payment_id)
            if payment.kind is not PaymentKind.INVOICE:
                raise NotAnInvoice
            if payment.status is PaymentStatus.CANCELED:
                return payment
            if payment.status is not PaymentStatus.AWAITING_PAYMENT:
                raise InvoiceNotOpen(f"it is {payment.status}")
            status = payment.status_at(await self.chain_time(), canceled=True)
            after = payment.model_copy(update={"status": status, "canceled": True})
            try:
                return await store.change(
                    payment,
                    self._clock.now(),
                    {"status": status.value, "canceled": True},
                    [(f"payment.{status.value}", self._viewer.describe(after))],
                )
            except LostRace:
                continue
        raise LostRace("the payment keeps changing; try again")

    async def chain_time(self) -> datetime:
        """The time of the newest solidified block that was applied."""
        cursor = await self._cursors.load()
        return self._clock.now() if cursor is None else from_ms(cursor.timestamp_ms)


def check_return_url(url: str, *, allow_http: bool) -> None:
    """See that a browser may be sent there.

    Raises:
        InvalidUrl: No https address, or one with credentials in it.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        usable = parts.port != 0
    except ValueError:
        host, usable = None, False
    if not usable or not host or parts.username is not None or not url.isprintable():
        raise InvalidUrl("a return_url is an https address", param="return_url")
    if parts.scheme != "https" and not (allow_http and parts.scheme == "http" and host in LOOPBACK):
        raise InvalidUrl("a return_url is an https address", param="return_url")

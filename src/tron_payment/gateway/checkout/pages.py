"""Draws the checkout page: one template, its style and script inline, the QR code as SVG.

Nothing is loaded from anywhere else, and the content security policy names the hashes of just
this style and this script.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from tron_payment.core.clock import rfc3339
from tron_payment.core.money import TRX, decimal_text
from tron_payment.gateway.domain import PaymentStatus
from tron_payment.gateway.views import PaymentDetailView

if TYPE_CHECKING:
    from jinja2 import Environment

HERE: Final = Path(__file__).parent
QR_SCALE: Final = 5
QR_BORDER: Final = 2
"""The page's white margin adds the two modules that a reader wants besides."""

QR_CACHE: Final = 1_000

_STYLE: Final = (HERE / "static" / "checkout.css").read_text()
_SCRIPT: Final = (HERE / "static" / "checkout.js").read_text()

WAITING: Final = frozenset({PaymentStatus.AWAITING_PAYMENT, PaymentStatus.PARTIALLY_PAID})
DONE: Final = frozenset({PaymentStatus.PAID, PaymentStatus.OVERPAID, PaymentStatus.PAID_LATE})

HEADLINES: Final = {
    PaymentStatus.AWAITING_PAYMENT: "Waiting for your payment",
    PaymentStatus.PARTIALLY_PAID: "Part of it has arrived",
    PaymentStatus.PAID: "Paid. Thank you!",
    PaymentStatus.OVERPAID: "Paid, and more than asked",
    PaymentStatus.PAID_LATE: "Paid after the time was over",
    PaymentStatus.EXPIRED: "The time is over",
    PaymentStatus.CANCELED: "This invoice was canceled",
    PaymentStatus.PARTIALLY_REFUNDED: "Refunded in part",
    PaymentStatus.REFUNDED: "Refunded",
}


MARKS: Final = {
    PaymentStatus.AWAITING_PAYMENT: "…",
    PaymentStatus.PARTIALLY_PAID: "½",
    PaymentStatus.PAID: "✓",
    PaymentStatus.OVERPAID: "+",
    PaymentStatus.PAID_LATE: "!",
    PaymentStatus.EXPIRED: "×",
    PaymentStatus.CANCELED: "×",
    PaymentStatus.PARTIALLY_REFUNDED: "↩",
    PaymentStatus.REFUNDED: "↩",
}
"""Drawn beside the headline, which says the same in words."""


def _moment(text: str) -> str:
    """``2026-11-20T18:30:05.000Z`` for people."""
    return f"{text[:10]} {text[11:16]} UTC"


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # a start needs none of it

    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters["moment"] = _moment
    return made


def _source(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_source(_STYLE)}",
        f"script-src {_source(_SCRIPT)}",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


@dataclass(frozen=True, slots=True)
class Screen:
    """What one look at an invoice shows."""

    payment: PaymentDetailView
    token: str | None
    """The contract of its currency; None for TRX."""

    decimals: int
    now: datetime
    """By our clock: the countdown does not trust the browser's."""

    @property
    def status(self) -> PaymentStatus:
        return PaymentStatus(self.payment.status)

    @property
    def missing(self) -> str:
        """What is due besides all that is on its way, which may still go away."""
        due = _units(self.payment.due or "0", self.decimals)
        on_its_way = _units(self.payment.seen_amount or "0", self.decimals)
        return decimal_text(max(0, due - on_its_way), self.decimals)

    def fragment(self) -> str:
        """The part of the page that changes."""
        return _templates().get_template("live.html").render(self._known())

    def page(self) -> str:
        """The whole page."""
        return (
            _templates()
            .get_template("checkout.html")
            .render(
                **self._known(),
                live=Markup(self.fragment()),  # noqa: S704 - drawn by our own template
                style=Markup(_STYLE),  # noqa: S704 - our own file
                script=Markup(_SCRIPT),  # noqa: S704
            )
        )

    def _known(self) -> dict[str, Any]:
        payment, status = self.payment, self.status
        waiting = status in WAITING
        return {
            "payment": payment,
            "status": status.value,
            "now": rfc3339(self.now),
            "headline": HEADLINES[status],
            "mark": MARKS[status],
            "waiting": waiting,
            "done": status in DONE,
            "seen": payment.seen_in_full,
            "part": waiting and bool(payment.seen) and not payment.seen_in_full,
            "missing": self.missing,
            "credited": [each for each in payment.deposits if each.outcome == "credited"],
            "strange": [
                each
                for each in payment.deposits
                if each.outcome in ("wrong_currency", "unknown_token")
            ],
            "refunds": [each for each in payment.refunds if each.status == "settled"],
            "qr": _qr(payment.address or ""),
            "token": self.token,
            "units": _units(self.missing, self.decimals),
            "is_trx": payment.currency == TRX.code,
            "over": _over(payment, self.decimals),
            "title": payment.metadata.get("description", ""),
        }


def missing() -> str:
    """The page for an address that is nobody's."""
    return _templates().get_template("missing.html").render(style=Markup(_STYLE))  # noqa: S704


@lru_cache(QR_CACHE)
def _qr(address: str) -> Markup:
    import segno  # as above

    svg = segno.make(address, error="m").svg_inline(
        scale=QR_SCALE,
        border=QR_BORDER,
        light="#fff",
        omitsize=True,
        svgclass="qr",
        lineclass=None,
    )
    return Markup(svg)  # noqa: S704 - drawn from an address of our own


def _units(text: str, decimals: int) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(decimals, "0"))


def _over(payment: PaymentDetailView, decimals: int) -> str:
    """What came above the amount."""
    received = _units(payment.received or "0", decimals)
    return decimal_text(max(0, received - _units(payment.amount, decimals)), decimals)

"""Turns templates into answers, with the headers that a page needs."""

import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from litestar import Response
from markupsafe import Markup, escape

from tron_payment.console.sessions import Visitor

if TYPE_CHECKING:
    from jinja2 import Environment

HTML: Final = "text/html"
PAGE_OPT: Final[dict[str, Any]] = {"open": True, "produces": (HTML,), "any_query": True}
"""Pages are open at the gate: they ask the API, which is not, with the visitor's own token."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
REFERRER_POLICY: Final = "same-origin"
"""Under ``no-referrer`` browsers send ``Origin: null`` with our own forms (Fetch standard, "append
a request `Origin` header"), and `check_origin` would refuse them."""

MENU: Final = (
    ("Overview", "/console", ""),
    ("Approvals", "/console/approvals", "policy:read"),
    ("Quarantine", "/console/quarantine", "quarantine:read"),
    ("Signing", "/console/signing", "signing:read"),
    ("Payouts", "/console/payouts", "payout:read"),
    ("Batches", "/console/batches", "payout:read"),
    ("Payments in", "/console/payments", "payment:read"),
    ("Wallets", "/console/wallets", "wallet:read"),
    ("Staking", "/console/staking", "staking:read"),
    ("Books", "/console/books", "reconciliation:read"),
    ("Policy", "/console/policy", "policy:read"),
    ("Audit", "/console/audit", "audit:read"),
    ("Webhooks", "/console/webhooks", "webhook:read"),
    ("Events", "/console/events", "event:read"),
    ("Health", "/console/health", "service:read"),
)
"""Name, address, and the permission without which the page would be empty."""

GROUPS: Final = {
    "/console": "",
    "/console/approvals": "Decide",
    "/console/payouts": "Money",
    "/console/books": "Control",
    "/console/webhooks": "System",
}
"""Which heading the menu has from a page on."""

SAID: Final = re.compile(r"(?P<at>\d{4}-\d\d-\d\dT[\d:.]+Z): ")

EXPLORERS: Final = {
    "mainnet": "https://tronscan.org/#/transaction/",
    "nile": "https://nile.tronscan.org/#/transaction/",
    "shasta": "https://shasta.tronscan.org/#/transaction/",
}


@cache
def environment() -> "Environment":
    """The templates of this package; everything is escaped. A start needs none of it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    made = Environment(
        loader=PackageLoader("tron_payment.console"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "moment": moment, "instant": instant, "day": day, "money": money, "amount": amount,
        "short": short, "breakable": breakable, "sentence": sentence, "words": words,
        "tone": tone, "said": said, "summed": summed,
    }  # fmt: skip
    return made


def page(
    template: str,
    visitor: Visitor | None,
    *,
    status: int = 200,
    path: str = "",
    asks_code: Callable[[str], bool] = lambda _: False,
    **values: Any,
) -> Response[str]:
    """One page as an answer; its menu has what the visitor may see.

    Args:
        asks_code: Whether the form of an action has a field for a code of the second factor. The
            macros see it too, as a global: they are imported without the page's values.
    """
    permissions = visitor.permissions if visitor else frozenset()
    given = {"notice": None, **values}
    found = environment().get_template(template, globals={"asks_code": asks_code})
    content = found.render(visitor=visitor, menu=_menu(permissions), path=path, **given)
    return Response(
        content,
        status_code=status,
        media_type=f"{HTML}; charset=utf-8",
        headers={
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
            "Referrer-Policy": REFERRER_POLICY,
        },
    )


def static_file(name: str) -> bytes:
    """A file of the console's own; there are no others."""
    return (resources.files("tron_payment.console") / "static" / name).read_bytes()


def _menu(permissions: frozenset[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Headings with the pages below them that somebody with these permissions may see."""
    groups: list[tuple[str, list[tuple[str, str]]]] = []
    for name, link, needed in MENU:
        if link in GROUPS:
            groups.append((GROUPS[link], []))
        if not needed or needed in permissions:
            groups[-1][1].append((name, link))
    return [group for group in groups if group[1]]


def moment(text: str | None) -> str:
    """``2026-11-20T13:36:25.204Z`` as ``20 Nov 2026 13:36``, UTC; its title has the seconds."""
    return _time(text, "%-d %b %Y %H:%M")


def instant(text: str | None) -> str:
    """The same to the second, where one looks at a single thing."""
    return _time(text, "%-d %b %Y %H:%M:%S")


def _time(text: str | None, form: str) -> str:
    if not text:
        return "–"
    shown = datetime.fromisoformat(text.replace("Z", "+00:00")).strftime(form)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(text, text, shown)


def day(text: str) -> str:
    """``2026-11-20`` as ``20 Nov``; anything else as it is."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").strftime("%-d %b")
    except ValueError:
        return text


def money(figure: str | int | None) -> str:
    """``1234567.5`` as ``1,234,567.5``: exactly the same digits."""
    if figure is None or figure == "":
        return "–"
    sign, digits = ("−", str(figure)[1:]) if str(figure).startswith("-") else ("", str(figure))
    whole, point, rest = digits.partition(".")
    return f"{sign}{int(whole):,}{point}{rest}" if whole.isdecimal() else str(figure)


def amount(figure: str | None) -> str:
    """The same with two decimals at least, so that a column of amounts lines up."""
    shown = money(figure)
    whole, _, rest = shown.partition(".")
    return shown if figure in (None, "") else f"{whole}.{rest:0<2}"


def said(line: str) -> str:
    """A sentence that begins with a time as the API writes it, with the time as people do."""
    found = SAID.match(line)
    if found is None:
        return line
    return Markup("{} UTC: {}").format(instant(found["at"]), line[found.end() :])


def short(text: str | None, head: int = 6, tail: int = 6) -> str:
    """A long id or address with its middle left out; the whole stands in its title."""
    if not text:
        return "–"
    return text if len(text) <= head + tail + 1 else f"{text[:head]}…{text[-tail:]}"


def breakable(text: str) -> str:
    """A name that a line may end within, after its dots and underscores."""
    shown = escape(text)
    for mark in "._":
        shown = shown.replace(mark, Markup("{}<wbr>").format(mark))
    return shown


def sentence(text: str | None) -> str:
    """``check the id`` as ``Check the id.``"""
    if not text:
        return "–"
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def words(text: str | None) -> str:
    """``awaiting_approval`` as ``awaiting approval``."""
    return (text or "–").replace("_", " ")


def summed(status: str) -> str:
    """A status where many are counted: sums do not tell what is signed from what is sent."""
    return "signed or broadcast" if status == "signed" else words(status)


TONES: Final = {
    "settled": "good", "paid": "good", "completed": "good", "ok": "good", "active": "good",
    "finished": "good", "overpaid": "good", "closed": "good",
    "queued": "wait", "awaiting_approval": "act", "awaiting_signature": "act", "signed": "wait",
    "broadcast": "wait", "processing": "wait", "awaiting_payment": "wait", "running": "wait",
    "partially_paid": "wait", "half_open": "wait",
    "quarantined": "bad", "failed": "bad", "rejected": "bad", "completed_with_errors": "bad",
    "open": "bad", "halted": "bad", "canceled": "plain", "expired": "plain", "paid_late": "good",
    "refunded": "plain", "partially_refunded": "plain", "delivered": "good", "pending": "wait",
    "parked": "wait", "disabled": "bad", "complete": "good", "frozen": "bad", "enabled": "good",
    "proposed": "act", "waiting": "act", "approved": "good", "resolved": "good",
    "superseded": "plain", "asked": "act", "agreed": "good", "refused": "plain",
    "replaced": "plain", "unhealthy": "bad", "healthy": "good", "credited": "good",
}  # fmt: skip


def tone(status: str | None) -> str:
    """How a status is coloured; never the only sign, the word stands there too."""
    return TONES.get(status or "", "plain")

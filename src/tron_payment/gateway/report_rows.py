"""A line of the reports on the wire."""

import msgspec

from tron_payment.core.money import trx_text
from tron_payment.gateway.reports import Line
from tron_payment.gateway.views import Viewer


class ReportRow(msgspec.Struct, frozen=True, kw_only=True):
    """One day (UTC) of one merchant in one currency."""

    day: str
    merchant: str
    currency: str
    invoices: int
    invoiced: str
    deposits: int
    received: str
    refunds: int
    refunded: str
    payouts: int
    paid_out: str
    fees_trx: str

    @classmethod
    def of(cls, line: Line, viewer: Viewer) -> "ReportRow":
        def count(name: str) -> int:
            return line.figures.get(name, 0)

        def amount(name: str) -> str:
            return viewer.text(line.currency, count(name))

        return cls(
            day=line.day,
            merchant=line.merchant,
            currency=line.currency,
            invoices=count("invoices"),
            invoiced=amount("invoiced"),
            deposits=count("deposits"),
            received=amount("received"),
            refunds=count("refunds"),
            refunded=amount("refunded"),
            payouts=count("payouts"),
            paid_out=amount("paid_out"),
            fees_trx=trx_text(count("fees_sun")),
        )

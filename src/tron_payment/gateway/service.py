"""Everything that the gateway can do, in one hand for its routes."""

from dataclasses import dataclass

from tron_payment.db.events import Events
from tron_payment.gateway.exports import Exports
from tron_payment.gateway.invoices import Invoices
from tron_payment.gateway.notices import Notices
from tron_payment.gateway.processing import Processing
from tron_payment.gateway.reconciliation import Reconciliations
from tron_payment.gateway.refunds import Refunds
from tron_payment.gateway.views import Viewer
from tron_payment.gateway.webhooks import Webhooks
from tron_payment.usdt import TokenRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The parts of the module."""

    tokens: TokenRegistry
    viewer: Viewer
    invoices: Invoices
    processing: Processing
    refunds: Refunds
    reconciliations: Reconciliations
    exports: Exports
    events: Events
    webhooks: Webhooks
    notices: Notices

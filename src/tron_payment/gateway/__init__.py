"""The gateway: takes payments in, hands payments out, and proves that the books equal the chain."""

from typing import Any, Final

from beanie import Document

from tron_payment.gateway import checkout, documents, sweep_documents, webhook_documents
from tron_payment.gateway.deliveries import Deliveries
from tron_payment.gateway.deposits import Deposits
from tron_payment.gateway.documents import NOTED, Deposit, Payment
from tron_payment.gateway.domain import PaymentKind, PaymentStatus
from tron_payment.gateway.export_documents import Export, ExportPart
from tron_payment.gateway.export_routes import ExportController
from tron_payment.gateway.exports import Exports
from tron_payment.gateway.handovers import Handovers
from tron_payment.gateway.hints import Hints
from tron_payment.gateway.invoices import Invoices
from tron_payment.gateway.lending import Lending
from tron_payment.gateway.notices import Notices
from tron_payment.gateway.outbox import Outbox
from tron_payment.gateway.processing import Processing
from tron_payment.gateway.readings import Readings
from tron_payment.gateway.reconciliation import Reconciliations
from tron_payment.gateway.reconciliation_documents import Reconciliation
from tron_payment.gateway.reconciliation_routes import ReconciliationController
from tron_payment.gateway.refunds import Recipients, Refunds
from tron_payment.gateway.report_routes import ReportController
from tron_payment.gateway.routes import PaymentController
from tron_payment.gateway.service import Gateway
from tron_payment.gateway.sweep_documents import Sweep
from tron_payment.gateway.sweep_starts import SweepParts
from tron_payment.gateway.sweeps import Sweeps
from tron_payment.gateway.tracking import Tracking
from tron_payment.gateway.transfers import MODULE
from tron_payment.gateway.views import Viewer
from tron_payment.gateway.webhook_documents import Delivery, Feed, Notice, WebhookEndpoint
from tron_payment.gateway.webhook_routes import EventController, WebhookEndpointController
from tron_payment.gateway.webhooks import Webhooks
from tron_payment.loops import Loop
from tron_payment.module import House, Module
from tron_payment.payouts import Doors, Payouts
from tron_payment.staking import Staking
from tron_payment.usdt import Screening, TokenRegistry, Transfers
from tron_payment.wallets import Wallets, build_sealing

DOCUMENTS: Final[tuple[type[Document], ...]] = (
    Payment,
    Deposit,
    Sweep,
    Reconciliation,
    Export,
    ExportPart,
    WebhookEndpoint,
    Delivery,
    Feed,
    Notice,
)
SERVICE: Final = "payment-gateway"
IDLE_S: Final = 1.0
FINISH_HALVES_IDLE_S: Final = 10.0
EXPORT_IDLE_S: Final = 2.0
SWEEP_IDLE_S: Final = 5.0
RECONCILE_IDLE_S: Final = 5.0

__all__ = [
    "DOCUMENTS",
    "NOTED",
    "Delivery",
    "Deposit",
    "Gateway",
    "Payment",
    "PaymentKind",
    "PaymentStatus",
    "Reconciliation",
    "Reconciliations",
    "build",
    "checkout",
]


async def build(house: House) -> Module:
    """Wire the module."""
    settings, wallets, tokens = house.settings, house.use(Wallets), house.use(TokenRegistry)
    viewer = Viewer(tokens, settings.base_url)
    webhooks = Webhooks(
        clock=house.clock,
        secret=house.secret,
        sealing=build_sealing(settings),
        events=house.events,
        settings=settings,
    )
    sender = Deliveries(
        clock=house.clock,
        secret=house.secret,
        events=house.events,
        webhooks=webhooks,
        settings=settings,
    )
    deposits = Deposits(
        clock=house.clock,
        secret=house.secret,
        ledger=house.ledger,
        watched=house.engine.watched,
        tokens=tokens,
        describe=viewer.describe,
    )
    hints = Hints(house.nodes, deposits)
    gateway = Gateway(
        tokens=tokens,
        viewer=viewer,
        invoices=Invoices(
            clock=house.clock,
            cursors=house.cursors,
            idempotency=house.idempotency,
            inserts=house.inserts,
            tokens=tokens,
            wallets=wallets,
            viewer=viewer,
            hints=hints,
            allow_http=settings.is_development,
        ),
        processing=Processing(
            idempotency=house.idempotency,
            inserts=house.inserts,
            engine=house.engine,
            tokens=tokens,
            rules=house.use(Doors),
            handovers=_handovers(house, viewer),
        ),
        refunds=Refunds(
            clock=house.clock,
            cursors=house.cursors,
            secret=house.secret,
            idempotency=house.idempotency,
            engine=house.engine,
            tokens=tokens,
            wallets=wallets,
            recipients=Recipients(house.ledger, house.use(Screening)),
            rules=house.use(Doors),
            viewer=viewer,
            max_fee_sun=settings.max_fee_sun,
        ),
        reconciliations=_reconciliations(house, wallets),
        exports=Exports(house.clock, house.cursors, viewer),
        events=house.events,
        webhooks=webhooks,
        notices=Notices(
            house.clock, house.secret, settings.payment_webhook_secret.get_secret_value()
        ),
    )
    sweeps = Sweeps(
        SweepParts(
            clock=house.clock,
            secret=house.secret,
            engine=house.engine,
            ledger=house.ledger,
            tokens=tokens,
            wallets=wallets,
            lending=Lending(house.nodes, house.engine, house.use(Staking), house.idempotency),
            max_fee_sun=settings.max_fee_sun,
        )
    )
    tracking = Tracking(clock=house.clock, engine=house.engine, tokens=tokens, viewer=viewer)
    house.engine.hear(MODULE, gateway.refunds.follow)
    house.offer(gateway)
    house.offer(gateway.reconciliations)
    outbox = Outbox(house.events, house.secret)

    async def stats() -> dict[str, Any]:
        last = await gateway.reconciliations.last()
        oldest_s = await webhook_documents.oldest_pending_s(house.clock.now())
        return {
            "payments": await documents.counts(),
            "deliveries": await webhook_documents.counts(),
            "webhooks": {"oldest_seconds": oldest_s},
            "sweeps": {"returning_seconds": await sweep_documents.returning_s(house.clock.now())},
            "reconciled_block": last.solid_block if last else None,
            "differences": last.difference if last else {},
            "beyond_books": sum(row.beyond_books for row in last.rows) if last else 0,
        }

    return Module(
        name="gateway",
        service=SERVICE,
        routers=(
            PaymentController,
            ReconciliationController,
            WebhookEndpointController,
            EventController,
            ReportController,
            ExportController,
        ),
        dependencies={"gateway": gateway},
        loops=(
            Loop("gateway.hints", hints.step, IDLE_S, SERVICE),
            Loop("gateway.outbox", outbox.step, IDLE_S, SERVICE),
            Loop("gateway.track", tracking.step, IDLE_S, SERVICE),
            Loop("gateway.refunds", gateway.refunds.step, FINISH_HALVES_IDLE_S, SERVICE),
            Loop("gateway.fan_out", sender.fan_out, IDLE_S, SERVICE),
            Loop("gateway.deliver", sender.step, IDLE_S, SERVICE),
            Loop("gateway.export", gateway.exports.step, EXPORT_IDLE_S, SERVICE),
            Loop("gateway.sweep", sweeps.step, SWEEP_IDLE_S, SERVICE),
            Loop(
                "gateway.reconcile",
                gateway.reconciliations.step,
                RECONCILE_IDLE_S,
                SERVICE,
                wake=gateway.reconciliations.wake,
            ),
        ),
        on_block=deposits.on_block,
        start=gateway.invoices.start,
        stop=sender.close,
        prepare=gateway.reconciliations.finish_first,
        stats=stats,
    )


def _handovers(house: House, viewer: Viewer) -> Handovers:
    return Handovers(
        clock=house.clock,
        secret=house.secret,
        idempotency=house.idempotency,
        ledger=house.ledger,
        deployment=house.deployment,
        tokens=viewer.tokens,
        wallets=house.use(Wallets),
        transfers=house.use(Transfers),
        payouts=house.use(Payouts),
        staking=house.use(Staking),
        rules=house.use(Doors),
        viewer=viewer,
        max_fee_sun=house.settings.max_fee_sun,
    )


def _reconciliations(house: House, wallets: Wallets) -> Reconciliations:
    return Reconciliations(
        clock=house.clock,
        secret=house.secret,
        ledger=house.ledger,
        openings=house.openings,
        readings=Readings(house.nodes, house.openings, house.cursors),
        audit=house.audit,
        wallets=wallets,
        deployment=house.deployment,
        subject_of=documents.id_by_address,
    )

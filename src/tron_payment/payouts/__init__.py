"""Payouts: money out to people, by the V0 router, the KYC router or a plain transfer."""

from coincurve import PrivateKey

from tron_payment.loops import Loop
from tron_payment.module import House, Module
from tron_payment.payouts import policy_desk
from tron_payment.payouts.analytics import Analytics
from tron_payment.payouts.announce import Announcer
from tron_payment.payouts.attention_routes import UnexplainedController, UnprovedController
from tron_payment.payouts.batch_documents import Batch
from tron_payment.payouts.batch_drafts import Drafts
from tron_payment.payouts.batch_names import (
    ERASED,
    is_name,
    is_named,
    rows_of,
    rows_without,
    without_names,
    without_person,
)
from tron_payment.payouts.batch_routes import BatchController, QuoteController
from tron_payment.payouts.batch_work import BatchWork
from tron_payment.payouts.batches import Batches
from tron_payment.payouts.calls import CallReader
from tron_payment.payouts.counting import Counting
from tron_payment.payouts.day_documents import PayoutDay
from tron_payment.payouts.days import Days
from tron_payment.payouts.decisions import Decisions, who_ended
from tron_payment.payouts.documents import BROADCAST, NAMED, Payout, showing
from tron_payment.payouts.domain import (
    ENDED,
    LIFECYCLE,
    InvalidStatus,
    Limits,
    PayoutStatus,
    Route,
)
from tron_payment.payouts.doors import Doors
from tron_payment.payouts.explain import RETRY, WAITS, explained
from tron_payment.payouts.judge import Judge
from tron_payment.payouts.known import Learner, PayoutWish
from tron_payment.payouts.limits import LimitEntry, RollingLimits
from tron_payment.payouts.order_approval_documents import OrderApproval
from tron_payment.payouts.order_approval_routes import OrderApprovalController
from tron_payment.payouts.order_approvals import OrderApprovals
from tron_payment.payouts.orders import MODULE, OrderMaker
from tron_payment.payouts.outcomes import Outcomes
from tron_payment.payouts.payee_documents import Payee
from tron_payment.payouts.policy import Policy
from tron_payment.payouts.policy_desk import PolicyDesk
from tron_payment.payouts.policy_routes import PolicyController
from tron_payment.payouts.proofs import RouterProofs
from tron_payment.payouts.quarantine import QuarantineDesk
from tron_payment.payouts.quarantine_documents import Case
from tron_payment.payouts.quarantine_routes import QuarantineController
from tron_payment.payouts.quotes import Quote, Quotes
from tron_payment.payouts.recipient_routes import RecipientController
from tron_payment.payouts.recipients import Recipient, Recipients
from tron_payment.payouts.routes import PayoutController
from tron_payment.payouts.schedule_routes import ScheduleController
from tron_payment.payouts.schedules import Schedule, Schedules
from tron_payment.payouts.screen import Screen
from tron_payment.payouts.service import Payouts
from tron_payment.payouts.sweeping import Sweeper
from tron_payment.payouts.telling import Telling
from tron_payment.payouts.views import PayoutView, shown_status
from tron_payment.usdt import Screening, TokenRegistry, Transfers
from tron_payment.wallets import Wallets

DOCUMENTS = (
    Payout,
    PayoutDay,
    Batch,
    Schedule,
    Payee,
    Quote,
    Recipient,
    LimitEntry,
    OrderApproval,
    Case,
    *policy_desk.DOCUMENTS,
)
SERVICE = "payout-router"
SWEEP_IDLE_S = 5.0
SCREEN_IDLE_S = 1.0
BATCHES_IDLE_S = 1.0
SCHEDULES_IDLE_S = 5.0
DAYS_IDLE_S = 300.0


async def build(house: House) -> Module:
    """Wire the module."""
    settings = house.settings
    key = settings.kyc_attestation_private_key.get_secret_value()
    orders = OrderMaker(house.deployment, PrivateKey(bytes.fromhex(key)) if key else None)
    screen = Screen(
        clock=house.clock,
        ledger=house.ledger,
        screening=house.use(Screening),
        deployment=house.deployment,
    )
    rolling = RollingLimits(house.clock)
    announcer = Announcer(house.events, house.secret)
    recipients = Recipients(house.clock, house.audit)

    async def activated(policy: Policy) -> None:
        await counting.count_earlier(policy)

    desk = PolicyDesk(house.clock, house.audit, activated, house.use(Wallets))
    counting = Counting(house.clock, desk, rolling)
    telling = Telling(announcer, counting)
    learner = Learner(
        clock=house.clock,
        wallets=house.use(Wallets),
        screen=screen,
        desk=desk,
        recipients=recipients,
    )
    judge = Judge(
        clock=house.clock,
        secret=house.secret,
        learner=learner,
        orders=orders,
        limits=Limits(settings.min_payout_units, settings.max_payout_units),
        max_fee_sun=settings.max_fee_sun,
    )
    quotes = Quotes(
        clock=house.clock,
        nodes=house.nodes,
        fees=house.engine.fees,
        orders=orders,
        deployment=house.deployment,
        batch_size=settings.payout_batch_size,
    )
    outcomes = Outcomes(
        clock=house.clock,
        secret=house.secret,
        engine=house.engine,
        orders=orders,
        screen=screen,
        desk=desk,
        counting=counting,
        announcer=announcer,
        telling=telling,
    )
    decisions = Decisions(
        clock=house.clock,
        engine=house.engine,
        audit=house.audit,
        orders=orders,
        outcomes=outcomes,
        telling=telling,
    )
    proofs = RouterProofs(house.engine, house.nodes)
    payouts = Payouts(
        clock=house.clock,
        idempotency=house.idempotency,
        engine=house.engine,
        proofs=proofs,
        inserts=house.inserts,
        orders=orders,
        judge=judge,
        learner=learner,
        counting=counting,
        quotes=quotes,
        decisions=decisions,
        announcer=announcer,
        telling=telling,
    )
    sweeper = Sweeper(
        clock=house.clock,
        engine=house.engine,
        orders=orders,
        counting=counting,
        decisions=decisions,
        announcer=announcer,
        telling=telling,
    )
    work = BatchWork(
        clock=house.clock,
        secret=house.secret,
        engine=house.engine,
        orders=orders,
        counting=counting,
        announcer=announcer,
        batch_size=settings.payout_batch_size,
    )
    drafts = Drafts(
        clock=house.clock,
        secret=house.secret,
        judge=judge,
        counting=counting,
        desk=desk,
        batch_size=settings.payout_batch_size,
    )
    batches = Batches(
        clock=house.clock,
        idempotency=house.idempotency,
        audit=house.audit,
        drafts=drafts,
        learner=learner,
        work=work,
    )
    schedules = Schedules(house.clock, house.idempotency, batches, announcer)
    house.engine.hear(MODULE, outcomes.follow)
    house.engine.gate(desk.gate)
    house.engine.gate(outcomes.gate)
    quarantine = QuarantineDesk(
        clock=house.clock,
        engine=house.engine,
        proofs=proofs,
        audit=house.audit,
        telling=telling,
    )
    calls = CallReader(house.use(TokenRegistry), house.deployment)
    order_approvals = OrderApprovals(house.clock, house.engine, house.audit, desk, calls)
    house.engine.gate(order_approvals.gate)
    doors = Doors(house.clock, desk, rolling, order_approvals)
    house.use(Transfers).rules = doors
    for service in (payouts, decisions, batches, desk, quotes, recipients, doors):
        house.offer(service)
    return Module(
        name="payouts",
        service=SERVICE,
        routers=(
            PayoutController,
            BatchController,
            QuoteController,
            RecipientController,
            PolicyController,
            ScheduleController,
            OrderApprovalController,
            QuarantineController,
            UnexplainedController,
            UnprovedController,
        ),
        dependencies={
            "payouts": payouts,
            "decisions": decisions,
            "batches": batches,
            "quotes": quotes,
            "recipients": recipients,
            "desk": desk,
            "order_approvals": order_approvals,
            "quarantine": quarantine,
            "schedules": schedules,
            "analytics": Analytics(house.clock),
            "safe_modes": house.engine.safe_mode,
            "internal": house.engine.internal,
            "audit": house.audit,
        },
        loops=(
            Loop("payouts.sweep", sweeper.step, SWEEP_IDLE_S, SERVICE),
            Loop("payouts.batches", work.step, BATCHES_IDLE_S, SERVICE, wake=work.wake),
            Loop("payouts.schedules", schedules.step, SCHEDULES_IDLE_S, SERVICE),
            Loop("payouts.days", Days(house.clock).step, DAYS_IDLE_S, SERVICE),
            Loop("payouts.screen", screen.step, SCREEN_IDLE_S, SERVICE),
        ),
        stats=payouts.stats,
    )


__all__ = [
    "BROADCAST",
    "DOCUMENTS",
    "ENDED",
    "ERASED",
    "LIFECYCLE",
    "NAMED",
    "RETRY",
    "WAITS",
    "Batch",
    "Batches",
    "Decisions",
    "Doors",
    "InvalidStatus",
    "Limits",
    "Payout",
    "PayoutStatus",
    "PayoutView",
    "PayoutWish",
    "Payouts",
    "PolicyDesk",
    "Quotes",
    "Recipient",
    "Recipients",
    "Route",
    "Schedule",
    "build",
    "explained",
    "is_name",
    "is_named",
    "rows_of",
    "rows_without",
    "showing",
    "shown_status",
    "who_ended",
    "without_names",
    "without_person",
]

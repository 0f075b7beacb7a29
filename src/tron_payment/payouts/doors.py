"""The other doors through which money leaves obey the payouts' policy.

USDT transfers and approvals, refunds and calls of strangers' contracts share caps, allow-list,
approval bands and rolling limits with payouts, so that a limit is not left by the next door. What a
band asks people about is accepted, and its order waits for them (order_approvals.py).
"""

from collections.abc import Awaitable, Callable
from typing import Final

from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError
from tron_payment.http.idempotency import StoredAnswer
from tron_payment.http.twins import IN_FLIGHT_RETRY_S, InFlight, counted_at, is_final
from tron_payment.payouts.limits import Breach, Hold, RollingLimits, fresh_hold, scopes_of
from tron_payment.payouts.order_approvals import OrderApprovals
from tron_payment.payouts.policy import (
    ApproversDiffer,
    Facts,
    Policy,
    Verdict,
    evaluate,
    limit_exceeded,
)
from tron_payment.payouts.policy_desk import PolicyDesk
from tron_payment.usdt import Outgoing

OUR_FAULT: Final = 500
"""From this status on it is not known whether the request was accepted: it stays counted."""


class Doors:
    """Implements `usdt.Rules`.

    What was accepted stays counted until its window has passed, even if its order fails: a limit
    may hold back too much for a while, never too little.
    """

    def __init__(
        self, clock: Clock, desk: PolicyDesk, rolling: RollingLimits, approvals: OrderApprovals
    ) -> None:
        self._clock = clock
        self._approvals = approvals
        self._desk = desk
        self._rolling = rolling

    async def check(self, going: Outgoing) -> None:
        """
        Raises:
            PayoutCapExceeded, RecipientNotAllowed, RecipientCoolingDown, ApproversDiffer
        """
        verdict = await self._verdict(await self._desk.current(), going)
        if verdict.refusal is not None:
            raise verdict.refusal

    async def admit(
        self, going: Outgoing, accept: Callable[[], Awaitable[StoredAnswer]]
    ) -> StoredAnswer:
        """
        Raises:
            LimitExceeded, ApproversDiffer: Nothing was accepted.
            InFlight: A twin of the request has counted the same.
        """
        policy = await self._desk.current()
        verdict = await self._verdict(policy, going)
        if isinstance(verdict.refusal, ApproversDiffer):  # since it was checked
            raise verdict.refusal
        if verdict.approvals_needed:
            await self._approvals.ask(going, verdict, policy)
        if not policy.ceilings or not going.units:
            return await accept()
        counted = self._clock.now()
        hold, breach = await self._hold(going, policy)
        if breach is not None:
            await self._give_way(going)
            if await self._rolling.counted_before({going.object_id}, ()):
                # By a process that died: had it made the object, nobody would ask us.
                left = await self._rolling.left_behind({going.object_id})
                await self._rolling.release([each.hold_id for each in left])
                counted = self._clock.now()
                hold, breach = await self._hold(going, policy)
            if breach is not None:
                await self._give_way(going)  # a twin may have released the same, and be ahead
                raise limit_exceeded(breach)
        try:
            with counted_at(counted):
                stored = await accept()
        except AppError as refusal:
            others = refusal.status < OUR_FAULT and await self._rolling.counts_otherwise(hold)
            if is_final(refusal) or others:  # else a twin may have made it, counted by our hold
                await self._rolling.release([hold.hold_id])
            raise
        if stored.replayed and await self._rolling.counts_otherwise(hold):
            await self._rolling.release([hold.hold_id])  # that of whoever was first counts
        return stored

    async def _give_way(self, going: Outgoing) -> None:
        if await self._rolling.counted_by_twins({going.object_id}):
            raise InFlight(retry_after_s=IN_FLIGHT_RETRY_S)

    async def _hold(self, going: Outgoing, policy: Policy) -> tuple[Hold, Breach | None]:
        scopes = scopes_of(going.principal, going.recipient, going.wallet_id)
        now = self._clock.now()
        hold = fresh_hold(going.object_id, going.currency, going.units, now, scopes)
        breaches = await self._rolling.hold([hold], policy.ceilings)
        return hold, breaches.get(hold.hold_id)

    async def _verdict(self, policy: Policy, going: Outgoing) -> Verdict:
        allowed = await self._desk.allowed_at([going.recipient]) if policy.allow_list else {}
        return evaluate(
            policy,
            Facts(
                currency=going.currency,
                units=going.units,
                recipient=going.recipient,
                now=self._clock.now(),
                allowed_at=allowed.get(going.recipient),
                allow_list_applies=not going.back_to_payer,
                stranger=going.stranger,
            ),
        )

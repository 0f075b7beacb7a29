"""Payouts against the rolling limits: counted when accepted, released when they end unpaid.

A count lives in `limits.py`'s journal, the payout in its own document; a process may die between
the two. So what was counted and never became a payout is found and released.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from tron_payment.core.clock import Clock
from tron_payment.http.twins import IN_FLIGHT_RETRY_S, InFlight
from tron_payment.payouts import counting_documents as counted
from tron_payment.payouts import documents as store
from tron_payment.payouts.batch_documents import is_unexpanded_left
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.limits import (
    Breach,
    Hold,
    RollingLimits,
    Window,
    fresh_hold,
    scopes_of,
)
from tron_payment.payouts.policy import Policy, limit_exceeded
from tron_payment.payouts.policy_desk import PolicyDesk

PAYOUT_PREFIX: Final = "pay_"


class Counting:
    """Counts payouts."""

    def __init__(self, clock: Clock, desk: PolicyDesk, rolling: RollingLimits) -> None:
        self._clock = clock
        self._desk = desk
        self._rolling = rolling

    async def count(self, payouts: Sequence[Payout]) -> dict[str, Breach]:
        """Count payouts against the rolling limits; the breaches by payout id.

        Those that fit carry their hold from here on. What a process that has died counted of the
        same payouts, and never made, gives way.

        Raises:
            InFlight: A twin of the request has counted the same; nothing was counted.
        """
        policy = await self._desk.current()
        if not policy.ceilings:
            return {}
        breaches = await self._hold(payouts, policy)
        if not breaches:
            return breaches
        await self._give_way(payouts, breaches)
        ours = [payout.hold_id for payout in payouts if payout.hold_id]
        if await self._rolling.counted_before([payout.id for payout in payouts], ours):
            await self._rolling.release([*await self._left_behind(payouts), *ours])
            breaches = await self._hold(payouts, policy)
            # A twin may have found and released the same, and was first to count anew.
            await self._give_way(payouts, breaches)
        return breaches

    async def _give_way(self, payouts: Sequence[Payout], breaches: Mapping[str, Breach]) -> None:
        if breaches and await self._rolling.counted_by_twins(breaches.keys()):
            await self.uncount(payouts)
            raise InFlight(retry_after_s=IN_FLIGHT_RETRY_S)

    async def _hold(self, payouts: Sequence[Payout], policy: Policy) -> dict[str, Breach]:
        now = self._clock.now()
        holds = [
            fresh_hold(p.id, p.currency, p.units, now, scopes_of(p.principal, r, p.wallet_id))
            for p in payouts
            for r in (p.recipient_address,)
        ]
        breaches = await self._rolling.hold(holds, policy.ceilings)
        for payout, hold in zip(payouts, holds, strict=True):
            payout.hold_id = None if hold.hold_id in breaches else hold.hold_id
        names = {hold.hold_id: hold.payout_id for hold in holds}
        return {names[hold_id]: breach for hold_id, breach in breaches.items()}

    async def _left_behind(self, payouts: Sequence[Payout]) -> list[str]:
        """What counts of these for nobody: nothing was made of it, and nobody is at it."""
        old = await self._rolling.left_behind({payout.id for payout in payouts})
        kept = await counted.holds_of([hold.payout_id for hold in old]) if old else {}
        return [hold.hold_id for hold in old if hold.payout_id not in kept]

    async def count_again(self, payouts: Sequence[Payout]) -> list[Payout]:
        """Count those that do not count any more; all of them, or none.

        Returns:
            Those that were counted. They carry another hold from here on.

        Raises:
            LimitExceeded: They do not all fit; nothing was counted.
            InFlight: As `count`.
        """
        policy = await self._desk.current()
        if not policy.ceilings:
            return []
        counts = await self._rolling.counting([p.hold_id for p in payouts if p.hold_id])
        left = [payout for payout in payouts if payout.hold_id not in counts]
        breaches = await self.count(left)
        if breaches:
            await self.uncount(left)
            raise limit_exceeded(next(iter(breaches.values())))
        return left

    async def uncount(self, payouts: Sequence[Payout]) -> None:
        """They were not accepted after all."""
        await self._rolling.release([p.hold_id for p in payouts if p.hold_id is not None])

    async def end(self, payouts: Sequence[Payout]) -> None:
        """They ended unpaid; what was counted for them when limits began counts no more, either."""
        await self._rolling.release([payout.counted_as for payout in payouts])

    async def uncount_twin(self, ours: Payout) -> None:
        """The same request, a moment earlier, was counted and stored: ours counts no more."""
        if ours.hold_id is None:
            return
        stored = await store.by_id(ours.id, {})
        if stored is not None and stored.hold_id != ours.hold_id:
            await self.uncount([ours])

    async def count_earlier(self, policy: Policy) -> None:
        """Before a policy with limits: count what was promised within the longest window."""
        if not policy.ceilings:
            return
        since = self._clock.now().timestamp() - Window.MONTH.length_s
        holds: list[Hold] = []
        async for p in counted.promised_since(
            datetime.fromtimestamp(since, self._clock.now().tzinfo)
        ):
            scopes = scopes_of(p.principal, p.recipient_address, p.wallet_id)
            hold = fresh_hold(p.id, p.currency, p.units, p.created_at, scopes)
            holds.append(
                Hold(p.counted_as, p.id, hold.currency, hold.units, hold.at_ms, hold.scopes)
            )
        await self._rolling.open(holds)

    async def uncount_abandoned(self) -> bool:
        """Release what died between being counted and becoming a payout; False when none is old.

        And what limits began to count in the moment in which its payout was given up. Rows of a
        batch that is not carried out yet are no payouts yet: then nothing is judged.
        """
        if await is_unexpanded_left():
            return False
        old = [h for h in await self._rolling.abandoned() if h.payout_id.startswith(PAYOUT_PREFIX)]
        ids = [hold.payout_id for hold in old]
        kept, ended = await counted.holds_of(ids), await counted.given_up(ids)
        await self._rolling.release(
            [
                h.hold_id
                for h in old
                if h.payout_id in ended or h.hold_id not in (kept.get(h.payout_id), h.payout_id)
            ]
        )
        return bool(old)

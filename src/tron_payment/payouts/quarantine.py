"""How what is in quarantine gets out: one person proposes with evidence, another resolves.

What decides is the chain. An order ends as its attempts in solidified blocks prove
(engine/quarantine.py). A payout whose order has settled, but whose own event is not in the receipt,
ends as the solidified state of its order's router says (proofs.py).

People decide whether and when; what they cannot do is end it otherwise than the chain proves. What
proves nothing stays, and nothing that is set aside is released.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tron_payment.core.clock import Clock, from_ms
from tron_payment.core.errors import Conflict, Forbidden, NotFound
from tron_payment.db.acts import has_effect
from tron_payment.db.audit import Act, Audit
from tron_payment.db.cas import LostRace
from tron_payment.engine import Engine, Evidence, NotProved, Order, OrderStatus
from tron_payment.http.permissions import sees_all
from tron_payment.http.principals import Principal
from tron_payment.payouts import documents as payouts_store
from tron_payment.payouts import quarantine_documents as store
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import PayoutStatus, Route
from tron_payment.payouts.orders import MODULE
from tron_payment.payouts.proofs import RouterProofs
from tron_payment.payouts.quarantine_documents import Case, CaseStatus
from tron_payment.payouts.telling import ENDED, Telling

ORDER_PREFIX: Final = "ord_"
CHANGE_ATTEMPTS_MAX: Final = 5


class NotQuarantined(NotFound, code="not_quarantined"):
    """Nothing of this id is in quarantine."""


class NothingProposed(Conflict, code="nothing_proposed"):
    """Nobody has proposed how this ends, or it is decided."""


class OwnProposal(Forbidden, code="own_proposal"):
    """Nobody resolves what they proposed."""


@dataclass(frozen=True, slots=True)
class Held:
    """One thing in quarantine. `proves` is what the chain proves now, None without a look."""

    object_id: str
    order_id: str
    kind: str
    reason: str
    case: Case | None = None
    proves: str | None = None
    evidence: Sequence[dict[str, Any]] = field(default=())


class QuarantineDesk:
    """Lists, looks, proposes and resolves."""

    def __init__(
        self,
        *,
        clock: Clock,
        engine: Engine,
        proofs: RouterProofs,
        audit: Audit,
        telling: Telling,
    ) -> None:
        self._clock = clock
        self._engine = engine
        self._proofs = proofs
        self._audit = audit
        self._telling = telling

    async def waiting(self, principal: Principal) -> list[Held]:
        """All in quarantine that the caller may see, orders first; the chain is not asked."""
        orders = await self._engine.quarantine.orders()
        own = {order.id for order in orders}
        orders = [order for order in orders if _shows(principal, order.module)]
        payouts = [p for p in await store.payouts() if p.order_id not in own]
        payouts = payouts if _shows(principal, MODULE) else []
        cases = await store.by_ids([*(o.id for o in orders), *(p.id for p in payouts)])
        return [
            *(Held(o.id, o.id, o.kind, o.reason, cases.get(o.id)) for o in orders),
            *(Held(p.id, p.order_id, "payout", p.reason, cases.get(p.id)) for p in payouts),
        ]

    async def find(self, principal: Principal, object_id: str) -> Held:
        """One of them as it is stored; the chain is not asked.

        Raises:
            NotQuarantined: Nor is what the caller may not see.
        """
        case = await store.by_id(object_id)
        if object_id.startswith(ORDER_PREFIX):
            order = await self._order(object_id, principal)
            return Held(order.id, order.id, order.kind, order.reason, case)
        payout = await self._payout(object_id, principal)
        return Held(payout.id, payout.order_id, "payout", payout.reason, case)

    async def look(self, principal: Principal, object_id: str) -> Held:
        """One of them, with what the chain shows and proves now.

        Raises:
            NotQuarantined: Nor is what the caller may not see.
            NodesUnavailable, ChainContradiction: See `engine.Quarantine.look`.
        """
        case = await store.by_id(object_id)
        if object_id.startswith(ORDER_PREFIX):
            order = await self._order(object_id, principal)
            evidence = await self._engine.quarantine.look(order)
            proves = evidence.proves
            told = _told(evidence)
            said = None if proves is None else proves.value
            return Held(order.id, order.id, order.kind, order.reason, case, said, told)
        payout = await self._payout(object_id, principal)
        found = await self._proofs.look(payout)
        ended, shown = found.status.value, found.evidence
        return Held(payout.id, payout.order_id, "payout", payout.reason, case, ended, shown)

    async def propose(self, principal: Principal, object_id: str, outcome: str, note: str) -> Held:
        """Propose how it ends; what the chain shows now is stored with it.

        Raises:
            NotQuarantined
            NotProved: The chain does not prove this outcome.
        """
        held = await self.look(principal, object_id)
        if held.proves != outcome:
            raise NotProved(f"the chain proves {held.proves or 'nothing'}", param="outcome")
        case = await store.propose(
            Case(
                id=object_id,
                outcome=outcome,
                note=note,
                evidence=list(held.evidence),
                proposed_by=principal.id,
                proposed_at=self._clock.now(),
            )
        )
        await self._note(principal, "quarantine.propose", case)
        return await self.look(principal, object_id)

    async def resolve(self, principal: Principal, object_id: str, *, agree: bool) -> Case:
        """Carry out what another person proposed, if the chain still proves it, or say no.

        The chain decides first, in one compare-and-set on the order or payout; then the case is
        closed. Dying between the two leaves a case whose thing has left quarantine.

        Raises:
            NotQuarantined, NothingProposed
            OwnProposal: They proposed it.
            NotProved: The chain does not prove it any more.
        """
        for _ in range(CHANGE_ATTEMPTS_MAX):
            case = await store.by_id(object_id)
            if case is None or case.status is not CaseStatus.PROPOSED:
                raise NothingProposed
            if case.proposed_by == principal.id:
                raise OwnProposal
            try:
                if agree:
                    await self._carry_out(principal, case)
                    has_effect()  # even if somebody else closes the case in this moment
                target = CaseStatus.RESOLVED if agree else CaseStatus.REJECTED
                decided = await store.decide(case, target, principal.id, self._clock.now())
            except LostRace:
                continue
            await self._note(principal, f"quarantine.{decided.status.value}", decided)
            return decided
        raise LostRace("it keeps changing; try again")

    async def _carry_out(self, principal: Principal, case: Case) -> None:
        reason = f"quarantine: {case.note} ({case.proposed_by}, {principal.id})"
        if case.id.startswith(ORDER_PREFIX):
            order = await self._order(case.id, principal)
            await self._engine.quarantine.resolve(order, OrderStatus(case.outcome), reason)
            return
        payout = await self._payout(case.id, principal)
        status = (await self._proofs.look(payout)).status
        if status.value != case.outcome:
            raise NotProved(f"the chain proves {status.value}")
        now = self._clock.now()
        carrier = await self._engine.find(payout.order_id)
        assert carrier is not None, payout.id
        changes: dict[str, Any] = {"reason": reason, "waiting_for": "", "untold": ENDED}
        changes["order_version"] = carrier.version + 1  # what people decided is newer than it
        if (
            status is PayoutStatus.SETTLED and carrier.outcome is not None
        ):  # reports go by it: the block that showed it was paid
            changes["settled_at"] = from_ms(carrier.outcome.block_timestamp_ms)
        await self._telling.tell(await payouts_store.move(payout, status, now, **changes))

    async def _order(self, order_id: str, principal: Principal) -> Order:
        order = await self._engine.find(order_id)
        if order is None or order.status is not OrderStatus.QUARANTINED:
            raise NotQuarantined
        if not _shows(principal, order.module):
            raise NotQuarantined
        return order

    async def _payout(self, payout_id: str, principal: Principal) -> Payout:
        """
        Raises:
            NotQuarantined: Also while its order is: then the order is what is resolved.
        """
        if not _shows(principal, MODULE):
            raise NotQuarantined
        payout = await payouts_store.by_id(payout_id, {})
        if payout is None or payout.status is not PayoutStatus.QUARANTINED:
            raise NotQuarantined
        order = await self._engine.find(payout.order_id)
        ended = None if order is None else order.status
        if ended is not OrderStatus.FAILED and (
            payout.route is Route.DIRECT or ended is not OrderStatus.SETTLED
        ):
            raise NotQuarantined(f"resolve its order {payout.order_id}")
        return payout

    async def _note(self, principal: Principal, action: str, case: Case) -> None:
        await self._audit.append(
            Act(
                actor=principal.id,
                role=principal.role.value,
                action=action,
                object_id=case.id,
                after={
                    "outcome": case.outcome,
                    "note": case.note,
                    "proposed_by": case.proposed_by,
                    "evidence": case.evidence,
                },
            )
        )


def _shows(principal: Principal, module: str) -> bool:
    """Whether the caller sees what this module has in quarantine, whoever asked for it."""
    is_payout = module == MODULE
    return sees_all(principal, "quarantine") or (is_payout and sees_all(principal, "payouts"))


def _told(evidence: Evidence) -> list[dict[str, Any]]:
    """Evidence as it is stored and shown."""
    return [
        {
            "attempt": seen.number,
            "txid": seen.txid,
            "finding": seen.finding.value,
            "block_number": seen.block_number or None,
            "block_id": seen.block_id or None,
            "receipt": seen.receipt or None,
            "proofs": dict(seen.proofs),
            "read_to_block": evidence.at_block,
        }
        for seen in evidence.attempts
    ]

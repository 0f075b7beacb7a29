"""The policy as stored: versions, the allow-list, the kill switch; who may change them.

A change is proposed by one person and comes into force when another approves it, in one atomic
write that gives it the next number. The kill switch works at once, and holds orders of every
kind back before their funds are set aside and again before they are signed.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from beanie import Document
from pymongo import ASCENDING, DESCENDING, IndexModel

from tron_payment.core.address import Address
from tron_payment.core.clock import Clock
from tron_payment.core.errors import Conflict, NotFound
from tron_payment.core.ids import new_id
from tron_payment.db.audit import Act, Audit
from tron_payment.db.cas import LostRace, compare_and_set, insert_once
from tron_payment.db.faults import DuplicateValue
from tron_payment.engine import Order
from tron_payment.http.principals import Principal
from tron_payment.payouts.policy import (
    ALLOW_LIST,
    DEFAULT,
    OwnApproval,
    Policy,
    ProposalNotFound,
    check_policy,
    facts_stored,
    policy_of,
)
from tron_payment.wallets import WalletNotFound, Wallets

POLICY_SEEN: Final = timedelta(seconds=1)
"""For how long a process believes the policy it has read."""

GLOBAL: Final = "global"
KILL_SWITCH: Final = "kill_switch"
CHANGE_ATTEMPTS_MAX: Final = 5
LISTED_MAX: Final = 1_000


class ProposalDecided(Conflict, code="proposal_decided"):
    """This proposal is in force, or was rejected."""


class NotListed(NotFound, code="not_listed"):
    """This address is not on the allow-list."""


class PolicyDocument(Document):
    """A proposed policy; `number` is its version once it is in force."""

    id: str  # type: ignore[assignment]  # pol_...
    status: str = "proposed"  # active, rejected
    version: int = 0
    op_id: str = ""
    number: int | None = None
    content: dict[str, Any]
    proposed_by: str
    decided_by: str | None = None
    created_at: datetime
    decided_at: datetime | None = None

    class Settings:
        name = "policies"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("number", DESCENDING)], name="number", unique=True, sparse=True),
            IndexModel([("created_at", DESCENDING)], name="created"),
        ]


class AllowedRecipient(Document):
    """An address that may be paid once it is approved and has cooled down."""

    id: str  # type: ignore[assignment]  # the address
    label: str = ""
    proposed_by: str
    approved_by: str | None = None
    approved_at: datetime | None = None
    version: int = 0
    op_id: str = ""
    created_at: datetime

    class Settings:
        name = "allowed_recipients"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("created_at", ASCENDING), ("_id", ASCENDING)], name="created")
        ]


class KillSwitch(Document):
    """Of everything (`global`) or of one wallet."""

    id: str  # type: ignore[assignment]
    on: bool
    reason: str = ""
    by: str
    at: datetime

    class Settings:
        name = "kill_switches"


DOCUMENTS: Final = (PolicyDocument, AllowedRecipient, KillSwitch)
Activated = Callable[[Policy], Awaitable[None]]


class PolicyDesk:
    """Reads and changes the policy of this installation.

    Args:
        activated: Called before a policy comes into force, to count what was promised before.
    """

    def __init__(self, clock: Clock, audit: Audit, activated: Activated, wallets: Wallets) -> None:
        self._clock = clock
        self._wallets = wallets
        self._audit = audit
        self._activated = activated
        self._seen: tuple[Policy, datetime] | None = None

    # ---- the policy --------------------------------------------------------------------------

    async def current(self) -> Policy:
        """The policy in force, at most a second old."""
        now = self._clock.now()
        if self._seen is None or not timedelta() <= now - self._seen[1] < POLICY_SEEN:
            newest = await _newest()
            policy = DEFAULT if newest is None else policy_of(newest.number or 0, newest.content)
            self._seen = (policy, now)
        return self._seen[0]

    async def propose(self, principal: Principal, policy: Policy) -> PolicyDocument:
        """Store a policy that somebody else may put into force.

        Raises:
            InvalidPolicy: It contradicts itself.
        """
        check_policy(policy)
        made = PolicyDocument(
            id=new_id("pol"),
            content=facts_stored(policy),
            proposed_by=principal.id,
            created_at=self._clock.now(),
        )
        await insert_once(made)
        await self._note(principal, "policy.propose", made.id, None, made.content)
        return made

    async def proposal(self, proposal_id: str) -> PolicyDocument:
        """
        Raises:
            ProposalNotFound
        """
        found = await PolicyDocument.find_one({"_id": proposal_id})
        if found is None:
            raise ProposalNotFound
        return found

    async def proposals(self) -> list[PolicyDocument]:
        """Policies of the past, in force and proposed, newest first."""
        rows = PolicyDocument.find({}).sort("-created_at")
        return await rows.limit(LISTED_MAX).to_list()

    async def approve(self, principal: Principal, proposal_id: str) -> PolicyDocument:
        """Put a proposal into force; doing it again changes nothing.

        Raises:
            ProposalNotFound, ProposalDecided
            OwnApproval: They proposed it.
        """
        for _ in range(CHANGE_ATTEMPTS_MAX):
            found = await self.proposal(proposal_id)
            if found.status == "active":
                return found
            if found.status != "proposed":
                raise ProposalDecided
            if found.proposed_by == principal.id:
                raise OwnApproval
            newest = await _newest()
            number = (newest.number or 0) + 1 if newest is not None else 1
            await self._activated(policy_of(number, found.content))
            try:
                changed = await self._decide(principal, found, "active", number)
            except (LostRace, DuplicateValue):
                continue
            self._seen = None
            await self._activated(policy_of(number, found.content))
            before = None if newest is None else newest.content
            await self._note(principal, "policy.approve", found.id, before, found.content)
            return changed
        raise LostRace("the policy keeps changing; try again")

    async def reject(self, principal: Principal, proposal_id: str) -> PolicyDocument:
        """Put a proposal away.

        Raises:
            ProposalNotFound, ProposalDecided
        """
        found = await self.proposal(proposal_id)
        if found.status == "rejected":
            return found
        if found.status != "proposed":
            raise ProposalDecided
        changed = await self._decide(principal, found, "rejected", None)
        await self._note(principal, "policy.reject", found.id, None, None)
        return changed

    async def _decide(
        self, principal: Principal, found: PolicyDocument, status: str, number: int | None
    ) -> PolicyDocument:
        changes: dict[str, Any] = {
            "status": status,
            "decided_by": principal.id,
            "decided_at": self._clock.now(),
        }
        if number is not None:
            changes["number"] = number
        return await compare_and_set(
            PolicyDocument,
            found.id,
            version=found.version,
            where={"status": "proposed"},
            set=changes,
        )

    # ---- the allow-list ----------------------------------------------------------------------

    async def allow(self, principal: Principal, address: Address, label: str) -> AllowedRecipient:
        """Propose an address for the allow-list; what is there stays as it is."""
        entry = AllowedRecipient(
            id=address, label=label, proposed_by=principal.id, created_at=self._clock.now()
        )
        if await insert_once(entry):
            await self._note(principal, "allow_list.propose", address, None, {"label": label})
        return await self._listed(address)

    async def allowed(self) -> list[AllowedRecipient]:
        """The allow-list, oldest first."""
        rows = AllowedRecipient.find({}).sort("+created_at")
        return await rows.limit(LISTED_MAX).to_list()

    async def approve_allowed(self, principal: Principal, address: str) -> AllowedRecipient:
        """Approve an address; its cool-down begins now.

        Raises:
            NotListed
            OwnApproval: They proposed it.
        """
        found = await self._listed(address)
        if found.approved_at is not None:
            return found
        if found.proposed_by == principal.id:
            raise OwnApproval
        changed = await compare_and_set(
            AllowedRecipient,
            address,
            version=found.version,
            set={"approved_by": principal.id, "approved_at": self._clock.now()},
        )
        await self._note(principal, "allow_list.approve", address, None, {"label": found.label})
        return changed

    async def disallow(self, principal: Principal, address: str) -> None:
        """Take an address off the list, at once.

        Raises:
            NotListed
        """
        await self._listed(address)
        await AllowedRecipient.get_pymongo_collection().delete_one({"_id": address})
        await self._note(principal, "allow_list.remove", address, None, None)

    async def allowed_at(self, addresses: Sequence[str]) -> dict[str, datetime]:
        """Of these addresses the approved ones, with the time of their approval."""
        rows = AllowedRecipient.find({"_id": {"$in": list(addresses)}})
        return {row.id: row.approved_at async for row in rows if row.approved_at is not None}

    async def off_the_list(self, addresses: Collection[str]) -> frozenset[str]:
        """Of these addresses those that the allow-list does not have now, if one is in force."""
        if not addresses or not (await self.current()).allow_list:
            return frozenset()
        return frozenset(addresses) - (await self.allowed_at(sorted(addresses))).keys()

    async def _listed(self, address: str) -> AllowedRecipient:
        found = await AllowedRecipient.find_one({"_id": address})
        if found is None:
            raise NotListed
        return found

    # ---- the kill switch ---------------------------------------------------------------------

    async def switches(self) -> list[KillSwitch]:
        """Every switch that was ever used."""
        return await KillSwitch.find({}).sort("+_id").limit(LISTED_MAX).to_list()

    async def switch(
        self, principal: Principal, wallet_id: str | None, on: bool, reason: str
    ) -> KillSwitch:
        """Stop everything, or one wallet, whoever made it, or let it go on.

        Args:
            wallet_id: Its id, or one that it had before a restore; None for everything.

        Raises:
            WalletNotFound: It would stop nothing.
        """
        scope = GLOBAL if wallet_id is None else await self._scope(wallet_id, on)
        now = self._clock.now()
        await KillSwitch.get_pymongo_collection().update_one(
            {"_id": scope},
            {"$set": {"on": on, "reason": reason, "by": principal.id, "at": now}},
            upsert=True,
        )
        action = "kill_switch.on" if on else "kill_switch.off"
        await self._note(principal, action, scope, None, {"reason": reason})
        found = await KillSwitch.find_one({"_id": scope})
        assert found is not None, scope
        return found

    async def _scope(self, wallet_id: str, on: bool) -> str:
        """The id of the switch of a wallet; one that was turned on under another id goes off by
        that id."""
        if not on and wallet_id != GLOBAL and await KillSwitch.find_one({"_id": wallet_id}):
            return wallet_id
        names = (await self._wallets.names_of([wallet_id])).get(wallet_id)
        if names is None:
            raise WalletNotFound(param="wallet_id")
        return names[0]

    async def gate(self, orders: Sequence[Order]) -> Mapping[str, str]:
        """Hold back every order that a switch is on for; asked of the store each time.

        An order may carry an id that its wallet had before a restore, and so may a switch.
        """
        if await KillSwitch.find_one({"on": True}) is None:
            return {}
        names = await self._wallets.names_of([order.wallet_id for order in orders])
        known_as = {o.id: {GLOBAL, o.wallet_id, *names.get(o.wallet_id, ())} for o in orders}
        scopes = set[str]().union(*known_as.values())
        rows = KillSwitch.find({"_id": {"$in": sorted(scopes)}, "on": True})
        on = {row.id async for row in rows}
        return {order_id: KILL_SWITCH for order_id, ids in known_as.items() if ids & on}

    async def _note(
        self,
        principal: Principal,
        action: str,
        object_id: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        await self._audit.append(
            Act(
                actor=principal.id,
                role=principal.role.value,
                action=action,
                object_id=object_id,
                before=before,
                after=after,
            )
        )


def was_listed(decisions: Iterable[Mapping[str, Any]]) -> bool:
    """Whether this was accepted because its recipient was on the allow-list."""
    return any(each["rule"] == ALLOW_LIST for each in decisions)


async def _newest() -> PolicyDocument | None:
    rows = PolicyDocument.find({"number": {"$gt": 0}}).sort("-number")
    found = await rows.limit(1).to_list()
    return found[0] if found else None

"""What payouts will cost: simulated on the newest block, priced like the bill, by source.

`expected` is what the bill should say if nothing changes; `max_fee` is a promise: the engine signs
nothing that could burn more, it waits. A stored quote may be named by the payout that uses it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final

from beanie import Document
from pymongo import ASCENDING, IndexModel

from tron_payment.chain import (
    AccountResources,
    Nodes,
    RawData,
    Resource,
    TriggerContract,
    bandwidth_bytes,
    encode,
)
from tron_payment.core.address import Address, parse_address
from tron_payment.core.clock import Clock, to_ms
from tron_payment.core.errors import Conflict, NotFound, Refused
from tron_payment.core.ids import new_id
from tron_payment.db.cas import insert_once
from tron_payment.engine import FeeBound, Fees, MustWait, balance_of
from tron_payment.http.principals import Principal
from tron_payment.module import Deployment
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import PayoutWouldRevert
from tron_payment.payouts.known import PayoutWish
from tron_payment.payouts.orders import OrderMaker, group
from tron_payment.payouts.outcomes import Share

QUOTE_LIFETIME: Final = timedelta(minutes=5)
FORGOTTEN_AFTER: Final = timedelta(days=30)


class QuoteNotFound(NotFound, code="quote_not_found"):
    """There is no such quote, or it is not yours."""


class QuoteExpired(Conflict, code="quote_expired"):
    """The quote is too old: ask for a new one."""


class QuoteDiffers(Refused, code="quote_differs"):
    """The quote was given for another payout."""


class RecipientState(StrEnum):
    """Why a payout costs what it costs."""

    HOT = "hot"
    COLD = "cold"
    UNACTIVATED = "unactivated"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one payout's share of a transaction costs. Sun, energy units and bytes."""

    recipient: RecipientState
    energy: int
    energy_penalty: int
    energy_own: int
    energy_delegated: int
    energy_burned: int
    bandwidth: int
    bandwidth_burned_sun: int
    activation_sun: int
    expected_sun: int
    max_fee_sun: int
    fee_limit_sun: int

    @property
    def source(self) -> str:
        """Where the energy comes from; `mixed` when from several places."""
        parts = {
            "own_energy": self.energy_own,
            "delegated": self.energy_delegated,
            "burn": self.energy_burned,
        }
        used = [name for name, units in parts.items() if units]
        if not used:
            return "burn" if self.expected_sun else "bandwidth"
        return used[0] if len(used) == 1 else "mixed"


class Quote(Document):
    """A promise about one payout's fee."""

    id: str  # type: ignore[assignment]  # quo_...
    principal: str
    recipient_address: str
    currency: str
    units: int
    route: str
    wallet_id: str
    expected_sun: int
    max_fee_sun: int
    expires_at: datetime
    created_at: datetime

    class Settings:
        name = "quotes"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel(
                [("created_at", ASCENDING)],
                name="retention",
                expireAfterSeconds=int(FORGOTTEN_AFTER.total_seconds()),
            )
        ]


@dataclass(slots=True)
class Purse:
    """What a signer has left while several transactions of it are quoted one after another."""

    energy_own: int
    energy_delegated: int
    net: int
    free_net: int

    @classmethod
    def of(cls, resources: AccountResources, own_sun: int, borrowed_sun: int) -> "Purse":
        """Energy splits as the stakes behind it do; what is used is taken from both alike."""
        left, total = resources.energy_left, own_sun + borrowed_sun
        delegated = left * borrowed_sun // total if total else 0
        return cls(left - delegated, delegated, resources.net_left, resources.free_net_left)

    def energy(self, units: int) -> tuple[int, int, int]:
        """Own, delegated, and to be burned."""
        own = min(units, self.energy_own)
        delegated = min(units - own, self.energy_delegated)
        self.energy_own -= own
        self.energy_delegated -= delegated
        return own, delegated, units - own - delegated

    def bandwidth(self, size: int, *, free: bool = True) -> bool:
        """True when the bytes are covered: whole by the stake, or whole by the free ones."""
        if size <= self.net:
            self.net -= size
            return True
        if free and size <= self.free_net:
            self.free_net -= size
            return True
        return False


class Quotes:
    """Computes and keeps quotes."""

    def __init__(
        self,
        *,
        clock: Clock,
        nodes: Nodes,
        fees: Fees,
        orders: OrderMaker,
        deployment: Deployment,
        batch_size: int,
    ) -> None:
        self._clock = clock
        self._nodes = nodes
        self._fees = fees
        self._orders = orders
        self._deployment = deployment
        self._batch_size = batch_size

    async def costs(self, payouts: Sequence[Payout]) -> list[Cost]:
        """What payouts would cost now, paid together as a batch would be.

        Raises:
            PayoutWouldRevert: The simulation reverts now: an empty router, a pause.
            NodesUnavailable: The chain cannot be asked.
        """
        prices = await self._fees.parameters()
        purses: dict[str, Purse] = {}
        found: dict[str, Cost] = {}
        for mates in group(payouts, self._batch_size):
            signer = mates[0].signer
            if signer not in purses:
                purses[signer] = await self._purse(Address(signer))
            for payout, cost in zip(
                mates, await self._together(mates, purses[signer], prices), strict=True
            ):
                found[payout.id] = cost
        return [found[payout.id] for payout in payouts]

    async def keep(self, principal: Principal, payout: Payout, cost: Cost) -> Quote:
        """Store a quote that a payout may name."""
        now = self._clock.now()
        quote = Quote(
            id=new_id("quo"),
            principal=principal.id,
            recipient_address=payout.recipient_address,
            currency=payout.currency,
            units=payout.units,
            route=payout.route.value,
            wallet_id=payout.wallet_id,
            expected_sun=cost.expected_sun,
            max_fee_sun=cost.max_fee_sun,
            expires_at=now + QUOTE_LIFETIME,
            created_at=now,
        )
        await insert_once(quote)
        return quote

    async def binding(self, principal: Principal, wish: PayoutWish) -> Quote | None:
        """The quote that a wish names; None when it names none.

        Raises:
            QuoteNotFound, QuoteExpired
            QuoteDiffers: It was for another recipient, amount or route.
        """
        if wish.quote_id is None:
            return None
        found = await Quote.find_one({"_id": wish.quote_id, "principal": principal.id})
        if found is None:
            raise QuoteNotFound(param="quote_id")
        same = (
            found.recipient_address == wish.recipient_address
            and found.currency == wish.amount.asset.code
            and found.units == wish.amount.units
            and (wish.route is None or found.route == wish.route.value)
            and (wish.wallet_id is None or found.wallet_id == wish.wallet_id)
        )
        if not same:
            raise QuoteDiffers(param="quote_id")
        if self._clock.now() >= found.expires_at:
            raise QuoteExpired(param="quote_id")
        return found

    @property
    def expires_at(self) -> datetime:
        """When a quote of this moment ends."""
        return self._clock.now() + QUOTE_LIFETIME

    async def _together(
        self, payouts: Sequence[Payout], purse: Purse, prices: Mapping[str, int]
    ) -> list[Cost]:
        wish = self._orders.wish([_alone(p, payouts[0].order_id) for p in payouts])
        contract = wish.contract
        try:
            bound = await self._fees.bound(contract, expects=wish.expects, spends=wish.spends)
            energy, penalty = 0, 0
            if isinstance(contract, TriggerContract):
                answer = await self._fees.simulate(contract, contract.data)
                if answer.reverted:
                    raise MustWait(f"simulation_reverted: {answer.message}")
                energy, penalty = answer.energy_used, answer.energy_penalty
        except MustWait as wait:
            raise PayoutWouldRevert(wait.waiting_for) from None
        states = [await self._state(payout) for payout in payouts]
        own, delegated, burned = purse.energy(energy)
        size = self._size(contract, bound)
        creates = not isinstance(contract, TriggerContract) and (
            states[0] is RecipientState.UNACTIVATED
        )
        activation = bandwidth_sun = 0
        if creates:
            activation = prices.get("getCreateNewAccountFeeInSystemContract", 0)
            if not purse.bandwidth(size, free=False):
                activation += prices.get("getCreateAccountFee", 0)
        elif not purse.bandwidth(size):
            bandwidth_sun = size * prices["getTransactionFee"]
        expected = burned * prices["getEnergyFee"] + bandwidth_sun + activation
        costs = []
        for index, state in enumerate(states):
            share = Share(index, len(payouts))
            costs.append(
                Cost(
                    recipient=state,
                    energy=share.of(energy),
                    energy_penalty=share.of(penalty),
                    energy_own=share.of(own),
                    energy_delegated=share.of(delegated),
                    energy_burned=share.of(burned),
                    bandwidth=share.of(size),
                    bandwidth_burned_sun=share.of(bandwidth_sun),
                    activation_sun=share.of(activation),
                    expected_sun=share.of(expected),
                    max_fee_sun=share.of(bound.hold_sun),
                    fee_limit_sun=share.of(bound.fee_limit_sun),
                )
            )
        return costs

    async def _purse(self, signer: Address) -> Purse:
        resources = await self._nodes.resources(signer)
        account = await self._nodes.account(signer)
        if account is None:
            return Purse.of(resources, 0, 0)
        own = account.frozen.get(Resource.ENERGY, 0)
        return Purse.of(resources, own, account.acquired.get(Resource.ENERGY, 0))

    async def _state(self, payout: Payout) -> RecipientState:
        recipient = parse_address(payout.recipient_address)
        if payout.route.value != "direct" or payout.currency != "TRX":
            held = await self._nodes.constant_call(
                recipient, self._deployment.usdt, balance_of(recipient)
            )
            if any(held.output[:32]):
                return RecipientState.HOT
        account = await self._nodes.account(recipient)
        if account is None:
            return RecipientState.UNACTIVATED
        return RecipientState.HOT if payout.currency == "TRX" else RecipientState.COLD

    def _size(self, contract: Any, bound: FeeBound) -> int:
        """The bytes that the signed transaction is charged for."""
        now = to_ms(self._clock.now())
        raw = RawData(
            contract=contract,
            ref_block_bytes=b"\1\1",
            ref_block_hash=b"\1" * 8,
            expiration_ms=now,
            timestamp_ms=now,
            fee_limit_sun=bound.fee_limit_sun,
        )
        return bandwidth_bytes(encode(raw), 1)


def _alone(payout: Payout, order_id: str) -> Payout:
    """The payout as it would stand in a shared order."""
    copy: Payout = payout.model_copy(update={"order_id": order_id})
    return copy

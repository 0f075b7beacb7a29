"""What a token transfer would cost: simulated on the newest block, priced like the bill."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tron_payment.chain import (
    CallResult,
    NodeClient,
    NodeRefused,
    Nodes,
    RawData,
    TriggerContract,
    bandwidth_bytes,
    encode,
)
from tron_payment.contracts import artifact
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock, to_ms
from tron_payment.core.money import decimal_text
from tron_payment.engine import FeeBound, Fees, MustWait
from tron_payment.usdt.domain import SimulationReverted
from tron_payment.usdt.tokens import RegisteredToken
from tron_payment.usdt.trc20 import PAUSED, Token, transfer_data

REVERT_TEXT_MAX: Final = 200


class RecipientState(StrEnum):
    """Why a transfer costs what it costs."""

    HOT = "hot"
    """It holds the token: the cheap case."""

    COLD = "cold"
    """It holds none: a new slot is written."""

    UNACTIVATED = "unactivated"
    """The account does not exist yet; it can hold tokens, but not move them without TRX."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One transfer's cost. Amounts in sun."""

    energy_used: int
    energy_penalty: int
    """The part of it that is the contract's dynamic penalty."""
    bandwidth: int
    energy_price_sun: int
    bandwidth_price_sun: int
    recipient: RecipientState
    energy_from_stake: int
    bandwidth_from_stake: bool
    block_number: int

    @property
    def burned_sun(self) -> int:
        """When nothing is covered by stakes or the free bandwidth."""
        return self.energy_used * self.energy_price_sun + self.bandwidth * self.bandwidth_price_sun

    @property
    def expected_sun(self) -> int:
        """With what the payer has now."""
        energy = (self.energy_used - self.energy_from_stake) * self.energy_price_sun
        return energy + (0 if self.bandwidth_from_stake else self.bandwidth_sun)

    @property
    def bandwidth_sun(self) -> int:
        return self.bandwidth * self.bandwidth_price_sun


class Estimates:
    """Simulates transfers."""

    def __init__(self, *, nodes: Nodes, fees: Fees, clock: Clock) -> None:
        self._nodes = nodes
        self._fees = fees
        self._clock = clock

    async def transfer(
        self, token: RegisteredToken, sender: Address, recipient: Address, units: int
    ) -> Estimate:
        """What a transfer would cost on the newest block.

        Raises:
            SimulationReverted: The contract would refuse it; the detail says why.
            NodesUnavailable: No node answers.
        """
        data = transfer_data(recipient, units)
        prices = await self._fees.parameters()
        node = await self._nodes.pick()
        head = await node.head()
        answer = await self._simulate(node, token, sender, data)
        if answer.reverted:
            raise SimulationReverted(await self._why(node, token, sender, units, answer))
        resources = await node.resources(sender)
        bound = await self.bound(TriggerContract(sender, token.contract, data))
        size = self._size(sender, token.contract, data, bound.fee_limit_sun)
        return Estimate(
            energy_used=answer.energy_used,
            energy_penalty=answer.energy_penalty,
            bandwidth=size,
            energy_price_sun=prices["getEnergyFee"],
            bandwidth_price_sun=prices["getTransactionFee"],
            recipient=await self._state(node, token, recipient),
            energy_from_stake=min(answer.energy_used, resources.energy_left),
            bandwidth_from_stake=size <= max(resources.net_left, resources.free_net_left),
            block_number=head.number,
        )

    async def bound(self, contract: TriggerContract) -> FeeBound:
        """The most that the engine would let this call burn.

        Raises:
            SimulationReverted: The contract would refuse it now.
        """
        try:
            return await self._fees.bound(contract)
        except MustWait as wait:
            raise SimulationReverted(wait.waiting_for) from None

    def _size(self, owner: Address, contract: Address, data: bytes, fee_limit_sun: int) -> int:
        """The bytes that the signed call is charged for."""
        now = to_ms(self._clock.now())
        raw = RawData(
            contract=TriggerContract(owner, contract, data),
            ref_block_bytes=b"\1\1",
            ref_block_hash=b"\1" * 8,
            expiration_ms=now,
            timestamp_ms=now,
            fee_limit_sun=fee_limit_sun,
        )
        return bandwidth_bytes(encode(raw), 1)

    async def _simulate(
        self, node: NodeClient, token: RegisteredToken, sender: Address, data: bytes
    ) -> CallResult:
        try:
            return await node.constant_call(sender, token.contract, data)
        except NodeRefused as refusal:
            raise SimulationReverted(refusal.message) from None

    async def _state(
        self, node: NodeClient, token: RegisteredToken, recipient: Address
    ) -> RecipientState:
        if await Token(node, token.contract).balance_of(recipient):
            return RecipientState.HOT
        exists = await node.account(recipient) is not None
        return RecipientState.COLD if exists else RecipientState.UNACTIVATED

    async def _why(
        self,
        node: NodeClient,
        token: RegisteredToken,
        sender: Address,
        units: int,
        answer: CallResult,
    ) -> str:
        """The most likely reason of a revert, in words."""
        asked = Token(node, token.contract)
        balance = await asked.balance_of(sender)
        if balance < units:
            held = decimal_text(balance, token.asset.decimals)
            return f"the sender holds {held} {token.asset.code} only"
        if await asked.maybe_number(PAUSED):
            return "the token's issuer has paused all transfers"
        revert = artifact("TestUSDT").decode_revert(answer.output)
        if revert is not None and "message" in revert.args:
            return str(revert.args["message"])[:REVERT_TEXT_MAX]
        return answer.message or "the contract gives no reason"

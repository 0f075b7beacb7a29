"""What an order may cost at most: energy by simulation, bandwidth by size, at current prices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tron_payment.chain import (
    CallResult,
    Contract,
    CreateAccount,
    CreateContract,
    Nodes,
    PermissionUpdate,
    Transfer,
    TriggerContract,
)
from tron_payment.contracts import artifact
from tron_payment.core.clock import Clock, to_ms
from tron_payment.core.errors import AppError
from tron_payment.core.money import trx_text

PARAMETERS_MAX_AGE_MS: Final = 60_000
"""Prices change by a vote of days; a minute is fresh."""

SIMULATION_MAX_AGE_MS: Final = 30_000
SIMULATIONS_CACHED_MAX: Final = 1_000
ENERGY_MARGIN_PERCENT: Final = 130
"""The dynamic factor may rise by 20 % at the next maintenance period, and a slot turn cold."""

SYSTEM_CONTRACT_BYTES: Final = 512
"""No system contract that we send is larger with its signature and the result allowance."""

SIGNATURE_BYTES: Final = 67
RAW_OVERHEAD_BYTES: Final = 220
"""Everything but the call data in a contract call: header, addresses, signature, allowance."""

TRC20_TRANSFER: Final = bytes.fromhex("a9059cbb")
_COLD_RECIPIENT: Final = bytes(12) + bytes.fromhex("c01d" * 10)
"""Nobody's address: a transfer to it writes a new slot, which is what costs most."""


SIMULATION_REVERTED: Final = "simulation_reverted"
"""Begins what a reverted simulation waits for; the contract's own error follows, by its name."""


FEE_ABOVE_MAXIMUM: Final = "fee_above_maximum"
"""Begins what an order waits for that may cost more than its maximum; what it may cost follows."""

SHOWN_SUN: Final = 100_000
"""The needed fee is shown rounded up to a tenth of a TRX, so that it seldom changes."""


class MustWait(AppError, code="must_wait"):
    """The order cannot be priced now; it waits and is tried again."""

    status = 409

    def __init__(self, waiting_for: str) -> None:
        super().__init__(waiting_for)
        self.waiting_for = waiting_for


@dataclass(frozen=True, slots=True)
class FeeBound:
    """The most an order can burn, and the part of it that is its fee_limit."""

    fee_limit_sun: int
    hold_sun: int
    energy: int

    @property
    def above_maximum(self) -> str:
        """What an order waits for whose maximum is lower."""
        return f"{FEE_ABOVE_MAXIMUM}: {trx_text(-(-self.hold_sun // SHOWN_SUN) * SHOWN_SUN)} TRX"


class Fees:
    """Prices and energy needs, asked of the chain and remembered for a short while."""

    def __init__(self, nodes: Nodes, clock: Clock) -> None:
        self._nodes = nodes
        self._clock = clock
        self._parameters: Mapping[str, int] = {}
        self._parameters_at_ms = 0
        self._energy: dict[tuple[str, str, bytes, int], tuple[int, int]] = {}

    async def parameters(self) -> Mapping[str, int]:
        """The chain's parameters, at most a minute old."""
        now = to_ms(self._clock.now())
        if not self._parameters or not 0 <= now - self._parameters_at_ms <= PARAMETERS_MAX_AGE_MS:
            self._parameters = await self._nodes.parameters()
            self._parameters_at_ms = now
        return self._parameters

    async def bound(
        self, contract: Contract, *, memo_bytes: int = 0, signatures: int = 1
    ) -> FeeBound:
        """The most that one transaction with this contract can burn.

        Args:
            signatures: The most it may carry. From the second on the chain asks a fee for all
                together (`getMultiSignFee`), and each takes bandwidth.

        Raises:
            MustWait: The simulation reverts now.
        """
        prices = await self.parameters()
        bandwidth_price = prices["getTransactionFee"]
        extra = prices.get("getMemoFee", 0) if memo_bytes else 0
        if signatures > 1:
            extra += prices.get("getMultiSignFee", 0)
            extra += (signatures - 1) * SIGNATURE_BYTES * bandwidth_price
        match contract:
            case TriggerContract():
                energy = await self._energy_bound(contract)
                limit = energy * prices["getEnergyFee"]
                size = RAW_OVERHEAD_BYTES + len(contract.data) + memo_bytes
                return FeeBound(limit, limit + size * bandwidth_price + extra, energy)
            case CreateContract():
                limit = min(prices["getMaxFeeLimit"], _deployment_limit(contract, prices))
                size = RAW_OVERHEAD_BYTES + len(contract.bytecode) + len(contract.abi_json)
                return FeeBound(limit, limit + size * bandwidth_price + extra, 0)
            case Transfer() | CreateAccount():
                extra += prices.get("getCreateNewAccountFeeInSystemContract", 0)
                extra += prices.get("getCreateAccountFee", 0)
            case PermissionUpdate():
                extra += prices.get("getUpdateAccountPermissionFee", 0)
            case _:
                pass
        size = SYSTEM_CONTRACT_BYTES + memo_bytes
        return FeeBound(0, size * bandwidth_price + extra, 0)

    async def _energy_bound(self, contract: TriggerContract) -> int:
        is_transfer = contract.data[:4] == TRC20_TRANSFER and len(contract.data) == 68
        data = contract.data
        if is_transfer:
            data = TRC20_TRANSFER + _COLD_RECIPIENT + (1).to_bytes(32, "big")
        key = (contract.owner, contract.contract, data, contract.call_value_sun)
        now = to_ms(self._clock.now())
        known = self._energy.get(key)
        if known is not None and 0 <= now - known[1] <= SIMULATION_MAX_AGE_MS:
            return known[0]
        answer = await self.simulate(contract, data)
        if answer.reverted and is_transfer:
            answer = await self.simulate(contract, contract.data)
        if answer.reverted:
            raise MustWait(f"{SIMULATION_REVERTED}: {_why(answer)}")
        energy = answer.energy_used * ENERGY_MARGIN_PERCENT // 100
        if len(self._energy) >= SIMULATIONS_CACHED_MAX:
            self._energy.clear()
        self._energy[key] = (energy, now)
        return energy

    async def simulate(self, contract: TriggerContract, data: bytes) -> CallResult:
        """Run a call on the head state without sending it."""
        return await self._nodes.constant_call(
            contract.owner, contract.contract, data, call_value_sun=contract.call_value_sun
        )


def _why(answer: CallResult) -> str:
    """The router's error by its name, else what the node says."""
    revert = artifact("PayoutRouterKYC").decode_revert(answer.output)
    if revert is not None:
        return revert.name
    return answer.message or "no reason given"


def _deployment_limit(contract: CreateContract, prices: Mapping[str, int]) -> int:
    """200 energy for each byte of code, and as much again for the constructor's work."""
    return (len(contract.bytecode) * 200 * 2 + 1_000_000) * prices["getEnergyFee"]

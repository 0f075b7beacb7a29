"""What an order may cost at most: energy by simulation, bandwidth by size, at current prices."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tron_payment.chain import (
    CallResult,
    Contract,
    CreateAccount,
    CreateContract,
    Nodes,
    NodesUnavailable,
    PermissionUpdate,
    RawData,
    Transfer,
    TriggerContract,
    bandwidth_bytes,
    encode,
)
from tron_payment.contracts import artifact
from tron_payment.core.address import address_bytes
from tron_payment.core.clock import Clock, to_ms
from tron_payment.core.errors import AppError, Refused
from tron_payment.core.money import trx_text
from tron_payment.engine.domain import Expect, Spend
from tron_payment.engine.ports import Tokens

PARAMETERS_MAX_AGE_MS: Final = 60_000
"""Prices change by a vote of days; a minute is fresh."""

UNTOLD_MS: Final = 5_000
"""So long nobody asks again after no node told the prices: orders would wait for it in turn."""

SIMULATION_MAX_AGE_MS: Final = 30_000
SIMULATIONS_CACHED_MAX: Final = 1_000
ENERGY_MARGIN_PERCENT: Final = 130
"""The dynamic factor may rise by 20 % at the next maintenance period."""

COLD_MARGIN_PERCENT: Final = 110
"""Beside what recipients who turn cold cost, which both at once seldom happens."""

SIGNING_MARGIN_PERCENT: Final = 105
"""What a fee limit that was fixed before must still leave when it is signed: less is burned for
nothing too easily, and more would hold back what a margin was made for."""

TURNING_COLD_MAX: Final = 10
"""Recipients of one call who may empty their balance before it runs. A fee limit for hundreds would
set more aside than all the rest; a failed call is halved, and its parts are priced for theirs."""

COLD_SLOT_ENERGY: Final = 15_000
"""What a slot that is written costs more when it was empty, without a dynamic factor: 20,000
against 5,000. Source: SSTORE in `EnergyCost` of java-tron."""

LATEST_MS: Final = (1 << 42) - 1
"""As long as any time of this century in the bytes of a transaction."""

PERMISSION_ID_MAX: Final = 9
"""A permission takes two bytes; who signs may still be decided."""

TRC20_TRANSFER: Final = bytes.fromhex("a9059cbb")
_COLD_RECIPIENT: Final = bytes(12) + bytes.fromhex("c01d" * 10)
"""Nobody's address: a transfer to it writes a new slot, which is what costs most."""


SIMULATION_REVERTED: Final = "simulation_reverted"
"""Begins what a reverted simulation waits for; the contract's own error follows, by its name."""


FEE_ABOVE_MAXIMUM: Final = "fee_above_maximum"
"""Begins what an order waits for that may cost more than its maximum; what it may cost follows."""

SHOWN_SUN: Final = 100_000
"""The needed fee is shown rounded up to a tenth of a TRX, so that it seldom changes."""


MAX_FEE_SUN_MAX: Final = 15_000_000_000
"""The most that TRON lets one transaction burn for energy (`getMaxFeeLimit`)."""


class FeeCapTooHigh(Refused, code="max_fee_too_high"):
    """No transaction can burn that much."""


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
    floor_sun: int = 0
    """A fee limit below this would be too small for what the call takes as things stand now."""

    @property
    def above_maximum(self) -> str:
        """What an order waits for whose maximum is lower."""
        return f"{FEE_ABOVE_MAXIMUM}: {trx_text(-(-self.hold_sun // SHOWN_SUN) * SHOWN_SUN)} TRX"


class Fees:
    """Prices and energy needs, asked of the chain and remembered for a short while."""

    def __init__(self, nodes: Nodes, clock: Clock, tokens: Tokens) -> None:
        self._nodes = nodes
        self._clock = clock
        self._tokens = tokens
        self._parameters: Mapping[str, int] = {}
        self._parameters_at_ms = 0
        self._untold_at_ms: int | None = None
        self._asking = asyncio.Lock()
        self._energy: dict[tuple[str, str, bytes, int], tuple[int, int]] = {}

    async def parameters(self) -> Mapping[str, int]:
        """The chain's parameters, at most a minute old; asked for once by all who need them.

        Raises:
            NodesUnavailable: No node tells them, or none did a moment ago.
        """
        if self._parameters_are_fresh():
            return self._parameters
        async with self._asking:
            if self._parameters_are_fresh():
                return self._parameters
            now = to_ms(self._clock.now())
            if self._untold_at_ms is not None and 0 <= now - self._untold_at_ms <= UNTOLD_MS:
                raise NodesUnavailable("no node told the prices a moment ago")
            try:
                self._parameters = await self._nodes.parameters()
            except NodesUnavailable:
                self._untold_at_ms = to_ms(self._clock.now())
                raise
            self._parameters_at_ms = now
            return self._parameters

    def _parameters_are_fresh(self) -> bool:
        age_ms = to_ms(self._clock.now()) - self._parameters_at_ms
        return bool(self._parameters) and 0 <= age_ms <= PARAMETERS_MAX_AGE_MS

    async def bound(
        self,
        contract: Contract,
        *,
        expects: Sequence[Expect] = (),
        spends: Sequence[Spend] = (),
        signatures: int = 1,
    ) -> FeeBound:
        """The most that one transaction with this contract can burn.

        Args:
            expects: Who is to be paid by a call that is no plain transfer, and
            spends: from whose tokens: a recipient may have emptied his balance when it runs.
            signatures: The most it may carry. From the second on the chain asks a fee for all
                together (`getMultiSignFee`), and each takes bandwidth.

        Raises:
            MustWait: The simulation reverts now.
            NodesUnavailable: No node tells prices, or what the call takes.
        """
        prices = await self.parameters()
        extra = prices.get("getMultiSignFee", 0) if signatures > 1 else 0
        limit = energy = floor = 0
        match contract:
            case TriggerContract():
                used = await self._used(contract)
                energy = used * ENERGY_MARGIN_PERCENT // 100
                if count := min(len(expects), TURNING_COLD_MAX):
                    cold = count * await self._cold_slot(contract, spends)
                    energy = max(energy, used * COLD_MARGIN_PERCENT // 100 + cold)
                limit = energy * prices["getEnergyFee"]
                floor = used * SIGNING_MARGIN_PERCENT // 100 * prices["getEnergyFee"]
            case CreateContract():
                limit = min(
                    prices.get("getMaxFeeLimit", MAX_FEE_SUN_MAX),
                    _deployment_limit(contract, prices),
                )
                floor = limit
            case Transfer() | CreateAccount():
                extra += prices.get("getCreateNewAccountFeeInSystemContract", 0)
                extra += prices.get("getCreateAccountFee", 0)
            case PermissionUpdate():
                extra += prices.get("getUpdateAccountPermissionFee", 0)
            case _:
                pass
        extra += _size(contract, limit, signatures) * prices["getTransactionFee"]
        return FeeBound(limit, limit + extra, energy, floor)

    async def _used(self, contract: TriggerContract) -> int:
        """The energy that a call takes now; a plain transfer's as if to a cold recipient."""
        if not _is_transfer(contract):
            return await self._simulated(contract, contract.data)
        try:
            return await self._simulated(contract, _transfer_to(_COLD_RECIPIENT))
        except MustWait:
            return await self._simulated(contract, contract.data)

    async def _cold_slot(self, contract: TriggerContract, spends: Sequence[Spend]) -> int:
        """What one more cold recipient costs in the call of a contract that pays from its tokens:
        a transfer of theirs to nobody, less one to themselves."""
        tokens = {code: address for address, code in self._tokens.by_contract.items()}
        spent = next((each for each in spends if each.asset in tokens), None)
        if spent is None or _is_transfer(contract):
            return 0
        paying = TriggerContract(spent.holder, tokens[spent.asset], b"")
        himself = address_bytes(spent.holder)[1:].rjust(32, b"\0")
        try:
            cold = await self._simulated(paying, _transfer_to(_COLD_RECIPIENT))
            return max(
                COLD_SLOT_ENERGY, cold - await self._simulated(paying, _transfer_to(himself))
            )
        except MustWait:  # what it pays is another's: the call itself is simulated before
            return COLD_SLOT_ENERGY

    async def _simulated(self, contract: TriggerContract, data: bytes) -> int:
        """Energy used, remembered for a short while.

        Raises:
            MustWait: It reverts.
        """
        key = (contract.owner, contract.contract, data, contract.call_value_sun)
        now = to_ms(self._clock.now())
        known = self._energy.get(key)
        if known is not None and 0 <= now - known[1] <= SIMULATION_MAX_AGE_MS:
            return known[0]
        answer = await self.simulate(contract, data)
        if answer.reverted:
            raise MustWait(f"{SIMULATION_REVERTED}: {_why(answer)}")
        if answer.energy_used <= 0:
            raise NodesUnavailable("a node says that a call takes no energy")
        if len(self._energy) >= SIMULATIONS_CACHED_MAX:
            self._energy.clear()
        self._energy[key] = (answer.energy_used, now)
        return answer.energy_used

    async def simulate(self, contract: TriggerContract, data: bytes) -> CallResult:
        """Run a call on the head state without sending it."""
        return await self._nodes.constant_call(
            contract.owner, contract.contract, data, call_value_sun=contract.call_value_sun
        )


def fee_cap(asked_sun: int | None, default_sun: int) -> int:
    """The most a transaction may burn; zero is a cap like any other, not "no cap".

    Raises:
        FeeCapTooHigh
    """
    if asked_sun is None:
        return default_sun
    if asked_sun > MAX_FEE_SUN_MAX:
        raise FeeCapTooHigh(f"at most {trx_text(MAX_FEE_SUN_MAX)} TRX", param="max_fee_trx")
    return asked_sun


def _is_transfer(contract: TriggerContract) -> bool:
    """Whether it is a token's own `transfer(address,uint256)`."""
    return contract.data[:4] == TRC20_TRANSFER and len(contract.data) == 68


def _transfer_to(word: bytes) -> bytes:
    """Call data of a transfer of one unit to the address in these 32 bytes."""
    return TRC20_TRANSFER + word + (1).to_bytes(32, "big")


def _size(contract: Contract, fee_limit_sun: int, signatures: int) -> int:
    """The most bytes that such a transaction is charged for."""
    raw = RawData(
        contract=contract,
        ref_block_bytes=b"\xff" * 2,
        ref_block_hash=b"\xff" * 8,
        expiration_ms=LATEST_MS,
        timestamp_ms=LATEST_MS,
        fee_limit_sun=fee_limit_sun,
        permission_id=PERMISSION_ID_MAX,
    )
    return bandwidth_bytes(encode(raw), signatures)


def _why(answer: CallResult) -> str:
    """The router's error by its name, else what the node says."""
    revert = artifact("PayoutRouterKYC").decode_revert(answer.output)
    if revert is not None:
        return revert.name
    return answer.message or "no reason given"


def _deployment_limit(contract: CreateContract, prices: Mapping[str, int]) -> int:
    """200 energy for each byte of code, and as much again for the constructor's work."""
    return (len(contract.bytecode) * 200 * 2 + 1_000_000) * prices["getEnergyFee"]

"""What a USDT transfer costs now: simulated with a holder of ours, else from the known base cost.

The base costs of main net's contract are 14,631 energy for a recipient that holds USDT and 29,631
for one that does not, before the dynamic penalty (docs of TRON, public receipts; tron-facts 4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tron_payment.chain import NodeRefused, Nodes, RawData, TriggerContract, bandwidth_bytes, encode
from tron_payment.core.address import Address, address_bytes

WARM_BASE_ENERGY: Final = 14_631
COLD_BASE_ENERGY: Final = 29_631
FACTOR_UNIT: Final = 10_000
TRANSFER: Final = bytes.fromhex("a9059cbb")
TYPICAL_FEE_LIMIT_SUN: Final = 20_000_000
TYPICAL_MS: Final = 1_795_000_000_000
_COLD: Final = bytes(12) + bytes.fromhex("c01d" * 10)
"""Nobody's address: a transfer to it writes a new slot."""


@dataclass(frozen=True, slots=True)
class UsdtCost:
    """Energy of one transfer by the recipient's state, and where the figures come from."""

    warm_energy: int
    cold_energy: int
    source: str
    factor: int


async def usdt_cost(nodes: Nodes, usdt: Address, holders: Sequence[Address]) -> UsdtCost:
    """Ask the chain what a transfer needs.

    Args:
        holders: Addresses that may hold USDT; the first whose transfer succeeds is used.
    """
    contract = await nodes.contract(usdt)
    factor = contract.energy_factor if contract is not None else 0
    for holder in holders:
        try:
            warm = await nodes.constant_call(holder, usdt, _data(_word(holder)))
            cold = await nodes.constant_call(holder, usdt, _data(_COLD))
        except NodeRefused:
            break
        if not warm.reverted and not cold.reverted:
            return UsdtCost(warm.energy_used, cold.energy_used, "simulation", factor)
    scale = FACTOR_UNIT + factor
    return UsdtCost(
        WARM_BASE_ENERGY * scale // FACTOR_UNIT,
        COLD_BASE_ENERGY * scale // FACTOR_UNIT,
        "model",
        factor,
    )


def transfer_bandwidth(owner: Address, usdt: Address) -> int:
    """Bytes that one signed USDT transfer is charged for (345 on the main net)."""
    raw = encode(
        RawData(
            contract=TriggerContract(owner, usdt, _data(_COLD)),
            ref_block_bytes=b"\1\1",
            ref_block_hash=b"\1" * 8,
            expiration_ms=TYPICAL_MS,
            timestamp_ms=TYPICAL_MS,
            fee_limit_sun=TYPICAL_FEE_LIMIT_SUN,
        )
    )
    return bandwidth_bytes(raw, 1)


def activation_sun(parameters: Mapping[str, int]) -> int:
    """What a new account adds to a TRX transfer: the fee and the flat bandwidth price."""
    return parameters.get("getCreateNewAccountFeeInSystemContract", 0) + parameters.get(
        "getCreateAccountFee", 0
    )


def _data(word: bytes) -> bytes:
    return TRANSFER + word + (1).to_bytes(32)


def _word(address: Address) -> bytes:
    return address_bytes(address)[1:].rjust(32, b"\0")

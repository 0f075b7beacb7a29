"""Chain parameters: the main net's, by the names of ``getchainparameters``, and what goes by them.

They live in the state under their name, so a fork or a restore takes them back too.
"""

from typing import Final

from tron_payment.devnet.state import PROPERTY, Get, Overlay

PARAMETERS: Final[tuple[tuple[str, int], ...]] = (
    ("getMaintenanceTimeInterval", 21_600_000),
    ("getAccountUpgradeCost", 9_999_000_000),
    ("getCreateAccountFee", 100_000),
    ("getTransactionFee", 1_000),
    ("getAssetIssueFee", 1_024_000_000),
    ("getWitnessPayPerBlock", 8_000_000),
    ("getWitnessStandbyAllowance", 115_200_000_000),
    ("getCreateNewAccountFeeInSystemContract", 1_000_000),
    ("getCreateNewAccountBandwidthRate", 1),
    ("getAllowCreationOfContracts", 1),
    ("getRemoveThePowerOfTheGr", 0),
    ("getEnergyFee", 100),
    ("getExchangeCreateFee", 1_024_000_000),
    ("getMaxCpuTimeOfOneTx", 80),
    ("getAllowUpdateAccountName", 0),
    ("getAllowSameTokenName", 1),
    ("getAllowDelegateResource", 1),
    ("getTotalEnergyLimit", 180_000_000_000),
    ("getAllowTvmTransferTrc10", 1),
    ("getTotalEnergyCurrentLimit", 180_000_000_000),
    ("getAllowMultiSign", 1),
    ("getAllowAdaptiveEnergy", 0),
    ("getTotalEnergyTargetLimit", 12_500_000),
    ("getTotalEnergyAverageUsage", 0),
    ("getUpdateAccountPermissionFee", 100_000_000),
    ("getMultiSignFee", 1_000_000),
    ("getAllowAccountStateRoot", 0),
    ("getAllowProtoFilterNum", 0),
    ("getAllowTvmConstantinople", 1),
    ("getAllowTvmSolidity059", 1),
    ("getAllowTvmIstanbul", 1),
    ("getAllowShieldedTRC20Transaction", 0),
    ("getForbidTransferToContract", 1),
    ("getAdaptiveResourceLimitTargetRatio", 10),
    ("getAdaptiveResourceLimitMultiplier", 1_000),
    ("getChangeDelegation", 1),
    ("getWitness127PayPerBlock", 128_000_000),
    ("getAllowMarketTransaction", 0),
    ("getMarketSellFee", 0),
    ("getMarketCancelFee", 0),
    ("getAllowPBFT", 0),
    ("getAllowTransactionFeePool", 0),
    ("getMaxFeeLimit", 15_000_000_000),
    ("getAllowOptimizeBlackHole", 1),
    ("getAllowNewResourceModel", 0),
    ("getAllowTvmFreeze", 1),
    ("getAllowTvmVote", 1),
    ("getAllowTvmLondon", 1),
    ("getAllowTvmCompatibleEvm", 1),
    ("getAllowAccountAssetOptimization", 1),
    ("getFreeNetLimit", 600),
    ("getTotalNetLimit", 43_200_000_000),
    ("getAllowHigherLimitForMaxCpuTimeOfOneTx", 1),
    ("getAllowAssetOptimization", 1),
    ("getAllowNewReward", 1),
    ("getMemoFee", 1_000_000),
    ("getAllowDelegateOptimization", 1),
    ("getUnfreezeDelayDays", 14),
    ("getAllowOptimizedReturnValueOfChainId", 1),
    ("getAllowDynamicEnergy", 1),
    ("getDynamicEnergyThreshold", 5_000_000_000),
    ("getDynamicEnergyIncreaseFactor", 2_000),
    ("getDynamicEnergyMaxFactor", 34_000),
    ("getAllowTvmShangHai", 1),
    ("getAllowCancelAllUnfreezeV2", 1),
    ("getMaxDelegateLockPeriod", 864_000),
    ("getAllowOldRewardOpt", 1),
    ("getAllowEnergyAdjustment", 1),
    ("getMaxCreateAccountTxSize", 1_000),
    ("getAllowStrictMath", 1),
    ("getConsensusLogicOptimization", 1),
    ("getAllowTvmCancun", 1),
    ("getAllowTvmBlob", 1),
)
NAMES: Final = frozenset(name for name, _ in PARAMETERS)

# Properties that are not parameters.
HEAD_NUMBER: Final = "head_number"
HEAD_TIME: Final = "head_time_ms"
SOLID_NUMBER: Final = "solid_number"
MAINTENANCE_TIME: Final = "next_maintenance_ms"
MAINTENANCE_SKIP: Final = "maintenance_skip"
"""1 while the head is a maintenance block: two slots after it stay empty."""
CYCLE: Final = "cycle"
TOTAL_NET_WEIGHT: Final = "total_net_weight"
TOTAL_ENERGY_WEIGHT: Final = "total_energy_weight"
TOTAL_POWER_WEIGHT: Final = "total_tron_power_weight"
PUBLIC_NET_USAGE: Final = "public_net_usage"
PUBLIC_NET_TIME: Final = "public_net_time"
BURNT: Final = "burnt_trx"
PUBLIC_NET_LIMIT: Final = 14_400_000_000

_KEYS: dict[str, bytes] = {}


def key_of(name: str) -> bytes:
    key = _KEYS.get(name)
    if key is None:
        key = _KEYS[name] = PROPERTY + name.encode()
    return key


def read(get: Get, name: str) -> int:
    """A parameter or property; 0 when it was never set."""
    return get(key_of(name)) or 0


def write(state: Overlay, name: str, value: int) -> None:
    state.put(key_of(name), value)


def add(state: Overlay, name: str, delta: int) -> None:
    if delta:
        write(state, name, read(state.get, name) + delta)


def _history_key(name: str) -> bytes:
    return b"l" + b"history " + name.encode()


def change(state: Overlay, name: str, value: int, at_ms: int) -> None:
    """Set a parameter and remember since when, for ``getenergyprices`` and its siblings."""
    entries = state.get(_history_key(name)) or ((0, read(state.get, name)),)
    state.put(_history_key(name), (*(tuple(entry) for entry in entries), (at_ms, value)))
    write(state, name, value)


def value_at(get: Get, name: str, at_ms: int) -> int:
    """What a price was at a moment."""
    entries = get(_history_key(name)) or ((0, read(get, name)),)
    return int(next((value for since, value in reversed(entries) if since <= at_ms), 0))


def history(get: Get, name: str) -> str:
    """``since:value`` of every setting of a price, oldest first."""
    entries = get(_history_key(name)) or ((0, read(get, name)),)
    return ",".join(f"{since}:{value}" for since, value in entries)

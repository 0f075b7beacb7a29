"""Bandwidth and energy, integer for integer as java-tron computes them.

Source: BandwidthProcessor, EnergyProcessor, ResourceProcessor and ReceiptCapsule of java-tron
4.8.0, checked against recordings of a node. A use recovers over a window of 28,800 slots; `at` and
`now` are slots of 3 s of the *parent* block's timestamp. The arithmetic uses doubles where
java-tron does, because its roundings are part of the rule.
"""

import copy
import math
from typing import Final

from tron_payment.devnet import params
from tron_payment.devnet.config import SLOT_MS
from tron_payment.devnet.errors import ResourceInsufficient
from tron_payment.devnet.records import BANDWIDTH, ENERGY, Account, Usage
from tron_payment.devnet.state import ACCOUNT, Get, Overlay

WINDOW: Final = 24 * 3600 * 1000 // SLOT_MS
WINDOW_PRECISION: Final = 1000
PRECISION: Final = 1_000_000
TRX: Final = 1_000_000
MAX_RESULT_SIZE: Final = 64
"""Bytes charged for the result of each contract."""


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def java_round(value: float) -> int:
    """Math.round: half up."""
    return math.floor(value + 0.5)


def _decayed(average: int, at: int, now: int, window: int) -> int:
    if at == now:
        return average
    if at + window > now:
        return java_round(average * ((window - (now - at)) / window))
    return 0


def decay(amount: int, at: int, now: int, used: int = 0, window: int = WINDOW) -> int:
    """What is left of an earlier use at slot `now`, with a new use added (``increase``)."""
    average = _decayed(ceil_div(amount * PRECISION, window), at, now, window)
    return (average + ceil_div(used * PRECISION, window)) * window // PRECISION


def window_of(usage: Usage) -> int:
    """Slots of the window (``getWindowSize``)."""
    if usage.window == 0:
        return WINDOW
    if not usage.optimized:
        return usage.window
    return WINDOW if usage.window < WINDOW_PRECISION else usage.window // WINDOW_PRECISION


def window_fine(usage: Usage) -> int:
    """Thousandths of slots of the window (``getWindowSizeV2``)."""
    if usage.window == 0:
        return WINDOW * WINDOW_PRECISION
    return usage.window if usage.optimized else usage.window * WINDOW_PRECISION


def recovered(usage: Usage, now: int) -> int:
    """What of the use still counts at slot `now`."""
    return decay(usage.amount, usage.at, now, window=window_of(usage))


def increased(usage: Usage, used: int, now: int) -> Usage:
    """The use after `used` more at slot `now` (``increaseV2``)."""
    window, fine = window_of(usage), window_fine(usage)
    average = _decayed(ceil_div(usage.amount * PRECISION, window), usage.at, now, window)
    new_average = ceil_div(used * PRECISION, WINDOW)
    new_amount = (average * window + new_average * WINDOW) // PRECISION
    remaining = average * window // PRECISION
    if remaining == 0:
        return Usage(new_amount, now, WINDOW * WINDOW_PRECISION, True)
    rest = fine - (now - usage.at) * WINDOW_PRECISION
    new_window = ceil_div(remaining * rest + used * WINDOW * WINDOW_PRECISION, new_amount)
    return Usage(new_amount, now, min(new_window, WINDOW * WINDOW_PRECISION), True)


def slot_of(get: Get) -> int:
    """The slot of the head block, java-tron's "now" for resources."""
    return params.read(get, params.HEAD_TIME) // SLOT_MS


def net_limit(get: Get, account: Account) -> int:
    weight = params.read(get, params.TOTAL_NET_WEIGHT)
    return _share(account.yielding(BANDWIDTH), params.read(get, "getTotalNetLimit"), weight)


def energy_limit(get: Get, account: Account) -> int:
    weight = params.read(get, params.TOTAL_ENERGY_WEIGHT)
    limit = params.read(get, "getTotalEnergyCurrentLimit")
    return _share(account.yielding(ENERGY), limit, weight)


def _share(stake: int, total: int, weight: int) -> int:
    if weight <= 0 or stake <= 0:
        return 0
    return int(stake / TRX * (total / weight))


def energy_left(get: Get, account: Account, now: int) -> int:
    """Staked energy that can be used at slot `now`."""
    return max(energy_limit(get, account) - recovered(account.energy, now), 0)


def use_energy(state: Overlay, address: bytes, amount: int, now: int) -> None:
    """Take staked energy; 0 also leaves its mark in the account's times."""
    account = copy.copy(state.get(ACCOUNT + address))
    account.energy = increased(account.energy, amount, now)
    account.latest_operation_time = params.read(state.get, params.HEAD_TIME)
    state.put(ACCOUNT + address, account)


def burn(state: Overlay, address: bytes, fee_sun: int, refusal: str) -> None:
    """Take a fee from the balance for good.

    Raises:
        ResourceInsufficient: The balance is smaller.
    """
    account = copy.copy(state.get(ACCOUNT + address))
    if account.balance < fee_sun:
        raise ResourceInsufficient(refusal)
    account.balance -= fee_sun
    state.put(ACCOUNT + address, account)
    params.add(state, params.BURNT, fee_sun)


def consume_bandwidth(
    state: Overlay, owner: bytes, size: int, *, creates_account: bool
) -> tuple[int, int]:
    """Charge a transaction's bytes; returns (net_usage, net_fee), one of which is 0.

    Staked bandwidth, then the free quota, then burning: each all or nothing. A transaction that
    makes an account never uses the free quota and pays a flat fee instead of its bytes.

    Raises:
        ResourceInsufficient: Nothing of it covers the bytes.
    """
    get = state.get
    now, head_ms = slot_of(get), params.read(get, params.HEAD_TIME)
    account = copy.copy(get(ACCOUNT + owner))
    cost = size
    if creates_account:
        cost = size * params.read(get, "getCreateNewAccountBandwidthRate")
    if cost <= net_limit(get, account) - recovered(account.net, now):
        account.net = increased(account.net, cost, now)
        account.latest_operation_time = head_ms
        state.put(ACCOUNT + owner, account)
        return cost, 0
    if creates_account:
        fee_sun = params.read(get, "getCreateAccountFee")
    elif _use_free(state, account, size, now, head_ms):
        return size, 0
    else:
        fee_sun = params.read(get, "getTransactionFee") * size
    if account.balance < fee_sun:
        raise ResourceInsufficient(f"insufficient bandwidth[{size}] and balance")
    account.balance -= fee_sun
    account.latest_operation_time = head_ms
    state.put(ACCOUNT + owner, account)
    params.add(state, params.BURNT, fee_sun)
    return 0, fee_sun


def _use_free(state: Overlay, account: Account, size: int, now: int, head_ms: int) -> bool:
    get = state.get
    free = decay(account.free_net.amount, account.free_net.at, now)
    if size > params.read(get, "getFreeNetLimit") - free:
        return False
    public_at = params.read(get, params.PUBLIC_NET_TIME)
    public = decay(params.read(get, params.PUBLIC_NET_USAGE), public_at, now)
    if size > params.PUBLIC_NET_LIMIT - public:
        return False
    account.free_net = Usage(decay(free, now, now, size), now)
    account.latest_operation_time = head_ms
    state.put(ACCOUNT + account.address, account)
    params.write(state, params.PUBLIC_NET_USAGE, decay(public, now, now, size))
    params.write(state, params.PUBLIC_NET_TIME, now)
    return True

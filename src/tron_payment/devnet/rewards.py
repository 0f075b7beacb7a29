"""Rewards of super representatives and their voters, by cycles (MortgageService, DelegationStore).

A cycle lasts from one maintenance to the next. Each block brings its maker 8 TRX and the 127 most
voted 128 TRX by votes; 20 % stay with the representative, the rest belongs to his voters. A
voter's share follows from `vi`, the reward per vote summed over cycles, times 10^18.
"""

import copy
from typing import Final

import msgspec

from tron_payment.devnet import params
from tron_payment.devnet.records import Account, Votes, Witness
from tron_payment.devnet.state import ACCOUNT, LIST, REWARD, VOTES, WITNESS, Get, Overlay

DECIMALS: Final = 10**18
STANDBY: Final = 127
_WITNESSES: Final = LIST + b"witnesses"
_VOTERS: Final = LIST + b"voters"


def witnesses(get: Get) -> tuple[bytes, ...]:
    """Addresses of all representatives, in the order of the genesis block."""
    return tuple(get(_WITNESSES) or ())


def remember_witnesses(state: Overlay, addresses: tuple[bytes, ...]) -> None:
    state.put(_WITNESSES, addresses)


def remember_voter(state: Overlay, address: bytes) -> None:
    """Note that this account's votes changed, for the count at the next maintenance."""
    known: tuple[bytes, ...] = state.get(_VOTERS) or ()
    if address not in known:
        state.put(_VOTERS, (*known, address))


def _key(kind: bytes, address: bytes, cycle: int = 0) -> bytes:
    return REWARD + kind + cycle.to_bytes(8, "big") + address


def _vi(get: Get, cycle: int, address: bytes) -> int:
    return 0 if cycle < 0 else get(_key(b"v", address, cycle)) or 0


def _compute(get: Get, begin: int, end: int, votes: tuple[tuple[bytes, int], ...]) -> int:
    """Reward of these votes for cycles begin to end - 1."""
    if begin >= end:
        return 0
    total = 0
    for witness, count in votes:
        delta = _vi(get, end - 1, witness) - _vi(get, begin - 1, witness)
        if delta > 0:
            total += delta * count // DECIMALS
    return total


def _snapshot(get: Get, cycle: int, address: bytes) -> tuple[tuple[bytes, int], ...] | None:
    found = get(LIST + b"vote" + cycle.to_bytes(8, "big") + address)
    return None if found is None else tuple((bytes(w), int(c)) for w, c in found)


def pending(get: Get, address: bytes) -> int:
    """What `withdrawbalance` would pay now (``getReward``), sun."""
    account: Account | None = get(ACCOUNT + address)
    if account is None:
        return 0
    begin = get(_key(b"b", address)) or 0
    end = get(_key(b"e", address)) or 0
    cycle = params.read(get, params.CYCLE)
    if begin > cycle:
        return account.allowance
    reward = 0
    if begin + 1 == end and begin < cycle:
        votes = _snapshot(get, begin, address)
        if votes is not None:
            reward = _compute(get, begin, end, votes)
        begin += 1
    return reward + _compute(get, begin, cycle, account.votes) + account.allowance


def settle(state: Overlay, address: bytes) -> None:
    """Move the reward up to this cycle into the account's allowance; do it before votes change."""
    get = state.get
    account: Account | None = get(ACCOUNT + address)
    begin = get(_key(b"b", address)) or 0
    end = get(_key(b"e", address)) or 0
    cycle = params.read(get, params.CYCLE)
    if account is None or begin > cycle:
        return
    if begin == cycle and _snapshot(get, begin, address) is not None:
        return
    if begin + 1 == end and begin < cycle:
        votes = _snapshot(get, begin, address)
        if votes is not None:
            _allow(state, address, _compute(get, begin, end, votes))
        begin += 1
    if not account.votes:
        state.put(_key(b"b", address), cycle + 1)
        return
    _allow(state, address, _compute(get, begin, cycle, account.votes))
    state.put(_key(b"b", address), cycle)
    state.put(_key(b"e", address), cycle + 1)
    state.put(LIST + b"vote" + cycle.to_bytes(8, "big") + address, account.votes)


def _allow(state: Overlay, address: bytes, amount_sun: int) -> None:
    if amount_sun <= 0:
        return
    account = copy.copy(state.get(ACCOUNT + address))
    account.allowance += amount_sun
    state.put(ACCOUNT + address, account)


def pay_block(state: Overlay, maker: bytes) -> None:
    """Credit one block to its maker and to the standby representatives."""
    get = state.get
    _pay(state, maker, params.read(get, "getWitnessPayPerBlock"))
    entries = [(address, get(WITNESS + address).votes) for address in witnesses(get)]
    entries = sorted(entries, key=lambda entry: -entry[1])[:STANDBY]
    total = sum(votes for _, votes in entries)
    if total < 1:
        return
    each = params.read(get, "getWitness127PayPerBlock") / total
    for address, votes in entries:
        _pay(state, address, int(votes * each))


def _pay(state: Overlay, witness: bytes, amount_sun: int) -> None:
    record: Witness = state.get(WITNESS + witness)
    kept = int(record.brokerage / 100 * amount_sun)
    cycle_key = _key(b"r", witness, params.read(state.get, params.CYCLE))
    state.put(cycle_key, (state.get(cycle_key) or 0) + amount_sun - kept)
    _allow(state, witness, kept)


def maintain(state: Overlay) -> None:
    """Close the cycle: fix the reward per vote, count the changed votes, begin the next."""
    get = state.get
    cycle = params.read(get, params.CYCLE)
    for address in witnesses(get):
        reward, votes = get(_key(b"r", address, cycle)) or 0, get(WITNESS + address).votes
        gained = reward * DECIMALS // votes if reward and votes else 0
        state.put(_key(b"v", address, cycle), _vi(get, cycle - 1, address) + gained)
    changes: dict[bytes, int] = {}
    for voter in get(_VOTERS) or ():
        record: Votes | None = get(VOTES + bytes(voter))
        if record is None:
            continue
        for witness, count in record.old:
            changes[witness] = changes.get(witness, 0) - count
        for witness, count in record.new:
            changes[witness] = changes.get(witness, 0) + count
        state.put(VOTES + bytes(voter), None)
    state.put(_VOTERS, None)
    for witness, change in changes.items():
        entry: Witness | None = get(WITNESS + witness)
        if entry is not None:
            state.put(WITNESS + witness, msgspec.structs.replace(entry, votes=entry.votes + change))
    params.write(state, params.CYCLE, cycle + 1)

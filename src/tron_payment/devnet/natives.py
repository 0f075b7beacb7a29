"""What contracts may ask of the chain and do with their own stake.

Source: PrecompiledContracts, FreezeV2Util, RepositoryImpl and the processors of nativecontract in
java-tron 4.8.0. Addresses are 21 bytes; resources are 0 bandwidth, 1 energy, 2 voting power.
"""

import copy
from collections.abc import Callable
from typing import Final

from tron_payment.devnet import params, resources, rewards
from tron_payment.devnet.actuators import ACTUATORS
from tron_payment.devnet.actuators.delegation import (
    LOCKED,
    UNLOCKED,
    delegatable,
    key,
    usage_of,
)
from tron_payment.devnet.actuators.stake import UNFREEZE_MAX
from tron_payment.devnet.errors import ContractInvalid
from tron_payment.devnet.keys import PREFIX, recover, sha256
from tron_payment.devnet.proto import CONTRACT_TYPES, MESSAGES, Message
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.records import BANDWIDTH, ENERGY, Account, Delegation, Permission, Witness
from tron_payment.devnet.resources import TRX
from tron_payment.devnet.state import ACCOUNT, WITNESS, Get, Overlay

LONG_MAX: Final = (1 << 63) - 1
MAX_SIGNATURES: Final = 5
_SLOT_S: Final = 3
_PARAMETERS: Final = {
    1: "getTotalNetLimit",
    2: params.TOTAL_NET_WEIGHT,
    3: "getTotalEnergyCurrentLimit",
    4: params.TOTAL_ENERGY_WEIGHT,
    5: "getUnfreezeDelayDays",
}
Words = tuple[int, ...]
_YES: Final = (1).to_bytes(32, "big")
_NO: Final = bytes(32)


def _account(get: Get, word: int) -> Account | None:
    found: Account | None = get(ACCOUNT + _address(word))
    return found


def _address(word: int) -> bytes:
    return PREFIX + (word & ((1 << 160) - 1)).to_bytes(20, "big")


def _reward(get: Get, caller: bytes, words: Words) -> Words:
    return (rewards.pending(get, caller),)


def _is_representative(get: Get, caller: bytes, words: Words) -> Words:
    return (int(get(WITNESS + _address(words[0])) is not None),)


def _votes_for(get: Get, caller: bytes, words: Words) -> Words:
    account, witness = _account(get, words[0]), _address(words[1])
    votes = () if account is None else account.votes
    return (sum(count for address, count in votes if address == witness),)


def _votes_given(get: Get, caller: bytes, words: Words) -> Words:
    account = _account(get, words[0])
    return (0 if account is None else sum(count for _, count in account.votes),)


def _votes_received(get: Get, caller: bytes, words: Words) -> Words:
    witness: Witness | None = get(WITNESS + _address(words[0]))
    return (0 if witness is None else witness.votes,)


def _power(get: Get, caller: bytes, words: Words) -> Words:
    account = _account(get, words[0])
    return (0 if account is None else account.power() // TRX,)


def _parameter(get: Get, caller: bytes, words: Words) -> Words:
    name = _PARAMETERS.get(words[0])
    return (0 if name is None else params.read(get, name),)


def _unfreezes_left(get: Get, caller: bytes, words: Words) -> Words:
    account, now = _account(get, words[0]), params.read(get, params.HEAD_TIME)
    if account is None:
        return (0,)
    return (max(UNFREEZE_MAX - sum(e.expires_ms > now for e in account.unfreezing), 0),)


def _unfreezable(get: Get, caller: bytes, words: Words) -> Words:
    account, resource = _account(get, words[0]), words[1]
    return (0 if account is None or resource > 2 else account.frozen[resource],)


def _expired(get: Get, caller: bytes, words: Words) -> Words:
    """Stake that can be withdrawn at a time, given in seconds."""
    account, at_ms = _account(get, words[0]), min(words[1] * 1000, LONG_MAX)
    entries = () if account is None else account.unfreezing
    return (sum(entry.amount for entry in entries if entry.expires_ms <= at_ms),)


def _lendable(get: Get, caller: bytes, words: Words) -> Words:
    account, resource = _account(get, words[0]), words[1]
    if account is None or resource > 1:
        return (0,)
    return (delegatable(get, account, resource),)


def _lent(get: Get, caller: bytes, words: Words) -> Words:
    """What the second lent to the first; one's own stake when they are the same."""
    target, giver, resource = _address(words[0]), _address(words[1]), words[2]
    if target == giver:
        return _unfreezable(get, caller, (words[1], resource))
    total = 0
    for lock in (UNLOCKED, LOCKED):
        record: Delegation | None = get(key(lock, giver, target))
        if record is not None and resource <= 1:
            total += (record.bandwidth, record.energy)[resource]
    return (total,)


def _stake_in_use(get: Get, account: Account, resource: int) -> tuple[int, int]:
    """Sun whose resource is used up, and the seconds until it is there again."""
    usage, now = usage_of(account, resource), resources.slot_of(get)
    window = resources.window_of(usage)
    if now >= usage.at + window:
        return 0, 0
    limit, weight = (
        (params.read(get, "getTotalNetLimit"), params.read(get, params.TOTAL_NET_WEIGHT))
        if resource == BANDWIDTH
        else (
            params.read(get, "getTotalEnergyCurrentLimit"),
            params.read(get, params.TOTAL_ENERGY_WEIGHT),
        )
    )
    left = resources.recovered(usage, now)
    return int(left * weight / limit * TRX), (usage.at + window - now) * _SLOT_S


def _in_use(get: Get, caller: bytes, words: Words) -> Words:
    account, resource = _account(get, words[0]), words[1]
    if account is None or resource > ENERGY:
        return 0, 0
    return _stake_in_use(get, account, resource)


def _if_undelegated(get: Get, caller: bytes, words: Words) -> Words:
    """Of an amount to take back: what is free, what is in use, and for how many seconds."""
    account, amount, resource = _account(get, words[0]), words[1], words[2]
    if account is None or resource > ENERGY or not 0 < amount <= LONG_MAX:
        return 0, 0, 0
    used, seconds = _stake_in_use(get, account, resource)
    total = account.yielding(resource)
    amount = min(amount, total)
    if total <= used:
        return 0, amount, seconds
    free = int(amount * ((total - used) / total))
    return free, amount - free, seconds


def _yielding(get: Get, caller: bytes, words: Words) -> Words:
    account, resource = _account(get, words[0]), words[1]
    return (0 if account is None or resource > ENERGY else account.yielding(resource),)


def _delegated(get: Get, caller: bytes, words: Words) -> Words:
    account, resource = _account(get, words[0]), words[1]
    return (0 if account is None or resource > ENERGY else account.delegated[resource],)


def _acquired(get: Get, caller: bytes, words: Words) -> Words:
    account, resource = _account(get, words[0]), words[1]
    return (0 if account is None or resource > ENERGY else account.acquired[resource],)


Question = Callable[[Get, bytes, Words], Words]
_QUESTIONS: Final[dict[int, tuple[int | None, int, Question]]] = {
    # number: words of input (None: any), words of the answer
    0x1000005: (None, 1, _reward),
    0x1000006: (1, 1, _is_representative),
    0x1000007: (2, 1, _votes_for),
    0x1000008: (1, 1, _votes_given),
    0x1000009: (1, 1, _votes_received),
    0x100000A: (1, 1, _power),
    0x100000B: (1, 1, _parameter),
    0x100000C: (1, 1, _unfreezes_left),
    0x100000D: (2, 1, _unfreezable),
    0x100000E: (2, 1, _expired),
    0x100000F: (2, 1, _lendable),
    0x1000010: (3, 1, _lent),
    0x1000011: (3, 3, _if_undelegated),
    0x1000012: (2, 2, _in_use),
    0x1000013: (2, 1, _yielding),
    0x1000014: (2, 1, _delegated),
    0x1000015: (2, 1, _acquired),
}


def question(get: Get, number: int, caller: bytes, data: bytes) -> bytes:
    """The answer of a built-in contract; zeros to an input of the wrong length."""
    if number not in _QUESTIONS:
        return _enough_signatures(get, data)
    size, answers, ask = _QUESTIONS[number]
    if size is not None and len(data) != 32 * size:
        return bytes(32 * answers)
    words = tuple(int.from_bytes(data[i : i + 32], "big") for i in range(0, len(data), 32))
    return b"".join(word.to_bytes(32, "big") for word in ask(get, caller, words))


def _enough_signatures(get: Get, data: bytes) -> bytes:
    """validateMultiSign(address, permission, hash, signatures): 1 when the weights suffice."""
    words = [data[i : i + 32] for i in range(0, len(data) - 31, 32)]
    try:
        address, number = words[0][-20:], int.from_bytes(words[1], "big")
        first = int.from_bytes(words[3], "big") // 32
        signatures = _signatures(words, first, data)
    except IndexError:
        return _NO
    account: Account | None = get(ACCOUNT + PREFIX + address)
    permission = None if account is None else _permission(account, number)
    if permission is None or not 0 < len(signatures) <= MAX_SIGNATURES:
        return _NO
    digest = sha256(PREFIX + address + (number & 0xFFFFFFFF).to_bytes(4, "big") + words[2])
    weights, signed = dict(permission.keys), dict[bytes, int]()
    for signature in signatures:
        try:
            signer = recover(digest, signature)
        except (ValueError, IndexError):
            return _NO
        if signer not in weights:
            return _NO
        signed[signer] = weights[signer]
    return _YES if sum(signed.values()) >= permission.threshold else _NO


def _permission(account: Account, number: int) -> Permission | None:
    known = (account.owner_permission, account.witness_permission, *account.active_permissions)
    return next((each for each in known if each is not None and each.id == number), None)


def _signatures(words: list[bytes], first: int, data: bytes) -> list[bytes]:
    """The ABI's bytes[] at word `first`.

    Raises:
        IndexError: It points outside the input.
    """
    count = int.from_bytes(words[first], "big")
    if count > len(words):
        raise IndexError("more signatures than words")
    found = []
    for index in range(count):
        at = first + 1 + int.from_bytes(words[first + 1 + index], "big") // 32
        size = min(int.from_bytes(words[at], "big"), len(data))
        found.append(data[32 * at + 32 : 32 * at + 32 + size])
    return found


_KINDS: Final = {"vote": 4, "freeze": 54, "unfreeze": 55, "delegate": 57, "undelegate": 58}
_WITHDRAWALS: Final = {"withdraw": 56, "cancel": 59}


def stake(
    state: Overlay, action: str, owner: bytes, arguments: tuple[int | bytes, ...]
) -> int | None:
    """What a contract does with its stake; see `tvm.State.stake`.

    Withdrawals that find nothing succeed with 0, and rewards need not wait a day (as the
    processors, which are not the actuators of transactions).
    """
    if action == "reward":
        return _take_reward(state, owner)
    kind = _KINDS.get(action) or _WITHDRAWALS[action]
    message = _message(kind, owner, arguments)
    actuator = ACTUATORS[kind]
    try:
        actuator.validate(state.get, message)
    except ContractInvalid:
        return 0 if action in _WITHDRAWALS else None
    receipt = Receipt()
    actuator.execute(state, message, receipt)
    return receipt.withdraw_expire_amount


def _message(kind: int, owner: bytes, arguments: tuple[int | bytes, ...]) -> Message:
    message = MESSAGES[CONTRACT_TYPES[kind]](owner_address=owner)
    if kind == _KINDS["vote"]:
        for witness, count in zip(arguments[::2], arguments[1::2], strict=True):
            message.votes.add(vote_address=PREFIX + bytes(witness), vote_count=count)
        return message
    names = {54: "frozen_balance", 55: "unfreeze_balance", 57: "balance", 58: "balance"}
    if kind in names:
        setattr(message, names[kind], arguments[0])
        message.resource = arguments[1]
    if kind in (57, 58):
        message.receiver_address = PREFIX + bytes(arguments[2])
    return message


def _take_reward(state: Overlay, owner: bytes) -> int | None:
    if state.get(WITNESS + owner) is not None:
        return None
    rewards.settle(state, owner)
    account: Account = copy.copy(state.get(ACCOUNT + owner))
    amount = account.allowance
    if amount > 0:
        account.balance += amount
        account.allowance = 0
        account.latest_withdraw_time = params.read(state.get, params.HEAD_TIME)
        state.put(ACCOUNT + owner, account)
    return amount


def may_end(get: Get, address: bytes) -> bool:
    """Whether a contract's stake lets it destroy itself (canSuicide)."""
    account: Account | None = get(ACCOUNT + address)
    now = params.read(get, params.HEAD_TIME)
    if account is None:
        return True
    return not any(account.delegated) and all(e.expires_ms <= now for e in account.unfreezing)

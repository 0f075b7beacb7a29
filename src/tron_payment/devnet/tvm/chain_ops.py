"""What a contract may ask of the chain and do with its stake: the opcodes 0xd5 to 0xdf and the
built-in contracts at 0x1000005 and above, whose answers the host gives.

Source: OperationActions, Program, EnergyCost and PrecompiledContracts of java-tron 4.8.0 with main
net's parameters. The old stake of before Stake 2.0 has no answers any more.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tron_payment.devnet.tvm.failures import Halt
from tron_payment.devnet.tvm.frame import LONG_MAX, WORD_MAX, Frame, address_of_word
from tron_payment.devnet.tvm.memory_ops import needed
from tron_payment.devnet.tvm.precompiles import Precompile

_OLD_STAKE: Final = 20_000
_NEW_ACCOUNT: Final = 25_000
_VOTE: Final = 30_000
_INT_MAX: Final = (1 << 31) - 1
_RESOURCES: Final = ("Bandwidth", "Energy", "TronPower")
VALIDATE_MULTI_SIGN: Final = 0xA
_SIGNATURE: Final = 1_500


def _signature_price(data: bytes) -> int:
    return max(0, (len(data) // 32 - 5) // 5) * _SIGNATURE


def _fixed(price: int) -> Callable[[bytes], int]:
    return lambda data: price


_QUESTIONS: Final[dict[int, Callable[[bytes], int]]] = {
    VALIDATE_MULTI_SIGN: _signature_price,
    0x1000005: _fixed(500),  # the caller's reward
    0x1000006: _fixed(20),  # is it a representative
    0x1000007: _fixed(500),  # votes of one for another
    0x1000008: _fixed(20),  # votes given
    0x1000009: _fixed(20),  # votes received
    0x100000A: _fixed(20),  # voting power
    **{number: _fixed(50) for number in range(0x100000B, 0x1000016)},  # parameters, stake
}


def question_at(frame: Frame, word: int, caller: bytes) -> Precompile | None:
    """The built-in contract at an address word that looks at the chain, asked by `caller`."""
    price = _QUESTIONS.get(word)
    if price is None:
        return None
    return Precompile(price, lambda data: frame.state.question(word, caller, data))


def _resource(word: int) -> tuple[int, str]:
    """The resource's number, -1 for none, and its name in the notes."""
    known = word < len(_RESOURCES)
    return (word, _RESOURCES[word]) if known else (-1, "UnknownType")


def _act(
    frame: Frame, note: str, action: str, *arguments: int | bytes, to: bytes | None = None
) -> int | None:
    """Note a step and let the host carry it out; None when it refuses, which is no failure."""
    value = next((n for n in arguments if isinstance(n, int)), 0)
    shown = value & LONG_MAX if action in _WITH_VALUE else 0
    receiver = frame.address if to is None else to
    index = len(frame.run.internal)
    frame.run.note(frame, receiver, shown, b"", note)
    done = None if value > LONG_MAX else frame.state.stake(action, frame.address, *arguments)
    if done is None:
        frame.run.reject(index)
    return done


_WITH_VALUE: Final = frozenset(("freeze", "unfreeze", "delegate", "undelegate"))


def _freeze(frame: Frame) -> None:
    frame.require_mutable()
    resource, name = _resource(frame.stack.pop())
    done = _act(frame, f"freezeBalanceV2For{name}", "freeze", frame.stack.pop(), resource)
    frame.stack.append(int(done is not None))


def _unfreeze(frame: Frame) -> None:
    frame.require_mutable()
    resource, name = _resource(frame.stack.pop())
    note = f"unfreezeBalanceV2For{name}"
    withdrawn = _act(frame, note, "unfreeze", frame.stack.pop(), resource)
    if withdrawn:
        note = "withdrawExpireUnfreezeWhileUnfreezing"
        frame.run.note(frame, frame.address, withdrawn, b"", note)
    frame.stack.append(int(withdrawn is not None))


def _cancel(frame: Frame) -> None:
    frame.require_mutable()
    withdrawn = _act(frame, "cancelAllUnfreezeV2", "cancel")
    if withdrawn:
        note = "withdrawExpireUnfreezeWhileCanceling"
        frame.run.note(frame, frame.address, withdrawn, b"", note)
    frame.stack.append(int(withdrawn is not None))


def _withdraw(note: str, action: str) -> Callable[[Frame], None]:
    """An operation that answers the sun it brought, which its step shows too."""

    def run(frame: Frame) -> None:
        frame.require_mutable()
        index = len(frame.run.internal)
        withdrawn = _act(frame, note, action) or 0
        frame.run.internal[index] = replace(frame.run.internal[index], value=withdrawn)
        frame.stack.append(withdrawn)

    return run


def _lend(note: str, action: str) -> Callable[[Frame], None]:
    def run(frame: Frame) -> None:
        frame.require_mutable()
        stack = frame.stack
        resource, name = _resource(stack.pop())
        amount, receiver = stack.pop(), address_of_word(stack.pop())
        done = _act(frame, f"{note}{name}", action, amount, resource, receiver, to=receiver)
        stack.append(int(done is not None))

    return run


def _vote(frame: Frame) -> None:
    """Two arrays in memory, each with its length before it, which is also on the stack."""
    stack = frame.stack
    counts_size, counts_at, witnesses_size, witnesses_at = (stack[-1 - i] for i in range(4))
    ends = (
        needed(at, (32 * size + 32) & WORD_MAX)
        for at, size in ((counts_at, counts_size), (witnesses_at, witnesses_size))
    )
    frame.charge(_VOTE + frame.growth(max(ends), "VOTEWITNESS"), "VOTEWITNESS")
    frame.require_mutable()
    del stack[-4:]
    arrays = ((witnesses_at, witnesses_size), (counts_at, counts_size))
    index = len(frame.run.internal)
    frame.run.note(frame, b"", 0, b"", "voteWitness")
    for at, size in arrays:
        if at > _INT_MAX or int.from_bytes(frame.read(at, 32), "big") != size:
            raise Halt(
                "UNKNOWN", "TVM VoteWitness: memory array length do not match length parameter!"
            )
    done = None
    if witnesses_size == counts_size:
        witnesses, counts = (_words(frame, at, size) for at, size in arrays)
        if max(counts, default=0) <= LONG_MAX:
            votes = [
                part
                for witness, count in zip(witnesses, counts, strict=True)
                for part in (address_of_word(witness), count)
            ]
            done = frame.state.stake("vote", frame.address, *votes)
    if done is None:
        frame.run.reject(index)
    stack.append(int(done is not None))


def _words(frame: Frame, at: int, size: int) -> list[int]:
    raw = frame.read(at + 32, 32 * size)
    return [int.from_bytes(raw[i : i + 32], "big") for i in range(0, len(raw), 32)]


def _old_freeze(frame: Frame) -> None:
    """FREEZE of before Stake 2.0: refused, and paid for all the same."""
    new = not frame.state.exists(address_of_word(frame.stack[-3]))
    frame.charge(_OLD_STAKE + (_NEW_ACCOUNT if new else 0), "FREEZE")
    frame.require_mutable()
    frame.stack[-3:] = [0]


def _old_unfreeze(frame: Frame) -> None:
    frame.require_mutable()
    _, name = _resource(frame.stack.pop())
    receiver = address_of_word(frame.stack.pop())
    index = len(frame.run.internal)
    frame.run.note(frame, receiver, 0, b"", f"unfreezeFor{name}")
    frame.run.reject(index)
    frame.stack.append(0)


def _old_expiry(frame: Frame) -> None:
    frame.stack[-2:] = [0]


ACTIONS: Final[dict[int, Callable[[Frame], None]]] = {
    0xD5: _old_freeze,
    0xD6: _old_unfreeze,
    0xD7: _old_expiry,
    0xD8: _vote,
    0xD9: _withdraw("withdrawReward", "reward"),
    0xDA: _freeze,
    0xDB: _unfreeze,
    0xDC: _cancel,
    0xDD: _withdraw("withdrawExpireUnfreeze", "withdraw"),
    0xDE: _lend("delegateResourceOf", "delegate"),
    0xDF: _lend("unDelegateResourceOf", "undelegate"),
}

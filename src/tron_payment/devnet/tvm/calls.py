"""CALL, CALLCODE, DELEGATECALL, STATICCALL and CALLTOKEN (java-tron Program.callToAddress)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tron_payment.devnet.tvm import failures
from tron_payment.devnet.tvm.chain_ops import question_at
from tron_payment.devnet.tvm.context import TOKEN_ID_FLOOR
from tron_payment.devnet.tvm.failures import NO_SUCH_TRC10, Halt, TransferFailed
from tron_payment.devnet.tvm.frame import (
    LONG_MAX,
    Frame,
    address_of_word,
)
from tron_payment.devnet.tvm.memory_ops import needed
from tron_payment.devnet.tvm.precompiles import Precompile, precompile_at
from tron_payment.devnet.tvm.program import FACTOR_UNIT

DEPTH_LIMIT: Final = 64
_CALL: Final = 40
_VALUE_TRANSFER: Final = 9_000
_NEW_ACCOUNT: Final = 25_000
_STIPEND: Final = 2_300
FORWARD_PART: Final = 64
"""A contract of version 1 keeps one part in 64 of its energy for itself."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one call opcode differs from the others."""

    name: str
    has_value: bool
    moves_value: bool = False  # to another account
    keeps_context: bool = False  # runs the code on the caller's own storage
    delegates: bool = False  # also keeps the caller and the value
    static: bool = False
    token: bool = False


@dataclass(frozen=True, slots=True)
class _Message:
    """A call whose price is paid: what goes to whom, with how much energy."""

    kind: _Kind
    word: int  # the whole stack word of the address
    to: bytes
    value: int
    token_id: int
    energy: int  # forwarded, stipend included
    in_offset: int
    in_size: int
    out_offset: int
    out_size: int


def _pay(frame: Frame, kind: _Kind) -> _Message:
    """Charge the call with all energy that it forwards; take its words off the stack."""
    stack = frame.stack
    wanted, word = stack.pop(), stack.pop()
    value = stack.pop() if kind.has_value else 0
    token_id = stack.pop() if kind.token else 0
    in_offset, in_size, out_offset, out_size = (stack.pop() for _ in range(4))

    price = _CALL
    if value:
        price += _VALUE_TRANSFER
        if kind.moves_value and not frame.state.exists(address_of_word(word)):
            price += _NEW_ACCOUNT
    out_end = needed(out_offset, out_size)
    price += frame.growth(max(needed(in_offset, in_size), out_end), kind.name)
    penalty = price * frame.factor // FACTOR_UNIT
    price += penalty
    left = frame.limit - frame.used
    if price > left:
        raise failures.out_of_energy_early(kind.name, price, left)
    left -= price
    if frame.version == 1:
        left -= left // FORWARD_PART
    forwarded = min(wanted, left)
    frame.used += price
    frame.forward(forwarded)
    frame.penalty += penalty
    if frame.static and kind.moves_value and value:
        raise failures.static_violation()
    frame.extend(out_end)
    return _Message(
        kind=kind,
        word=word,
        to=address_of_word(word),
        value=value,
        token_id=token_id,
        energy=forwarded + (_STIPEND if value else 0),
        in_offset=in_offset,
        in_size=in_size,
        out_offset=out_offset,
        out_size=out_size,
    )


def _give_back(frame: Frame, message: _Message, answer: int) -> None:
    """The call came to nothing or had no code to run: all its energy returns."""
    frame.take_back(message.energy)
    frame.stack.append(answer)


def _call(kind: _Kind) -> Callable[[Frame], None]:
    def action(frame: Frame) -> None:
        message = _pay(frame, kind)
        frame.returned = b""
        if frame.depth == DEPTH_LIMIT:
            _give_back(frame, message, 0)
            return
        asker = frame.caller if kind.delegates else frame.address
        precompile = precompile_at(message.word) or question_at(frame, message.word, asker)
        if precompile is not None:
            _to_precompile(frame, message, precompile)
        else:
            _to_account(frame, message)

    return action


def _sun_of(frame: Frame, message: _Message) -> int:
    """The TRX that the call carries; 0 for a token call, which carries tokens instead."""
    if message.kind.token:
        if not TOKEN_ID_FLOOR < message.token_id <= LONG_MAX:
            frame.take_back(message.energy)
            raise TransferFailed(NO_SUCH_TRC10)
        return 0
    return message.value


def _to_account(frame: Frame, message: _Message) -> None:
    kind, state, run = message.kind, frame.state, frame.run
    data = frame.read(message.in_offset, message.in_size)
    if message.value > LONG_MAX:
        frame.take_back(message.energy)
        raise TransferFailed("endowment out of long range")
    sun = _sun_of(frame, message)
    balance = 0 if kind.token else state.balance(frame.address)
    if balance < message.value:
        _give_back(frame, message, 0)
        return
    mark = run.mark()
    if kind.moves_value and sun:
        _move(frame, message)
    context = frame.address if kind.keeps_context else message.to
    first_step = len(run.internal)
    step = run.note(frame, context, sun, data, "call")
    code = state.code(message.to)
    if not code:
        _give_back(frame, message, 1)
        return
    child = Frame(
        run,
        run.decode(code, state.factor(context)),
        address=context,
        caller=frame.caller if kind.delegates else frame.address,
        value=frame.value if kind.delegates else sun,
        data=data,
        limit=message.energy,
        static=kind.static or frame.static,
        depth=frame.depth + 1,
        version=state.contract_version(message.to),
        factor=state.factor(context),
        parent_hash=step.hash,
    )
    try:
        run.play(child)
    except Halt:
        # Nothing comes back: neither data nor energy, whatever the inner call had left.
        run.undo(mark)
        run.reject(first_step)
        frame.join(child)
        frame.stack.append(0)
        return
    frame.join(child)
    if child.reverted:
        run.undo(mark)
        run.reject(first_step)
        frame.stack.append(0)
    else:
        frame.logs += child.logs
        frame.stack.append(1)
    frame.returned = child.output
    frame.write(message.out_offset, child.output[: message.out_size])
    frame.take_back(max(0, message.energy - child.used))


def _move(frame: Frame, message: _Message) -> None:
    """Move TRX; a contract cannot send TRX to itself (VMUtils.validateForSmartContract)."""
    state = frame.state
    if message.to == frame.address:
        frame.take_back(message.energy)
        raise TransferFailed("transfer trx failed: Cannot transfer TRX to yourself.")
    if not state.exists(message.to):
        state.create_account(message.to)
    state.add_balance(frame.address, -message.value)
    state.add_balance(message.to, message.value)


def _to_precompile(frame: Frame, message: _Message, precompile: Precompile) -> None:
    """Run a built-in contract. Its whole output lands in memory, even past the out size."""
    kind, state = message.kind, frame.state
    if message.value > LONG_MAX:
        raise failures.number_too_large()
    sun = _sun_of(frame, message)
    balance = 0 if kind.token else state.balance(frame.address)
    if balance < message.value:
        _give_back(frame, message, 0)
        return
    data = frame.read(message.in_offset, message.in_size)
    mark = frame.run.mark()
    if kind.moves_value and sun:
        if not state.exists(message.to):
            raise Halt("UNKNOWN", "transfer failure")
        state.add_balance(frame.address, -sun)
        state.add_balance(message.to, sun)
    price = precompile.price(data)
    if price > message.energy:
        frame.run.undo(mark)
        frame.stack.append(0)
        return
    frame.run.spend_ticks(price * precompile.ticks_per_energy, kind.name)
    output = precompile.execute(data)
    if output is None:
        frame.run.undo(mark)
        frame.stack.append(0)
        return
    frame.take_back(message.energy - price)
    frame.stack.append(1)
    frame.returned = output
    frame.write(message.out_offset, output)


ACTIONS: Final[dict[int, Callable[[Frame], None]]] = {
    0xD0: _call(_Kind("CALLTOKEN", has_value=True, moves_value=True, token=True)),
    0xF1: _call(_Kind("CALL", has_value=True, moves_value=True)),
    0xF2: _call(_Kind("CALLCODE", has_value=True, keeps_context=True)),
    0xF4: _call(_Kind("DELEGATECALL", has_value=False, keeps_context=True, delegates=True)),
    0xFA: _call(_Kind("STATICCALL", has_value=False, static=True)),
}

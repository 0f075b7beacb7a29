"""Bytecode, read once into a list that is quick to run.

The code is cut into segments: straight runs of operations whose price is fixed and which cannot
fail for any other reason than energy or stack; an operation that does more closes its segment.
One check at the head of a segment then stands for the checks of all its operations, and when it
fails `failure_in` finds the operation that java-tron would have stopped at. Constants, stack
positions and jump targets are worked out here too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from tron_payment.devnet.tvm import (
    calls,
    chain_ops,
    context,
    creation,
    memory_ops,
    opcodes,
    words,
)
from tron_payment.devnet.tvm.frame import Frame
from tron_payment.devnet.tvm.opcodes import OPERATIONS, STACK_LIMIT
from tron_payment.devnet.tvm.program import FACTOR_UNIT, Instruction, Program, immediate

# Instructions that the loop knows besides plain opcodes; the numbers lie above every opcode.
SEGMENT: Final = 0x100  # argument: _Segment fields as a tuple
JUMP_TO: Final = 0x101  # argument: index of the target
JUMP_IF_TO: Final = 0x102  # argument: index of the target
WORDS: Final = 0x103  # argument: a function of the stack
ACTION: Final = 0x104  # argument: a function of the frame
END: Final = 0x105  # argument: a function of the frame; the frame is over after it
INVALID: Final = 0x106  # argument: the opcode
JUMP_BACK: Final = 0x107  # argument: index of the target, instructions in between
JUMP_BACK_IF: Final = 0x108  # the same

_PROGRAMS_CACHED: Final = 512

_INLINE: Final = frozenset(
    {0x01, 0x02, 0x03, 0x04, 0x10, 0x11, 0x14, 0x15, 0x16, 0x17, 0x19, 0x1C, 0x1B}
    | {0x50, 0x51, 0x52, 0x54, 0x56, 0x57}
)
"""Frequent operations that the loop runs itself; it takes them by their own number."""

_ACTIONS: Final[dict[int, Callable[[Frame], None]]] = {
    **context.ACTIONS,
    **memory_ops.ACTIONS,
    **calls.ACTIONS,
    **creation.ACTIONS,
    **chain_ops.ACTIONS,
}
_ENDS: Final[dict[int, Callable[[Frame], None]]] = {**memory_ops.ENDS, **creation.ENDS}
_CLOSING: Final = frozenset(
    {opcodes.JUMP, opcodes.JUMPI, opcodes.GAS, 0x5D, 0xD1, *range(0xD5, 0xE0)}
)
"""Fixed prices, yet the last of their segment: they branch, read the energy or may fail."""


@dataclass(slots=True)
class _Segment:
    """The sums over one segment while it is read."""

    pc: int
    cost: int = 0
    penalty: int = 0
    need: int = 0  # words that must lie on the stack at its head
    growth: int = 0  # most words that it adds at any moment
    height: int = 0  # words more (or less) than at its head, so far

    def add(self, operation: opcodes.Operation, factor: int) -> None:
        if operation.price:
            penalty = operation.price * factor // FACTOR_UNIT
            self.cost += operation.price + penalty
            self.penalty += penalty
        self.need = max(self.need, operation.pops - self.height)
        self.height += operation.pushes - operation.pops
        self.growth = max(self.growth, self.height)

    def argument(self) -> tuple[int, int, int, int, int]:
        return self.cost, self.penalty, self.need, STACK_LIMIT - self.growth, self.pc


@lru_cache(_PROGRAMS_CACHED)
def decode(code: bytes, factor: int) -> Program:
    """Prepare code to run under a dynamic energy factor (times 10,000; 0 for none)."""
    program = Program(code, factor)
    out = program.instructions
    segment: _Segment | None = None
    head = 0
    pc = 0
    while True:  # up to the STOP that stands past the end
        opcode = code[pc] if pc < len(code) else opcodes.STOP
        if segment is None or opcode == opcodes.JUMPDEST:
            if segment is not None:
                out[head] = (SEGMENT, segment.argument())
            if opcode == opcodes.JUMPDEST:
                program.targets[pc] = len(out)
            segment, head = _Segment(pc), len(out)
            out.append((SEGMENT, None))
        operation = OPERATIONS.get(opcode)
        if operation is not None:
            segment.add(operation, factor)
        instruction = _instruction(code, pc, opcode, operation)
        if instruction is not None:
            out.append(instruction)
        if operation is None or operation.price is None or opcode in _CLOSING or opcode in _ENDS:
            out[head] = (SEGMENT, segment.argument())
            segment = None
        if pc == len(code):
            break
        pc = min(pc + 1 + immediate(opcode), len(code))
    _join_jumps(program)
    return program


def _instruction(
    code: bytes, pc: int, opcode: int, operation: opcodes.Operation | None
) -> Instruction | None:
    """The loop's form of the operation at `pc`; None when it has no effect."""
    if operation is None:
        return INVALID, opcode
    if opcodes.PUSH0 <= opcode <= opcodes.PUSH32:
        size = opcode - opcodes.PUSH0
        return opcodes.PUSH1, int.from_bytes(code[pc + 1 : pc + 1 + size].ljust(size, b"\0"), "big")
    if opcodes.DUP1 <= opcode <= opcodes.DUP16:
        return opcodes.DUP1, opcodes.DUP1 - opcode - 1
    if opcodes.SWAP1 <= opcode <= opcodes.SWAP16:
        return opcodes.SWAP1, opcodes.SWAP1 - opcode - 2
    if opcode == opcodes.PC:
        return opcodes.PUSH1, pc
    if opcode == opcodes.CODESIZE:
        return opcodes.PUSH1, len(code)
    if opcode == opcodes.JUMPDEST:
        return None
    if opcode in _INLINE:
        return opcode, None
    if opcode in words.OPERATIONS:
        return WORDS, words.OPERATIONS[opcode]
    if opcode in _ENDS:
        return END, _ENDS[opcode]
    return ACTION, _ACTIONS[opcode]


def _join_jumps(program: Program) -> None:
    """Turn a pushed target with its jump into one instruction, where the target is good."""
    out = program.instructions
    for i in range(1, len(out)):
        opcode, _ = out[i]
        before, target = out[i - 1]
        if (
            opcode in (opcodes.JUMP, opcodes.JUMPI)
            and before == opcodes.PUSH1
            and target in program.targets
        ):
            to, always = program.targets[target], opcode == opcodes.JUMP
            if to < i:
                out[i - 1] = (JUMP_BACK if always else JUMP_BACK_IF, (to, i - to))
            else:
                out[i - 1] = (JUMP_TO if always else JUMP_IF_TO, to)

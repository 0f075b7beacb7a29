"""Code that is ready to run, as decode.py makes it and a frame runs it."""

from dataclasses import dataclass, field
from typing import Any, Final

from tron_payment.devnet.tvm import failures, opcodes
from tron_payment.devnet.tvm.failures import Halt
from tron_payment.devnet.tvm.opcodes import OPERATIONS, STACK_LIMIT

FACTOR_UNIT: Final = 10_000
"""A dynamic energy factor of this much doubles the price."""

Instruction = tuple[int, Any]


@dataclass(slots=True)
class Program:
    """Code that is ready to run under one energy factor."""

    code: bytes
    factor: int
    instructions: list[Instruction] = field(default_factory=list)
    targets: dict[int, int] = field(default_factory=dict)  # JUMPDEST's pc -> index of its segment

    def failure_in(self, pc: int, height: int, used: int, limit: int) -> Halt:
        """The failure of the segment at `pc` whose head check did not pass."""
        while True:
            opcode = self.code[pc] if pc < len(self.code) else opcodes.STOP
            operation = OPERATIONS.get(opcode)
            assert operation is not None, "a segment ends before an invalid opcode"
            if height < operation.pops:
                return failures.stack_too_small(operation.pops, height)
            height += operation.pushes - operation.pops
            if height > STACK_LIMIT:
                return failures.stack_too_large(STACK_LIMIT)
            price = operation.price or 0
            penalty = price * self.factor // FACTOR_UNIT
            if used + price + penalty > limit:
                return failures.out_of_energy(
                    operation.name, limit, price, penalty, used, self.factor > 0
                )
            used += price + penalty
            pc += 1 + immediate(opcode)


def immediate(opcode: int) -> int:
    """How many bytes after the opcode belong to it."""
    if opcodes.PUSH1 <= opcode <= opcodes.PUSH32:
        return opcode - opcodes.PUSH0
    return 0

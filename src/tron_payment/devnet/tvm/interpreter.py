"""The loop that runs a frame.

The branches stand in the order of how often USDT's code needs them; rarer operations are
functions that the decoder put into the instruction. Every check of energy and stack happens at
the head of a segment (see decode) or inside such a function.
"""

from tron_payment.devnet.tvm.decode import (
    ACTION,
    END,
    JUMP_BACK,
    JUMP_BACK_IF,
    JUMP_IF_TO,
    JUMP_TO,
    SEGMENT,
    WORDS,
)
from tron_payment.devnet.tvm.failures import bad_jump, invalid_opcode
from tron_payment.devnet.tvm.frame import FRAME_TICKS, JUMP_TICKS, WORD_MAX, Frame


def play(frame: Frame) -> None:
    """Run a frame to its end; its output, logs and energy are in the frame.

    Raises:
        Halt: The frame failed; its energy is gone and the caller undoes what it wrote.
        OutOfTime: The whole run took too long.
    """
    run = frame.run
    run.spend_ticks(FRAME_TICKS, "CALL")
    program, stack, memory = frame.program, frame.stack, frame.memory
    instructions, targets = program.instructions, program.targets
    push, pop, limit = stack.append, stack.pop, frame.limit
    load = frame.state.storage
    i = checked = 0
    while True:
        op, arg = instructions[i]
        i += 1
        if op == 0x60:  # PUSH
            push(arg)
        elif op == 0x80:  # DUP
            push(stack[arg])
        elif op == 0x90:  # SWAP
            stack[-1], stack[arg] = stack[arg], stack[-1]
        elif op == SEGMENT:
            cost, penalty, need, room, pc = arg
            used = frame.used + cost
            if used > limit or not need <= len(stack) <= room:
                raise program.failure_in(pc, len(stack), frame.used, limit)
            frame.used = used
            frame.penalty += penalty
        elif op == 0x50:  # POP
            pop()
        elif op == JUMP_IF_TO:
            i = arg if pop() else i + 1  # past the jump that it stands for
        elif op == 0x01:  # ADD
            stack[-2] = stack[-2] + stack[-1] & WORD_MAX
            pop()
        elif op == 0x16:  # AND
            stack[-2] &= stack[-1]
            pop()
        elif op == 0x52:  # MSTORE
            offset = stack[-1]
            if offset + 32 > len(memory):
                growth = frame.growth(offset + 32, "MSTORE")
                frame.charge(1 + growth, "MSTORE")
                frame.extend(offset + 32)
            else:
                frame.charge(1, "MSTORE")
            pop()
            memory[offset : offset + 32] = pop().to_bytes(32, "big")
        elif op == 0x51:  # MLOAD
            offset = stack[-1]
            if offset + 32 > len(memory):
                growth = frame.growth(offset + 32, "MLOAD")
                frame.charge(1 + growth, "MLOAD")
                frame.extend(offset + 32)
            else:
                frame.charge(1, "MLOAD")
            stack[-1] = int.from_bytes(memory[offset : offset + 32], "big")
        elif op == JUMP_TO:
            i = arg
        elif op == JUMP_BACK_IF:
            if pop():
                i, most = arg
                checked = run.tick(frame.used, checked, most, "JUMPI")
            else:
                i += 1
        elif op == JUMP_BACK:
            i, most = arg
            checked = run.tick(frame.used, checked, most, "JUMP")
        elif op == 0x15:  # ISZERO
            stack[-1] = 0 if stack[-1] else 1
        elif op == 0x56:  # JUMP
            target = pop()
            if target not in targets:
                raise bad_jump(target)
            i = targets[target]
            checked = run.tick(frame.used, checked, JUMP_TICKS, "JUMP")
        elif op == ACTION:
            arg(frame)
        elif op == 0x14:  # EQ
            a = pop()
            stack[-1] = 1 if a == stack[-1] else 0
        elif op == 0x54:  # SLOAD
            stack[-1] = load(frame.address, stack[-1]) or 0
        elif op == 0x03:  # SUB
            a = pop()
            stack[-1] = a - stack[-1] & WORD_MAX
        elif op == 0x10:  # LT
            a = pop()
            stack[-1] = 1 if a < stack[-1] else 0
        elif op == 0x11:  # GT
            a = pop()
            stack[-1] = 1 if a > stack[-1] else 0
        elif op == 0x19:  # NOT
            stack[-1] ^= WORD_MAX
        elif op == 0x17:  # OR
            a = pop()
            stack[-1] |= a
        elif op == 0x1C:  # SHR
            a = pop()
            stack[-1] = stack[-1] >> a if a < 256 else 0
        elif op == 0x1B:  # SHL
            a = pop()
            stack[-1] = stack[-1] << a & WORD_MAX if a < 256 else 0
        elif op == 0x02:  # MUL
            a = pop()
            stack[-1] = a * stack[-1] & WORD_MAX
        elif op == 0x04:  # DIV
            a = pop()
            stack[-1] = a // stack[-1] if stack[-1] else 0
        elif op == 0x57:  # JUMPI
            target = pop()
            if pop():
                if target not in targets:
                    raise bad_jump(target)
                i = targets[target]
                checked = run.tick(frame.used, checked, JUMP_TICKS, "JUMPI")
        elif op == WORDS:
            arg(stack)
        elif op == END:
            arg(frame)
            frame.report()
            return
        else:
            raise invalid_opcode(arg)

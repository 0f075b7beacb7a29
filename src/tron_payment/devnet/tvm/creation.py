"""CREATE, CREATE2 and SELFDESTRUCT (java-tron Program.createContractImpl and suicide)."""

from collections.abc import Callable
from typing import Final

from tron_payment.devnet.tvm import failures
from tron_payment.devnet.tvm.calls import DEPTH_LIMIT, FORWARD_PART
from tron_payment.devnet.tvm.failures import Halt
from tron_payment.devnet.tvm.frame import LONG_MAX, Frame, Run, address_of_word
from tron_payment.devnet.tvm.hashing import keccak
from tron_payment.devnet.tvm.memory_ops import needed

_CREATE: Final = 32_000
_CODE_WORD: Final = 6
CODE_BYTE: Final = 200
"""Energy to store one byte of runtime code."""
RESERVED_FIRST_BYTE: Final = 0xEF
_NEW_ACCOUNT: Final = 25_000


def internal_address(txid: bytes, nonce: int) -> bytes:
    """Where CREATE puts a contract: the nonce counts the transaction's internal steps."""
    return keccak(txid + nonce.to_bytes(8, "big"))[12:]


def salted_address(sender: bytes, salt: int, init_code: bytes) -> bytes:
    """Where CREATE2 puts a contract; TRON writes 0x41 where Ethereum has 0xff."""
    return keccak(b"\x41" + sender + salt.to_bytes(32, "big") + keccak(init_code))[12:]


def _create(frame: Frame) -> None:
    value, offset, size = frame.stack[-1], frame.stack[-2], frame.stack[-3]
    frame.charge(_CREATE + frame.growth(needed(offset, size), "CREATE"), "CREATE")
    frame.require_mutable()
    del frame.stack[-3:]
    frame.returned = b""
    if frame.depth == DEPTH_LIMIT:
        frame.stack.append(0)
        return
    init_code = frame.read(offset, size)
    run = frame.run
    _deploy(frame, value, init_code, internal_address(run.env.txid, run.nonce))


def _create2(frame: Frame) -> None:
    value, offset, size, salt = (frame.stack[-1 - i] for i in range(4))
    growth = frame.growth(needed(offset, size), "CREATE2")
    frame.charge(_CREATE + growth + _CODE_WORD * ((size + 31) >> 5), "CREATE2")
    frame.require_mutable()
    del frame.stack[-4:]
    frame.returned = b""
    if frame.depth == DEPTH_LIMIT:
        frame.stack.append(0)
        return
    init_code = frame.read(offset, size)
    _deploy(frame, value, init_code, salted_address(frame.address, salt, init_code))


def _deploy(frame: Frame, value: int, init_code: bytes, address: bytes) -> None:
    """Run a constructor. An exception in it costs all that was forwarded."""
    state, run = frame.state, frame.run
    if value > LONG_MAX:
        raise failures.number_too_large()
    if state.balance(frame.address) < value:
        frame.stack.append(0)
        return
    taken = bool(state.code(address))
    mark = run.mark()
    if not state.exists(address):
        state.create_account(address)
    if value:
        state.add_balance(frame.address, -value)
        state.add_balance(address, value)
    left = frame.limit - frame.used
    energy = left - left // FORWARD_PART if frame.version == 1 else left
    frame.forward(energy)
    first_step = len(run.internal)
    step = run.note(frame, address, value, init_code, "create")
    child = Frame(
        run,
        run.decode(init_code, state.factor(address)),
        address=address,
        caller=frame.address,
        value=value,
        data=b"",
        limit=energy,
        static=False,
        depth=frame.depth + 1,
        version=frame.version,
        factor=state.factor(address),
        parent_hash=step.hash,
    )
    try:
        if taken:
            raise Halt(
                "UNKNOWN",
                f"Trying to create a contract with existing contract address: 0x41{address.hex()}",
            )
        run.play(child)
        if not child.reverted:
            store_code(child, "No energy to save just created contract code")
    except Halt:
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
        frame.returned = child.output
    else:
        frame.logs += child.logs
        frame.stack.append(int.from_bytes(address, "big"))
    frame.take_back(max(0, energy - child.used))


def store_code(frame: Frame, hint: str) -> None:
    """Keep what a constructor returned as the contract's code and charge its bytes."""
    code = frame.output
    if code and code[0] == RESERVED_FIRST_BYTE:
        raise failures.invalid_code()
    price, left = CODE_BYTE * len(code), frame.limit - frame.used
    if price > left:
        raise failures.out_of_energy_for_code(hint, price, left)
    frame.used += price
    frame.state.set_code(frame.address, code)


def _selfdestruct(frame: Frame) -> None:
    """Send everything to the heir; the code goes when the transaction is over.

    What a contract leaves to itself is burned.
    """
    state = frame.state
    heir = address_of_word(frame.stack[-1])
    frame.charge(0 if state.exists(heir) else _NEW_ACCOUNT, "SUICIDE")
    frame.require_mutable()
    frame.stack.pop()
    if not state.may_end(frame.address):
        frame.reverted = True
        return
    balance = state.balance(frame.address)
    frame.run.note(frame, heir, balance, b"", "suicide")
    state.create_account(heir)
    if balance:
        state.add_balance(frame.address, -balance)
        if heir != frame.address:
            state.add_balance(heir, balance)
    frame.run.destroyed.add(frame.address)


def bury(run: Run) -> None:
    """Remove the code of the contracts that destroyed themselves in a successful run."""
    for address in run.destroyed:
        run.state.set_code(address, b"")


ACTIONS: Final[dict[int, Callable[[Frame], None]]] = {0xF0: _create, 0xF5: _create2}
ENDS: Final[dict[int, Callable[[Frame], None]]] = {0xFF: _selfdestruct}

"""The two ways into the machine: call a contract, create one (java-tron VMActuator)."""

from collections.abc import Callable

from tron_payment.devnet.tvm.creation import bury, store_code
from tron_payment.devnet.tvm.decode import decode
from tron_payment.devnet.tvm.failures import Halt, OutOfTime, TransferFailed
from tron_payment.devnet.tvm.frame import Frame, Run
from tron_payment.devnet.tvm.hashing import keccak
from tron_payment.devnet.tvm.interface import Env, Outcome, State
from tron_payment.devnet.tvm.interpreter import play

_REVERTED = "REVERT opcode executed"


def call(
    state: State,
    env: Env,
    *,
    origin: bytes,
    to: bytes,
    data: bytes,
    value: int,
    energy_limit: int,
    static: bool = False,
) -> Outcome:
    """Call the contract `to` for `origin`, which sends `value` sun along.

    The state keeps what the call wrote only when the result is SUCCESS. Whether the sender may
    spend the value is the host's check; without the money the result is TRANSFER_FAILED.
    """
    run = Run(state, env, origin, play=play, decode=decode)
    frame = _frame(run, to, state.code(to), value, data, energy_limit, static)
    return _conclude(run, frame, lambda: None)


def create(
    state: State,
    env: Env,
    *,
    origin: bytes,
    address: bytes,
    init_code: bytes,
    value: int,
    energy_limit: int,
) -> Outcome:
    """Create a contract at `address`; the outcome's output is its runtime code, now stored.

    Storing costs 200 energy a byte. The host chooses the address (see `contract_address`) and
    has made sure that nothing lives there.
    """
    run = Run(state, env, origin, play=play, decode=decode)
    frame = _frame(run, address, init_code, value, b"", energy_limit, static=False)
    frame.version = 1

    def store() -> None:
        if not frame.reverted:
            store_code(frame, "save just created contract code")

    return _conclude(run, frame, store)


def contract_address(txid: bytes, owner21: bytes) -> bytes:
    """The 20 bytes where a deployment lands: txid and the owner's 21 bytes, hashed."""
    if len(txid) != 32 or len(owner21) != 21:
        raise ValueError("a transaction id has 32 bytes and an owner 21, 0x41 first")
    return keccak(txid + owner21)[12:]


def _frame(
    run: Run, address: bytes, code: bytes, value: int, data: bytes, limit: int, static: bool
) -> Frame:
    factor = run.state.factor(address)
    return Frame(
        run,
        decode(code, factor),
        address=address,
        caller=run.origin,
        value=value,
        data=data,
        limit=limit,
        static=static,
        depth=0,
        version=run.state.contract_version(address),
        factor=factor,
        parent_hash=run.env.txid,
    )


def _conclude(run: Run, frame: Frame, finish: Callable[[], None]) -> Outcome:
    """Move the value, run the frame, and undo everything unless it succeeded."""
    mark = run.mark()
    try:
        _endow(run, frame)
        play(frame)
        finish()
    except TransferFailed as failure:
        run.undo(mark)
        return _failed(run, frame, failure.result, frame.used, b"", str(failure))
    except OutOfTime as failure:
        run.undo(mark)
        return _failed(run, frame, "OUT_OF_TIME", frame.limit, b"", str(failure))
    except Halt as failure:
        run.undo(mark)
        return _failed(run, frame, failure.result, frame.limit, b"", str(failure))
    if frame.reverted:
        run.undo(mark)
        return _failed(run, frame, "REVERT", frame.used, frame.output, _REVERTED)
    bury(run)
    return Outcome(
        result="SUCCESS",
        energy_used=frame.used,
        energy_penalty=frame.penalty,
        output=frame.output,
        logs=tuple(frame.logs),
        internal=tuple(run.internal),
        error="",
    )


def _endow(run: Run, frame: Frame) -> None:
    """Make sure of the account and move what the sender sends."""
    if not run.state.exists(frame.address):
        run.state.create_account(frame.address)
    if not frame.value:
        return
    if run.origin == frame.address:
        raise TransferFailed("transfer trx failed: Cannot transfer TRX to yourself.")
    if run.state.balance(run.origin) < frame.value:
        raise TransferFailed(
            "transfer trx failed: Validate InternalTransfer error, balance is not sufficient."
        )
    run.state.add_balance(run.origin, -frame.value)
    run.state.add_balance(frame.address, frame.value)


def _failed(run: Run, frame: Frame, result: str, energy: int, output: bytes, error: str) -> Outcome:
    run.reject(0)
    return Outcome(
        result=result,
        energy_used=energy,
        energy_penalty=frame.penalty,
        output=output,
        logs=(),
        internal=tuple(run.internal),
        error=error,
    )

"""A state with one contract in it, and a way to write code down."""

from typing import Any

from tron_payment.devnet.tvm import Env, MemoryState, Outcome, call
from tron_payment.devnet.tvm.opcodes import OPERATIONS

SENDER = b"\x0a" * 20
CONTRACT = b"\x0b" * 20
OTHER = b"\x0c" * 20
NOBODY = b"\x0d" * 20
TXID = bytes(range(32))
LIMIT = 1_000_000
TRX = 1_000_000

ENV = Env(
    block_number=1_000,
    timestamp_s=1_795_173_825,
    chain_id=0x2B6653DC,
    coinbase=b"\x0e" * 20,
    energy_price_sun=100,
    txid=TXID,
    block_hash=lambda number: number.to_bytes(32, "big"),
)

_OPCODES = {operation.name: opcode for opcode, operation in OPERATIONS.items()}


def asm(text: str) -> bytes:
    """Code from names; the word after PUSHn is its constant in hex, left-padded."""
    words = iter(text.split())
    code = bytearray()
    for word in words:
        opcode = _OPCODES[word]
        code.append(opcode)
        if 0x60 <= opcode <= 0x7F:
            size = opcode - 0x5F
            code += bytes.fromhex(next(words).rjust(2 * size, "0"))
    return bytes(code)


def push(value: int | bytes) -> str:
    """A PUSH32 of a number or of an address."""
    number = value if isinstance(value, int) else int.from_bytes(value, "big")
    return f"PUSH32 {number:064x}"


ANSWER = "PUSH0 MSTORE PUSH1 20 PUSH0 RETURN"
"""Return the word on top of the stack; 3 + 3 + ... = 11 energy with fresh memory."""


class World:
    """SENDER holds 1,000 TRX, CONTRACT 10 TRX."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.state.add_balance(SENDER, 1_000 * TRX)
        self.state.add_balance(CONTRACT, 10 * TRX)
        self.state.commit()

    def put(self, code: str | bytes, at: bytes = CONTRACT) -> None:
        self.state.set_code(at, asm(code) if isinstance(code, str) else code)
        self.state.commit()

    def run(self, code: str | bytes | None = None, **options: Any) -> Outcome:
        """Put code at CONTRACT, call it, end the transaction."""
        if code is not None:
            self.put(code)
        settings: dict[str, Any] = {
            "origin": SENDER,
            "to": CONTRACT,
            "data": b"",
            "value": 0,
            "energy_limit": LIMIT,
        }
        outcome = call(self.state, ENV, **{**settings, **options})
        self.state.commit()
        return outcome

    def answer(self, code: str) -> int:
        """The word that the code leaves on the stack."""
        outcome = self.run(f"{code} {ANSWER}")
        assert outcome.result == "SUCCESS", outcome.error
        return int.from_bytes(outcome.output, "big")

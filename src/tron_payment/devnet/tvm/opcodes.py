"""Every operation: its name, fixed price in energy and appetite for stack words.

Source: java-tron 4.8.0 OperationRegistry and EnergyCost with main-net's proposals (energy
adjustment 81, Shanghai 76, Cancun 83, blob 89; not the SELFDESTRUCT restriction 94).
A price of None means that the operation works its price out when it runs.
"""

from dataclasses import dataclass
from typing import Final

STACK_LIMIT: Final = 1024

ZERO: Final = 0
SPECIAL: Final = 1
BASE: Final = 2
VERY_LOW: Final = 3
LOW: Final = 5
MID: Final = 8
HIGH: Final = 10
EXT: Final = 20

STOP, JUMP, JUMPI, PC, GAS, JUMPDEST, CODESIZE = 0x00, 0x56, 0x57, 0x58, 0x5A, 0x5B, 0x38
PUSH0, PUSH1, PUSH32, DUP1, DUP16, SWAP1, SWAP16 = 0x5F, 0x60, 0x7F, 0x80, 0x8F, 0x90, 0x9F
LOG0, LOG4 = 0xA0, 0xA4


@dataclass(frozen=True, slots=True)
class Operation:
    """One opcode."""

    name: str
    price: int | None
    pops: int
    pushes: int


def _table() -> dict[int, Operation]:
    rows: dict[int, tuple[str, int | None, int, int]] = {
        0x00: ("STOP", ZERO, 0, 0),
        0x01: ("ADD", VERY_LOW, 2, 1),
        0x02: ("MUL", LOW, 2, 1),
        0x03: ("SUB", VERY_LOW, 2, 1),
        0x04: ("DIV", LOW, 2, 1),
        0x05: ("SDIV", LOW, 2, 1),
        0x06: ("MOD", LOW, 2, 1),
        0x07: ("SMOD", LOW, 2, 1),
        0x08: ("ADDMOD", MID, 3, 1),
        0x09: ("MULMOD", MID, 3, 1),
        0x0A: ("EXP", None, 2, 1),
        0x0B: ("SIGNEXTEND", LOW, 2, 1),
        0x10: ("LT", VERY_LOW, 2, 1),
        0x11: ("GT", VERY_LOW, 2, 1),
        0x12: ("SLT", VERY_LOW, 2, 1),
        0x13: ("SGT", VERY_LOW, 2, 1),
        0x14: ("EQ", VERY_LOW, 2, 1),
        0x15: ("ISZERO", VERY_LOW, 1, 1),
        0x16: ("AND", VERY_LOW, 2, 1),
        0x17: ("OR", VERY_LOW, 2, 1),
        0x18: ("XOR", VERY_LOW, 2, 1),
        0x19: ("NOT", VERY_LOW, 1, 1),
        0x1A: ("BYTE", VERY_LOW, 2, 1),
        0x1B: ("SHL", VERY_LOW, 2, 1),
        0x1C: ("SHR", VERY_LOW, 2, 1),
        0x1D: ("SAR", VERY_LOW, 2, 1),
        0x20: ("SHA3", None, 2, 1),
        0x30: ("ADDRESS", BASE, 0, 1),
        0x31: ("BALANCE", EXT, 1, 1),
        0x32: ("ORIGIN", BASE, 0, 1),
        0x33: ("CALLER", BASE, 0, 1),
        0x34: ("CALLVALUE", BASE, 0, 1),
        0x35: ("CALLDATALOAD", VERY_LOW, 1, 1),
        0x36: ("CALLDATASIZE", BASE, 0, 1),
        0x37: ("CALLDATACOPY", None, 3, 0),
        0x38: ("CODESIZE", BASE, 0, 1),
        0x39: ("CODECOPY", None, 3, 0),
        0x3A: ("GASPRICE", BASE, 0, 1),
        0x3B: ("EXTCODESIZE", EXT, 1, 1),
        0x3C: ("EXTCODECOPY", None, 4, 0),
        0x3D: ("RETURNDATASIZE", BASE, 0, 1),
        0x3E: ("RETURNDATACOPY", None, 3, 0),
        0x3F: ("EXTCODEHASH", 400, 1, 1),
        0x40: ("BLOCKHASH", EXT, 1, 1),
        0x41: ("COINBASE", BASE, 0, 1),
        0x42: ("TIMESTAMP", BASE, 0, 1),
        0x43: ("NUMBER", BASE, 0, 1),
        0x44: ("DIFFICULTY", BASE, 0, 1),
        0x45: ("GASLIMIT", BASE, 0, 1),
        0x46: ("CHAINID", BASE, 0, 1),
        0x47: ("SELFBALANCE", LOW, 0, 1),
        0x48: ("BASEFEE", BASE, 0, 1),
        0x49: ("BLOBHASH", VERY_LOW, 1, 1),
        0x4A: ("BLOBBASEFEE", BASE, 0, 1),
        0x50: ("POP", BASE, 1, 0),
        0x51: ("MLOAD", None, 1, 1),
        0x52: ("MSTORE", None, 2, 0),
        0x53: ("MSTORE8", None, 2, 0),
        0x54: ("SLOAD", 50, 1, 1),
        0x55: ("SSTORE", None, 2, 0),
        0x56: ("JUMP", MID, 1, 0),
        0x57: ("JUMPI", HIGH, 2, 0),
        0x58: ("PC", BASE, 0, 1),
        0x59: ("MSIZE", BASE, 0, 1),
        0x5A: ("GAS", BASE, 0, 1),
        0x5B: ("JUMPDEST", SPECIAL, 0, 0),
        0x5C: ("TLOAD", 100, 1, 1),
        0x5D: ("TSTORE", 100, 2, 0),
        0x5E: ("MCOPY", None, 3, 0),
        0x5F: ("PUSH0", BASE, 0, 1),
        0xD0: ("CALLTOKEN", None, 8, 1),
        0xD1: ("TOKENBALANCE", EXT, 2, 1),
        0xD2: ("CALLTOKENVALUE", BASE, 0, 1),
        0xD3: ("CALLTOKENID", BASE, 0, 1),
        0xD4: ("ISCONTRACT", EXT, 1, 1),
        0xD5: ("FREEZE", None, 3, 1),
        0xD6: ("UNFREEZE", 20_000, 2, 1),
        0xD7: ("FREEZEEXPIRETIME", 50, 2, 1),
        0xD8: ("VOTEWITNESS", None, 4, 1),
        0xD9: ("WITHDRAWREWARD", 20_000, 0, 1),
        0xDA: ("FREEZEBALANCEV2", 10_000, 2, 1),
        0xDB: ("UNFREEZEBALANCEV2", 10_000, 2, 1),
        0xDC: ("CANCELALLUNFREEZEV2", 10_000, 0, 1),
        0xDD: ("WITHDRAWEXPIREUNFREEZE", 10_000, 0, 1),
        0xDE: ("DELEGATERESOURCE", 10_000, 3, 1),
        0xDF: ("UNDELEGATERESOURCE", 10_000, 3, 1),
        0xF0: ("CREATE", None, 3, 1),
        0xF1: ("CALL", None, 7, 1),
        0xF2: ("CALLCODE", None, 7, 1),
        0xF3: ("RETURN", None, 2, 0),
        0xF4: ("DELEGATECALL", None, 6, 1),
        0xF5: ("CREATE2", None, 4, 1),
        0xFA: ("STATICCALL", None, 6, 1),
        0xFD: ("REVERT", None, 2, 0),
        0xFF: ("SUICIDE", None, 1, 0),
    }
    for n in range(1, 33):
        rows[PUSH0 + n] = (f"PUSH{n}", VERY_LOW, 0, 1)
    for n in range(1, 17):
        rows[DUP1 + n - 1] = (f"DUP{n}", VERY_LOW, n, n + 1)
        rows[SWAP1 + n - 1] = (f"SWAP{n}", VERY_LOW, n + 1, n + 1)
    for n in range(5):
        rows[LOG0 + n] = (f"LOG{n}", None, 2 + n, 0)
    return {opcode: Operation(*row) for opcode, row in rows.items()}


OPERATIONS: Final = _table()

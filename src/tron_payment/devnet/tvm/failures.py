"""Why a run stops early, with java-tron's names and texts (Program.Exception, RuntimeImpl)."""

from typing import Final

NO_SUCH_TRC10: Final = "validateForSmartContract failure:not valid token id"


class Halt(Exception):
    """A frame failed. All the energy it was given is gone.

    Attributes:
        result: A name of java-tron's contractResult.
    """

    def __init__(self, result: str, message: str) -> None:
        super().__init__(message)
        self.result = result


class TransferFailed(Halt):
    """TRX could not move. The only failure at the top that costs no more than was used."""

    def __init__(self, message: str) -> None:
        super().__init__("TRANSFER_FAILED", message)


class OutOfTime(Exception):
    """The transaction ran longer than `getMaxCpuTimeOfOneTx`; no frame survives it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"CPU timeout for '{name}' operation executing")


def out_of_energy(name: str, limit: int, cost: int, penalty: int, used: int, priced: bool) -> Halt:
    """No energy for the next operation; `priced` when the contract has a dynamic factor."""
    extra = f", penaltyEnergy[{penalty}]" if priced else ""
    return Halt(
        "OUT_OF_ENERGY",
        f"Not enough energy for '{name}' operation executing: curInvokeEnergyLimit[{limit}],"
        f" curOpEnergy[{cost}]{extra}, usedEnergy[{used}]",
    )


def out_of_energy_early(name: str, cost: int, left: int) -> Halt:
    """The form that calls and logs use, before they work out the rest of their price."""
    return Halt(
        "OUT_OF_ENERGY",
        f"Not enough energy for '{name}' operation executing: "
        f"opEnergy[{cost}], programEnergy[{left}]",
    )


def out_of_energy_for_code(hint: str, cost: int, left: int) -> Halt:
    """The constructor ran, but its code cannot be stored."""
    return Halt(
        "OUT_OF_ENERGY",
        f"Not enough energy for '{hint}' executing: needEnergy[{cost}], leftEnergy[{left}];",
    )


def out_of_memory(name: str) -> Halt:
    return Halt("OUT_OF_MEMORY", f"Out of Memory when '{name}' operation executing")


def invalid_opcode(opcode: int) -> Halt:
    return Halt("ILLEGAL_OPERATION", f"Invalid operation code: opCode[{opcode:02x}];")


def bad_jump(pc: int) -> Halt:
    """java-tron reads the target as a signed 32-bit number and shows -1 for wider ones."""
    shown = -1 if pc >> 32 else pc - (1 << 32) if pc >> 31 else pc
    return Halt("BAD_JUMP_DESTINATION", f"Operation with pc isn't 'JUMPDEST': PC[{shown}];")


def stack_too_small(need: int, height: int) -> Halt:
    return Halt("STACK_TOO_SMALL", f"Expected stack size {need} but actual {height};")


def stack_too_large(limit: int) -> Halt:
    return Halt("STACK_TOO_LARGE", f"Expected: overflow {limit} elements stack limit")


def static_violation() -> Halt:
    return Halt("UNKNOWN", "Attempt to call a state modifying opcode inside STATICCALL")


def invalid_code() -> Halt:
    return Halt("INVALID_CODE", "invalid code: must not begin with 0xef")


def number_too_large() -> Halt:
    """java-tron's BigInteger.longValueExact."""
    return Halt("UNKNOWN", "BigInteger out of long range")

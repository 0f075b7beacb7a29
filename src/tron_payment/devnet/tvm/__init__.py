"""The TRON virtual machine of the embedded devnet.

It runs what solc emits up to Cancun and what Solidity 0.4 emitted, and uses exactly the energy
that java-tron 4.8.0 uses with main-net's parameters. It knows nothing of transactions, fees or
blocks: the host hands it a `State` and an `Env` and reads the `Outcome`.

What it leaves out: TRC-10 tokens (nobody holds any), shielded transactions (0x1000001 to 4) and
the point evaluation of blobs (0x2000a): a call to those finds an account without code. A contract
that destroys itself loses its code, but its storage, its account and its own stake stay.
"""

from tron_payment.devnet.tvm.execute import call, contract_address, create
from tron_payment.devnet.tvm.interface import (
    BlockHash,
    Env,
    InternalTransaction,
    Log,
    Outcome,
    State,
)
from tron_payment.devnet.tvm.memory_state import MemoryState

__all__ = [
    "BlockHash",
    "Env",
    "InternalTransaction",
    "Log",
    "MemoryState",
    "Outcome",
    "State",
    "call",
    "contract_address",
    "create",
]

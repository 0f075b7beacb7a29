"""What a transaction does, as values: one class for each contract type that the service uses.

Amounts are integers of sun, addresses are checked text. `OtherContract` stands for everything
else that is met in blocks. Field and type numbers: java-tron's protocol buffers.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from tron_payment.chain.abi_json import normal_abi
from tron_payment.core.address import Address

NOBODY: Final = Address("T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb")
"""The zero address: the owner of contracts that name none (shielded transfers, genesis)."""

ORIGIN_ENERGY_LIMIT_DEFAULT: Final = 10_000_000
PERMISSION_OPERATIONS_BYTES: Final = 32


class Resource(StrEnum):
    """What a stake gives. (TRON_POWER is history: no new stake can choose it.)"""

    BANDWIDTH = "BANDWIDTH"
    ENERGY = "ENERGY"


class PermissionKind(IntEnum):
    """Which part of an account's permissions."""

    OWNER = 0
    WITNESS = 1
    ACTIVE = 2


@dataclass(frozen=True, slots=True)
class Permission:
    """Who may sign: the weights of the signing keys must reach the threshold."""

    kind: PermissionKind
    threshold: int
    keys: tuple[tuple[Address, int], ...]
    """Address and weight."""
    name: str = ""
    id: int = 0
    """0 owner, 1 witness, 2 to 9 active; the chain numbers them itself in an update."""
    operations: bytes = b""
    """32 bytes for an active permission: bit n, lowest first, allows contract type n."""
    parent_id: int = 0

    def allows(self, type_number: int) -> bool:
        """Whether the permission may sign contracts of this type."""
        if self.kind is not PermissionKind.ACTIVE:
            return self.kind is PermissionKind.OWNER
        index, bit = divmod(type_number, 8)
        return index < len(self.operations) and bool(self.operations[index] >> bit & 1)


@dataclass(frozen=True, slots=True)
class Transfer:
    """TRX from one account to another."""

    owner: Address
    to: Address
    amount_sun: int


@dataclass(frozen=True, slots=True)
class TriggerContract:
    """A call of a smart contract."""

    owner: Address
    contract: Address
    data: bytes
    call_value_sun: int = 0


@dataclass(frozen=True, slots=True)
class CreateAccount:
    """Activate an address."""

    owner: Address
    account: Address


@dataclass(frozen=True, slots=True)
class CreateContract:
    """Deploy a smart contract; `bytecode` ends with the encoded constructor arguments.

    `abi_json` is kept in the reduced form that the chain stores (`normal_abi`).
    """

    owner: Address
    name: str
    abi_json: str
    bytecode: bytes
    call_value_sun: int = 0
    consume_user_resource_percent: int = 100
    origin_energy_limit: int = ORIGIN_ENERGY_LIMIT_DEFAULT

    def __post_init__(self) -> None:
        object.__setattr__(self, "abi_json", normal_abi(self.abi_json))


@dataclass(frozen=True, slots=True)
class FreezeV2:
    """Stake TRX for a resource."""

    owner: Address
    amount_sun: int
    resource: Resource


@dataclass(frozen=True, slots=True)
class UnfreezeV2:
    """Begin to unstake; the TRX comes free after the delay (14 days on the main net)."""

    owner: Address
    amount_sun: int
    resource: Resource


@dataclass(frozen=True, slots=True)
class WithdrawExpireUnfreeze:
    """Take back what has finished unstaking."""

    owner: Address


@dataclass(frozen=True, slots=True)
class CancelAllUnfreezeV2:
    """Stake again what is still unstaking, and take back what has finished."""

    owner: Address


@dataclass(frozen=True, slots=True)
class Delegate:
    """Lend the resource of a stake; `amount_sun` is the stake behind it."""

    owner: Address
    receiver: Address
    amount_sun: int
    resource: Resource
    lock: bool = False
    lock_period_blocks: int = 0


@dataclass(frozen=True, slots=True)
class Undelegate:
    """Take a lent resource back."""

    owner: Address
    receiver: Address
    amount_sun: int
    resource: Resource


@dataclass(frozen=True, slots=True)
class Vote:
    """Replace all votes: pairs of super representative and whole TRX of voting power."""

    owner: Address
    votes: tuple[tuple[Address, int], ...]


@dataclass(frozen=True, slots=True)
class WithdrawReward:
    """Claim voting rewards; at most once in 24 hours."""

    owner: Address


@dataclass(frozen=True, slots=True)
class PermissionUpdate:
    """Replace all permissions of an account."""

    owner: Address
    owner_permission: Permission | None
    witness_permission: Permission | None
    actives: tuple[Permission, ...]


@dataclass(frozen=True, slots=True)
class OtherContract:
    """Anything else found in a block; `value` is its undecoded message."""

    owner: Address
    type_number: int
    type_name: str
    value: bytes


Contract = (
    Transfer
    | TriggerContract
    | CreateAccount
    | CreateContract
    | FreezeV2
    | UnfreezeV2
    | WithdrawExpireUnfreeze
    | CancelAllUnfreezeV2
    | Delegate
    | Undelegate
    | Vote
    | WithdrawReward
    | PermissionUpdate
    | OtherContract
)

TYPE_NUMBERS: Final[dict[type, int]] = {
    CreateAccount: 0,
    Transfer: 1,
    Vote: 4,
    WithdrawReward: 13,
    CreateContract: 30,
    TriggerContract: 31,
    PermissionUpdate: 46,
    FreezeV2: 54,
    UnfreezeV2: 55,
    WithdrawExpireUnfreeze: 56,
    Delegate: 57,
    Undelegate: 58,
    CancelAllUnfreezeV2: 59,
}
"""java-tron's ``ContractType``; also the bit of an active permission's operations."""

TYPE_NAMES: Final[dict[int, str]] = {
    0: "AccountCreateContract",
    1: "TransferContract",
    4: "VoteWitnessContract",
    13: "WithdrawBalanceContract",
    30: "CreateSmartContract",
    31: "TriggerSmartContract",
    46: "AccountPermissionUpdateContract",
    54: "FreezeBalanceV2Contract",
    55: "UnfreezeBalanceV2Contract",
    56: "WithdrawExpireUnfreezeContract",
    57: "DelegateResourceContract",
    58: "UnDelegateResourceContract",
    59: "CancelAllUnfreezeV2Contract",
}

VM_TYPES: Final = frozenset({30, 31})
"""Types that run in the virtual machine and so have a ``receipt.result``."""


def type_number_of(contract: Contract) -> int:
    """The number of the contract's type, for operations bits and messages."""
    if isinstance(contract, OtherContract):
        return contract.type_number
    return TYPE_NUMBERS[type(contract)]


def operations_of(*types: type) -> bytes:
    """The 32 operation bytes of an active permission that may sign just these contracts."""
    bits = bytearray(PERMISSION_OPERATIONS_BYTES)
    for each in types:
        index, bit = divmod(TYPE_NUMBERS[each], 8)
        bits[index] |= 1 << bit
    return bytes(bits)

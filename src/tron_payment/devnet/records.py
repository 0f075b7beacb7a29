"""The values of the state and how they are kept on disk. All amounts are sun, times chain time."""

from typing import Any, Final

import msgspec

BANDWIDTH: Final = 0
ENERGY: Final = 1
TRON_POWER: Final = 2
RESOURCES: Final = ("BANDWIDTH", "ENERGY", "TRON_POWER")


class Permission(msgspec.Struct, array_like=True, frozen=True):
    """Who may sign. `kind` is 0 owner, 1 witness, 2 active."""

    kind: int
    id: int
    name: str
    threshold: int
    operations: bytes
    keys: tuple[tuple[bytes, int], ...]


class Unfreezing(msgspec.Struct, array_like=True, frozen=True):
    """Stake on its way back; `expires_ms` is when it can be withdrawn."""

    resource: int
    amount: int
    expires_ms: int


class Usage(msgspec.Struct, array_like=True, frozen=True):
    """Use of a resource: the amount at slot `at`, and the window in which it recovers.

    `window` counts thousandths of a slot when `optimized`, slots otherwise; 0 is the full window.
    """

    amount: int = 0
    at: int = 0
    window: int = 0
    optimized: bool = False


class Account(msgspec.Struct, array_like=True):
    """An account. Copy before you change it (`copy.copy`)."""

    address: bytes
    balance: int = 0
    is_contract: bool = False
    name: bytes = b""
    create_time: int = 0
    latest_operation_time: int = 0
    net: Usage = Usage()
    energy: Usage = Usage()
    free_net: Usage = Usage()
    frozen: tuple[int, int, int] = (0, 0, 0)
    """Own stake that is not delegated, by resource."""
    delegated: tuple[int, int] = (0, 0)
    acquired: tuple[int, int] = (0, 0)
    unfreezing: tuple[Unfreezing, ...] = ()
    votes: tuple[tuple[bytes, int], ...] = ()
    allowance: int = 0
    latest_withdraw_time: int = 0
    is_witness: bool = False
    owner_permission: Permission | None = None
    witness_permission: Permission | None = None
    active_permissions: tuple[Permission, ...] = ()
    number: int = 0
    """Height of the block that made the account."""

    def staked(self, resource: int) -> int:
        """Own stake with what is delegated away."""
        return self.frozen[resource] + (self.delegated[resource] if resource < 2 else 0)

    def power(self) -> int:
        """Voting power: all own stake, delegated or not."""
        return sum(self.frozen) + sum(self.delegated)

    def yielding(self, resource: int) -> int:
        """The stake whose resource this account may use."""
        return self.frozen[resource] + self.acquired[resource]


class Contract(msgspec.Struct, array_like=True, frozen=True):
    """A deployed contract; `message` is its SmartContract without bytecode hash and code."""

    origin: bytes
    message: bytes
    consume_user_percent: int
    origin_energy_limit: int
    version: int
    code_hash: bytes


class ContractState(msgspec.Struct, array_like=True, frozen=True):
    """The dynamic energy model's memory of a contract."""

    cycle: int
    usage: int = 0
    factor: int = 0


class Delegation(msgspec.Struct, array_like=True, frozen=True):
    """Stake lent to another account; one record for the unlocked part, one for the locked."""

    bandwidth: int = 0
    energy: int = 0
    bandwidth_expires: int = 0
    energy_expires: int = 0


class Witness(msgspec.Struct, array_like=True, frozen=True):
    """A super representative."""

    url: str
    votes: int = 0
    produced: int = 0
    missed: int = 0
    latest_number: int = 0
    latest_slot: int = 0
    is_jobs: bool = True
    brokerage: int = 20


class Votes(msgspec.Struct, array_like=True, frozen=True):
    """Votes of an account before and after its changes in this cycle."""

    old: tuple[tuple[bytes, int], ...]
    new: tuple[tuple[bytes, int], ...]


_TYPES: Final[dict[bytes, Any]] = {
    b"a": Account,
    b"c": Contract,
    b"k": bytes,
    b"f": ContractState,
    b"d": Delegation,
    b"t": tuple[bytes, ...],
    b"o": tuple[bytes, ...],
    b"w": Witness,
    b"v": Votes,
    b"b": bytes,
    b"l": tuple[Any, ...],
}
_DECODERS: Final = {prefix: msgspec.msgpack.Decoder(kind) for prefix, kind in _TYPES.items()}
_ENCODER: Final = msgspec.msgpack.Encoder()
_INTEGERS: Final = frozenset((b"s", b"r", b"p"))


def encode_value(key: bytes, value: Any) -> bytes:
    """Bytes of a value of the key's table."""
    if key[:1] in _INTEGERS:
        assert isinstance(value, int)
        return value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True)
    return _ENCODER.encode(value)


def decode_value(key: bytes, raw: bytes) -> Any:
    prefix = key[:1]
    if prefix in _INTEGERS:
        return int.from_bytes(raw, "big", signed=True)
    return _DECODERS[prefix].decode(raw)

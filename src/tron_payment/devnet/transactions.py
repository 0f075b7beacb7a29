"""A transaction, decoded once when it arrives and kept as an object from then on."""

from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]

from tron_payment.devnet.errors import BadRequest, ContractInvalid
from tron_payment.devnet.keys import sha256
from tron_payment.devnet.proto import (
    CONTRACT_TYPES,
    MESSAGES,
    TYPE_URL,
    Message,
    Raw,
    Transaction,
)
from tron_payment.devnet.resources import MAX_RESULT_SIZE

ACCOUNT_CREATE: Final = 0
TRANSFER: Final = 1
CREATE_CONTRACT: Final = 30
TRIGGER_CONTRACT: Final = 31


@dataclass(slots=True, eq=False)
class Tx:
    """One transaction.

    Attributes:
        txid: sha256 of `raw`, the bytes of raw_data exactly as they came.
        message: The contract's message, of the type that `kind` numbers.
        size: Bytes that bandwidth is charged for.
        signers: Recovered addresses, in the order of the signatures; None until recovered.
    """

    txid: bytes
    raw: bytes
    signatures: tuple[bytes, ...]
    raw_message: Message
    contract_count: int
    kind: int
    message: Message
    owner: bytes
    permission_id: int
    size: int
    signers: tuple[bytes, ...] | None = field(default=None)

    @property
    def name(self) -> str:
        return CONTRACT_TYPES.get(self.kind, f"type {self.kind}")


def encode(raw: bytes, signatures: tuple[bytes, ...]) -> bytes:
    return bytes(Transaction(raw_data=raw, signature=signatures).SerializeToString())


def decode(data: bytes) -> Tx:
    """Read the bytes of a Transaction message.

    Raises:
        BadRequest: Not such bytes.
    """
    try:
        envelope = Transaction.FromString(data)
    except DecodeError as error:
        raise BadRequest(
            "Protocol message was invalid", "com.google.protobuf.InvalidProtocolBufferException"
        ) from error
    return of(bytes(envelope.raw_data), tuple(bytes(s) for s in envelope.signature))


def of(raw: bytes, signatures: tuple[bytes, ...]) -> Tx:
    """A transaction from its raw_data bytes and signatures.

    Raises:
        BadRequest: `raw` cannot be parsed.
        ContractInvalid: The contract's parameter cannot be parsed, or its type is unknown here.
    """
    try:
        message = Raw.FromString(raw)
    except DecodeError as error:
        raise BadRequest(
            "Protocol message was invalid", "com.google.protobuf.InvalidProtocolBufferException"
        ) from error
    kind, contract, owner, permission_id = -1, None, b"", 0
    if message.contract:
        first = message.contract[0]
        kind, permission_id = first.type, first.Permission_id
        cls = MESSAGES.get(CONTRACT_TYPES.get(kind, ""))
        if cls is None:
            raise ContractInvalid(f"contract type {kind} is not supported by this node")
        if not first.parameter.type_url.endswith("/protocol." + CONTRACT_TYPES[kind]):
            raise ContractInvalid(
                "contract type error, expected type [" + CONTRACT_TYPES[kind] + "]"
            )
        try:
            contract = cls.FromString(first.parameter.value)
        except DecodeError as error:
            raise ContractInvalid("Protocol message was invalid") from error
        owner = bytes(contract.owner_address)
    size = _encoded_size(raw, signatures) + MAX_RESULT_SIZE * len(message.contract)
    return Tx(
        txid=sha256(raw),
        raw=raw,
        signatures=signatures,
        raw_message=message,
        contract_count=len(message.contract),
        kind=kind,
        message=contract,
        owner=owner,
        permission_id=permission_id,
        size=size,
    )


def _encoded_size(raw: bytes, signatures: tuple[bytes, ...]) -> int:
    return sum(1 + _varint_size(len(part)) + len(part) for part in (raw, *signatures))


def _varint_size(value: int) -> int:
    return max(1, (value.bit_length() + 6) // 7)


def build_raw(
    kind: int,
    message: Message,
    *,
    ref_block_bytes: bytes,
    ref_block_hash: bytes,
    expiration: int,
    timestamp: int,
    fee_limit: int = 0,
    data: bytes = b"",
    permission_id: int = 0,
) -> bytes:
    """The bytes of raw_data for one contract. Times are milliseconds."""
    raw = Raw(
        ref_block_bytes=ref_block_bytes,
        ref_block_hash=ref_block_hash,
        expiration=expiration,
        timestamp=timestamp,
        fee_limit=fee_limit,
        data=data,
    )
    contract = raw.contract.add(type=kind, Permission_id=permission_id)
    contract.parameter.type_url = TYPE_URL + CONTRACT_TYPES[kind]
    contract.parameter.value = message.SerializeToString()
    return bytes(raw.SerializeToString())

"""A transaction's bytes: what is hashed, signed and sent.

``txid = sha256(raw_data)``. Everything here is our own, so that no node and no library decides
what we sign: `encode` makes the bytes, `decode` reads them back for the comparison before
signing, `read_contract` reads what others put into blocks.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tron_payment.chain import contracts as c
from tron_payment.chain.abi_json import InvalidAbi
from tron_payment.chain.contract_codec import decode_contract, encode_contract, owner_or_nobody
from tron_payment.chain.wire import (
    MalformedWire,
    bytes_field,
    each_bytes,
    int_field,
    last_bytes,
    last_int,
    last_int32,
    merged,
    message_field,
    read_fields,
)
from tron_payment.core.address import InvalidAddress

TYPE_URL: Final = b"type.googleapis.com/protocol."
RESULT_ALLOWANCE_BYTES: Final = 64
"""Added per contract to the size that bandwidth is charged for (BandwidthProcessor)."""

SIGNATURE_BYTES: Final = 65
UNREADABLE: Final = "Unreadable"
UNREADABLE_TYPE: Final = -1

_AFTER_PREFIX: Final = re.compile(rb"A(?=(.{20}))", re.DOTALL)
"""Takes only the prefix, so that places which overlap are found; begins with it, because a plain
byte is searched for eight times as fast."""


class MalformedRawData(ValueError):
    """These bytes are not a transaction of ours: they do not encode again to themselves."""


@dataclass(frozen=True, slots=True)
class RawData:
    """Everything that is signed. Times are chain milliseconds."""

    contract: c.Contract
    ref_block_bytes: bytes
    ref_block_hash: bytes
    expiration_ms: int
    timestamp_ms: int
    fee_limit_sun: int = 0
    memo: bytes = b""
    permission_id: int = 0


def encode(data: RawData) -> bytes:
    """The canonical bytes: ascending field numbers, defaults left out, as java-tron writes them."""
    number, name, value = encode_contract(data.contract)
    parameter = bytes_field(1, TYPE_URL + name.encode()) + bytes_field(2, value)
    contract = int_field(1, number) + message_field(2, parameter) + int_field(5, data.permission_id)
    return b"".join(
        (
            bytes_field(1, data.ref_block_bytes),
            bytes_field(4, data.ref_block_hash),
            int_field(8, data.expiration_ms),
            bytes_field(10, data.memo),
            message_field(11, contract),
            int_field(14, data.timestamp_ms),
            int_field(18, data.fee_limit_sun),
        )
    )


def decode(raw: bytes) -> RawData:
    """Read the bytes of a transaction strictly.

    Raises:
        MalformedRawData: Not readable, or anything in it would be lost: unknown fields, another
            order, two contracts.
    """
    try:
        fields = read_fields(raw)
        outer = each_bytes(fields, 11)
        if len(outer) != 1:
            raise MalformedRawData(f"{len(outer)} contracts")
        number, _, name, value, permission_id = _open(outer[0])
        data = RawData(
            contract=decode_contract(number, name, value),
            ref_block_bytes=last_bytes(fields, 1),
            ref_block_hash=last_bytes(fields, 4),
            expiration_ms=last_int(fields, 8),
            timestamp_ms=last_int(fields, 14),
            fee_limit_sun=last_int(fields, 18),
            memo=last_bytes(fields, 10),
            permission_id=permission_id,
        )
        again = encode(data)
    except (MalformedWire, InvalidAddress, InvalidAbi, UnicodeError, IndexError) as error:
        raise MalformedRawData(str(error)) from None
    if again != raw:
        raise MalformedRawData("the bytes do not encode again to themselves")
    return data


def read_contract(raw: bytes) -> c.Contract:
    """Read the contract of a transaction that the chain has accepted; never raises.

    Bytes that even java-tron's parser would refuse, or addresses of another form (as in a genesis
    block), come back as an `OtherContract` with the bytes in it.
    """
    try:
        number, _, name, value, _ = _open(each_bytes(read_fields(raw), 11)[0])
    except (MalformedWire, IndexError):
        return c.OtherContract(c.NOBODY, UNREADABLE_TYPE, UNREADABLE, raw)
    try:
        return decode_contract(number, name, value)
    except (MalformedWire, InvalidAddress, InvalidAbi, IndexError):
        return c.OtherContract(owner_or_nobody(number, value), number, name, value)


def read_envelope(raw: bytes) -> tuple[int, bytes]:
    """The type number and the contract's message, undecoded; ``(-1, b"")`` when unreadable."""
    try:
        number, _, _, value, _ = _open(each_bytes(read_fields(raw), 11)[0])
    except (MalformedWire, IndexError):
        return UNREADABLE_TYPE, b""
    return number, value


def read_parties(raw: bytes) -> list[bytes]:
    """The last 20 bytes of every address in the bytes, and rarely of something like one.

    An address is 21 bytes in a row that begin with 0x41, wherever and however it is encoded; so
    all the places after a 0x41 contain every address there is, and finding them is fast.
    """
    return _AFTER_PREFIX.findall(raw)


def read_memo(raw: bytes) -> bytes:
    """The memo of an accepted transaction, empty when it has none."""
    try:
        return last_bytes(read_fields(raw), 10)
    except MalformedWire:
        return b""


def read_expiration_ms(raw: bytes) -> int:
    """The chain time at which the transaction dies; 0 when unreadable."""
    try:
        return last_int(read_fields(raw), 8)
    except MalformedWire:
        return 0


def txid(raw: bytes) -> str:
    """64 hex digits: sha256 of the bytes. Signatures sign this very hash."""
    return hashlib.sha256(raw).hexdigest()


def signed(raw: bytes, signatures: Sequence[bytes]) -> bytes:
    """The whole ``Transaction`` message, for `broadcast`."""
    return message_field(1, raw) + b"".join(message_field(2, each) for each in signatures)


def split_signed(transaction: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Raw data and signatures of a ``Transaction`` message, as a co-signer hands it over.

    Raises:
        MalformedRawData: Not such a message, or more in it than these two.
    """
    try:
        fields = read_fields(transaction)
    except MalformedWire as error:
        raise MalformedRawData(str(error)) from None
    raw, signatures = merged(fields, 1), tuple(each_bytes(fields, 2))
    if signed(raw, signatures) != transaction:
        raise MalformedRawData("the transaction has more parts than raw data and signatures")
    return raw, signatures


def bandwidth_bytes(raw: bytes, n_signatures: int) -> int:
    """The bytes that bandwidth is charged for, with this many signatures of 65 bytes."""
    return len(signed(raw, [bytes(SIGNATURE_BYTES)] * n_signatures)) + RESULT_ALLOWANCE_BYTES


def reference(block_number: int, block_id: str) -> tuple[bytes, bytes]:
    """``ref_block_bytes`` and ``ref_block_hash`` that tie a transaction to a (solid) block.

    Args:
        block_number: Its low 16 bits are taken.
        block_id: 64 hex digits; bytes 8 to 15 are taken.
    """
    identity = bytes.fromhex(block_id)
    assert len(identity) == 32 and int.from_bytes(identity[:8]) == block_number
    return (block_number & 0xFFFF).to_bytes(2), identity[8:16]


def _open(contract: bytes) -> tuple[int, bytes, str, bytes, int]:
    """Type number, type URL, its name, value and permission id of a ``Contract`` message."""
    fields = read_fields(contract)
    parameter = read_fields(merged(fields, 2))
    url = last_bytes(parameter, 1)
    name = url.rpartition(b".")[2].decode(errors="replace")
    return last_int32(fields, 1), url, name, last_bytes(parameter, 2), last_int32(fields, 5)

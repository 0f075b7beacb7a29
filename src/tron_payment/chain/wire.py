"""Protocol buffers on the wire: just enough to write and read TRON's transactions.

The reader follows the official parsers to the letter (last value wins, unknown fields and groups
are skipped, 64-bit wrap-around), because what it reads on the chain was accepted by one of them.
"""

from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
GROUP: Final = 3
GROUP_END: Final = 4
FIXED32: Final = 5

INT64_MAX: Final = 2**63 - 1
_VARINT_BYTES_MAX: Final = 10
_GROUP_DEPTH_MAX: Final = 100
_U64: Final = 2**64 - 1
_U32: Final = 2**32 - 1


class MalformedWire(ValueError):
    """These bytes are not a protocol buffers message."""


def bytes_of_hex(text: str) -> bytes:
    """What a node writes in hex digits; any number of them, and nothing else.

    Raises:
        ValueError: Something else in it, such as the blanks that `bytes.fromhex` passes over.
    """
    raw = bytes.fromhex(text)
    if 2 * len(raw) != len(text):
        raise ValueError("blanks among hex digits")
    return raw


Fields = list[tuple[int, int | bytes]]
"""Field number and value; an int came as a varint, bytes came length-delimited."""


def varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; a negative number takes ten bytes."""
    value &= _U64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def int_field(number: int, value: int) -> bytes:
    """An integer, enum or bool; nothing when it is the default, as proto3 writes it."""
    return varint(number << 3) + varint(value) if value else b""


def bytes_field(number: int, value: bytes) -> bytes:
    """Bytes or text; nothing when empty."""
    return message_field(number, value) if value else b""


def message_field(number: int, value: bytes) -> bytes:
    """An embedded message; an empty one is written too, because it is there."""
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def read_fields(raw: bytes) -> Fields:
    """Every varint and length-delimited field in order; the others are skipped.

    Raises:
        MalformedWire: Where the official parsers would refuse.
    """
    fields: Fields = []
    position, end = 0, len(raw)
    while position < end:
        tag = raw[position]
        position += 1
        if tag > 0x7F:
            tag, position = _read_varint(raw, position - 1)
            tag &= _U32
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise MalformedWire("field number 0")
        if kind == BYTES:
            if position < end and raw[position] < 0x80:
                size = raw[position]
                position += 1
            else:
                size, position = _read_varint(raw, position)
                size &= _U32
            start, position = position, position + size
            if position > end:
                raise MalformedWire("a field is longer than its message")
            fields.append((number, raw[start:position]))
        elif kind == VARINT:
            value, position = _read_varint(raw, position)
            fields.append((number, value))
        else:
            position = _skip(raw, position, number, kind)
    return fields


def last_int(fields: Fields, number: int) -> int:
    """The field as int64, 0 when it is not there."""
    value = 0
    for at, found in fields:
        if at == number and isinstance(found, int):
            value = found
    return value - 2**64 if value > INT64_MAX else value


def last_int32(fields: Fields, number: int) -> int:
    """The field as int32 or enum, 0 when it is not there."""
    value = last_int(fields, number) & _U32
    return value - 2**32 if value >= 2**31 else value


def last_bytes(fields: Fields, number: int) -> bytes:
    """The field as bytes, empty when it is not there."""
    value = b""
    for at, found in fields:
        if at == number and isinstance(found, bytes):
            value = found
    return value


def each_bytes(fields: Fields, number: int) -> list[bytes]:
    """A repeated field of bytes or messages."""
    return [found for at, found in fields if at == number and isinstance(found, bytes)]


def merged(fields: Fields, number: int) -> bytes:
    """A single embedded message: parsers merge repeated ones, which is to join their bytes."""
    return b"".join(each_bytes(fields, number))


def _read_varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    for byte in raw[position : position + _VARINT_BYTES_MAX]:
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value & _U64, position
        shift += 7
    raise MalformedWire("a number does not end")


def _skip(raw: bytes, position: int, number: int, kind: int, depth: int = 0) -> int:
    """Where the field of an unused kind ends."""
    if kind == FIXED64:
        position += 8
    elif kind == FIXED32:
        position += 4
    elif kind == VARINT:
        _, position = _read_varint(raw, position)
    elif kind == BYTES:
        size, position = _read_varint(raw, position)
        position += size & _U32
    elif kind == GROUP and depth < _GROUP_DEPTH_MAX:
        while True:
            tag, position = _read_varint(raw, position)
            inner, inner_kind = (tag & _U32) >> 3, tag & 7
            if inner_kind == GROUP_END:
                if inner != number:
                    raise MalformedWire("a group ends as another")
                break
            position = _skip(raw, position, inner, inner_kind, depth + 1)
    else:
        raise MalformedWire(f"wire type {kind}")
    if position > len(raw):
        raise MalformedWire("a field is longer than its message")
    return position

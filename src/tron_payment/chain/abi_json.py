"""A contract's ABI as the chain stores it: a small protocol buffers message, made from JSON.

The chain keeps names, types and flags and drops the rest (tuple components, internal types).
"""

import json
from functools import lru_cache
from typing import Any, Final

from tron_payment.chain import wire

_KINDS: Final = ("", "constructor", "function", "event", "fallback", "receive", "error")
_MUTABILITIES: Final = ("", "pure", "view", "nonpayable", "payable")
_CACHE_ENTRIES: Final = 64


class InvalidAbi(ValueError):
    """This is not the ABI of a contract."""


@lru_cache(_CACHE_ENTRIES)
def normal_abi(text: str) -> str:
    """The ABI reduced to what the chain keeps, as compact JSON.

    Args:
        text: A JSON list of entries as solc prints it, or ``{"entrys": [...]}`` as nodes do.

    Raises:
        InvalidAbi: Not JSON of this shape.
    """
    return read_abi(encode_abi(text))


@lru_cache(_CACHE_ENTRIES)
def encode_abi(text: str) -> bytes:
    """The ABI as the message ``SmartContract.ABI``.

    Raises:
        InvalidAbi: Not JSON of this shape.
    """
    try:
        loaded = json.loads(text) if text else []
        entries = loaded.get("entrys", []) if isinstance(loaded, dict) else loaded
        return b"".join(wire.message_field(1, _entry(entry)) for entry in entries)
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise InvalidAbi(f"not an ABI: {type(error).__name__}") from None


def read_abi(raw: bytes) -> str:
    """The message as compact JSON.

    Raises:
        MalformedWire: Not a message of this shape.
    """
    entries = [_read_entry(each) for each in wire.each_bytes(wire.read_fields(raw), 1)]
    return json.dumps(entries, separators=(",", ":"), ensure_ascii=False)


def _entry(entry: dict[str, Any]) -> bytes:
    return b"".join(
        (
            wire.int_field(1, bool(entry.get("anonymous"))),
            wire.int_field(2, bool(entry.get("constant"))),
            wire.bytes_field(3, str(entry.get("name", "")).encode()),
            *(wire.message_field(4, _parameter(each)) for each in entry.get("inputs", [])),
            *(wire.message_field(5, _parameter(each)) for each in entry.get("outputs", [])),
            wire.int_field(6, _KINDS.index(str(entry.get("type", "")).lower())),
            wire.int_field(7, bool(entry.get("payable"))),
            wire.int_field(8, _MUTABILITIES.index(str(entry.get("stateMutability", "")).lower())),
        )
    )


def _parameter(parameter: dict[str, Any]) -> bytes:
    return b"".join(
        (
            wire.int_field(1, bool(parameter.get("indexed"))),
            wire.bytes_field(2, str(parameter.get("name", "")).encode()),
            wire.bytes_field(3, str(parameter.get("type", "")).encode()),
        )
    )


def _read_entry(raw: bytes) -> dict[str, Any]:
    fields = wire.read_fields(raw)
    entry: dict[str, Any] = {}
    if kind := wire.last_int32(fields, 6):
        entry["type"] = _name(_KINDS, kind)
    if name := wire.last_bytes(fields, 3):
        entry["name"] = name.decode(errors="replace")
    for key, number in (("inputs", 4), ("outputs", 5)):
        if parameters := wire.each_bytes(fields, number):
            entry[key] = [_read_parameter(each) for each in parameters]
    if mutability := wire.last_int32(fields, 8):
        entry["stateMutability"] = _name(_MUTABILITIES, mutability)
    for key, number in (("anonymous", 1), ("constant", 2), ("payable", 7)):
        if wire.last_int(fields, number):
            entry[key] = True
    return entry


def _read_parameter(raw: bytes) -> dict[str, Any]:
    fields = wire.read_fields(raw)
    parameter: dict[str, Any] = {}
    if wire.last_int(fields, 1):
        parameter["indexed"] = True
    for key, number in (("name", 2), ("type", 3)):
        if text := wire.last_bytes(fields, number):
            parameter[key] = text.decode(errors="replace")
    return parameter


def _name(names: tuple[str, ...], number: int) -> str:
    """An enum's name; one that we do not know reads as the unknown one."""
    return names[number] if 0 <= number < len(names) else ""

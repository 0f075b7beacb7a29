"""Solidity's ABI with our addresses: base58 text outside, 20-byte words inside.

The encoding itself is eth-abi's, which is imported when something is encoded for the first time:
it brings a sixth of what a start of the service imports. An address word with the 41 prefix would
be refused by the contracts (solc's decoder checks the high bits), so it is cut off here and nowhere
else.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from Crypto.Hash import keccak

from tron_payment.core.address import Address, address_bytes, address_of, parse_address

WORD: Final = 32
BARE_ADDRESS: Final = 20
_ADDRESSES_CACHED: Final = 65_536


class Undecodable(ValueError):
    """Data that are not of the types that were asked for."""


def keccak256(data: bytes) -> bytes:
    """The hash of Ethereum and TRON (not SHA3-256)."""
    return keccak.new(digest_bits=256, data=data).digest()


@lru_cache(_ADDRESSES_CACHED)
def bare_address(address: Address) -> bytes:
    """The 20 bytes that a contract sees.

    Raises:
        InvalidAddress: Not the text of a TRON address.
    """
    return address_bytes(parse_address(address))[1:]


def words(*values: bytes | int | Address) -> bytes:
    """``abi.encode`` of bytes32, uint256 and address values: each is one word.

    Raises:
        OverflowError: A number is negative or has more than 256 bits.
        InvalidAddress: Text for an address that is none.
    """
    out = bytearray()
    for value in values:
        if isinstance(value, int):
            out += value.to_bytes(WORD, "big")
        elif isinstance(value, bytes):
            assert len(value) == WORD, "bytes32 has 32 bytes"
            out += value
        else:
            out += bare_address(value).rjust(WORD, b"\0")
    return bytes(out)


def type_of(parameter: Mapping[str, Any]) -> str:
    """The canonical type: ``tuple[]`` becomes ``(bytes32,address,...)[]``."""
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    return types_of(parameter["components"]) + kind.removeprefix("tuple")


def types_of(parameters: Sequence[Mapping[str, Any]]) -> str:
    """The canonical types in brackets, as in a signature."""
    return "(" + ",".join(type_of(parameter) for parameter in parameters) + ")"


def encode(parameters: Sequence[Mapping[str, Any]], values: Sequence[object]) -> bytes:
    """The values as call data; ``values`` are int, bool, bytes, str, Address, lists, tuples.

    Raises:
        TypeError: Another number of values than parameters.
        eth_abi.exceptions.EncodingError: A value does not fit its type.
        InvalidAddress: Text for an address that is none.
    """
    if len(parameters) != len(values):
        raise TypeError(f"{len(parameters)} values are needed, not {len(values)}")
    inner = [
        _inward(type_of(each), each.get("components"), value)
        for each, value in zip(parameters, values, strict=True)
    ]
    from eth_abi import abi

    return abi.encode([type_of(each) for each in parameters], inner)


def decode(parameters: Sequence[Mapping[str, Any]], data: bytes) -> tuple[Any, ...]:
    """The values in ``data``, addresses as `Address`.

    Raises:
        Undecodable: The data are not of these types.
    """
    from eth_abi import abi
    from eth_abi.exceptions import DecodingError

    try:
        values = abi.decode([type_of(each) for each in parameters], data)
    except DecodingError as error:
        raise Undecodable(str(error)) from error
    return tuple(
        _outward(type_of(each), each.get("components"), value)
        for each, value in zip(parameters, values, strict=True)
    )


def _inward(kind: str, components: Sequence[Mapping[str, Any]] | None, value: Any) -> Any:
    if kind.endswith("]"):
        element = kind[: kind.rindex("[")]
        return [_inward(element, components, each) for each in value]
    if components is not None:
        return tuple(
            _inward(type_of(each), each.get("components"), item)
            for each, item in zip(components, value, strict=True)
        )
    return bare_address(value) if kind == "address" else value


def _outward(kind: str, components: Sequence[Mapping[str, Any]] | None, value: Any) -> Any:
    if kind.endswith("]"):
        element = kind[: kind.rindex("[")]
        return tuple(_outward(element, components, each) for each in value)
    if components is not None:
        return tuple(
            _outward(type_of(each), each.get("components"), item)
            for each, item in zip(components, value, strict=True)
        )
    return address_of(bytes.fromhex(value.removeprefix("0x"))) if kind == "address" else value

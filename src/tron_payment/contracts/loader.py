"""Read the artifacts that ship in the wheel and speak their ABI.

ABIs are pinned here: one that a node hands out is never used (reliability of the signing path).
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final, Literal, Self

from tron_payment.contracts.codec import (
    WORD,
    Undecodable,
    decode,
    encode,
    keccak256,
    types_of,
)

ContractName = Literal["TestUSDT", "PayoutRouterV0", "PayoutRouterKYC", "RecipientScreen"]

SELECTOR_LENGTH: Final = 4
_HASH_LENGTH: Final = {"function": SELECTOR_LENGTH, "error": SELECTOR_LENGTH, "event": WORD}

# What solc itself reverts with: require(..., "text") and failed assertions or overflows.
_BUILT_IN_ERRORS: Final[tuple[Mapping[str, Any], ...]] = (
    {"type": "error", "name": "Error", "inputs": [{"name": "message", "type": "string"}]},
    {"type": "error", "name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
)


class UnknownEntry(LookupError):
    """The ABI has no such function, event or error, or several of that name."""


@dataclass(frozen=True, slots=True)
class Event:
    """A decoded log: ``args`` by parameter name; bytes32 as bytes, addresses as `Address`."""

    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Revert:
    """Why a call was reverted: a custom error's name, or ``Error`` or ``Panic``."""

    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract.

    ``selectors`` and ``topics`` are by canonical signature, such as
    ``transfer(address,uint256)``; every method takes the bare name too while it is unambiguous.
    """

    contract: str
    abi: tuple[Mapping[str, Any], ...]
    bytecode: bytes
    compiler: str
    source_sha256: str
    sources: Mapping[str, str]
    selectors: Mapping[str, bytes] = field(repr=False)
    topics: Mapping[str, bytes] = field(repr=False)
    _entries: Mapping[tuple[str, str], Mapping[str, Any]] = field(repr=False)
    _by_hash: Mapping[tuple[str, bytes], Mapping[str, Any]] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an artifact's JSON."""
        raw = json.loads(text)
        abi = tuple(raw["abi"])
        named = [entry for entry in (*abi, *_BUILT_IN_ERRORS) if "name" in entry]
        hashes = {_signature(entry): keccak256(_signature(entry).encode()) for entry in named}
        return cls(
            contract=raw["contract"],
            abi=abi,
            bytecode=bytes.fromhex(raw["bytecode"]),
            compiler=raw["compiler"],
            source_sha256=raw["source_sha256"],
            sources=raw["sources"],
            selectors={
                _signature(entry): hashes[_signature(entry)][:SELECTOR_LENGTH]
                for entry in abi
                if entry["type"] == "function"
            },
            topics={
                _signature(entry): hashes[_signature(entry)]
                for entry in abi
                if entry["type"] == "event"
            },
            _entries=_by_name(named),
            _by_hash={
                (entry["type"], hashes[_signature(entry)][: _HASH_LENGTH[entry["type"]]]): entry
                for entry in named
            },
        )

    def selector(self, function: str) -> bytes:
        """The 4 bytes that a call begins with."""
        return self.selectors[_signature(self._entry("function", function))]

    def topic(self, event: str) -> bytes:
        """The 32 bytes of the event's first topic."""
        return self.topics[_signature(self._entry("event", event))]

    def constructor_data(self, *args: object) -> bytes:
        """The constructor's arguments, to be put behind the bytecode."""
        for each in self.abi:
            if each["type"] == "constructor":
                return encode(each["inputs"], args)
        return encode([], args)

    def init_code(self, *args: object) -> bytes:
        """What a CreateSmartContract carries: bytecode and constructor arguments."""
        return self.bytecode + self.constructor_data(*args)

    def call_data(self, function: str, *args: object) -> bytes:
        """Selector and arguments of a call."""
        return self.selector(function) + encode(self._entry("function", function)["inputs"], args)

    def decode_call(self, data: bytes) -> tuple[str, tuple[Any, ...]]:
        """Name and arguments of call data; for reading back what is about to be signed.

        Raises:
            UnknownEntry: Another contract's call, or arguments not in their one canonical form.
        """
        entry = self._by_hash.get(("function", data[:SELECTOR_LENGTH]))
        if entry is None:
            raise UnknownEntry(f"{self.contract} has no function {data[:SELECTOR_LENGTH].hex()}")
        try:
            args = decode(entry["inputs"], data[SELECTOR_LENGTH:])
        except Undecodable as error:
            raise UnknownEntry(f"malformed call of {entry['name']}") from error
        if encode(entry["inputs"], args) != data[SELECTOR_LENGTH:]:
            raise UnknownEntry(f"call of {entry['name']} is not canonical")
        return entry["name"], args

    def decode_output(self, function: str, data: bytes) -> tuple[Any, ...]:
        """The values that a function returned."""
        return decode(self._entry("function", function)["outputs"], data)

    def decode_log(self, topics: Sequence[bytes], data: bytes) -> Event | None:
        """The event in a log, or None when it is not one of this contract's.

        Topics say nothing about who emitted them: compare the log's address yourself.
        """
        entry = self._by_hash.get(("event", topics[0])) if topics else None
        if entry is None:
            return None
        indexed = [parameter for parameter in entry["inputs"] if parameter["indexed"]]
        plain = [parameter for parameter in entry["inputs"] if not parameter["indexed"]]
        if len(topics) != 1 + len(indexed):
            return None
        try:
            args = dict(zip((p["name"] for p in plain), decode(plain, data), strict=True))
            for parameter, topic in zip(indexed, topics[1:], strict=True):
                args[parameter["name"]] = decode([parameter], topic)[0]
        except Undecodable:
            return None
        return Event(entry["name"], {p["name"]: args[p["name"]] for p in entry["inputs"]})

    def decode_revert(self, output: bytes) -> Revert | None:
        """The error in the output of a reverted call, or None for a bare revert."""
        entry = self._by_hash.get(("error", output[:SELECTOR_LENGTH]))
        if entry is None:
            return None
        try:
            values = decode(entry["inputs"], output[SELECTOR_LENGTH:])
        except Undecodable:
            return None
        names = (parameter["name"] for parameter in entry["inputs"])
        return Revert(entry["name"], dict(zip(names, values, strict=True)))

    def _entry(self, kind: str, name: str) -> Mapping[str, Any]:
        entry = self._entries.get((kind, name))
        if entry is None:
            raise UnknownEntry(f"{self.contract} has no {kind} {name}, or several")
        return entry


@cache
def artifact(name: ContractName) -> Artifact:
    """The contract of that name, as compiled and committed."""
    file = resources.files("tron_payment.contracts") / "artifacts" / f"{name}.json"
    return Artifact.parse(file.read_text(encoding="utf-8"))


def _signature(entry: Mapping[str, Any]) -> str:
    return f"{entry['name']}{types_of(entry['inputs'])}"


def _by_name(
    entries: Sequence[Mapping[str, Any]],
) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Entries by kind and signature, and by kind and bare name where that is unambiguous."""
    found = {(entry["type"], _signature(entry)): entry for entry in entries}
    counts = Counter((entry["type"], entry["name"]) for entry in entries)
    return found | {
        (entry["type"], entry["name"]): entry
        for entry in entries
        if counts[entry["type"], entry["name"]] == 1
    }

"""Events and tokens of contracts, read with the ABI that was deployed with them."""

from dataclasses import dataclass
from typing import Any, Final

from tron_payment.devnet import abi, vm
from tron_payment.devnet.chain import Chain
from tron_payment.devnet.errors import Refusal
from tron_payment.devnet.keys import ZERO_ADDRESS, keccak
from tron_payment.devnet.proto import SmartContract
from tron_payment.devnet.receipts import LogRecord
from tron_payment.devnet.records import Contract
from tron_payment.devnet.state import CONTRACT, Overlay

EVENT_TYPE: Final = 3
_SELECTORS: Final = {"symbol": "95d89b41", "name": "06fdde03", "decimals": "313ce567"}
_BALANCE_OF: Final = bytes.fromhex("70a08231")


@dataclass(frozen=True, slots=True)
class Event:
    """One event of an ABI: parameters as (name, type, indexed)."""

    name: str
    inputs: tuple[tuple[str, str, bool], ...]

    @property
    def topic(self) -> bytes:
        return keccak(f"{self.name}({','.join(kind for _, kind, _ in self.inputs)})".encode())

    @property
    def text(self) -> str:
        """``Transfer(address indexed from, ...)``."""
        parts = (
            f"{kind} indexed {name}" if indexed else f"{kind} {name}"
            for name, kind, indexed in self.inputs
        )
        return f"{self.name}({', '.join(parts)})"


class Events:
    """Remembers the events of contracts and the facts of tokens."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._events: dict[bytes, dict[bytes, Event]] = {}
        self._tokens: dict[bytes, dict[str, Any]] = {}

    def of(self, contract: bytes, log: LogRecord) -> Event | None:
        """The event of a log, by its first topic."""
        if contract not in self._events:
            self._events[contract] = self._read(contract)
        return self._events[contract].get(log.topics[0]) if log.topics else None

    def _read(self, contract: bytes) -> dict[bytes, Event]:
        record: Contract | None = self._chain.base.get(CONTRACT + contract)
        if record is None:
            return {}
        abi = SmartContract.FromString(record.message).abi
        events = (
            Event(entry.name, tuple((p.name, p.type, p.indexed) for p in entry.inputs))
            for entry in abi.entrys
            if entry.type == EVENT_TYPE
        )
        return {event.topic: event for event in events}

    def token(self, contract: bytes) -> dict[str, Any]:
        """``token_info`` of a TRC-20 contract, without its address."""
        known = self._tokens.get(contract)
        if known is None:
            known = self._tokens[contract] = {
                "symbol": self._ask(contract, "symbol", "string", ""),
                "decimals": self._ask(contract, "decimals", "uint256", 0),
                "name": self._ask(contract, "name", "string", ""),
            }
        return known

    def _ask(self, contract: bytes, name: str, kind: str, default: Any) -> Any:
        output = self._call(contract, bytes.fromhex(_SELECTORS[name]))
        values = abi.decode([kind], output)
        return default if values is None else values[0]

    def balance(self, contract: bytes, owner: bytes) -> int:
        """Units of a token that an account holds; 0 when the contract does not say."""
        output = self._call(contract, _BALANCE_OF + owner[1:].rjust(32, b"\0"))
        return int.from_bytes(output, "big") if len(output) == 32 else 0

    def _call(self, contract: bytes, data: bytes) -> bytes:
        overlay = Overlay(self._chain.base.get)
        try:
            outcome = vm.call_constant(
                overlay,
                self._chain.environment(),
                owner=ZERO_ADDRESS,
                contract=contract,
                data=data,
                value=0,
            )
        except Refusal:
            return b""
        return outcome.output if outcome.succeeded else b""


def values(event: Event, log: LogRecord) -> dict[str, str]:
    """Parameters by position and by name: numbers in decimal, addresses as 0x and 20 bytes."""
    topics = iter(log.topics[1:])
    plain = [kind for _, kind, indexed in event.inputs if not indexed]
    decoded = abi.decode(plain, log.data)
    if decoded is None:
        return {}
    rest = iter(decoded)
    shown: dict[str, str] = {}
    for index, (name, kind, indexed) in enumerate(event.inputs):
        text = _topic(next(topics, b""), kind) if indexed else _text(next(rest))
        shown[str(index)] = text
        if name:
            shown[name] = text
    return shown


def _topic(topic: bytes, kind: str) -> str:
    """An indexed parameter; of a dynamic type only its hash is there."""
    if kind in ("string", "bytes") or kind.endswith("]") or kind.startswith("("):
        return topic.hex()
    decoded = abi.decode([kind], topic)
    return topic.hex() if decoded is None else _text(decoded[0])


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    return str(value)

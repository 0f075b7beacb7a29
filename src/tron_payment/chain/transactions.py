"""A transaction in a solidified block with its receipt, decoded when it is asked for.

A block of the main net holds hundreds of transactions of which few concern us.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Any, Final, NamedTuple, Self

import msgspec

from tron_payment.chain.answers import InternalPart, Receipt, ReceiptPart
from tron_payment.chain.contract_codec import read_owner
from tron_payment.chain.contracts import NOBODY, VM_TYPES, Contract
from tron_payment.chain.internal import (
    INTERNAL_MAX,
    InternalMove,
    InternalTransfer,
    internal_transfers,
    kept,
    moves_touching,
    transfer,
)
from tron_payment.chain.raw_data import (
    read_contract,
    read_envelope,
    read_expiration_ms,
    read_memo,
    read_parties,
)
from tron_payment.chain.wire import bytes_of_hex
from tron_payment.core.address import (
    Address,
    InvalidAddress,
    address_of,
    address_of_hex,
    bare_digits,
    bare_of_hex,
)

SUCCESS: Final = "SUCCESS"
TRANSFER_TOPIC: Final = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""keccak256 of ``Transfer(address,address,uint256)``."""

LATE_INDEX: Final = 1_000_000
"""Places of `late_internal` in a block, behind all that a block can hold."""

_WORD_HEX: Final = 64
_ADDRESS_PADDING_HEX: Final = 24
_BARE: Final = 20
_PADDING: Final = "0" * _ADDRESS_PADDING_HEX


class Log(NamedTuple):
    """An event of a contract."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes


class TokenTransfer(NamedTuple):
    """A well-formed Transfer event; which tokens count is the caller's business."""

    log_index: int
    token: Address
    sender: Address
    recipient: Address
    units: int


class SolidTransaction:
    """A transaction with its receipt. Amounts in sun; decoded when asked."""

    def __init__(
        self,
        raw: bytes,
        receipt: Receipt,
        index: int = 0,
        *,
        internal_proved: bool = True,
        internal_told_by: Sequence[str] = (),
    ) -> None:
        self.raw: Final = raw
        self.receipt: Final = receipt
        self.index: Final = index
        """Position in the block."""

        self._internal_proved = internal_proved
        """Whether as many nodes as have to agree say what contracts have moved."""

        self.internal_told_by: Final = tuple(internal_told_by)
        """Aliases of the nodes that say so, sorted; empty where one node alone is believed."""

    def __repr__(self) -> str:
        return f"SolidTransaction({self.txid}, {self.result})"

    @property
    def txid(self) -> str:
        return self.receipt.id

    @cached_property
    def _envelope(self) -> tuple[int, bytes]:
        return read_envelope(self.raw)

    @property
    def type_number(self) -> int:
        """java-tron's contract type; -1 when unreadable."""
        return self._envelope[0]

    @cached_property
    def contract(self) -> Contract:
        return read_contract(self.raw)

    @cached_property
    def owner(self) -> Address:
        """Who pays and signs."""
        try:
            return address_of(read_owner(*self._envelope))
        except InvalidAddress:
            return NOBODY

    @property
    def succeeded(self) -> bool:
        return self.result == SUCCESS

    @property
    def result(self) -> str:
        """``SUCCESS``, ``REVERT``, ``OUT_OF_ENERGY``...; system contracts have none, and succeed
        because failing ones are not put into blocks."""
        stated = self.receipt.receipt.result
        if self.receipt.result:
            return stated if stated not in ("", SUCCESS) else self.receipt.result
        if stated:
            return stated
        return "DEFAULT" if self.type_number in VM_TYPES else SUCCESS

    @property
    def fee_sun(self) -> int:
        """All that was burned: system fee, bandwidth, energy, memo, several signatures."""
        return self.receipt.fee_sun

    @property
    def energy_usage(self) -> int:
        """Energy from the owner's stake."""
        return self.receipt.receipt.energy_usage

    @property
    def energy_fee_sun(self) -> int:
        return self.receipt.receipt.energy_fee_sun

    @property
    def origin_energy(self) -> int:
        """Energy paid by the contract's creator."""
        return self.receipt.receipt.origin_energy

    @property
    def energy_total(self) -> int:
        return self.receipt.receipt.energy_total

    @property
    def net_usage(self) -> int:
        return self.receipt.receipt.net_usage

    @property
    def net_fee_sun(self) -> int:
        return self.receipt.receipt.net_fee_sun

    @property
    def withdraw_amount_sun(self) -> int:
        """The reward that was claimed."""
        return self.receipt.withdraw_amount_sun

    @property
    def withdraw_expire_sun(self) -> int:
        """Unstaked TRX that came back to the balance."""
        return self.receipt.withdraw_expire_sun

    @property
    def cancel_unfreeze(self) -> tuple[tuple[str, int], ...]:
        """Resource and sun that were staked again."""
        return tuple((each.key, each.value) for each in self.receipt.cancel_unfreeze)

    @property
    def contract_address(self) -> Address | None:
        """The called or created contract."""
        try:
            return address_of_hex(self.receipt.contract_address)
        except InvalidAddress:
            return None

    @cached_property
    def memo(self) -> bytes:
        return read_memo(self.raw)

    @property
    def expiration_ms(self) -> int:
        return read_expiration_ms(self.raw)

    @property
    def output(self) -> bytes:
        """What a contract returned or reverted with."""
        results = self.receipt.contract_result
        return _bytes(results[0]) if results else b""

    @cached_property
    def logs(self) -> tuple[Log, ...]:
        return tuple(
            Log(
                _address(each.address), tuple(_bytes(topic) for topic in each.topics),
                _bytes(each.data),
            )
            for each in self.receipt.log
        )  # fmt: skip

    @cached_property
    def _told(self) -> tuple[InternalTransfer, ...]:
        return internal_transfers(self.receipt)

    @property
    def internal(self) -> tuple[InternalTransfer, ...]:
        """TRX moved by contracts, TRC-10 tokens and stakes left out; at most `INTERNAL_MAX`."""
        return self._told if self._internal_proved and len(self._told) <= INTERNAL_MAX else ()

    @property
    def unproved(self) -> tuple[InternalTransfer, ...]:
        """TRX that too few nodes say contracts have moved, or more than there can be: told, and
        believed by nobody."""
        return () if self.internal else self._told

    def told_of(self, parties: AbstractSet[bytes]) -> tuple[InternalMove, ...]:
        """Those of `internal` and `unproved` to or from one of these, the last 20 bytes of each."""
        return moves_touching(self.receipt, parties)

    def as_if_proved(self, parties: AbstractSet[bytes], most: int) -> Self:
        """The same as if what is told of these were true, so many of them at most. For screens: no
        book may rest on it."""
        return self.with_internal(kept(map(transfer, self.told_of(parties)[:most])))

    def internal_parts(self) -> list[dict[str, Any]]:
        """`internal`, to be kept; `with_internal` reads it again."""
        return kept(self.internal)

    def with_internal(self, parts: Sequence[Mapping[str, Any]]) -> Self:
        """The same with these internal transactions, which are proved."""
        return self._telling(msgspec.convert(parts, list[InternalPart]), proved=True)

    def without_internal(self) -> Self:
        """The same with what contracts have moved told and believed by nobody."""
        return self._telling(self.receipt.internal_transactions, proved=False)

    def _telling(self, parts: list[InternalPart], *, proved: bool) -> Self:
        receipt = msgspec.structs.replace(self.receipt, internal_transactions=parts)
        return type(self)(
            self.raw,
            receipt,
            self.index,
            internal_proved=proved,
            internal_told_by=self.internal_told_by,
        )

    def parties(self) -> list[bytes]:
        """The 20 bytes of every address that money may have moved to or from, with repeats and
        perhaps more than those."""
        found: list[bytes | None] = [*read_parties(self.raw)]
        for log in self.receipt.log:
            for topic in log.topics:
                if _is_address_word(topic):
                    found.append(bare_of_hex(topic[_ADDRESS_PADDING_HEX:]))
        for internal in self.receipt.internal_transactions:
            found += (bare_of_hex(internal.caller), bare_of_hex(internal.to))
        return [each for each in found if each is not None]


def late_internal(
    txid: str, parts: Sequence[Mapping[str, Any]], block_number: int, place: int
) -> SolidTransaction:
    """What contracts moved in an earlier block, to be booked with this one: nothing else of that
    transaction is in it, neither fee nor bytes.

    Args:
        parts: `SolidTransaction.internal_parts`.
        place: Among others like it in the block.
    """
    receipt = Receipt(
        id=txid,
        block_number=block_number,
        receipt=ReceiptPart(result=SUCCESS),
        internal_transactions=msgspec.convert(parts, list[InternalPart]),
    )
    return SolidTransaction(b"", receipt, LATE_INDEX + place)


def all_parties(transactions: Sequence[SolidTransaction]) -> set[bytes]:
    """The parties of all of them together, in a third of the time: bytes are searched and digits
    read at once. What two neighbours make together is found besides, and is nobody's."""
    digits: list[str] = []
    for each in transactions:
        receipt = each.receipt
        for log in receipt.log:
            for topic in log.topics:
                if _is_address_word(topic):
                    digits.append(topic[_ADDRESS_PADDING_HEX:])
        for internal in receipt.internal_transactions:
            digits += (bare_digits(internal.caller), bare_digits(internal.to))
    digits = [each for each in digits if each]
    read = _bytes("".join(digits))
    if len(read) != _BARE * len(digits):  # dirt among them would hide the others
        return {party for each in transactions for party in each.parties()}
    found = set(read_parties(b"".join([each.raw for each in transactions])))
    found.update([read[at : at + _BARE] for at in range(0, len(read), _BARE)])
    return found


def trc20_transfers(tx: SolidTransaction) -> list[TokenTransfer]:
    """The well-formed Transfer events of a successful transaction, in log order.

    Three topics, addresses without dirt in their padding, 32 bytes of data; NFTs (four topics)
    and malformed logs are left out.
    """
    found: list[TokenTransfer] = []
    if not tx.receipt.log or not tx.succeeded:
        return found
    for index, log in enumerate(tx.receipt.log):
        topics, data = log.topics, log.data
        if len(topics) != 3 or topics[0] != TRANSFER_TOPIC or len(data) != _WORD_HEX:
            continue
        if not (_is_address_word(topics[1]) and _is_address_word(topics[2])):
            continue
        try:
            transfer = TokenTransfer(
                index,
                address_of_hex(log.address),
                address_of_hex(topics[1][_ADDRESS_PADDING_HEX:]),
                address_of_hex(topics[2][_ADDRESS_PADDING_HEX:]),
                int.from_bytes(bytes_of_hex(data)),
            )
        except ValueError:
            continue
        except InvalidAddress:
            continue
        found.append(transfer)
    return found


def _is_address_word(topic: str) -> bool:
    return len(topic) == _WORD_HEX and topic.startswith(_PADDING)


def _address(text: str) -> Address:
    try:
        return address_of_hex(text)
    except InvalidAddress:
        return NOBODY


def _bytes(text: str) -> bytes:
    try:
        return bytes_of_hex(text)
    except ValueError:
        return b""

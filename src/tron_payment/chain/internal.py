"""What a receipt's internal transactions say that contracts have moved of TRX.

A node may say anything here: a whole block full of it is read without turning what nobody asks for
into addresses.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, Final, NamedTuple

from tron_payment.chain.answers import Receipt
from tron_payment.chain.wire import INT64_MAX
from tron_payment.core.address import PREFIX, Address, address_hex, address_of

INTERNAL_MAX: Final = 30_000
"""Transfers of TRX by contracts in one transaction. The dearest may burn 15,000 TRX, which are 150
million energy at 100 sun; a call with value takes 9,040 and gives 2,300 back: 22,255 of them. More
is believed of nobody: it is `SolidTransaction.unproved`."""

VALUE_NOTES: Final = frozenset(note.encode().hex() for note in ("call", "create", "suicide"))
"""Notes of internal transactions that move TRX. The others (``delegateResourceOfEnergy``,
``freezeFor...``) put a stake's size into the same field, and no TRX arrives (Program.java)."""

_KEPT_NOTE: Final = b"call".hex()
_BARE: Final = 20
_NOBODY: Final = bytes(_BARE)


class InternalTransfer(NamedTuple):
    """TRX moved by a contract; nothing happened when `rejected`."""

    caller: Address
    to: Address
    amount_sun: int
    rejected: bool


def internal_transfers(receipt: Receipt) -> tuple[InternalTransfer, ...]:
    """All of them, one more than `INTERNAL_MAX` at most; empty, too, where a node does not keep
    it."""
    if not receipt.internal_transactions:
        return ()
    return tuple(_transfer(*each) for each in islice(_moves(receipt), INTERNAL_MAX + 1))


def transfers_touching(
    receipt: Receipt, parties: AbstractSet[bytes]
) -> tuple[InternalTransfer, ...]:
    """Those of `internal_transfers` to or from one of these, the last 20 bytes of each."""
    some = islice(_moves(receipt), INTERNAL_MAX + 1)
    return tuple(_transfer(*each) for each in some if each[0] in parties or each[1] in parties)


def tells_internal(receipt: Receipt) -> bool:
    """Whether it says that contracts have moved any TRX."""
    return next(_moves(receipt), None) is not None


def kept(transfers: Iterable[InternalTransfer]) -> list[dict[str, Any]]:
    """In the words of a receipt, but ours: a node may say the same in ones that no store takes."""
    return [
        {
            "caller_address": address_hex(each.caller),
            "transferTo_address": address_hex(each.to),
            "callValueInfo": [{"callValue": each.amount_sun}],
            "note": _KEPT_NOTE,
            "rejected": each.rejected,
        }
        for each in transfers
    ]


def _moves(receipt: Receipt) -> Iterator[tuple[bytes, bytes, int, bool]]:
    """Who, to whom, sun, and whether it was rejected."""
    for each in receipt.internal_transactions:
        if each.note.lower() not in VALUE_NOTES or not each.to:
            continue
        amount_sun = sum(value.call_value for value in each.values if not value.token_id)
        if 0 < amount_sun <= INT64_MAX:  # more than that nobody has: a node may say any number
            caller, to = _bare(each.caller), _bare(each.to)
            if caller != to:
                yield caller, to, amount_sun, each.rejected


def _transfer(caller: bytes, to: bytes, amount_sun: int, rejected: bool) -> InternalTransfer:
    return InternalTransfer(address_of(caller), address_of(to), amount_sun, rejected)


def _bare(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return _NOBODY
    if len(raw) == _BARE + 1 and raw[0] == PREFIX:
        return raw[1:]
    return raw if len(raw) == _BARE else _NOBODY

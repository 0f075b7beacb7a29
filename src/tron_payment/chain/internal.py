"""What a receipt's internal transactions say that contracts have moved of TRX.

A node may say anything here: a whole block full of it is read without turning what nobody asks for
into addresses.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import islice, zip_longest
from typing import Any, Final, NamedTuple

from tron_payment.chain.answers import InternalPart, Receipt
from tron_payment.chain.wire import INT64_MAX
from tron_payment.core.address import Address, address_hex, address_of, bare_of_hex

INTERNAL_MAX: Final = 30_000
"""Transfers of TRX by contracts in one transaction. The dearest may burn 15,000 TRX, which are 150
million energy at 100 sun; a call with value takes 9,040 and gives 2,300 back: 22,255 of them. More
is believed of nobody: it is `SolidTransaction.unproved`."""

VALUE_NOTES: Final = frozenset(note.encode().hex() for note in ("call", "create", "suicide"))
"""Notes of internal transactions that move TRX. The others (``delegateResourceOfEnergy``,
``freezeFor...``) put a stake's size into the same field, and no TRX arrives (Program.java)."""

_KEPT_NOTE: Final = b"call".hex()
_NOBODY: Final = bytes(20)


class InternalMove(NamedTuple):
    """TRX moved by a contract; nothing happened when `rejected`. The last 20 bytes of each side;
    zeros where a node says something that is no address."""

    caller: bytes
    to: bytes
    amount_sun: int
    rejected: bool


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
    return tuple(map(transfer, islice(_moves(receipt), INTERNAL_MAX + 1)))


def moves_touching(receipt: Receipt, parties: AbstractSet[bytes]) -> tuple[InternalMove, ...]:
    """Those of `internal_transfers` to or from one of these, the last 20 bytes of each."""
    some = islice(_moves(receipt), INTERNAL_MAX + 1)
    return tuple(each for each in some if each.caller in parties or each.to in parties)


def tells_internal(receipt: Receipt) -> bool:
    """Whether it says that contracts have moved any TRX."""
    return next(_moves(receipt), None) is not None


def tells_too_much(receipt: Receipt) -> bool:
    """Whether it says that there are more than `INTERNAL_MAX` of them."""
    if len(receipt.internal_transactions) <= INTERNAL_MAX:
        return False
    return next(islice(_moves(receipt), INTERNAL_MAX, None), None) is not None


def tell_alike(one: Receipt, other: Receipt) -> bool:
    """Whether both say the same; who adds to what another says is read no further than that."""
    some = islice(zip_longest(_moves(one), _moves(other)), INTERNAL_MAX + 1)
    return all(each == its for each, its in some)


def some_moving(receipt: Receipt, most: int) -> list[InternalPart]:
    """So many at most of the parts that say that TRX was moved."""
    if len(receipt.internal_transactions) <= most:
        return receipt.internal_transactions
    return list(islice((part for part in receipt.internal_transactions if _move(part)), most))


def transfer(move: InternalMove) -> InternalTransfer:
    """The same with addresses."""
    return InternalTransfer(
        address_of(move.caller), address_of(move.to), move.amount_sun, move.rejected
    )


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


def _moves(receipt: Receipt) -> Iterator[InternalMove]:
    for each in receipt.internal_transactions:
        move = _move(each)
        if move is not None:
            yield move


def _move(part: InternalPart) -> InternalMove | None:
    if part.note.lower() not in VALUE_NOTES or not part.to:
        return None
    amount_sun = sum(value.call_value for value in part.values if not value.token_id)
    if not 0 < amount_sun <= INT64_MAX:  # more than that nobody has: a node may say any number
        return None
    caller, to = bare_of_hex(part.caller) or _NOBODY, bare_of_hex(part.to) or _NOBODY
    return InternalMove(caller, to, amount_sun, part.rejected) if caller != to else None

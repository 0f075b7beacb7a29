"""What is told of TRX that contracts have moved to us and from us, before anything of it counts.

A node may tell of tens of thousands of callers in one block. So each transaction is read once, and
nobody's address is written out but ours and the few that are shown.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from tron_payment.chain import InternalMove, SolidTransaction
from tron_payment.core.address import Address, address_of
from tron_payment.core.money import UNITS_MAX

TOLD_MAX: Final = 20
"""Transfers of one transaction that are kept for people and logged."""


class Told(NamedTuple):
    """A transaction, and what is told to have come to us or gone from us in it."""

    transaction: SolidTransaction
    moves: tuple[InternalMove, ...]

    @property
    def txid(self) -> str:
        return self.transaction.txid

    def texts(self) -> list[str]:
        """For people."""
        some = [f"{each.amount_sun} sun to {address_of(each.to)}" for each in self.moves[:TOLD_MAX]]
        more = len(self.moves) - TOLD_MAX
        return [*some, f"and {more} more"] if more > 0 else some

    def amount_sun(self, ours: AbstractSet[bytes]) -> int:
        """What came to us in all."""
        return min(sum(each.amount_sun for each in self.moves if each.to in ours), UNITS_MAX)

    def own(self, ours: AbstractSet[bytes]) -> set[Address]:
        """Those of us who pay or get."""
        sides = {side for each in self.moves for side in (each.caller, each.to)}
        return {address_of(each) for each in sides & ours}

    def sides(self) -> int:
        """Pairs of who pays and who gets."""
        return len({(each.caller, each.to) for each in self.moves})


def told_in(transaction: SolidTransaction, ours: AbstractSet[bytes]) -> Told:
    """What a transaction tells, as far as anybody does.

    Args:
        ours: The last 20 bytes of each of our addresses.
    """
    if not transaction.succeeded:
        return Told(transaction, ())
    moves = transaction.told_of(ours)
    return Told(transaction, tuple(each for each in moves if not each.rejected))


def fitting(found: Iterable[Told], most: int) -> dict[str, int]:
    """Those that enough nodes tell and one block has room for, and the sides of each.

    Args:
        most: Sides in a block.
    """
    fits: dict[str, int] = {}
    room = most
    for each in found:
        if each.transaction.internal and (sides := each.sides()) <= room:
            fits[each.txid] = sides
            room -= sides
    return fits

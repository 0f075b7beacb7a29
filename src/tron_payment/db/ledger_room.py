"""How much more the books can take. Pure.

A token's contract may claim to move any amount, and the store keeps an integer of 64 bits. What
would take a balance further than that is left out before the entry is written: an entry that stands
in the journal must always be appliable, for nothing goes on without it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from tron_payment.core.money import UNITS_MAX
from tron_payment.db.ledger_documents import Posting

BALANCE_MAX: Final = UNITS_MAX // 2
"""No account has more or less than this, so that what one entry changes fits 64 bits, too. Of
6 decimals that is 4.6 million million; there are 0.1 million million of TRX and of USDT each."""


class Room:
    """What an entry may still add, on the balances before it."""

    def __init__(self, balances: Mapping[tuple[str, str], int]) -> None:
        """
        Args:
            balances: Units by (account, asset) of every account that may be asked about.
        """
        self._before = balances
        self._now = dict(balances)
        self._moved: dict[tuple[str, str, str], int] = defaultdict(int)
        """Units by (source, destination, asset): several postings may become one."""

    def take(self, posting: Posting) -> bool:
        """Whether it fits beside those taken before; what does not changes nothing."""
        source = (posting.source, posting.asset)
        destination = (posting.destination, posting.asset)
        way = (posting.source, posting.destination, posting.asset)
        left = self._now.get(source, 0) - posting.units
        held = self._now.get(destination, 0) + posting.units
        moved = self._moved[way] + posting.units
        if moved > UNITS_MAX or not (self._fits(source, left) and self._fits(destination, held)):
            return False
        self._now[source], self._now[destination], self._moved[way] = left, held, moved
        return True

    def take_all(self, postings: Iterable[Posting]) -> bool:
        """Whether every one of them fits; else none is taken."""
        taken: list[Posting] = []
        for posting in postings:
            if not self.take(posting):
                for each in taken:
                    self._give_back(each)
                return False
            taken.append(posting)
        return True

    def _give_back(self, posting: Posting) -> None:
        self._now[(posting.source, posting.asset)] += posting.units
        self._now[(posting.destination, posting.asset)] -= posting.units
        self._moved[(posting.source, posting.destination, posting.asset)] -= posting.units

    def _fits(self, key: tuple[str, str], units: int) -> bool:
        """What has more already, by an older build, may go towards zero."""
        before = self._before.get(key, 0)
        return abs(units) <= max(BALANCE_MAX, abs(before)) and abs(units - before) <= UNITS_MAX


def sides(postings: Iterable[Posting]) -> set[tuple[str, str]]:
    """The accounts and assets that postings touch."""
    return {(name, each.asset) for each in postings for name in (each.source, each.destination)}

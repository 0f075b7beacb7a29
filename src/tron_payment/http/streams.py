"""How many exchanges that go on for minutes are open at once: for all, and for each one."""

from collections import Counter
from functools import partial
from typing import Any, Final

from tron_payment.core.errors import RateLimited
from tron_payment.http.exchange import exchange_of

RETRY_S: Final = 5
"""After which somebody who found no room may ask for it again."""


class Streams:
    """Counts open streams.

    A stream counts from the moment in which room was found for it, so that those who ask at the
    same time do not all find the same room, to the end of its answer, begun or not.
    """

    def __init__(self, most: int, of_one: int, full: type[RateLimited]) -> None:
        """
        Args:
            most: Streams at all.
            of_one: Streams of one thing or person.
            full: What is raised when there is no room.
        """
        assert 0 < of_one <= most
        self._most = most
        self._of_one = of_one
        self._full = full
        self._open: Counter[str] = Counter()

    def hold(self, scope: Any, whose: str) -> None:
        """Count a stream until the exchange of this scope ends.

        Raises:
            RateLimited: The class `full`: no more room, for this one or at all.
        """
        if self._open[whose] >= self._of_one or self._open.total() >= self._most:
            raise self._full(retry_after_s=RETRY_S)
        self._open[whose] += 1
        exchange_of(scope).at_end.append(partial(self._leave, whose))

    def _leave(self, whose: str) -> None:
        self._open[whose] -= 1
        if not self._open[whose]:
            del self._open[whose]

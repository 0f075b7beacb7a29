"""Figures over everything that there is, kept for a moment: a page must not wait for a count."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

KEPT_MAX: Final = 200
"""People whose figures are kept; the oldest goes."""


class Kept:
    """Answers of the API by person, each as old as `fresh_s` at most."""

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._kept: OrderedDict[str, tuple[float, Any]] = OrderedDict()

    async def get(self, person: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """What was made for this person a moment ago, or what is made now."""
        now = time.monotonic()
        at, value = self._kept.get(person, (0.0, None))
        if value is None or now - at > self._fresh_s:
            value = await make()
            self._kept[person] = (now, value)
            self._kept.move_to_end(person)
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return value

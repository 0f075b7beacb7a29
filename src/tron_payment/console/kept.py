"""Looks at what takes long to find out: begun beside the page, kept for a moment.

A page waits a blink for one and says that it is under way; it then asks for that part of itself
again, which waits longer. So no page is slower than the store, however slow nodes are or however
much has to be added up. A look goes on when nobody waits for it any more.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from tron_payment.console.api import ApiProblem

log = structlog.get_logger()

KEPT_MAX: Final = 200
"""Answers that are kept of one kind; the oldest goes."""

UNDER_WAY_MAX: Final = 16
"""Looks of one kind at the same time; whoever comes then asks again."""

PERSON_MAX: Final = 4
"""So many of them for one person: who opens many pages at once leaves room for the others."""

PROBLEM_FRESH_S: Final = 3.0
"""So long a refusal is shown before one looks again."""

BLINK_S: Final = 0.04
"""So long a page waits."""

PATIENT_S: Final = 5.0
"""So long the part of a page that asks again waits; then it asks once more."""


_Key = tuple[str, Hashable]


@dataclass(frozen=True, slots=True)
class Look:
    """What is known now. `value` is None before the first answer and after a refusal."""

    value: Any = None
    as_of: str = ""
    """When the value was asked for, as the API writes times."""

    problem: str = ""
    """Why the API cannot say it, in its words."""

    under_way: bool = False
    """It is being found out; an older value may be there all the same."""


class Looks:
    """Looks of one kind, each kept for one person.

    Args:
        fresh_s: After so many seconds one looks again, and shows the old until that is done.
    """

    def __init__(self, fresh_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fresh_s = fresh_s
        self._monotonic = monotonic
        self._kept: OrderedDict[_Key, tuple[float, Look]] = OrderedDict()
        self._tasks: dict[_Key, asyncio.Task[None]] = {}

    async def get(
        self,
        person: str,
        what: Hashable,
        make: Callable[[], Awaitable[Any]],
        *,
        patient: bool = False,
    ) -> Look:
        """What was found out a moment ago, or what is found out within the wait.

        Args:
            person: Whose look it is; nobody sees another's.
            what: What is looked at, and all that the answer depends on, such as permissions.
        """
        key = (person, what)
        at, known = self._kept.get(key, (0.0, None))
        if known is not None:
            fresh_s = PROBLEM_FRESH_S if known.problem else self._fresh_s
            if self._monotonic() - at <= fresh_s:
                return known
        task = self._tasks.get(key)
        if task is None and self._has_room(person):
            task = self._tasks[key] = asyncio.create_task(self._find_out(key, make))
            task.add_done_callback(lambda _: self._tasks.pop(key, None))
        if task is not None:
            done, _ = await asyncio.wait({task}, timeout=PATIENT_S if patient else BLINK_S)
            if done:
                task.result()
                return self._kept[key][1]
        if known is None:
            return Look(under_way=True)
        return Look(known.value, known.as_of, known.problem, under_way=True)

    def _has_room(self, person: str) -> bool:
        theirs = sum(whose == person for whose, _ in self._tasks)
        return len(self._tasks) < UNDER_WAY_MAX and theirs < PERSON_MAX

    async def _find_out(self, key: _Key, make: Callable[[], Awaitable[Any]]) -> None:
        as_of = datetime.now(UTC).isoformat()
        try:
            look = Look(await make(), as_of)
        except ApiProblem as refusal:
            look = Look(None, as_of, refusal.detail or refusal.code)
        except Exception as error:  # whoever waits is told; nobody may be waiting
            log.error("console.look_failed", error=type(error).__name__)
            look = Look(None, as_of, "this cannot be shown now; the log says why")
        self._kept[key] = (self._monotonic(), look)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

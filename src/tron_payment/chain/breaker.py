"""A circuit breaker: a node that fails is left alone for a while, then tried once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

FAILURES_TO_OPEN: Final = 3
OPEN_FIRST_S: Final = 2.0
OPEN_MAX_S: Final = 60.0


class BreakerState(StrEnum):
    """closed: in use. open: resting. half_open: one trial is under way."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(slots=True)
class Breaker:
    """Counts a node's failures in a row; time comes from a monotonic clock in seconds."""

    monotonic: Callable[[], float]
    state: BreakerState = BreakerState.CLOSED
    failures_in_a_row: int = 0
    calls: int = 0
    failures: int = 0
    last_error: str = ""
    _open_until: float = field(default=0.0, repr=False)
    _open_s: float = field(default=OPEN_FIRST_S, repr=False)

    def admits(self) -> bool:
        """Whether a call may go now; after the rest one call is let through as a trial."""
        if self.state is BreakerState.CLOSED:
            return True
        if self.state is BreakerState.OPEN and self.monotonic() >= self._open_until:
            self.state = BreakerState.HALF_OPEN
            return True
        return False

    def succeeded(self) -> None:
        """The node answered; a refusal is an answer too."""
        self.calls += 1
        self.failures_in_a_row = 0
        self.state = BreakerState.CLOSED
        self._open_s = OPEN_FIRST_S

    def failed(self, reason: str, rest_s: float = 0.0) -> None:
        """The node did not answer; each failed trial doubles the rest.

        Args:
            reason: For the status.
            rest_s: What the node asked for itself: it is left alone at once.
        """
        self.calls += 1
        self.failures += 1
        self.failures_in_a_row += 1
        self.last_error = reason
        trial_failed = self.state is BreakerState.HALF_OPEN
        if trial_failed or rest_s or self.failures_in_a_row >= FAILURES_TO_OPEN:
            if trial_failed:
                self._open_s = min(self._open_s * 2, OPEN_MAX_S)
            self.state = BreakerState.OPEN
            self._open_until = self.monotonic() + max(self._open_s, rest_s)

    def abandoned(self) -> None:
        """A call was canceled, or proves nothing: a trial must not stay under way."""
        if self.state is BreakerState.HALF_OPEN:
            self.state = BreakerState.OPEN

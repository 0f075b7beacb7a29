"""Which contract calls a node has left without an answer that another node answered in time.

A call may be too heavy by what a stranger has put into a contract: that says nothing about the
node, and no breaker counts it; what a breaker counts ends with the next answer to something else.
A node that answers everything but calls would therefore stay in use, and each payment's calls would
wait for it, one deadline each. So it is asked last for calls, and for nothing else, once it has
left several different ones in a row to others.
"""

from dataclasses import dataclass, field
from typing import Final

STALLS_TO_REST: Final = 3
"""Different calls: one that is heavy for this node alone, asked again and again, is one."""

CALLS_REST_FIRST_S: Final = 60.0
CALLS_REST_MAX_S: Final = 900.0


@dataclass(slots=True)
class Stalls:
    """Of one node. Times are seconds of a monotonic clock."""

    left: set[bytes] = field(default_factory=set)
    """The calls that it has left to others since it answered one; fewer than `STALLS_TO_REST`."""

    rest_s: float = 0.0
    """Its last rest, 0 when it has answered since: then one more call left to others is enough."""

    rests_until: float = 0.0

    def rests(self, now: float) -> bool:
        """Whether other nodes are asked first."""
        return now < self.rests_until

    def answered(self) -> None:
        """It answered a call, also with a refusal."""
        self.left.clear()
        self.rest_s = self.rests_until = 0.0

    def left_to_others(self, call: bytes, now: float) -> bool:
        """Another node has answered the call; whether this one rests from now on."""
        if self.rests(now):
            return False  # one that was under way, or all others have failed, too
        self.left.add(call)
        if not self.rest_s and len(self.left) < STALLS_TO_REST:
            return False
        self.rest_s = min(self.rest_s * 2 or CALLS_REST_FIRST_S, CALLS_REST_MAX_S)
        self.rests_until = now + self.rest_s
        self.left.clear()
        return True

"""Places where a test lets the real process die, as if by ``kill -9``.

``FAILPOINT=<label>`` arms one of them, in the development mode only; everywhere else passing one
costs a comparison of two strings.
"""

import os
import signal
from typing import Final

LABELS: Final = (
    "ledger:inserted",
    "ledger:applied",
    "reserve:journaled",
    "reserve:marked",
    "sign:signed",
    "sign:stored",
    "broadcast:sent",
    "broadcast:marked",
    "settle:booked",
    "settle:concluded",
    "settle:buried",
    "tell:heard",
)
"""In the order in which a payout passes them."""

_DEVELOPMENT: Final = os.environ.get("LUCID_ENV") == "development"
_ARMED: Final = os.environ.get("FAILPOINT", "") if _DEVELOPMENT else ""

if _ARMED and _ARMED not in LABELS:
    raise SystemExit(f"FAILPOINT={_ARMED} is none of {', '.join(LABELS)}")


def failpoint(label: str) -> None:
    """Die here when this one is armed: no cleanup, no goodbye."""
    if label == _ARMED:
        os.kill(os.getpid(), signal.SIGKILL)

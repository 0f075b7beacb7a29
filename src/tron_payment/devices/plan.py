"""How well a device shows what it signs. Pure: no device is asked."""

from dataclasses import dataclass
from enum import StrEnum


class Clarity(StrEnum):
    """What the person sees on the device's own screen."""

    CLEAR = "clear"
    """What, how much and to whom."""

    BLIND = "blind"
    """That a contract is called, but not what that does."""

    BY_HASH = "by_hash"
    """A hash."""

    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class SignPlan:
    """How these bytes would be signed, and why not better."""

    clarity: Clarity
    why: str = ""
    as_hash: bool = False
    """Only the hash goes to the device, because it cannot read the bytes at all."""

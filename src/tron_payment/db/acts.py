"""The act under way: what the audit log will say about the request that is being answered.

Every entry that is written while it is under way takes over its request id and route, and the first
one of its actor also its entry id. So whoever writes it (the service that did it, the request's own
journal, or that journal's recovery after a crash) writes the same entry, and it is there once.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, kw_only=True)
class Doing:
    """One request that may change something. `actor` is empty for who has no token."""

    entry_id: str
    actor: str
    role: str
    action: str
    route: str
    request_id: str
    api_key: str = ""
    """The id of the key that called; empty for a person's token."""

    object_id: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    policy_version: str = ""
    written: bool = False
    """Its entry is in the log."""

    stays: bool = False
    """It has an effect even where it is refused."""

    ended: bool = False
    """Answered: what a task that it left behind writes is not its act."""


_DOING: ContextVar[Doing | None] = ContextVar("tron_payment_doing", default=None)


def doing() -> Doing | None:
    """The act under way, if there is one."""
    now = _DOING.get()
    return None if now is None or now.ended else now


@contextmanager
def under_way(act: Doing) -> Iterator[None]:
    """Everything inside belongs to this act."""
    token = _DOING.set(act)
    try:
        yield
    finally:
        act.ended = True
        _DOING.reset(token)


def describe(
    *,
    object_id: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    action: str | None = None,
) -> None:
    """Say more of the act under way than its route tells; nothing outside of a request.

    Args:
        before: Integers and strings; never a secret or a person's name.
        after: As `before`.
    """
    now = doing()
    if now is None:
        return
    now.object_id = object_id if object_id is not None else now.object_id
    now.before = before if before is not None else now.before
    now.after = after if after is not None else now.after
    now.action = action or now.action


def has_effect() -> None:
    """The act under way belongs into the log even where it is refused now: it comes true later."""
    if (now := doing()) is not None:
        now.stays = True

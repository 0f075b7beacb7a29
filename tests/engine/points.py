"""Crash points: every database write, node call and signature passes here, with a label.

A hook is told before and after each. What it raises there is what the code above sees: a process
that dies, a connection that is lost with the outcome unknown.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from pymongo import InsertOne, UpdateMany, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.cursor import AsyncCursor

Hook = Callable[[str], Awaitable[None]]


class Crash(BaseException):
    """The process is killed here; no `except Exception` may outlive it."""


async def _nothing(label: str) -> None:
    return


class Points:
    """The hooks of one test."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Nobody watches."""
        self.before: Hook = _nothing
        self.after: Hook = _nothing
        self.asked: Callable[[], None] = lambda: None
        """Something goes to the database: what is awaited next comes from the wire."""

        self.left: Callable[[], None] = lambda: None
        """The database has answered, whatever it said."""

        self.reads = False
        """Whether single reads are points too."""

    async def node(self, alias: str, call: str) -> None:
        await self.before(f"node:{call}")

    async def node_done(self, alias: str, call: str) -> None:
        await self.after(f"node:{call}")

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let every write of pymongo's collections pass through us."""
        for name in ("insert_one", "insert_many", "update_one", "update_many", "bulk_write",
                     "find_one_and_update", "delete_one", "delete_many", "find_one"):  # fmt: skip
            self._wrap(monkeypatch, name)
        real = AsyncCursor._refresh

        async def refresh(cursor: Any) -> int:
            self.asked()
            try:
                return await real(cursor)
            finally:
                self.left()

        monkeypatch.setattr(AsyncCursor, "_refresh", refresh)

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        real = getattr(AsyncCollection, name)
        is_read = name == "find_one"

        async def watched(collection: Any, *args: Any, **kwargs: Any) -> Any:
            if is_read and not self.reads:
                return await real(collection, *args, **kwargs)
            label = f"read:{collection.name}" if is_read else _label(collection.name, args)
            await self.before(label)
            self.asked()
            try:
                result = await real(collection, *args, **kwargs)
            finally:
                self.left()
            await self.after(label)
            return result

        monkeypatch.setattr(AsyncCollection, name, watched)


class Fuse:
    """Dies at the n-th passage; counts and names what it passes."""

    def __init__(self, points: Points) -> None:
        self.remaining = -1
        self.labels: list[str] = []
        self.burnt = ""
        points.before = lambda label: self._pass(f"before {label}")
        points.after = lambda label: self._pass(f"after {label}")

    async def _pass(self, label: str) -> None:
        self.labels.append(label)
        self.remaining -= 1
        if self.remaining == 0:
            self.burnt = label
        if self.burnt:
            raise Crash(label)  # a dead process has no further effects


def _label(collection: str, args: Sequence[Any]) -> str:
    """What a write is about: ``db:orders=signed``, ``db:ledger_entries+block``."""
    first = args[0] if args else None
    if (
        isinstance(first, list)
        and first
        and isinstance(first[0], UpdateOne | UpdateMany | InsertOne)
    ):
        first = first[0]._doc
    elif len(args) > 1:
        first = args[1]
    if isinstance(first, dict):
        changes = first.get("$set", first)
        if "status" in changes:
            return f"db:{collection}={changes['status']}"
        if "cause" in changes:
            return f"db:{collection}+{str(first['cause']).partition(':')[0]}"
        hint = next((k for k in ("due_at", "news", "books_open", "watched_at_block",
                                 "read_at_block", "halted") if k in changes), "")  # fmt: skip
        return f"db:{collection}{'.' + hint if hint else ''}"
    return f"db:{collection}"

"""Filters and pages of TronGrid's lists.

An entry has a place in the chain; a page ends at a place, and the fingerprint names it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from tron_payment.devnet.blocks import Block
from tron_payment.devnet.node import Node

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 200

Place = tuple[int, int, int]
"""Block number, position, and index of the log."""


class BadQuery(ValueError):
    """A parameter does not fit."""


@dataclass(frozen=True, slots=True)
class Filters:
    """The parameters that all lists share."""

    limit: int
    descending: bool
    lowest: int
    highest: int
    min_ms: int
    max_ms: int
    after: Place | None

    @classmethod
    def read(cls, node: Node, query: dict[str, str]) -> "Filters":
        """
        Raises:
            BadQuery: A number or the fingerprint is malformed.
        """
        head, solid = node.chain.head.number, node.chain.solid_number
        lowest = solid + 1 if query.get("only_unconfirmed") == "true" else 1
        highest = solid if query.get("only_confirmed") == "true" else head
        if (number := _int(query, "block_number", -1)) >= 0:
            lowest, highest = max(lowest, number), min(highest, number)
        limit = _int(query, "limit", DEFAULT_LIMIT)
        if not 1 <= limit <= MAX_LIMIT:
            raise BadQuery(f"limit is 1 to {MAX_LIMIT}")
        return cls(
            limit=limit,
            descending=query.get("order_by", "block_timestamp,desc") != "block_timestamp,asc",
            lowest=lowest,
            highest=highest,
            min_ms=_int(query, "min_timestamp", _int(query, "min_block_timestamp", 0)),
            max_ms=_int(query, "max_timestamp", _int(query, "max_block_timestamp", 1 << 62)),
            after=_place(query.get("fingerprint")),
        )

    def admits(self, block: Block) -> bool:
        return (
            self.lowest <= block.number <= self.highest
            and self.min_ms <= block.timestamp_ms <= self.max_ms
        )

    def is_past(self, place: Place) -> bool:
        """Whether a place comes after the last page."""
        if self.after is None:
            return True
        return place < self.after if self.descending else place > self.after


def _int(query: dict[str, str], name: str, default: int) -> int:
    try:
        return int(query.get(name, default))
    except ValueError:
        raise BadQuery(f"{name} is a whole number") from None


def _place(fingerprint: str | None) -> Place | None:
    if not fingerprint:
        return None
    try:
        number, position, index = fingerprint.split("-")
        return int(number, 36), int(position, 36), int(index, 36)
    except ValueError:
        raise BadQuery("the fingerprint is not ours") from None


def _fingerprint(place: Place) -> str:
    return "-".join(_base36(number) for number in place)


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number >= 36:
        number, rest = divmod(number, 36)
        text = digits[rest] + text
    return digits[number] + text


def page(
    node: Node,
    path: str,
    query: dict[str, str],
    filters: Filters,
    entries: Iterator[tuple[Place, Any]],
) -> dict[str, Any]:
    """One page of entries that come in order, and where the next begins."""
    data: list[Any] = []
    last: Place | None = None
    more = False
    for place, entry in entries:
        if not filters.is_past(place):
            continue
        if len(data) == filters.limit:
            more = True
            break
        data.append(entry)
        last = place
    meta: dict[str, Any] = {"at": node.now_ms(), "page_size": len(data)}
    if more and last is not None:
        meta["fingerprint"] = _fingerprint(last)
        following = urlencode(query | {"fingerprint": meta["fingerprint"]})
        meta["links"] = {"next": f"http://{node.config.host}:{node.config.port}{path}?{following}"}
    return {"data": data, "success": True, "meta": meta}

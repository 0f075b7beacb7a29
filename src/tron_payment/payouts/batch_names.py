"""Names in what was uploaded, and how they leave it: pure, over a batch's and a schedule's bytes.

Of a refused row stay its number, its code, the field if it is one of ours, and what to do about
such a row. What it said goes, and with it the words it was refused with, which quote it.
"""

import re
import zlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tron_payment.http.advice import advice_of
from tron_payment.payouts.batch_documents import COMPRESSION, pack_refused, unpack_payouts
from tron_payment.payouts.batch_rows import SAID_MAX, BatchRow

_FIELDS: Final = frozenset(BatchRow.__struct_fields__)


def without_names(refused: bytes) -> bytes:
    """A batch's refused rows, none of them with what it said."""
    return pack_refused([_nameless(row) for row in _unpacked(refused)])


def without_person(refused: bytes, user_id: str) -> bytes | None:
    """The same, for rows that name this person anywhere; None when none does."""
    rows = _unpacked(refused)
    named = [_names(row, user_id) for row in rows]
    if not any(named):
        return None
    return pack_refused(
        [_nameless(row) if it else row for row, it in zip(rows, named, strict=True)]
    )


def rows_of(rows: bytes, user_id: str) -> int:
    """How many of a batch's accepted rows are for this person."""
    if msgspec.json.encode(user_id) not in zlib.decompress(rows):
        return 0
    lines = filter(None, unpack_payouts(rows))
    return sum(msgspec.json.decode(line)["user_id"] == user_id for line in lines)


def rows_without(rows: bytes, user_id: str, instead: Mapping[str, Any]) -> bytes:
    """A batch's accepted rows, those of this person with other values."""
    lines = [msgspec.json.decode(line) for line in filter(None, unpack_payouts(rows))]
    changed = [line | instead if line["user_id"] == user_id else line for line in lines]
    return zlib.compress(b"\n".join(map(msgspec.json.encode, changed)), COMPRESSION)


def is_named(body: bytes, user_id: str) -> bool:
    """Whether a schedule's rows have this name as a text of their own."""
    return msgspec.json.encode(user_id) in body


def _names(row: Mapping[str, Any], user_id: str) -> bool:
    """In any field, for it may have got into a wrong one, or in what was quoted of it."""
    said: Mapping[str, str] = row.get("said", {})
    if user_id[:SAID_MAX] in (text.strip() for text in said.values()):
        return True
    word = re.compile(rf"(?<!\w){re.escape(user_id)}(?!\w)")
    texts = (row["detail"], row["param"] or "", *said.values())
    return any(word.search(text) for text in texts)


def _nameless(row: Mapping[str, Any]) -> dict[str, Any]:
    param, code = row["param"], row["code"]
    known = param is not None and re.split(r"[.\[]", param, maxsplit=1)[0] in _FIELDS
    detail = advice_of(code, retryable=False)
    return {
        "row": row["row"],
        "code": code,
        "param": param if known else None,
        "detail": detail,
    }


def _unpacked(refused: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(zlib.decompress(refused))
    return found

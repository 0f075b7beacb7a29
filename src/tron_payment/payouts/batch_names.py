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
from tron_payment.payouts.batch_rows import BatchRow
from tron_payment.payouts.domain import ERASED as ERASED
from tron_payment.payouts.domain import USER_ID_PATTERN

CUT_FROM: Final = 30
"""Characters; what is shorter was not cut, wherever it is from."""

NAME_MAX: Final = 128
CUT_MIN: Final = 4
"""So many characters of a name, at the least, say who it is."""

_AFTER_QUOTED: Final = " is none of "
_FIELDS: Final = frozenset(BatchRow.__struct_fields__)


def is_name(text: str) -> bool:
    """Whether this can be somebody's name in an upload: it is looked for in every text.

    A `user_id`, or what was refused as one: that may have blanks inside, and letters of any script.
    An empty text is in every row, and a mere blank between any two words.
    """
    if re.fullmatch(USER_ID_PATTERN, text):
        return True
    whole = text == text.strip() and text.isprintable() and len(text) <= NAME_MAX
    return whole and any(each.isalnum() for each in text)


def without_names(refused: bytes) -> bytes:
    """A batch's refused rows, none of them with what it said."""
    return pack_refused([_nameless(row) for row in _unpacked(refused)])


def without_person(refused: bytes, user_id: str) -> bytes | None:
    """The same, for rows that name this person anywhere; None when none does."""
    if not is_name(user_id):
        return None
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
    """In any field, for it may have got into a wrong one, or in what was quoted of it.

    The words around what was quoted are ours, and so are the names of fields that there are. An
    amount is no name, even of somebody whose name is a number.
    """
    said: Mapping[str, str] = row.get("said", {})
    numeric = user_id.replace(".", "", 1).isdecimal()
    texts = [text.strip() for name, text in said.items() if not (numeric and name == "amount")]
    texts += (_quoted(row["detail"]), "" if _is_known(row["param"]) else row["param"] or "")
    word = re.compile(rf"(?<!\w){re.escape(user_id)}(?!\w)")
    return any(word.search(text) or _ends_in_it(text, user_id) for text in texts)


def _quoted(detail: str) -> str:
    """What a refusal's words have from whoever sent the row: it begins with a quotation mark."""
    start = detail.find("'")
    end = detail.rfind(_AFTER_QUOTED)
    return "" if start < 0 else detail[start : end if end > start else None]


def _ends_in_it(text: str, user_id: str) -> bool:
    """Whether a text that was cut, as all long ones are, ends in the middle of this name."""
    if len(text) < CUT_FROM or user_id[:CUT_MIN] not in text:
        return False
    return any(text.endswith(user_id[:size]) for size in range(CUT_MIN, len(user_id)))


def _is_known(param: str | None) -> bool:
    return param is not None and re.split(r"[.\[]", param, maxsplit=1)[0] in _FIELDS


def _nameless(row: Mapping[str, Any]) -> dict[str, Any]:
    param, code = row["param"], row["code"]
    detail = advice_of(code, retryable=False)
    return {
        "row": row["row"],
        "code": code,
        "param": param if _is_known(param) else None,
        "detail": detail,
    }


def _unpacked(refused: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(zlib.decompress(refused))
    return found

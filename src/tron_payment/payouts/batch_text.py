"""An upload's text in rows: bounded while it is read, before anything in it is decoded.

Eight megabytes are four million rows of one character, or one row of as many cells. Whatever is
more than a batch may have is refused here, and costs no more than being looked through once.
"""

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from typing import Final

from tron_payment.core.errors import Refused
from tron_payment.http.depth import VALUES_MAX, too_many_values
from tron_payment.http.problems import BodyTooLarge, MalformedBody

ROWS_MAX: Final = 10_000
ROW_BYTES_MAX: Final = 64 * 1024
"""Of one row's JSON: as much as a single payout's body may have."""

ROW_TEXT_MAX: Final = 64 * 1024
"""Characters of one row of a CSV, its quoted line breaks too."""

LINES_MAX: Final = 10 * ROWS_MAX
"""Lines of a CSV: spreadsheets leave empty ones behind."""

_LINE: Final = re.compile(rb"[^\s][^\r\n]*")


class TooManyRows(Refused, code="too_many_rows"):
    """The batch has too many rows."""


def check_count(rows: Sequence[object]) -> None:
    """
    Raises:
        TooManyRows
    """
    if len(rows) > ROWS_MAX:
        raise TooManyRows(f"at most {ROWS_MAX} rows", param="payouts")


def ndjson_rows(body: bytes) -> list[bytes]:
    """The lines that are not empty; the mark that some editors put at the beginning is none.

    Raises:
        TooManyRows
        BodyTooLarge: More than `VALUES_MAX` values in all rows together.
    """
    rows: list[bytes] = []
    for line in _LINE.finditer(body.removeprefix(BOM_UTF8)):
        rows.append(line[0])
        check_count(rows)
    if too_many_values(*rows):
        raise BodyTooLarge(f"at most {VALUES_MAX} values")
    return rows


def csv_rows(body: bytes) -> Iterator[list[str]]:
    """The header's cells, then those of each row that is not empty.

    Raises:
        MalformedBody: This is no CSV.
        TooManyRows: More than `ROWS_MAX`, or more than `LINES_MAX` lines.
    """
    try:
        body.decode()
    except UnicodeDecodeError:
        raise MalformedBody("the CSV is not UTF-8") from None
    if b"\0" in body:
        raise MalformedBody("the CSV has a zero byte")
    lines = _Lines(body)
    records = csv.reader(lines, strict=True)
    try:
        yield next(records, [])
        lines.row = rows = 0
        for cells in records:
            lines.row = 0
            if not any(cell.strip() for cell in cells):
                continue
            rows += 1
            if rows > ROWS_MAX:
                raise TooManyRows(f"at most {ROWS_MAX} rows", param="payouts")
            yield cells
    except csv.Error as error:
        raise MalformedBody(f"the CSV cannot be read: {error}") from None


class _Lines:
    """Lines of a text in UTF-8, until there are too many of them or they are too long.

    They are decoded one after the other: with one letter beyond 16 bits a text of eight megabytes
    has thirty-two.
    """

    def __init__(self, body: bytes) -> None:
        self._lines = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline="")
        self._count = 0
        self.row = 0
        """Characters of the row that is being read; whoever has got it sets it to 0."""

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._count += 1
        self.row += len(line)
        if self._count > LINES_MAX:
            raise TooManyRows(f"at most {LINES_MAX} lines, empty ones too", param="payouts")
        if self.row > ROW_TEXT_MAX:
            raise MalformedBody(
                f"the CSV has a row of more than {ROW_TEXT_MAX} characters at line {self._count}: "
                "is a quote not closed?"
            )
        return line

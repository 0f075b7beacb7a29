"""The rows of an uploaded batch: JSON, CSV or NDJSON in, one wish or one refusal for each.

A row that is wrong is told by its number, from 1 (a CSV's header is no row); the others go on.
"""

import asyncio
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import msgspec

from tron_payment.core.errors import AppError, Refused
from tron_payment.http.depth import TOO_DEEP, too_deep
from tron_payment.http.hints import instead_at, meant
from tron_payment.http.idempotency import canonical
from tron_payment.http.limits import JSON, decode_json
from tron_payment.http.permissions import MissingPermission
from tron_payment.http.principals import Principal
from tron_payment.http.problems import MalformedBody, refusal_of
from tron_payment.payouts.batch_text import (
    ROW_BYTES_MAX,
    check_count,
    csv_rows,
    ndjson_rows,
)
from tron_payment.payouts.domain import Route
from tron_payment.payouts.known import PayoutWish
from tron_payment.payouts.views import PayoutRequest

CSV: Final = "text/csv"
NDJSON: Final = "application/x-ndjson"
MEDIA_TYPES: Final = (JSON, CSV, NDJSON)
COLUMNS: Final = (
    "user_id",
    "recipient_address",
    "amount",
    "currency",
    "route",
    "merchant_reference",
    "kyc_verified",
)
REQUIRED: Final = COLUMNS[:3]
SAID: Final = ("user_id", "recipient_address", "amount", "currency", "merchant_reference")
"""What is kept of a refused row as it came, so that its sender finds it again."""

SAID_MAX: Final = 128
"""Longer values are cut; together they are smaller than the upload."""

OTHER_MARKS: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What spreadsheets put between cells instead of commas, depending on the country."""

CELL_TEXT_MAX: Final = 100
CELL_MAX: Final = 4_096
COLUMNS_READ: Final = 100
"""Of a header that has more, which is refused, only so many are looked at."""

HINTS_MAX: Final = 100
"""Names that do not exist, in all of an upload's rows, about which it is asked what was meant."""

DETAIL_MAX: Final = 120
PARAM_MAX: Final = 60
"""Bytes of JSON; what is longer is cut, so that ten thousand refused rows fit into one answer."""

SLICE_ROWS: Final = 100
SLICE_CHARACTERS: Final = 128 * 1024
"""As much is read at a time, bad rows taking longest: some ten milliseconds."""

_TOLD: Final = ("row", "code", "param", "detail")
_TRUTHS: Final = {"true": True, "false": False}


class NoRows(Refused, code="no_rows"):
    """The batch has no rows."""


class BadHeader(Refused, code="csv_header"):
    """The CSV's first line names its columns."""


class BadRow(Refused, code="malformed_row"):
    """This row cannot be read."""


class BatchRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row. What it leaves out, the batch says, else the default."""

    user_id: str
    recipient_address: str
    amount: str
    currency: str = "USDT"
    route: Literal["v0", "kyc", "direct", ""] | None = None
    """Empty: as `initiate` decides."""

    kyc_verified: bool | None = None
    merchant_reference: str | None = None
    wallet_id: str | None = None
    priority: Literal["high", "normal", "low"] | None = None
    max_fee_trx: str | None = None
    metadata: dict[str, str] = {}

    def wish(self, defaults: "BatchRequest", principal: Principal) -> PayoutWish:
        """The row as a wish.

        Raises:
            Refused: Content that a single payout would be refused for as well.
            MissingPermission: Its route is `direct` and the caller may not.
        """
        fields = {
            "user_id": self.user_id,
            "recipient_address": self.recipient_address,
            "amount": self.amount,
            "currency": self.currency,
            "kyc_verified": self.kyc_verified,
            "merchant_reference": self.merchant_reference,
            "wallet_id": self.wallet_id or defaults.wallet_id,
            "priority": self.priority or defaults.priority,
            "max_fee_trx": self.max_fee_trx or defaults.max_fee_trx,
            "metadata": self.metadata,
        }
        try:
            request = msgspec.convert(fields, PayoutRequest)
        except msgspec.ValidationError as error:
            raise refusal_of(error, PayoutRequest) from None
        route = Route(self.route) if self.route else None
        if route is Route.DIRECT and "payout:direct" not in principal.permissions:
            raise MissingPermission("this needs the permission payout:direct", param="route")
        return request.wish(route)


Found = tuple[bytes | list[str], Mapping[str, Any], BatchRow | AppError]
"""A row as it came, as text or as cells behind their header; its fields as far as they can be
read; and the row, or why it cannot be read."""


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A batch as JSON. The other fields hold for rows that do not say otherwise."""

    payouts: list[msgspec.Raw]
    wallet_id: str | None = None
    priority: Literal["high", "normal", "low"] = "normal"
    max_fee_trx: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that was not accepted, and why."""

    row: int
    code: str
    param: str | None
    detail: str

    @classmethod
    def of(cls, row: int, refusal: AppError) -> "RefusedRow":
        param = _brief(refusal.param, PARAM_MAX) if refusal.param else None
        return cls(row, refusal.code, param, _brief(refusal.detail, DETAIL_MAX))

    def told(self) -> dict[str, Any]:
        return {"row": self.row, "code": self.code, "param": self.param, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Upload:
    """A batch as it came: what each row says, and what makes two uploads the same."""

    rows: tuple[tuple[int, PayoutWish], ...]
    refused: tuple[RefusedRow, ...]
    said: tuple[Mapping[str, str], ...]
    """`SAID` of every row as it came, whether it can be read or not."""

    outside: tuple[Any, ...]
    """What the batch says for rows that do not."""

    content: bytes
    """For `Idempotency`. Of refused rows it has what they said, their code and param: the words of
    a refusal may change with any build, and the same file is still the same."""

    dry_run: bool = False

    def content_by_words(self, kept: Iterable[Mapping[str, Any]]) -> bytes:
        """The content as builds before 2026-11-22 made it, with the words of refused rows.

        Args:
            kept: The refused rows that such a build has stored, if any: what they were told is
                used, code and field too, for it may have been cut in another way.
        """
        earlier = {row["row"]: {name: row[name] for name in _TOLD} for row in kept}
        told = [earlier.get(row.row) or row.told() for row in self.refused]
        return _content(self.outside, told, self.rows)

    def only(self, numbers: Collection[int]) -> "Upload":
        """These rows of it, with the numbers that they have."""
        wanted = frozenset(numbers)
        rows = tuple((number, wish) for number, wish in self.rows if number in wanted)
        refused = tuple(row for row in self.refused if row.row in wanted)
        return replace(self, rows=rows, refused=refused)

    def told(self, refused: Iterable[RefusedRow]) -> list[dict[str, Any]]:
        """Refused rows as they are kept: what is told of them, and what they said."""
        return [{**row.told(), "said": self.said[row.row - 1]} for row in refused]


class _Hints:
    """What might have been meant, looked for once for each name, and for so many names only.

    A guess takes a thousand times as long as a row does, and an upload may have another name in
    every row.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    def __call__(self, target: Any, path: str, name: str, content: Any = None) -> str:
        hint = self._known.get((path, name))
        if hint is None and len(self._known) < HINTS_MAX:
            hint = self._known[path, name] = instead_at(target, path, name, content)
        return hint or ""


async def read_upload(body: bytes, media_type: str, principal: Principal) -> Upload:
    """Read an upload in any of the three forms, slice by slice: others get their turn between.

    Raises:
        MalformedBody: It is not of its form at all.
        NoRows, TooManyRows, BadHeader
        BodyTooLarge: More values than JSON may have here.
        Refused: A field of the JSON's outside that is not acceptable.
    """
    form = media_type.partition(";")[0].strip().lower()
    request = BatchRequest(payouts=[])
    found: Iterable[Found]
    hints = _Hints()
    if form == CSV:
        found = _csv_rows(body)
    elif form == NDJSON:
        found = (_decoded(row, hints) for row in ndjson_rows(body))
    else:
        request = decode_json(body, BatchRequest, inside=False)
        check_count(request.payouts)
        found = (_decoded(bytes(raw), hints) for raw in request.payouts)
    rows: list[tuple[int, PayoutWish]] = []
    refused: list[RefusedRow] = []
    marks: list[Any] = []
    said: list[Mapping[str, str]] = []
    rows_read = characters = 0
    await asyncio.sleep(0)
    for number, (raw, came, row) in enumerate(found, 1):
        said.append(_as_came(came))
        try:
            if isinstance(row, AppError):
                raise row
            rows.append((number, row.wish(request, principal)))
        except AppError as refusal:
            told = RefusedRow.of(number, refusal)
            refused.append(told)
            marks.append((number, told.code, told.param, _digest(raw)))
        rows_read, characters = rows_read + 1, characters + _size(raw)
        if rows_read >= SLICE_ROWS or characters >= SLICE_CHARACTERS:
            rows_read = characters = 0
            await asyncio.sleep(0)
    if not said:
        raise NoRows(param="payouts")
    outside = (request.wallet_id, request.priority, request.max_fee_trx, request.dry_run)
    content = _content(outside, marks, rows)
    return Upload(
        tuple(rows), tuple(refused), tuple(said), outside, content, dry_run=request.dry_run
    )


def _content(
    outside: Sequence[Any], refused: Sequence[Any], rows: Sequence[tuple[int, PayoutWish]]
) -> bytes:
    return canonical([outside, refused, [(number, _said(wish)) for number, wish in rows]])


def _size(raw: bytes | list[str]) -> int:
    return len(raw) if isinstance(raw, bytes) else sum(map(len, raw))


def _digest(raw: bytes | list[str]) -> str:
    """Of a refused row: the same however its JSON was written."""
    if isinstance(raw, bytes) and len(raw) <= ROW_BYTES_MAX and not too_deep(raw):
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            raw = canonical(msgspec.json.decode(raw))  # else as it came
    return hashlib.sha256(raw if isinstance(raw, bytes) else canonical(raw)).hexdigest()


def _as_came(came: Mapping[str, Any]) -> Mapping[str, str]:
    said: dict[str, str] = {}
    for name in SAID:
        if (value := came.get(name)) is not None:
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            said[name] = text[:SAID_MAX]
    return said


def _brief(text: str, bytes_max: int) -> str:
    """As much of its beginning as has so many bytes in JSON, without what cannot be printed."""
    text = text[:bytes_max]
    if not text.isprintable():
        text = "".join(each if each.isprintable() else "?" for each in text)
    size = 0
    for count, each in enumerate(text):
        size += len(each.encode()) + (each in '"\\')
        if size > bytes_max:
            return text[:count]
    return text


def _decoded(text: bytes, hints: _Hints) -> Found:
    if len(text) > ROW_BYTES_MAX:
        return text, {}, BadRow(f"a row has at most {ROW_BYTES_MAX} bytes")
    if too_deep(text):
        return text, {}, BadRow(TOO_DEEP)
    try:
        row: BatchRow = decode_json(text, BatchRow, hints)
    except MalformedBody:
        return text, {}, BadRow("this is not JSON")
    except Refused as refusal:
        return text, _loose(text), refusal
    return text, {name: getattr(row, name) for name in SAID}, row


def _loose(text: bytes) -> Mapping[str, Any]:
    """A refused row's fields, as far as they can be read at all."""
    try:
        found: Any = msgspec.json.decode(text)
    except msgspec.MsgspecError:  # such as a number that no float holds
        return {}
    return found if isinstance(found, dict) else {}


def _csv_rows(body: bytes) -> Iterator[Found]:
    rows = csv_rows(body)
    header = [name.strip() for name in next(rows)]
    _check_header(header)
    for cells in rows:
        came = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
        yield [*header, *cells], came, _csv_row(header, cells)


def _check_header(header: Sequence[str]) -> None:
    unknown = [name for name in header[:COLUMNS_READ] if name not in COLUMNS]
    missing = [name for name in REQUIRED if name not in header]
    twice = next((name for name in COLUMNS if header.count(name) > 1), None)
    if not (unknown or missing or twice):
        return
    columns = f"columns are {','.join(COLUMNS)}; the first three are required"
    if len(header) == 1 and (mark := next((m for m in OTHER_MARKS if m in header[0]), None)):
        raise BadHeader(f"cells are parted by commas, these by {OTHER_MARKS[mark]}; {columns}")
    hints = (meant(name[:CELL_TEXT_MAX], COLUMNS) for name in unknown)
    hint = f"{twice} is there twice;" if twice else next(filter(None, hints), None)
    raise BadHeader(f"{hint} {columns}" if hint else columns)


def _csv_row(header: Sequence[str], cells: Sequence[str]) -> BatchRow | AppError:
    if len(cells) != len(header):
        return BadRow(f"{len(cells)} cells under {len(header)} columns")
    if any(len(cell) > CELL_MAX for cell in cells):
        return BadRow(f"a cell has at most {CELL_MAX} characters")
    fields: dict[str, Any] = {
        name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()
    }
    verified = fields.get("kyc_verified")
    if verified is not None:
        fields["kyc_verified"] = _TRUTHS.get(verified.lower(), verified)
    try:
        return msgspec.convert(fields, BatchRow)
    except msgspec.ValidationError as error:
        return refusal_of(error, BatchRow)


def _said(wish: PayoutWish) -> list[Any]:
    return [
        *(wish.user_id, wish.recipient_address, wish.amount.asset.code, wish.amount.units),
        *(wish.route, wish.kyc_verified, wish.merchant_reference, wish.wallet_id),
        *(wish.priority, wish.max_fee_sun, wish.metadata),
    ]

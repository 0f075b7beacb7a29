"""An upload is bounded while it is read: whatever comes in 8 MB costs little and is no surprise."""

import asyncio
import difflib
import json
import tracemalloc
from typing import Any

import msgspec
import pytest

from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.http.depth import DEPTH_MAX, TOO_DEEP, VALUES_MAX
from tron_payment.http.idempotency import ANSWER_BYTES_MAX
from tron_payment.http.limits import BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX, JSON
from tron_payment.http.principals import Principal, Role
from tron_payment.http.problems import BodyTooLarge, InvalidField, MalformedBody
from tron_payment.payouts import batch_rows
from tron_payment.payouts.batch_rows import (
    CSV,
    HINTS_MAX,
    NDJSON,
    SLICE_CHARACTERS,
    SLICE_ROWS,
    BadHeader,
    Upload,
    read_upload,
)
from tron_payment.payouts.batch_text import (
    LINES_MAX,
    ROW_BYTES_MAX,
    ROW_TEXT_MAX,
    ROWS_MAX,
    TooManyRows,
)
from tron_payment.payouts.domain import METADATA_ENTRIES_MAX

CALLER = Principal("shop-1", Role.MERCHANT, frozenset({"payout:batch"}))
HEADER = b"user_id,recipient_address,amount\n"
GOOD_ROW = b"alice,TJRabPrwbZy45sbavfcjinPJC18kjpRTv8,5\n"
GOOD = b'{"user_id":"alice","recipient_address":"TJRabPrwbZy45sbavfcjinPJC18kjpRTv8","amount":"5"}'


def read(body: bytes, form: str) -> Upload:
    return asyncio.run(read_upload(body, form, CALLER))


def as_json(*rows: bytes) -> bytes:
    return b'{"payouts":[' + b",".join(rows) + b"]}"


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"1\n" * (ROWS_MAX + 1), NDJSON),
        (b"\r".join([b"1"] * (ROWS_MAX + 1)), NDJSON),
        (as_json(*[b"1"] * (ROWS_MAX + 1)), JSON),
    ],
)
def test_too_many_rows_are_counted_before_any_is_decoded(
    body: bytes, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    monkeypatch.setattr(batch_rows, "_decoded", decoded.append)
    with pytest.raises(TooManyRows):
        read(body, form)
    assert decoded == []


def test_as_many_rows_as_are_allowed_are_read() -> None:
    for body, form in (
        (b"1\n\n  \n" * ROWS_MAX, NDJSON),
        (as_json(*[b"1"] * ROWS_MAX), JSON),
        (HEADER + b"a\n,,\n" * ROWS_MAX, CSV),
    ):
        assert len(read(body, form).refused) == ROWS_MAX


def test_a_list_of_millions_is_not_decoded_at_all() -> None:
    for body in (as_json(*[b"1"] * (VALUES_MAX + 2)), b"[" + b"[]," * (VALUES_MAX + 1) + b"1]"):
        with pytest.raises(BodyTooLarge):
            read(body, JSON)


def test_what_rows_of_brackets_have_together_is_counted_before_any_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No row is large, few have a comma, and what is read of them is fifty times as large."""
    decoded: list[bytes] = []
    monkeypatch.setattr(batch_rows, "_decoded", decoded.append)
    row = b'{"x":%s}' % (b"[" * 60 + b"]" * 60)
    rows = [row] * (VALUES_MAX // 61 + 1)
    for body, form in (
        (b"\n".join(rows), NDJSON),
        (b"\n".join([b'"', *rows]), NDJSON),  # a text that does not end hides none
        (as_json(*rows), JSON),
    ):
        with pytest.raises(BodyTooLarge):
            read(body, form)
    assert decoded == []


FULL_ROW: dict[str, Any] = {
    **json.loads(GOOD),
    "currency": "USDT",
    "route": "v0",
    "kyc_verified": True,
    "merchant_reference": "r",
    "wallet_id": "w",
    "priority": "low",
    "max_fee_trx": "30",
}


def full_row(number: int) -> bytes:
    """Every field, and as many entries of metadata as there may be, with marks in their texts."""
    metadata = {f"{number}-{entry}": "😀,[{" for entry in range(METADATA_ENTRIES_MAX)}
    return json.dumps({**FULL_ROW, "metadata": metadata}, ensure_ascii=False).encode()


def test_the_largest_upload_that_can_be_meant_is_read_and_takes_little_memory() -> None:
    rows = list(map(full_row, range(ROWS_MAX)))
    wide = HEADER + (b"alice,T,5" + b"x" * 800 + b"\n") * (ROWS_MAX - 1) + "a,T,😀".encode()
    for body, form, good in ((b"\n".join(rows), NDJSON, ROWS_MAX), (wide, CSV, 0)):
        assert len(body) <= BATCH_BODY_BYTES_MAX

        async def measured(body: bytes = body, form: str = form) -> tuple[int, int]:
            upload = await read_upload(body, form, CALLER)
            return len(upload.rows), tracemalloc.get_traced_memory()[1]

        tracemalloc.start()
        try:
            read_rows, peak = asyncio.run(measured())
        finally:
            tracemalloc.stop()
        assert read_rows == good and peak < 100_000_000
    assert len(read(as_json(*rows[: ROWS_MAX // 10]), JSON).rows) == ROWS_MAX // 10


async def test_a_quote_of_one_payout_is_no_larger_than_the_payout(pay: Pay) -> None:
    body = json.dumps(wish(recipient_address=person(), metadata={"a": "x" * BODY_BYTES_MAX}))
    answer = await pay.post("/payouts/quote", content=body.encode())
    assert refusal(answer)[:2] == (413, "body_too_large")


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (HEADER + b"a\n" * (ROWS_MAX + 1), TooManyRows),
        (HEADER + b"\n" * LINES_MAX, TooManyRows),
        (HEADER + GOOD_ROW + b"a," * ROW_TEXT_MAX, MalformedBody),
        (HEADER + GOOD_ROW + b'"\n",' * ROW_TEXT_MAX, MalformedBody),
        (HEADER + GOOD_ROW + b'"a\n' + GOOD_ROW * 2_000, MalformedBody),
        (b"user_id," * ROW_TEXT_MAX, MalformedBody),
    ],
)
def test_a_csv_is_read_no_further_than_it_may_go(body: bytes, refused: type[Exception]) -> None:
    with pytest.raises(refused):
        read(body, CSV)


def test_empty_lines_between_rows_are_no_rows() -> None:
    body = HEADER + (b"\n,,\n \n" + GOOD_ROW) * 100
    assert [row for row, _ in read(body, CSV).rows] == list(range(1, 101))


def test_of_a_wide_header_little_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def none_known(name: str, _: Any) -> str:
        asked.append(name)
        return ""

    monkeypatch.setattr(batch_rows, "meant", none_known)
    with pytest.raises(BadHeader):
        read(b",".join([b"zecipient"] * 5_000) + b"\n1", CSV)
    assert len(asked) == batch_rows.COLUMNS_READ


@pytest.mark.parametrize("form", [NDJSON, JSON])
def test_a_row_is_no_larger_than_a_payout_by_itself(form: str) -> None:
    large = b'{"metadata":{"a":"' + b"x" * ROW_BYTES_MAX + b'"}}'
    rows = [GOOD, large, GOOD]
    upload = read(b"\n".join(rows) if form == NDJSON else as_json(*rows), form)
    assert [row for row, _ in upload.rows] == [1, 3]
    assert [(row.row, row.code) for row in upload.refused] == [(2, "malformed_row")]
    changed = [GOOD, large.replace(b"xx", b"xy"), GOOD]
    other = read(b"\n".join(changed) if form == NDJSON else as_json(*changed), form)
    assert other.content != upload.content, "what it says is content still"


NAMES = ["\\u0001" * 60, "😀" * 60, '\\"' * 60, "\\u00a0" * 100]


def odd(name: str) -> str:
    return f'{{"user_id":"u","{name}":1}}'


@pytest.mark.parametrize("name", NAMES)
def test_what_is_told_of_refused_rows_fits_into_one_answer(name: str) -> None:
    route = f'{{"user_id":"u","recipient_address":"T","amount":"5","route":"{name}"}}'
    for row in (odd(name), route):
        (told,) = read(row.encode(), NDJSON).refused
        assert len(msgspec.json.encode(told.told())) * ROWS_MAX < ANSWER_BYTES_MAX * 3 // 4
        assert (told.param or "").isprintable() and told.detail.isprintable()


async def test_ten_thousand_odd_names_of_fields_are_no_surprise(pay: Pay) -> None:
    good = json.dumps(wish(recipient_address=person()))
    body = "\n".join([good, *[odd(NAMES[0])] * (ROWS_MAX - 1)]).encode()
    answer = await pay.post("/payouts/batch", content=body, media_type=NDJSON)
    assert answer.status_code == 202, answer.text[:300]
    assert (answer.json()["accepted"], len(answer.json()["refused"])) == (1, ROWS_MAX - 1)
    for path in ("/payouts/batch", "/payouts/quote"):
        many = await pay.post(path, content=as_json(*[b"1"] * (ROWS_MAX + 1)))
        assert refusal(many)[:2] == (422, "too_many_rows")
    await pay.settle()


def test_what_was_meant_is_asked_once_for_each_name_and_not_about_thousands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    look = difflib.get_close_matches

    def looked(word: str, *others: Any) -> list[str]:
        asked.append(word)
        return look(word, *others)

    monkeypatch.setattr(difflib, "get_close_matches", looked)
    row = GOOD[:-1] + b',"%s":"x"}'
    same = read(b"\n".join([row % b"amont"] * 1_000), NDJSON)
    assert asked == ["amont"]
    assert {each.detail for each in same.refused} == {
        "this field does not exist; did you mean amount?"
    }
    others = read(as_json(*(row % b"amont%d" % number for number in range(1_000))), JSON)
    assert len(asked) == 1 + HINTS_MAX
    assert {each.code for each in others.refused} == {"unknown_field"}
    assert others.refused[-1].detail == "this field does not exist"


def test_the_mark_at_the_beginning_of_a_file_costs_no_row() -> None:
    for body, form in ((GOOD, NDJSON), (HEADER + GOOD_ROW, CSV)):
        assert len(read(b"\xef\xbb\xbf" + body, form).rows) == 1


def test_a_column_that_is_there_twice_is_named() -> None:
    with pytest.raises(BadHeader, match="amount is there twice; columns are"):
        read(HEADER.strip() + b",amount\n" + GOOD_ROW, CSV)


def test_of_what_is_said_twice_nothing_is_taken() -> None:
    """The decoder would take the last, and the first ones would be gone without a word."""
    with pytest.raises(InvalidField) as refused:
        read(b'{"payouts":[%s],"payouts":[%s]}' % (GOOD, GOOD), JSON)
    assert refused.value.param == "payouts"
    inside = GOOD[:-1] + b',"metadata":{"a":"1","b":"2","\\u0061":"3"}}'
    for twice, param in ((GOOD[:-1] + b',"amount":"500"}', "amount"), (inside, "a")):
        for body, form in ((as_json(twice, GOOD), JSON), (twice + b"\n" + GOOD, NDJSON)):
            told = read(body, form)
            assert [(row, wish.amount.units) for row, wish in told.rows] == [(2, 5_000_000)]
            (row,) = told.refused
            assert (row.row, row.code, row.param) == (1, "invalid_field", param)


def test_rows_of_a_batch_that_are_no_json_refuse_only_themselves() -> None:
    for bad in (b'{"user_id":"\xff"}', b"[" * 900 + b"]" * 900, b'{"a":1e999999}'):
        told = read(as_json(bad, GOOD), JSON)
        assert [row for row, _ in told.rows] == [2] and len(told.refused) == 1


@pytest.mark.parametrize("depth", [DEPTH_MAX + 1, 900, *range(985, 1_000)])
def test_what_is_nested_too_deep_hides_nothing(depth: int) -> None:
    deep = b'{"user_id":"u","user_id":"v","metadata":%s}' % (b"[" * depth + b"]" * depth)
    for body, form in ((deep + b"\n" + GOOD, NDJSON), (as_json(deep, GOOD), JSON)):
        try:
            told = read(body, form)
        except MalformedBody as refusal:  # the interpreter's limit is near
            assert form == JSON and depth > 900 and refusal.detail == TOO_DEEP
            continue
        assert [row for row, _ in told.rows] == [2]
        assert [(each.code, each.detail) for each in told.refused] == [("malformed_row", TOO_DEEP)]
    with pytest.raises((MalformedBody, InvalidField)):
        read(b'{"payouts":[%s],"dry_run":true,"dry_run":false}' % deep, JSON)


@pytest.mark.parametrize(
    ("row", "rows", "a_slice"),
    [
        (b'{"user_id":"u","amont":1}', ROWS_MAX, SLICE_ROWS),
        (GOOD, ROWS_MAX, SLICE_ROWS),
        (b'{"user_id":"%s"}' % (b"x" * (SLICE_CHARACTERS // 4)), 200, 4),
        (b"x" * (SLICE_CHARACTERS // 4), 200, 4),
    ],
)
async def test_others_get_their_turn_while_rows_are_read(
    row: bytes, rows: int, a_slice: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_rows, longest, turns = 0, 0, 0
    decoded = batch_rows._decoded

    def counted(*args: Any) -> Any:
        nonlocal read_rows
        read_rows += 1
        return decoded(*args)

    monkeypatch.setattr(batch_rows, "_decoded", counted)
    reading = asyncio.create_task(read_upload(b"\n".join([row] * rows), NDJSON, CALLER))
    before = 0
    while not reading.done():
        await asyncio.sleep(0)
        longest, before, turns = max(longest, read_rows - before), read_rows, turns + 1
    upload = await reading
    assert len(upload.said) == read_rows == rows
    assert turns >= rows // a_slice and longest <= a_slice

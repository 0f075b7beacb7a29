"""An upload repeated with its key is the same upload, whichever build answered it first."""

import csv
import io
import json
from typing import Any

import pytest

from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.http.idempotency import StoredRequest, fingerprint
from tron_payment.http.principals import Principal, Role
from tron_payment.payouts import batch_rows
from tron_payment.payouts.batch_documents import Batch, pack_refused, unpack_refused
from tron_payment.payouts.batch_rows import read_upload

BAD: list[Any] = [{"user_id": "x"}, wish(amount=5), 7, wish(rout="v0")]


def two_rows_and_bad_ones() -> list[Any]:
    return [*BAD, *(wish(recipient_address=person()) for _ in range(2))]


def reword(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the next build might do: every refusal says the same in other words."""
    of = batch_rows.RefusedRow.of

    def reworded(row: int, refusal: Any) -> batch_rows.RefusedRow:
        told = of(row, refusal)
        return batch_rows.RefusedRow(row, told.code, told.param, f"Sorry: {told.detail}")

    monkeypatch.setattr(batch_rows.RefusedRow, "of", reworded)


async def test_a_build_with_other_words_repeats_the_answer(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, key = {"payouts": two_rows_and_bad_ones()}, "words-may-change-01"
    first = await pay.post("/payouts/batch", body, key=key)
    assert first.status_code == 202 and len(first.json()["refused"]) == 4, first.text
    reword(monkeypatch)
    again = await pay.post("/payouts/batch", body, key=key)
    assert again.json() == first.json() and again.headers["Idempotent-Replayed"] == "true"
    await pay.settle()


async def test_what_a_refused_row_says_is_content(pay: Pay) -> None:
    """Its code and field alone would take these for the same."""
    good, key = wish(recipient_address=person()), "bad-rows-differ-001"
    first = await pay.post("/payouts/batch", {"payouts": [good, wish(amount=5)]}, key=key)
    assert first.status_code == 202
    spaced = json.dumps({"payouts": [good, wish(amount=5)]}, indent=3).encode()
    same = await pay.post("/payouts/batch", content=spaced, key=key)
    assert same.json() == first.json(), "the same, written with other spaces"
    other = await pay.post("/payouts/batch", {"payouts": [good, wish(amount=6)]}, key=key)
    assert refusal(other)[:2] == (422, "idempotency_key_reused")


async def test_cells_of_a_refused_row_are_content(pay: Pay) -> None:
    key, person_1 = "bad-cells-differ-01", person()

    def table(*cells: str) -> bytes:
        out = io.StringIO()
        good = ("u-1", person_1, "12.5")
        csv.writer(out).writerows([batch_rows.REQUIRED, good, cells])
        return out.getvalue().encode()

    async def sent(*cells: str) -> Any:
        return await pay.post(
            "/payouts/batch", content=table(*cells), media_type="text/csv", key=key
        )

    first = await sent("u-2", person_1, "x", "one cell too many")
    assert [row["code"] for row in first.json()["refused"]] == ["malformed_row"]
    assert (await sent("u-2", person_1, "x", "one cell too many")).json() == first.json()
    other = await sent("u-2", person_1, "x", "another one too many")
    assert refusal(other)[:2] == (422, "idempotency_key_reused")


async def test_what_an_older_build_has_answered_is_repeated(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It kept the words of refused rows; its batch has them still."""
    body, key = {"payouts": two_rows_and_bad_ones()}, "an-older-build-0001"
    first = await pay.post("/payouts/batch", body, key=key)
    batch = await Batch.find_one({"_id": first.json()["batch_id"]})
    assert batch is not None
    words = [{**row, "detail": f"Old: {row['detail']}"} for row in unpack_refused(batch)]
    upload = await read_upload(json.dumps(body).encode(), "application/json", somebody())
    older = fingerprint("payouts.batch", upload.content_by_words(words))
    record = {"object_ids": batch.id}
    requests = StoredRequest.get_pymongo_collection()
    assert (await requests.update_one(record, {"$set": {"fingerprint": older}})).matched_count == 1
    reused = (422, "idempotency_key_reused")
    assert refusal(await pay.post("/payouts/batch", body, key=key))[:2] == reused
    await Batch.get_pymongo_collection().update_one(
        {"_id": batch.id}, {"$set": {"refused": pack_refused(words)}}
    )
    reword(monkeypatch)
    again = await pay.post("/payouts/batch", body, key=key)
    assert again.json() == first.json() and again.headers["Idempotent-Replayed"] == "true"
    fewer = {"payouts": body["payouts"][1:]}
    assert refusal(await pay.post("/payouts/batch", fewer, key=key))[:2] == reused
    await Batch.get_pymongo_collection().delete_one({"_id": batch.id})
    lost = await pay.post("/payouts/batch", body, key=key)
    assert refusal(lost)[:2] == reused, "without the batch its words are not known"


async def test_a_field_s_name_that_an_older_build_cut_otherwise_is_the_same(pay: Pay) -> None:
    """It cut after 60 characters; this one after 60 bytes, in the middle of such a name."""
    field = "идентификатор_получателя_платежа"
    bad = wish(recipient_address=person()) | {field: "x"}
    body, key = {"payouts": [wish(recipient_address=person()), bad]}, "an-older-build-0002"
    first = await pay.post("/payouts/batch", body, key=key)
    batch = await Batch.find_one({"_id": first.json()["batch_id"]})
    assert batch is not None
    kept = [{**row, "param": field} for row in unpack_refused(batch)]
    assert kept[0]["param"] != unpack_refused(batch)[0]["param"]
    upload = await read_upload(json.dumps(body).encode(), "application/json", somebody())
    older = fingerprint("payouts.batch", upload.content_by_words(kept))
    requests = StoredRequest.get_pymongo_collection()
    await requests.update_one({"object_ids": batch.id}, {"$set": {"fingerprint": older}})
    await Batch.get_pymongo_collection().update_one(
        {"_id": batch.id}, {"$set": {"refused": pack_refused(kept)}}
    )
    again = await pay.post("/payouts/batch", body, key=key)
    assert again.json() == first.json()
    await pay.settle()


def somebody() -> Principal:
    return Principal(id="op-1", role=Role.OPERATOR, permissions=frozenset())

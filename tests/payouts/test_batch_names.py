"""What a person said in an upload leaves it whole: rows, refused rows, words, kept answers."""

import asyncio
import zlib
from typing import Any

import pytest

from tests.payouts.world import Pay, person, refusal
from tron_payment.http.idempotency import StoredRequest
from tron_payment.http.principals import Principal, Role
from tron_payment.keeping import Keeping
from tron_payment.payouts.batch_documents import Batch, pack_refused, unpack_payouts
from tron_payment.payouts.batch_names import without_person
from tron_payment.payouts.batch_rows import CSV, NDJSON, read_upload
from tron_payment.payouts.documents import Payout


async def test_an_erased_person_is_nowhere_in_an_upload_and_is_not_paid_again(pay: Pay) -> None:
    alice, bob = person(), person()
    lines = [
        "user_id,recipient_address,amount,route",
        f"alice@example.com,{alice},12.5,",
        f"bob,{bob},12.5,",
        f"alice@example.com,{alice},x,",
        f"bob,{bob},12.5,alice@example.com",
        f"bob,{bob},12.5,nonsense",
    ]
    upload = "\n".join(lines).encode()
    key = "erasure-of-a-person-1"
    made = await pay.post("/payouts/batch", content=upload, media_type="text/csv", key=key)
    assert "alice@example.com" in made.text, "the refusal quotes it"
    await pay.settle()
    done = await Keeping(pay.world.clock, 0).erase("alice@example.com")
    assert (done.payouts, done.batches, done.unfinished, done.schedules) == (1, 1, 0, 0)
    batch = await Batch.find_one({"_id": made.json()["batch_id"]})
    assert batch is not None
    assert b"alice" not in zlib.decompress(batch.refused) + zlib.decompress(batch.rows)
    rows = [Payout.model_validate_json(row) for row in unpack_payouts(batch.rows)]
    assert [row.user_id for row in rows] == ["erased", "bob"]
    answers = await StoredRequest.find_all().to_list()
    assert answers and not [each for each in answers if b"alice" in each.body]
    read = await pay.get(f"/payouts/batch/{batch.id}")
    exported = (await pay.get(f"/payouts/batch/{batch.id}/export")).text
    assert "alice" not in read.text + exported
    assert [row["row"] for row in read.json()["refused"]] == [3, 4, 5]
    assert "'nonsense' is none of" in read.json()["refused"][2]["detail"]
    again = await pay.post("/payouts/batch", content=upload, media_type="text/csv", key=key)
    assert refusal(again)[:2] == (422, "idempotency_key_expired")
    assert await pay.held(alice) == 12_500_000


LONG = "maria.gonzalez-de-la-torre@subsidiary.example.com"
HEAD = "user_id,recipient_address,amount,route"
ADDRESS = "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8"


def left_of(upload: str, form: str, user_id: str) -> Any:
    """The refused rows of an upload after this person is erased; None when it named nobody."""
    me = Principal("op-1", Role.OPERATOR, frozenset())
    read = asyncio.run(read_upload(upload.encode(), form, me))
    assert read.refused
    without = without_person(pack_refused(read.told(read.refused)), user_id)
    return None if without is None else zlib.decompress(without).decode()


@pytest.mark.parametrize(
    ("upload", "form"),
    [
        (f"{HEAD}\n17,{ADDRESS},12.5,{LONG}", CSV),
        (f"{HEAD}\n17,{ADDRESS},12.5,of the person {LONG}", CSV),
        (f"{HEAD}\n{LONG},{ADDRESS},x,", CSV),
        (f"{HEAD}\n17,{ADDRESS},{LONG},", CSV),
        (f"{HEAD}\n17,{ADDRESS}{'x' * 80}{LONG},x,", CSV),
        (f'{{"user_id":"1","{LONG}":"x"}}', NDJSON),
        (f'{{"user_id":"1","field of the person {LONG}":"x"}}', NDJSON),
        (
            f'{{"user_id":"1","recipient_address":"{ADDRESS}","amount":"1","route":"{LONG}"}}',
            NDJSON,
        ),
        (f'{{"user_id":"1","recipient_address":["{LONG}"],"amount":"1"}}', NDJSON),
    ],
)
def test_a_name_that_was_cut_when_it_was_quoted_leaves_as_well(upload: str, form: str) -> None:
    left = left_of(upload, form, LONG)
    assert left is not None and "maria" not in left


@pytest.mark.parametrize(
    "name", ["4", "3", "12.5", "cells", "amount", "none", "kyc", "mari", "maria"]
)
def test_our_own_words_amounts_and_other_names_name_nobody(name: str) -> None:
    rows = ["u-1,x,4.5,,", f"u-1,{ADDRESS},12.5,nonsense", f"u-1,{ADDRESS},4,mariana"]
    assert left_of("\n".join([HEAD, *rows, f"u-1,{ADDRESS},x,"]), CSV, name) is None

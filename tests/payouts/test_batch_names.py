"""What a person said in an upload leaves it whole: rows, refused rows, words, kept answers."""

import zlib

from tests.payouts.world import Pay, person, refusal
from tron_payment.http.idempotency import StoredRequest
from tron_payment.keeping import Keeping
from tron_payment.payouts.batch_documents import Batch, unpack_payouts
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

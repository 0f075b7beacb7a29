"""Batches: three forms in, bad rows refused one by one, poison found, nothing paid twice."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.chain import TriggerContract
from tron_payment.contracts import artifact
from tron_payment.core.address import Address
from tron_payment.core.money import parse_units
from tron_payment.db.cas import insert_once
from tron_payment.engine import Order, OrderStatus, Wish
from tron_payment.payouts.batch_documents import Batch, Calling, Stage
from tron_payment.payouts.documents import Payout
from tron_payment.wallets import Wallets

HEADER = "user_id,recipient_address,amount,currency,route,merchant_reference,kyc_verified"


def rows(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [wish(user_id=f"node-{i}", recipient_address=person(), **changes) for i in range(count)]


async def detail(pay: Pay, batch_id: str, **headers: str) -> Any:
    answer = await pay.get(f"/payouts/batch/{batch_id}", **headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def told(answer: httpx.Response) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer.json()["refused"]
    return found


async def exported(pay: Pay, batch_id: str) -> list[dict[str, str]]:
    text = (await pay.get(f"/payouts/batch/{batch_id}/export", Accept="text/csv")).text
    return list(csv.DictReader(io.StringIO(text)))


async def orders_of(batch_id: str) -> list[Order]:
    return await Order.find({"subject": batch_id}).sort("+created_at").to_list()


async def test_a_batch_is_one_transaction_for_its_router_rows(pay: Pay) -> None:
    good = rows(7) + rows(2, route="direct")
    bad = [
        wish(amount="1"),
        wish(recipient_address="nonsense"),
        wish(recipient_address=pay.v0),
        wish(recipient_address=pay.world.usdt),
        {"user_id": "x"},
        wish(user_id="with space"),
    ]
    made = await pay.batch(good[:4] + bad + good[4:])
    assert made["batch_id"].startswith("bat_") and made["status"] == "queued"
    assert made["accepted"] == 9 and made["totals"] == {"USDT": "112.5"}
    assert [(row["row"], row["code"]) for row in made["refused"]] == [
        (5, "amount_below_minimum"),
        (6, "invalid_address"),
        (7, "recipient_is_own"),
        (8, "recipient_is_contract"),
        (9, "missing_field"),
        (10, "invalid_field"),
    ]
    orders = await orders_of(made["batch_id"])
    assert sorted(len(order.expects) for order in orders) == [1, 1, 7]
    await pay.settle()
    seen = await detail(pay, made["batch_id"])
    assert (seen["status"], seen["counts"]) == ("completed", {"settled": 9}), seen
    shared = {row["txid"] for row in seen["data"] if row["route"] == "v0"}
    assert len(shared) == 1 and len(seen["data"]) == 9
    for row in good:
        assert await pay.held(row["recipient_address"]) == 12_500_000
    fees = [row["fee"]["paid_trx"] for row in seen["data"]]
    assert all(float(fee) > 0 for fee in fees)
    await pay.assert_books_equal_chain()

    export = await pay.get(f"/payouts/batch/{made['batch_id']}/export", Accept="text/csv")
    assert export.headers["content-type"].startswith("text/csv"), export.text
    table = await exported(pay, made["batch_id"])
    assert [int(line["row"]) for line in table] == list(range(1, 16))
    assert {line["status"] for line in table} == {"settled", "refused"}
    for line in (line for line in table if line["status"] == "refused"):
        sent = bad[int(line["row"]) - 5]
        for name in ("user_id", "recipient_address", "amount", "currency"):
            assert line[name] == sent.get(name, ""), "a refused row is found again by its own words"
    same = await pay.get(f"/payouts/batch/{made['batch_id']}", Accept="text/csv")
    assert same.text == export.text

    path, numbers, cursor = f"/payouts/batch/{made['batch_id']}/rows?limit=4", [], ""
    while True:
        page = (await pay.get(path + cursor)).json()
        numbers += [row["row"] for row in page["data"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert numbers == [1, 2, 3, 4, 11, 12, 13, 14, 15]
    assert refusal(await pay.get(path + "&cursor=row-x"))[:2] == (422, "invalid_cursor")


async def test_the_three_forms_say_the_same(pay: Pay) -> None:
    alice = person()
    line = f"u-1,{alice},12.5,USDT,v0,,"
    csv_body = f"{HEADER}\r\n{line}\r\nu-2,{alice},x,USDT,,,\r\nu-3,{alice}\r\n".encode()
    ndjson = "\n".join(
        [
            json.dumps(wish(recipient_address=alice, route="v0")),
            "{not json",
            json.dumps(wish(recipient_address=alice, amount=5)),
        ]
    ).encode()
    for media_type, body, codes in (
        ("text/csv", csv_body, ["invalid_amount", "malformed_row"]),
        ("text/csv; charset=utf-8", csv_body, ["invalid_amount", "malformed_row"]),
        ("application/x-ndjson", ndjson, ["malformed_row", "invalid_amount"]),
    ):
        answer = await pay.post("/payouts/batch", content=body, media_type=media_type)
        assert answer.status_code == 202, answer.text
        assert [row["code"] for row in answer.json()["refused"]] == codes
        assert all(row.keys() == {"row", "code", "param", "detail"} for row in told(answer))
        table = await exported(pay, answer.json()["batch_id"])
        refused = {line["code"]: line for line in table if line["status"] == "refused"}
        wrong = refused["invalid_amount"]
        assert (wrong["recipient_address"], wrong["amount"] in {"x", "5"}) == (alice, True)
        unread = refused["malformed_row"]
        assert unread["user_id"] == ("u-3" if media_type.startswith("text/csv") else "")
    await pay.settle()
    assert await pay.held(alice) == 37_500_000


@pytest.mark.parametrize("media_type", ["application/x-ndjson", "application/json"])
async def test_a_number_that_nothing_holds_refuses_its_row_alone(pay: Pay, media_type: str) -> None:
    good = json.dumps(wish(recipient_address=person()))
    huge = good.replace('"12.5"', "1e400")
    assert huge != good
    lines, listed = f"{good}\n{huge}", f'{{"payouts": [{good}, {huge}]}}'
    body = lines if media_type.endswith("ndjson") else listed
    answer = await pay.post("/payouts/batch", content=body.encode(), media_type=media_type)
    assert answer.status_code == 202, answer.text
    assert [row["row"] for row in answer.json()["refused"]] == [2]


async def test_what_a_batch_is_refused_for(pay: Pay) -> None:
    good = wish(recipient_address=person())
    for content, media_type, expected in (
        (b'{"payouts": []}', "application/json", (422, "no_rows", "payouts")),
        (b'{"payouts": [', "application/json", (400, "malformed_body", None)),
        (b'{"rows": []}', "application/json", (422, "unknown_field", "rows")),
        (b"a,b,c\n1,2,3\n", "text/csv", (422, "csv_header", None)),
        (HEADER.replace(",", ";").encode(), "text/csv", (422, "csv_header", None)),
        (f"{HEADER}\n".encode(), "text/csv", (422, "no_rows", "payouts")),
        (b"\xff\xfe", "text/csv", (400, "malformed_body", None)),
        (b"<x/>", "text/xml", (415, "unsupported_media_type", "Content-Type")),
        (b"", "application/json", (400, "body_missing", None)),
    ):
        answer = await pay.post("/payouts/batch", content=content, media_type=media_type)
        assert refusal(answer) == expected, answer.text
    for header, hint in (
        (HEADER.replace(",", ";"), "these by semicolons"),
        (HEADER.replace("amount", "ammount"), "did you mean amount?"),
    ):
        answer = await pay.post("/payouts/batch", content=header.encode(), media_type="text/csv")
        assert hint in answer.json()["detail"]
    none = await pay.post("/payouts/batch", {"payouts": [wish(amount="1")]})
    assert none.status_code == 422 and none.json()["code"] == "no_good_row"
    assert none.json()["refused"][0]["code"] == "amount_below_minimum"
    keyless = await pay.post("/payouts/batch", {"payouts": [good]}, key=None)
    assert refusal(keyless) == (400, "idempotency_key_missing", "Idempotency-Key")
    many = b'{"payouts": [' + b",".join([b"1"] * 10_001) + b"]}"
    assert refusal(await pay.post("/payouts/batch", content=many))[1] == "too_many_rows"
    direct = await pay.post(
        "/payouts/batch", {"payouts": [good, good | {"route": "direct"}]}, role="merchant"
    )
    assert [row["code"] for row in direct.json()["refused"]] == ["missing_permission"]
    large = b'{"payouts": ["' + b"x" * (8 * 1024 * 1024) + b'"]}'
    assert (await pay.post("/payouts/batch", content=large)).status_code == 413


async def test_a_repeat_is_the_same_batch(pay: Pay) -> None:
    body, key = {"payouts": rows(2)}, "a-key-of-a-batch-01"
    before = await pay.post("/payouts/batch?dry_run=true", body, key=key)
    assert before.json()["batch_id"] is None
    first = await pay.post("/payouts/batch", body, key=key)
    dry = (await pay.post("/payouts/batch?dry_run=true", body, key=key)).json()
    assert dry["batch_id"] == first.json()["batch_id"], "the key has made it already"
    others = {"payouts": rows(2)}
    other = await pay.post("/payouts/batch?dry_run=true", others, key="a-key-of-a-batch-02")
    assert other.json()["batch_id"] is None
    again = await pay.post("/payouts/batch", body, key=key)
    assert again.json() == first.json() and again.headers["Idempotent-Replayed"] == "true"
    other = await pay.post("/payouts/batch", {"payouts": rows(1)}, key=key)
    assert refusal(other)[:2] == (422, "idempotency_key_reused")
    await pay.settle()
    for row in body["payouts"]:
        assert await pay.held(row["recipient_address"]) == 12_500_000


async def test_a_reference_is_used_once_in_a_batch_and_for_ever(pay: Pay) -> None:
    first, second, third = rows(3)
    made = await pay.batch(
        [first | {"merchant_reference": "b-1"}, second | {"merchant_reference": "b-1"}]
    )
    assert [row["code"] for row in made["refused"]] == ["merchant_reference_taken"]
    single = await pay.post("/payouts/initiate", third | {"merchant_reference": "b-1"})
    assert refusal(single)[:2] == (409, "merchant_reference_taken")
    again = await pay.post("/payouts/batch", {"payouts": [third | {"merchant_reference": "b-1"}]})
    assert again.json()["code"] == "no_good_row"
    await pay.settle()


async def test_a_crash_at_any_stage_pays_every_row_once(pay: Pay) -> None:
    """The batch alone is stored, as after a kill; another process carries it out, twice."""
    wanted = rows(5)
    made = await pay.batch(wanted)
    batch = await Batch.find_one({"_id": made["batch_id"]})
    assert batch is not None
    for stage, forget in (
        (Stage.ACCEPTED, True),
        (Stage.ACCEPTED, False),
        (Stage.STORED, False),
    ):
        if forget:
            await Order.get_pymongo_collection().delete_many({"subject": batch.id})
            await Payout.get_pymongo_collection().delete_many({"batch_id": batch.id, "row": 3})
        await Batch.get_pymongo_collection().update_one(
            {"_id": batch.id}, {"$set": {"stage": stage.value, "working": True}}
        )
        await pay.world.work()
    await pay.settle()
    await insert_once(batch)
    await Batch.get_pymongo_collection().update_one(
        {"_id": batch.id}, {"$set": {"stage": "accepted", "working": True}}
    )
    await pay.settle()
    for row in wanted:
        assert await pay.held(row["recipient_address"]) == 12_500_000
    assert (await detail(pay, batch.id))["status"] == "completed"
    await pay.assert_books_equal_chain()


async def test_poison_is_found_by_halves_and_does_not_stop_the_others(pay: Pay) -> None:
    """Two rows that only the contract knows to be wrong: the gate's screening is blind here."""
    wanted = rows(9)
    made = await pay.batch(wanted)
    poisoned = {4, 8}
    (order,) = await orders_of(made["batch_id"])
    await Payout.get_pymongo_collection().update_many(
        {"batch_id": made["batch_id"], "row": {"$in": sorted(poisoned)}},
        {"$set": {"recipient_address": pay.v0}},
    )
    await poison(order, pay.v0, {row - 1 for row in poisoned})
    gates = pay.house.engine.dispatcher.gates
    blind, gates[:] = list(gates), []
    await pay.settle(2)
    gates[:] = blind
    seen = await detail(pay, made["batch_id"])
    assert seen["counts"] == {"settled": 7, "failed": 2}, seen["counts"]
    assert seen["status"] == "completed_with_errors"
    for number, row in enumerate(wanted, 1):
        paid = 0 if number in poisoned else 12_500_000
        assert await pay.held(row["recipient_address"]) == paid, number
    failed = [row for row in seen["data"] if row["status"] == "failed"]
    assert {row["row"] for row in failed} == poisoned
    assert {row["reason"] for row in failed} == {"InvalidRecipient"}
    await pay.assert_books_equal_chain()


async def test_a_batch_that_the_chain_reverts_goes_on_in_halves(pay: Pay) -> None:
    async def ignore(_: object) -> None:
        return

    pay.house.engine.hear("test", ignore)
    await switch(pay, "pause")
    wanted = rows(4)
    made = await pay.batch(wanted)
    await pay.settle()
    seen = await detail(pay, made["batch_id"])
    assert seen["counts"] == {"queued": 4}, seen["data"]
    assert {row["waiting_for"] for row in seen["data"]} == {"simulation_reverted: EnforcedPause"}
    (parent, *children) = await orders_of(made["batch_id"])
    assert (parent.status, len(children)) == (OrderStatus.FAILED, 2)
    assert parent.outcome is not None and parent.outcome.receipt == "REVERT"
    await switch(pay, "unpause")
    await pay.settle()
    pay.world.clock.skew += timedelta(seconds=10)
    await pay.settle(2)
    pay.world.clock.skew -= timedelta(seconds=10)
    seen = await detail(pay, made["batch_id"])
    assert (seen["status"], seen["counts"]) == ("completed", {"settled": 4}), seen["data"]
    spent = sum(parse_units(6, row["fee"]["paid_trx"]) for row in seen["data"])
    orders = await orders_of(made["batch_id"])
    assert spent == sum(each.outcome.fee_sun for each in orders if each.outcome is not None)
    for row in wanted:
        assert await pay.held(row["recipient_address"]) == 12_500_000
    told = (await pay.get(f"/payouts/{seen['data'][0]['payout_id']}/explain")).json()
    assert any("failed as a whole" in line for line in told["what_happened"])
    await pay.assert_books_equal_chain()


async def switch(pay: Pay, name: str) -> None:
    """Place the router owner's order; it is sent before what is placed after it."""
    wallet = await pay.house.use(Wallets).find_by_address(pay.world.treasury)
    data = artifact("PayoutRouterV0").call_data(name)
    await pay.house.engine.place(
        Wish(
            order_id=f"ord_of_{name}",
            module="test",
            kind="test",
            subject=name,
            wallet_id=wallet.id,
            signer=pay.world.treasury,
            contract=TriggerContract(pay.world.treasury, pay.v0, data),
            max_fee_sun=50_000_000,
            priority="high",
        )
    )


async def poison(order: Order, recipient: Address, places: set[int]) -> None:
    """Have the contract call of an order pay this recipient at these places."""
    code = artifact("PayoutRouterV0")
    name, columns = code.decode_call(order.contract["data"])
    assert name == "payMany"
    recipients = [recipient if i in places else each for i, each in enumerate(columns[1])]
    data = code.call_data("payMany", columns[0], recipients, columns[2])
    changed = await Order.get_pymongo_collection().update_one(
        {"_id": order.id, "status": "queued"}, {"$set": {"contract.data": data}}
    )
    assert changed.modified_count == 1


async def test_a_failed_payout_is_tried_again_once_as_a_new_one(pay: Pay) -> None:
    made = await pay.pay(recipient_address=person())
    await pay.house.engine.refuse(
        (await Payout.get(made["payout_id"])).order_id, "attempts_exhausted"
    )
    early = await pay.post(f"/payouts/{made['payout_id']}/retry")
    assert refusal(early)[:2] == (409, "not_retryable")
    await pay.world.work()
    retried = await pay.post(f"/payouts/{made['payout_id']}/retry")
    assert retried.status_code == 202, retried.text
    assert retried.json()["retry_of"] == made["payout_id"]
    twice = await pay.post(f"/payouts/{made['payout_id']}/retry")
    assert refusal(twice)[:2] == (409, "not_retryable")
    assert twice.json()["payout_id"] == retried.json()["payout_id"]
    await pay.settle()
    assert await pay.held(made["recipient_address"]) == 12_500_000


async def test_one_row_leaves_and_the_others_are_paid(pay: Pay) -> None:
    wanted = rows(4, max_fee_trx="0")
    made = await pay.batch(wanted)
    await pay.tick()
    (order,) = await orders_of(made["batch_id"])
    assert order.waiting_for.startswith("fee_above_maximum: ")
    leaving = (await detail(pay, made["batch_id"]))["data"][1]
    gone = await pay.post(f"/payouts/{leaving['payout_id']}/cancel")
    assert (gone.status_code, gone.json()["status"]) == (200, "canceled"), gone.text
    await Order.get_pymongo_collection().update_many(
        {"subject": made["batch_id"]}, {"$set": {"max_fee_sun": 500_000_000}}
    )
    pay.world.clock.skew += timedelta(seconds=10)
    await pay.settle(2)
    pay.world.clock.skew -= timedelta(seconds=10)
    seen = await detail(pay, made["batch_id"])
    assert seen["counts"] == {"settled": 3, "canceled": 1}, seen["data"]
    assert seen["status"] == "completed_with_errors"
    for index, row in enumerate(wanted):
        assert await pay.held(row["recipient_address"]) == (0 if index == 1 else 12_500_000)
    await pay.assert_books_equal_chain()


async def test_a_batch_is_called_back_until_it_is_signed(pay: Pay) -> None:
    wanted = rows(3, max_fee_trx="0")
    made = await pay.batch(wanted)
    await pay.tick()
    canceled = await pay.post(f"/payouts/batch/{made['batch_id']}/cancel")
    assert canceled.status_code == 200, canceled.text
    await pay.settle()
    seen = await detail(pay, made["batch_id"])
    assert (seen["status"], seen["counts"]) == ("canceled", {"canceled": 3})
    batch = await Batch.find_one({"_id": made["batch_id"]})
    assert batch is not None and batch.calling is Calling.DONE
    sent = await pay.batch(rows(2))
    await pay.tick()
    late = await pay.post(f"/payouts/batch/{sent['batch_id']}/cancel")
    assert late.status_code == 200
    await pay.settle()
    assert (await detail(pay, sent["batch_id"]))["counts"] == {"settled": 2}
    await pay.assert_books_equal_chain()


async def test_a_batch_that_was_shown_to_be_signed_leaves_when_its_bytes_have_expired(
    pay: Pay,
) -> None:
    made = await pay.batch(rows(3, max_fee_trx="0"))
    await pay.tick()
    await Order.get_pymongo_collection().update_many(
        {"subject": made["batch_id"]},
        {"$set": {"max_fee_sun": 500_000_000, "detached": True, "lifetime_s": 60}},
    )
    pay.world.clock.skew += timedelta(seconds=10)
    await pay.tick(2)
    pay.world.clock.skew -= timedelta(seconds=10)
    (shown,) = await orders_of(made["batch_id"])
    assert shown.status is OrderStatus.AWAITING_SIGNATURE
    called = await pay.post(f"/payouts/batch/{made['batch_id']}/cancel")
    assert called.status_code == 200, called.text
    await pay.settle(3)
    seen = await detail(pay, made["batch_id"])
    assert (seen["status"], seen["counts"]) == ("canceled", {"canceled": 3})
    assert len(await orders_of(made["batch_id"])) == 1, "nobody is asked to sign them again"
    await pay.assert_books_equal_chain()


async def test_others_batches_do_not_exist(pay: Pay) -> None:
    made = await pay.post("/payouts/batch", {"payouts": rows(1)}, role="merchant", sub="shop-1")
    path = f"/payouts/batch/{made.json()['batch_id']}"
    assert (await pay.get(path, role="merchant", sub="shop-2")).status_code == 404
    for verb in ("cancel",):
        answer = await pay.post(f"{path}/{verb}", role="merchant", sub="shop-2")
        assert refusal(answer)[:2] == (404, "batch_not_found")
    mine = (await pay.get("/payouts/batch", role="merchant", sub="shop-1")).json()
    assert [each["batch_id"] for each in mine["data"]] == [made.json()["batch_id"]]

"""What ended long ago forgets names and notes; money, and what is under way, forget nothing."""

import argparse
import asyncio
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tron_payment.core.clock import ManualClock
from tron_payment.db.events import Event
from tron_payment.gateway.documents import Payment
from tron_payment.gateway.webhook_documents import Delivery, DeliveryStatus
from tron_payment.http.advice import ADVICE
from tron_payment.http.idempotency import StoredRequest
from tron_payment.keeping import (
    EMPTY,
    ENDED_BATCHES,
    ENDED_DELIVERIES,
    LARGE_MAX,
    Keeping,
)
from tron_payment.operator.erase import erase
from tron_payment.operator.report import Exit
from tron_payment.payouts import ENDED, ERASED, Payout, is_name
from tron_payment.payouts.batch_documents import Batch, BatchStatus, pack_refused, unpack_payouts
from tron_payment.payouts.batch_names import without_person
from tron_payment.payouts.recipients import Recipient
from tron_payment.payouts.schedules import Schedule

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAYS = 90
OLD, YOUNG = NOW - timedelta(days=DAYS + 1), NOW - timedelta(days=DAYS - 1)


class World:
    """Rows as the modules leave them: only what keeping looks at, and money."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self.clock = ManualClock(NOW)

    def keeping(self, days: int = DAYS) -> Keeping:
        return Keeping(self.clock, days)

    async def payout(self, name: str, status: str, at: datetime, user: str = "alice") -> None:
        await self.database["payouts"].insert_one(
            {
                "_id": name,
                "status": status,
                "user_id": user,
                "units": 5,
                "order_id": name,
                "metadata": {"note": "rent"},
                "merchant_reference": name,
                "created_at": at,
                "updated_at": at,
                "recipient_address": "T1",
            }
        )
        count = await self.database["events"].count_documents({})
        data = {"user_id": user, "amount": "5", "status": status}
        await self.database["events"].insert_one(
            {"_id": f"evt_{name}", "seq": count + 1, "object_id": name, "data": data}
        )

    async def names(self) -> dict[str, str]:
        return {row["_id"]: row["user_id"] async for row in self.database["payouts"].find()}


@pytest.fixture
async def world(mongo: Any) -> World:
    models = [Payout, Payment, Batch, Delivery, Event, Recipient, Schedule, StoredRequest]
    return World((await mongo.connect(models)).database)


async def all_of(keeping: Keeping) -> None:
    while await keeping.step():
        pass


async def test_what_ended_long_ago_forgets_names_and_keeps_the_money(world: World) -> None:
    for status in ("settled", "failed", "canceled", "rejected"):
        await world.payout(f"old_{status}", status, OLD)
    await world.payout("young", "settled", YOUNG)
    for status in ("queued", "signed", "quarantined", "awaiting_approval"):
        await world.payout(f"live_{status}", status, OLD)
    before = {row["_id"]: row async for row in world.database["payouts"].find()}
    await all_of(world.keeping())
    for row in [row async for row in world.database["payouts"].find()]:
        event = await world.database["events"].find_one({"object_id": row["_id"]})
        was = before[row["_id"]]
        if row["_id"].startswith("old_"):
            assert (row["user_id"], row["metadata"]) == (ERASED, {})
            assert event["data"] == {"user_id": ERASED, "amount": "5", "status": row["status"]}
            was |= {"user_id": ERASED, "metadata": {}}
        else:
            assert event["data"]["user_id"] == "alice"
        assert row == was, "nothing else changes"


async def test_what_ends_late_is_found_when_its_time_has_come(world: World) -> None:
    await world.payout("late", "settled", OLD)
    await world.database["payouts"].update_one({"_id": "late"}, {"$set": {"updated_at": YOUNG}})
    keeping = world.keeping()
    await all_of(keeping)
    assert await world.names() == {"late": "alice"}
    world.clock.advance(timedelta(days=2))
    await all_of(keeping)
    assert await world.names() == {"late": ERASED}


async def test_nothing_is_forgotten_by_default(world: World) -> None:
    await world.payout("old", "settled", OLD)
    await all_of(world.keeping(days=0))
    assert await world.names() == {"old": "alice"}


async def test_payments_batches_and_delivered_webhooks(world: World) -> None:
    row = {"created_at": OLD, "updated_at": OLD, "metadata": {"note": "x"}, "return_url": "u"}
    payments, batches = world.database["payments"], world.database["batches"]
    await payments.insert_many(
        [
            {"_id": "done", "status": "paid", "units": 7, **row},
            {"_id": "busy", "status": "paid", "units": 7, "refunding": True, **row},
        ]
    )
    times: dict[str, Any] = {"created_at": OLD, "updated_at": OLD}
    why = {"row": 2, "code": "invalid_amount", "param": "amount", "detail": "no number"}
    quoted = {**why, "code": "invalid_field", "param": "alice@example.com", "detail": "'alice' is"}
    times["refused"] = pack_refused(
        [{**why, "said": {"user_id": "alice"}}, {**quoted, "said": {"user_id": "bob"}}]
    )
    await batches.insert_many(
        [
            {"_id": "done", "status": "completed", "working": False, "rows": b"names", **times},
            {"_id": "errors", "status": "completed_with_errors", "rows": b"names", **times},
            {"_id": "older", "status": "completed", "rows": EMPTY, **times},
            {"_id": "busy", "status": "processing", "rows": b"names", **times},
        ]
    )
    deliveries = world.database["webhook_deliveries"]
    await deliveries.insert_many(
        [
            {"_id": "told", "status": "delivered", "since": OLD},
            {"_id": "waits", "status": "pending", "since": OLD},
            {"_id": "new", "status": "delivered", "since": YOUNG},
        ]
    )
    await all_of(world.keeping())
    found = {row["_id"]: row async for row in payments.find()}
    assert found["done"]["metadata"] == {} and "return_url" not in found["done"]
    assert found["done"]["units"] == 7 and found["busy"]["metadata"] == {"note": "x"}
    rows = {row["_id"]: row["rows"] async for row in batches.find()}
    assert rows == {"done": EMPTY, "errors": EMPTY, "older": EMPTY, "busy": b"names"}
    told = {row["_id"]: row["refused"] async for row in batches.find()}
    bare = [
        {**why, "detail": ADVICE["invalid_amount"]},
        {**quoted, "param": None, "detail": ADVICE["invalid_field"]},
    ]
    assert told.pop("busy") == times["refused"]
    for batch_id, refused in told.items():
        assert msgspec.json.decode(zlib.decompress(refused)) == bare, batch_id
    assert {row["_id"] async for row in deliveries.find()} == {"waits", "new"}


async def test_one_person_is_erased_at_once_but_not_what_is_under_way(world: World) -> None:
    await world.payout("settled", "settled", NOW)
    await answered(world, "settled")
    await answered(world, "queued")
    await world.payout("queued", "queued", NOW)
    await world.payout("other", "settled", NOW, user="bob")
    await world.database["recipients"].insert_one({"_id": "alice", "recipient_address": "T1"})
    done = await world.keeping(days=0).erase("alice")
    assert (done.payouts, done.unfinished, done.attested) == (1, 1, False)
    requests = {row["_id"]: row["body"] async for row in world.database["requests"].find()}
    assert requests == {"req_settled": b"", "req_queued": b"alice"}
    assert await world.names() == {"settled": ERASED, "queued": "alice", "other": "bob"}
    assert await world.database["recipients"].count_documents({}) == 0
    again = await world.keeping(days=0).erase("alice")
    assert (again.payouts, again.unfinished) == (0, 1)


async def answered(world: World, name: str) -> None:
    await world.database["requests"].insert_one(
        {"_id": f"req_{name}", "object_ids": [name], "body": b"alice", "forgotten": False}
    )


def refused_row(number: int, detail: str = "no number", **said: str) -> dict[str, Any]:
    param = "amount" if number else "alice"
    return {"row": number, "code": "x", "param": param, "detail": detail, "said": said}


async def test_one_person_is_erased_from_every_upload_and_no_other_person(world: World) -> None:
    rows = [{"user_id": who, "units": 5, "metadata": {"note": "rent"}} for who in ("alice", "bob")]
    lines = zlib.compress(b"\n".join(map(msgspec.json.encode, rows)))
    bob = refused_row(7, "'malice' is none of v0", user_id="bob", amount="alice2")
    refused = [
        refused_row(3, user_id="alice", amount="x"),
        refused_row(4, user_id="bob", merchant_reference=" alice "),
        refused_row(5, "'alice' is none of v0", user_id="bob"),
        refused_row(0, user_id="bob"),
        bob,
    ]
    kept = {"rows": lines, "refused": pack_refused(refused), "created_at": NOW, "updated_at": NOW}
    batches = world.database["batches"]
    await batches.insert_many(
        [
            {"_id": f"bat_{n:02}", "status": "processing", "stage": "placed", **kept}
            for n in range(LARGE_MAX + 2)
        ]
    )
    await batches.insert_one({"_id": "young", "status": "queued", "stage": "accepted", **kept})
    for name in ("bat_00", "young"):
        await answered(world, name)
    done = await world.keeping(days=0).erase("alice")
    assert (done.batches, done.unfinished) == (LARGE_MAX + 2, 1)
    async for batch in batches.find({"stage": "placed"}):
        read = [msgspec.json.decode(line) for line in unpack_payouts(batch["rows"])]
        assert read == [{"user_id": ERASED, "units": 5, "metadata": {}}, rows[1]]
        left = msgspec.json.decode(zlib.decompress(batch["refused"]))
        assert left[-1] == bob and [row["row"] for row in left] == [3, 4, 5, 0, 7]
        bare = {"code": "x", "detail": ""}
        assert left[0] == {"row": 3, "param": "amount", **bare}
        assert left[3] == {"row": 0, "param": None, **bare}
        assert not any("said" in row for row in left[:-1])
    young = await batches.find_one({"_id": "young"})
    assert young["rows"] == lines and young["refused"] == kept["refused"]
    requests = {row["_id"]: row["body"] async for row in world.database["requests"].find()}
    assert requests == {"req_bat_00": b"", "req_young": b"alice"}
    again = await world.keeping(days=0).erase("alice")
    assert (again.batches, again.unfinished) == (0, 1)


async def test_schedules_that_have_ended_forget_and_active_ones_are_named(world: World) -> None:
    body = msgspec.json.encode({"payouts": [{"user_id": "alice"}]})
    other = msgspec.json.encode({"payouts": [{"user_id": "malice"}]})
    times = {"created_at": OLD, "updated_at": OLD}
    schedules = world.database["schedules"]
    await schedules.insert_many(
        [
            {"_id": "over", "status": "finished", "body": body, **times},
            {"_id": "other", "status": "canceled", "body": other, **times},
            {"_id": "goes_on", "status": "active", "body": body, **times},
        ]
    )

    async def bodies() -> dict[str, bytes]:
        return {row["_id"]: row["body"] async for row in schedules.find()}

    assert (await world.keeping(days=0).erase("alice")).schedules == 1
    assert await bodies() == {"over": b"", "other": other, "goes_on": body}
    await all_of(world.keeping())
    assert await bodies() == {"over": b"", "other": b"", "goes_on": body}


async def test_a_valid_attestation_outlives_an_erasure(world: World) -> None:
    until = NOW + timedelta(days=1)
    await world.database["recipients"].insert_one(
        {
            "_id": "alice",
            "recipient_address": "T1",
            "kyc_level": "full",
            "kyc_expires_at": until,
            "created_at": OLD,
            "updated_at": OLD,
        }
    )
    assert (await world.keeping(days=0).erase("alice")).attested
    world.clock.advance(timedelta(days=2))
    assert not (await world.keeping(days=0).erase("alice")).attested
    assert await world.database["recipients"].count_documents({}) == 0


async def delivery(world: World, name: str, about: str, status: str, user: str = "alice") -> None:
    data = {"user_id": user, "metadata": {"note": "rent"}, "amount": "5"}
    await world.database["webhook_deliveries"].insert_one(
        {
            "_id": name,
            "endpoint_id": "whk_1",
            "object_id": about,
            "status": status,
            "since": NOW,
            "event_seq": 1,
            "body": msgspec.json.encode({"id": f"evt_{name}", "data": data}),
        }
    )


async def bodies(world: World) -> dict[str, Any]:
    found = world.database["webhook_deliveries"].find()
    return {row["_id"]: msgspec.json.decode(row["body"])["data"] async for row in found}


@pytest.mark.parametrize("days", [0, DAYS])
async def test_webhooks_that_are_kept_forget_the_name_with_their_payout(
    world: World, days: int
) -> None:
    await world.payout("ended", "settled", OLD)
    await world.payout("other", "settled", YOUNG, user="bob")
    await world.payout("going", "queued", OLD)
    for status in ("delivered", "failed", "pending", "parked"):
        await delivery(world, status, "ended", status)
    await delivery(world, "bob", "other", "delivered", user="bob")
    await delivery(world, "going", "going", "delivered")
    before = await bodies(world)
    for _ in range(2):
        if days:
            await all_of(world.keeping())
        else:
            await world.keeping(days=0).erase("alice")
        after = await bodies(world)
        assert {name: after[name] for name in ("bob", "going")} == {
            name: before[name] for name in ("bob", "going")
        }
        for status in ("delivered", "failed", "pending", "parked"):
            assert after[status] == {"user_id": ERASED, "metadata": {}, "amount": "5"}, status


NOBODY = ["", " ", "\t", "\n", " alice", "alice ", "alice\n", "\u00a0", "- -", "x" * 129, "a\0b"]


@pytest.mark.parametrize("name", NOBODY)
async def test_what_is_nobody_s_name_is_looked_for_nowhere(
    world: World, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says so before it connects to anything."""
    packed = pack_refused([refused_row(1, user_id="bob", amount="x")])
    rows = {"rows": EMPTY, "refused": packed, "status": "completed", "stage": "placed"}
    await world.database["batches"].insert_one({"_id": "bat_1", **rows})
    with pytest.raises(ValueError, match="nobody"):
        await world.keeping(days=0).erase(name)
    (kept,) = [row async for row in world.database["batches"].find()]
    assert kept == {"_id": "bat_1", **rows}
    assert without_person(packed, name) is None
    settings: Any = None  # never looked at
    report = await erase(argparse.Namespace(user_id=name), settings)
    assert report.exit is Exit.USAGE and report.show(as_json=False) == 2
    assert "no USER_ID" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a", "--", "alice@example.com", "Jörg Müller", "17", "x" * 128])
def test_what_may_be_somebody_s_name(name: str) -> None:
    """Refused rows have names that are no user ids."""
    assert is_name(name)


def test_only_what_can_never_move_again_counts_as_ended() -> None:
    assert set(ENDED) == {"settled", "failed", "canceled", "rejected"}
    assert {BatchStatus(name) for name in ENDED_BATCHES}
    assert {DeliveryStatus(name) for name in ENDED_DELIVERIES}


async def test_a_person_who_is_called_like_the_mark_is_no_endless_work(world: World) -> None:
    await world.payout("pay_a", "settled", OLD, user=ERASED)
    await world.payout("pay_b", "queued", OLD, user=ERASED)
    async with asyncio.timeout(10):
        done = await world.keeping().erase(ERASED)
    assert (done.payouts, done.unfinished) == (0, 1)

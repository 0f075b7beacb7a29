"""A move applies once, to the version it saw; a document is stored once, under its id."""

import asyncio
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import pytest
from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, AsyncMongoClient, IndexModel
from pymongo.errors import AutoReconnect

from tron_payment.db.cas import (
    LostRace,
    Move,
    compare_and_set,
    compare_and_set_many,
    insert_many_once,
    insert_once,
)
from tron_payment.db.faults import DuplicateValue, StoreUnavailable
from tron_payment.db.group import GroupInsert, StoreBusy


class Status(StrEnum):
    QUEUED = "queued"
    SIGNED = "signed"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Attempt:
    txid: str


class Errand(Document):
    id: str  # type: ignore[assignment]
    version: int = 0
    status: Status = Status.QUEUED
    reference: str | None = None
    attempts: list[Attempt] = Field(default_factory=list)
    last: Attempt | None = None

    class Settings:
        name = "errands"
        bson_encoders = {Attempt: asdict}
        keep_nulls = False
        indexes = [
            IndexModel([("reference", ASCENDING)], name="reference", unique=True, sparse=True),
            IndexModel([("attempts.txid", ASCENDING)], name="txid", unique=True, sparse=True),
        ]


@pytest.fixture
async def store(mongo: Any) -> Any:
    return await mongo.connect([Errand])


async def test_a_move_answers_the_new_document(store: Any) -> None:
    assert await insert_once(Errand(id="a"))
    after = await compare_and_set(
        Errand,
        "a",
        version=0,
        where={"status": Status.QUEUED},
        set={"status": Status.SIGNED, "last": Attempt("t1")},
        push={"attempts": Attempt("t1")},
    )
    assert (after.version, after.status) == (1, Status.SIGNED)
    assert after.attempts == [Attempt("t1")] and after.last == Attempt("t1")
    after = await compare_and_set(
        Errand,
        "a",
        version=1,
        set={"status": Status.SETTLED},
        push={"attempts": [Attempt("t2"), Attempt("t3")]},
        unset=["last"],
    )
    assert [each.txid for each in after.attempts] == ["t1", "t2", "t3"] and after.last is None


@pytest.mark.parametrize(
    ("version", "where"), [(1, None), (0, {"status": Status.SIGNED}), (0, {"last.txid": "t"})]
)
async def test_a_stale_move_changes_nothing(store: Any, version: int, where: Any) -> None:
    await insert_once(Errand(id="a"))
    with pytest.raises(LostRace):
        await compare_and_set(
            Errand, "a", version=version, where=where, set={"status": Status.SETTLED}
        )
    found = await Errand.get("a")
    assert found is not None and (found.version, found.status) == (0, Status.QUEUED)


async def test_one_of_many_racers_wins(store: Any) -> None:
    await insert_once(Errand(id="a"))
    outcomes = await asyncio.gather(
        *(compare_and_set(Errand, "a", version=0, set={"reference": str(n)}) for n in range(20)),
        return_exceptions=True,
    )
    (winner,) = [each for each in outcomes if isinstance(each, Errand)]
    assert sum(isinstance(each, LostRace) for each in outcomes) == 19
    found = await Errand.get("a")
    assert found is not None and found.reference == winner.reference and found.version == 1


async def test_a_move_onto_anothers_unique_value_is_refused(store: Any) -> None:
    await insert_once(Errand(id="a", attempts=[Attempt("t1")]))
    await insert_once(Errand(id="b"))
    with pytest.raises(DuplicateValue) as refusal:
        await compare_and_set(Errand, "b", version=0, set={}, push={"attempts": Attempt("t1")})
    assert refusal.value.index_name == "txid"
    assert refusal.value.key_value == {"attempts.txid": "t1"}
    with pytest.raises(DuplicateValue) as refusal:
        await compare_and_set_many(
            Errand, [Move(doc_id="b", version=0, set={}, push={"attempts": Attempt("t1")})]
        )
    assert refusal.value.doc_id == "b"


async def test_many_moves_tell_which_moved(store: Any) -> None:
    await insert_many_once([Errand(id=f"e{n}") for n in range(50)])
    signed = {"status": Status.SIGNED}
    moves = [Move(doc_id=f"e{n}", version=n % 2, set=signed) for n in range(50)]
    assert await compare_and_set_many(Errand, moves) == {f"e{n}" for n in range(0, 50, 2)}
    assert await compare_and_set_many(Errand, moves[::2]) == set()
    odd = [Move(doc_id=f"e{n}", version=0, set=signed) for n in range(1, 50, 2)]
    assert await compare_and_set_many(Errand, odd) == {f"e{n}" for n in range(1, 50, 2)}
    assert await Errand.find({"version": 1, "status": "signed"}).count() == 50
    assert await compare_and_set_many(Errand, []) == set()


async def test_racing_batches_share_the_documents_between_them(store: Any) -> None:
    ids = [f"e{n}" for n in range(200)]
    await insert_many_once([Errand(id=each) for each in ids])
    won = await asyncio.gather(
        *(
            compare_and_set_many(
                Errand,
                [Move(doc_id=each, version=0, set={"last": Attempt(str(n))}) for each in ids],
            )
            for n in range(4)
        )
    )
    assert sorted(each for batch in won for each in batch) == sorted(ids)
    for n, batch in enumerate(won):
        for each in batch:
            found = await Errand.get(each)
            assert found is not None and found.last == Attempt(str(n))


async def test_an_insert_again_finds_itself(store: Any) -> None:
    errand = Errand(id="a", reference="r1")
    assert await insert_once(errand)
    assert not await insert_once(errand)
    assert not await insert_once(Errand(id="a", reference="r2"))
    with pytest.raises(DuplicateValue) as refusal:
        await insert_once(Errand(id="b", reference="r1"))
    assert (refusal.value.index_name, refusal.value.doc_id) == ("reference", "b")
    assert refusal.value.key_value == {"reference": "r1"}


async def test_many_inserts_tell_which_were_new(store: Any) -> None:
    assert await insert_many_once([Errand(id="a"), Errand(id="b", reference="r")]) == {"a", "b"}
    again = [Errand(id="a"), Errand(id="b", reference="r"), Errand(id="c")]
    assert await insert_many_once(again) == {"c"}
    with pytest.raises(DuplicateValue):
        await insert_many_once([Errand(id="d", reference="r"), Errand(id="e")])
    assert await Errand.get("d") is None
    assert await Errand.get("e") is not None


async def test_a_group_answers_each_caller(store: Any) -> None:
    group = GroupInsert()
    await insert_once(Errand(id="old", reference="taken"))
    documents = [Errand(id=f"g{n % 90}") for n in range(100)]
    documents += [Errand(id="old", reference="taken"), Errand(id="clash", reference="taken")]
    answers = await asyncio.gather(
        *(group.insert(each) for each in documents), return_exceptions=True
    )
    assert answers[:90] == [True] * 90 and answers[90:101] == [False] * 11
    assert isinstance(answers[101], DuplicateValue) and answers[101].doc_id == "clash"
    assert group.commands < 5
    await group.drain()
    assert await Errand.find({}).count() == 91


@pytest.mark.parametrize("flights", [1, 2])
async def test_a_group_leaves_nobody_behind(store: Any, flights: int) -> None:
    group = GroupInsert(flights=flights, batch_max=8)
    numbers = iter(range(600))

    async def caller() -> None:
        for number in numbers:
            assert await group.insert(Errand(id=f"g{number}"))

    async with asyncio.timeout(20):
        await asyncio.gather(*(caller() for _ in range(20)))
    assert await Errand.find({}).count() == 600


async def test_a_document_that_cannot_be_stored_hurts_nobody_else(store: Any) -> None:
    group = GroupInsert()
    documents = [Errand(id="a"), Errand(id="huge", version=2**70), Errand(id="b")]
    answers = await asyncio.gather(
        *(group.insert(each) for each in documents), return_exceptions=True
    )
    assert answers[0] is True and answers[2] is True
    assert isinstance(answers[1], OverflowError)


async def test_a_full_group_refuses(store: Any) -> None:
    group = GroupInsert(queue_max=3)
    answers = await asyncio.gather(
        *(group.insert(Errand(id=f"g{n}")) for n in range(5)), return_exceptions=True
    )
    assert answers[:3] == [True] * 3
    assert all(isinstance(each, StoreBusy) for each in answers[3:])


async def test_a_store_that_is_away_is_unavailable_to_every_caller(
    mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await mongo.connect([Errand])
    away: Any = AsyncMongoClient("mongodb://127.0.0.1:1/", serverSelectionTimeoutMS=50)
    nowhere = away["x"]["errands"]
    monkeypatch.setattr(Errand, "get_pymongo_collection", lambda *_: nowhere)
    group = GroupInsert()
    with pytest.raises(StoreUnavailable):
        await insert_once(Errand(id="a"))
    with pytest.raises(StoreUnavailable):
        await compare_and_set(Errand, "a", version=0, set={})
    with pytest.raises(StoreUnavailable):
        await compare_and_set_many(Errand, [Move(doc_id="a", version=0, set={})])
    answers = await asyncio.gather(
        *(group.insert(Errand(id=f"g{n}")) for n in range(5)), return_exceptions=True
    )
    assert all(isinstance(each, StoreUnavailable) for each in answers)
    assert len({id(each) for each in answers}) == 5
    await away.close()
    assert store.database.name not in str(answers[0])


class LosesAnswers:
    """A collection whose next answer is lost, after or before the server has acted."""

    def __init__(self, collection: Any, *, acts: bool) -> None:
        self._collection, self._acts = collection, acts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    async def find_one_and_update(self, *args: Any, **options: Any) -> Any:
        if self._acts:
            await self._collection.find_one_and_update(*args, **options)
        raise AutoReconnect("connection closed")


@pytest.mark.parametrize("acts", [True, False])
async def test_a_move_whose_answer_is_lost_is_found_by_its_operation(
    store: Any, monkeypatch: pytest.MonkeyPatch, acts: bool
) -> None:
    await insert_once(Errand(id="a"))
    lossy = LosesAnswers(Errand.get_pymongo_collection(), acts=acts)
    monkeypatch.setattr(Errand, "get_pymongo_collection", lambda *_: lossy)
    moving = compare_and_set(Errand, "a", version=0, set={"status": Status.SIGNED})
    if acts:
        assert (await moving).version == 1
    else:
        with pytest.raises(StoreUnavailable):
            await moving
        assert (await store.database["errands"].find_one({"_id": "a"}))["version"] == 0

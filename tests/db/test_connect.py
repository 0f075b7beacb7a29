"""Connecting refuses what money may not live in, and keeps passwords to itself."""

from traceback import format_exception
from typing import Any

import pymongo
import pytest
from beanie import Document
from pymongo import ASCENDING, IndexModel

from tron_payment.db.connect import StoreRefused, connect
from tron_payment.db.faults import StoreUnavailable


class Thing(Document):
    id: str  # type: ignore[assignment]
    code: str

    class Settings:
        name = "things"
        indexes = [IndexModel([("code", ASCENDING)], name="one_code", unique=True)]


async def test_a_store_has_the_guarantees_of_money(mongo: Any) -> None:
    store = await mongo.connect([Thing])
    options = store.database
    assert options.write_concern.document == {"w": "majority", "j": True}
    assert options.read_concern.level == "majority"
    assert options.read_preference == pymongo.ReadPreference.PRIMARY
    assert options.codec_options.tz_aware
    assert (await Thing.get_pymongo_collection().index_information())["one_code"]["unique"]
    assert await store.ping()


async def test_a_weaker_uri_is_overridden(mongo: Any) -> None:
    weak = f"{mongo.uri}&w=1&journal=false&readConcernLevel=local&readPreference=nearest"
    store = await connect(weak, mongo.name, [Thing])
    assert store.database.write_concern.document == {"w": "majority", "j": True}
    assert store.database.read_concern.level == "majority"
    assert store.database.read_preference == pymongo.ReadPreference.PRIMARY
    await store.close()


async def test_an_index_that_is_not_unique_is_refused(mongo: Any) -> None:
    async with pymongo.AsyncMongoClient[Any](mongo.uri) as client:
        await client[mongo.name]["things"].create_index("code", name="one_code")
    with pytest.raises(StoreRefused):
        await mongo.connect([Thing])


async def test_duplicates_that_prevent_a_unique_index_are_refused(mongo: Any) -> None:
    async with pymongo.AsyncMongoClient[Any](mongo.uri) as client:
        await client[mongo.name]["things"].insert_many(
            [{"_id": "a", "code": "x"}, {"_id": "b", "code": "x"}]
        )
    with pytest.raises(StoreRefused):
        await mongo.connect([Thing])


async def test_a_wrong_password_is_refused_without_naming_it(mongo: Any) -> None:
    uri = mongo.uri.replace("mongodb://", "mongodb://joe:s3cret@")
    with pytest.raises(StoreRefused) as refusal:
        await connect(uri, mongo.name, [Thing])
    assert "s3cret" not in "".join(format_exception(refusal.value))


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://joe:s3cret@127.0.0.1:1/?replicaSet=rs0",
        "mongodb://joe:s3cret@[bad/",
        "mongodb://joe:s3cret@@host/",
        "http://joe:s3cret@host/",
        "mongodb://joe:s3cret@127.0.0.1:99999/",
    ],
)
async def test_no_error_carries_the_password(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tron_payment.db.connect.SERVER_SELECTION_MS", 100)
    with pytest.raises((StoreRefused, StoreUnavailable)) as refusal:
        await connect(uri, "x", [Thing])
    assert "s3cret" not in "".join(format_exception(refusal.value)) + repr(refusal.value)


async def test_a_later_start_makes_the_indexes_that_are_missing(mongo: Any) -> None:
    class More(Document):
        id: str  # type: ignore[assignment]
        code: str
        place: int

        class Settings:
            name = "things"
            indexes = [
                *Thing.Settings.indexes,
                IndexModel(
                    [("place", ASCENDING), ("code", -1)],
                    name="placed",
                    unique=True,
                    partialFilterExpression={"place": {"$gt": 0}},
                ),
            ]

    await mongo.connect([Thing])
    await mongo.connect([More])
    assert set(await More.get_pymongo_collection().index_information()) == {
        *("_id_", "one_code", "placed")
    }


async def test_an_index_of_the_same_name_with_other_options_is_refused(mongo: Any) -> None:
    async with pymongo.AsyncMongoClient[Any](mongo.uri) as client:
        await client[mongo.name]["things"].create_index(
            "code", name="one_code", unique=True, partialFilterExpression={"code": "x"}
        )
    with pytest.raises(StoreRefused):
        await mongo.connect([Thing])

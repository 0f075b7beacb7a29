"""Lean documents are Beanie's in everything but price."""

from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any

import bson
import pytest
from beanie.odm.utils.dump import get_dict
from pydantic import ValidationError

from tron_payment.app import DOCUMENTS
from tron_payment.db.cas import insert_once
from tron_payment.db.events import Event
from tron_payment.db.lean import LeanDocument, copy_with, written
from tron_payment.db.ledger import LedgerEntry, Posting
from tron_payment.engine.documents import Order
from tron_payment.payouts.documents import Payout

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
MODELS = [Event, LedgerEntry, Order, Payout]


class Colour(StrEnum):
    RED = "red"


class Size(Enum):
    LARGE = 3


def event(**more: Any) -> Event:
    fields: dict[str, Any] = {"id": "evt_1", "type": "a.b", "object_id": "pay_1", "owner": "me"}
    return Event(**fields, object_seq=1, at=NOW, **more)


def order(**more: Any) -> Order:
    texts = {"module": "m", "kind": "k", "subject": "s", "wallet_id": "w", "signer": "T1"}
    times = {"due_at": NOW, "created_at": NOW, "updated_at": NOW}
    return Order(id="ord_1", **texts, contract={}, max_fee_sun=1, rank=1, **times, **more)


def documents() -> list[LeanDocument]:
    data = {"colour": Colour.RED, "size": Size.LARGE, "list": [1, None, (b"x", {"y": NOW})]}
    entry = LedgerEntry(
        id=1,
        cause="c",
        at=NOW,
        postings=[Posting("a", "b", "TRX", 5, "r")],
        reserves=None,
        previous_hash="",
        hash="h",
    )
    attempts = [{"number": 1, "raw": b"\1", "death": None, "signatures": [b"s"]}]
    return [event(data=data), entry, order(), order(live_txid="t", attempts=attempts)]


async def test_what_is_stored_is_what_beanie_would_store(mongo: Any) -> None:
    await mongo.connect(MODELS)
    for document in documents():
        keep_nulls = document.get_settings().keep_nulls
        theirs = get_dict(document, to_db=True, keep_nulls=keep_nulls)
        assert bson.encode(written(document)) == bson.encode(theirs)


async def test_what_was_stored_is_read_back(mongo: Any) -> None:
    await mongo.connect(MODELS)
    for document in documents()[1:3]:
        assert await insert_once(document)
        assert await type(document).find_one({"_id": document.id}) == document


async def test_a_copy_shares_nothing_that_is_changed_in_one_of_them(mongo: Any) -> None:
    await mongo.connect(MODELS)
    one = event()
    other = copy_with(one, {"seq": 7})
    assert isinstance(other, Event) and (one.seq, other.seq) == (0, 7)
    other.owner = "you"
    assert one.owner == "me"
    assert "seq" in other.model_fields_set and "seq" not in one.model_fields_set
    assert {**other.model_dump(), "owner": "me", "seq": 0} == one.model_dump()


async def test_fields_are_validated_as_ever(mongo: Any) -> None:
    await mongo.connect(MODELS)
    with pytest.raises(ValidationError):
        event(seq=-1)
    with pytest.raises(AttributeError):
        _ = event().no_such_field  # type: ignore[attr-defined]


def test_every_document_can_be_made_though_it_is_made_late() -> None:
    for model in DOCUMENTS:
        model.model_rebuild()
        assert model.__pydantic_complete__, model
    assert LeanDocument.model_config["defer_build"]

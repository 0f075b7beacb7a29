"""Compare-and-set and insert-once: the only two ways a document about money is written.

A move names the version it saw; the server applies it only there, in one atomic update. Every
write carries an operation id, so that a write whose answer was lost can be found again.

A document class needs `version: int = 0`; `op_id` is kept beside its fields and need not be one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import uuid4

from beanie import Document
from beanie.odm.utils.encoder import Encoder
from pymongo import ReturnDocument, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from tron_payment.core.errors import Conflict
from tron_payment.db.faults import (
    DuplicateValue,
    as_unavailable,
    duplicate_of,
    duplicate_value,
    duplicates_of,
    store_errors,
)
from tron_payment.db.lean import Raw, written

BULK_SIZE: Final = 1_000
"""Documents per command: larger bulks are sent in pieces, none of which holds the server long."""

BY_ID: Final = "_id_"
"""The index by which an update with an id and more finds its document (``hint``). Left to itself
the server compares plans by the indexes of the other fields as well, and may take one of them."""

D = TypeVar("D", bound=Document)
T = TypeVar("T")


class LostRace(Conflict, code="lost_race"):
    """Somebody else changed this first; look again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One document's change, valid only while it has this version and matches `where`."""

    doc_id: str
    version: int
    set: Mapping[str, Any]
    where: Mapping[str, Any] = field(default_factory=dict)
    push: Mapping[str, Any] = field(default_factory=dict)
    """Field to one more element; a list or tuple adds each of its elements."""

    unset: Sequence[str] = ()


async def compare_and_set(
    model: type[D],
    doc_id: str,
    *,
    version: int,
    where: Mapping[str, Any] | None = None,
    set: Mapping[str, Any],
    push: Mapping[str, Any] | None = None,
    unset: Sequence[str] | None = None,
) -> D:
    """Change a document that still has `version`; the new one, with the version after it.

    Args:
        where: What must also hold, as a MongoDB filter.
        set: Fields by name (dots reach inside), values as the model has them.
        push: See `Move.push`.
        unset: Fields to remove.

    Raises:
        LostRace: The version is another one, `where` does not hold, or it is gone.
        DuplicateValue: Another document holds a value that must be unique.
        StoreUnavailable: The outcome is unknown; read the document again.
    """
    move = Move(
        doc_id=doc_id,
        version=version,
        where=where or {},
        set=set,
        push=push or {},
        unset=unset or (),
    )
    operation = uuid4().hex
    condition, change = _written(model, move, operation)
    collection = _collection(model)
    try:
        after = await collection.find_one_and_update(
            condition, change, return_document=ReturnDocument.AFTER, hint=BY_ID
        )
    except DuplicateKeyError as error:
        raise _refused(error, doc_id) from error
    except PyMongoError as error:
        ours = as_unavailable(error)
        if ours is None:
            raise
        with store_errors():
            after = await collection.find_one({"_id": doc_id, "op_id": operation})
        if after is None:
            raise ours from error
    if after is None:
        raise LostRace(f"{doc_id} is not at version {version} any more")
    changed: D = model.model_validate(after)
    return changed


async def compare_and_set_many(model: type[Document], moves: Sequence[Move]) -> set[str]:
    """Try every move, each for itself; the ids of those that moved.

    A document that moved and was moved on by somebody else before we could look is not among
    them: as after any lost race, its reader finds what is true in the document.

    Raises:
        DuplicateValue: One was refused by a unique index; the others were tried all the same.
        StoreUnavailable: The outcomes are unknown; read the documents again.
    """
    assert len({move.doc_id for move in moves}) == len(moves), "one move per document"
    collection = _collection(model)
    operation = uuid4().hex
    moved: set[str] = set()
    refused: DuplicateValue | None = None
    for piece in _pieces(moves):
        updates = [UpdateOne(*_written(model, move, operation), hint=BY_ID) for move in piece]
        ids = [move.doc_id for move in piece]
        try:
            with store_errors():
                result = await collection.bulk_write(updates, ordered=False)
                matched = result.matched_count
        except BulkWriteError as error:
            for failure in duplicates_of(error):
                refused = refused or duplicate_value(failure, ids[failure["index"]])
            matched = -1
        if matched == len(piece):
            moved.update(ids)
        elif matched:
            moved |= await _ids(collection, {"_id": {"$in": ids}, "op_id": operation})
    if refused is not None:
        raise refused
    return moved


async def insert_once(document: Document) -> bool:
    """Store a document under its derived id; False when that id exists already.

    Raises:
        DuplicateValue: Another document holds a value that must be unique.
        StoreUnavailable: The outcome is unknown; insert it again.
    """
    collection = _collection(type(document))
    with store_errors():
        try:
            await collection.insert_one(written(document))
        except DuplicateKeyError as error:
            refused = duplicate_of(error, str(document.id))
            if refused is None or await _ids(collection, {"_id": document.id}):
                return False
            raise refused from None
    return True


async def insert_many_once(documents: Sequence[Document]) -> set[str]:
    """Store documents of one class under their derived ids; the ids that were new.

    Raises:
        DuplicateValue: One was refused by another unique index; the others were stored.
        StoreUnavailable: The outcomes are unknown; insert them again.
    """
    new: set[str] = set()
    refused: DuplicateValue | None = None
    for piece in _pieces(documents):
        for document, outcome in zip(piece, await insert_each(piece), strict=True):
            if outcome is True:
                new.add(str(document.id))
            elif isinstance(outcome, DuplicateValue):
                refused = refused or outcome
    if refused is not None:
        raise refused
    return new


async def insert_each(documents: Sequence[Document]) -> list[bool | DuplicateValue]:
    """One unordered insert; for each document True (new), False (exists) or its refusal."""
    if not documents:
        return []
    collection = _collection(type(documents[0]))
    outcomes: list[bool | DuplicateValue] = [True] * len(documents)
    try:
        with store_errors():
            await collection.insert_many([written(each) for each in documents], ordered=False)
    except BulkWriteError as error:
        for failure in duplicates_of(error):
            index = failure["index"]
            outcomes[index] = duplicate_value(failure, str(documents[index].id)) or False
    unsure = {o.doc_id for o in outcomes if isinstance(o, DuplicateValue)}
    if unsure:
        present = await _ids(collection, {"_id": {"$in": sorted(map(str, unsure))}})
        outcomes = [
            False if isinstance(o, DuplicateValue) and o.doc_id in present else o for o in outcomes
        ]
    return outcomes


def _written(model: type[Document], move: Move, operation: str) -> tuple[Raw, Raw]:
    """The filter and the update of one move."""
    fixed = {"_id", "version", "op_id"}
    assert not fixed & {*move.set, *move.push, *move.unset, *move.where}, f"{fixed} are ours"
    encode = Encoder(custom_encoders=model.get_settings().bson_encoders).encode
    changes = {**encode(move.set), "version": move.version + 1, "op_id": operation}
    update: Raw = {"$set": changes}
    if move.push:
        update["$push"] = {
            name: {"$each": encode(value)} if isinstance(value, list | tuple) else encode(value)
            for name, value in move.push.items()
        }
    if move.unset:
        update["$unset"] = dict.fromkeys(move.unset, "")
    condition = {**encode(move.where), "_id": move.doc_id, "version": move.version}
    return condition, update


def _collection(model: type[Document]) -> AsyncCollection[Raw]:
    collection: AsyncCollection[Raw] = model.get_pymongo_collection()
    return collection


async def _ids(collection: AsyncCollection[Raw], condition: Raw) -> set[str]:
    with store_errors():
        return {str(raw["_id"]) async for raw in collection.find(condition, {"_id": 1})}


def _refused(error: DuplicateKeyError, doc_id: str) -> DuplicateValue:
    refused = duplicate_of(error, doc_id)
    assert refused is not None, "an update cannot collide on the id"
    return refused


def _pieces(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), BULK_SIZE):
        yield items[start : start + BULK_SIZE]

"""Documents at a third of Beanie's price, for collections that are written by the thousand.

Beanie makes every document able to be parsed lazily, to link to others and to remember what was
stored. Nobody here uses that, but each attribute that is read, each document that is made and each
one that is written pays for it: more than half of what a payout costs this process. Fields,
validation, queries and what the server stores are the same; `tests/db/test_lean.py` compares.
"""

import warnings
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from beanie import Document
from beanie.odm.utils.encoder import Encoder
from pydantic import BaseModel, ConfigDict
from pymongo import ASCENDING, DESCENDING

D = TypeVar("D", bound=Document)
Raw = dict[str, Any]

warnings.filterwarnings(
    "ignore",
    message=r'Field name "id" in "\w+" shadows an attribute in parent "LeanDocument"',
    category=UserWarning,
)
"""Beanie puts its query expressions on the class, so that pydantic takes `id`, of which every
document says its type again, for an attribute hidden by mistake wherever a module is imported
after the first connection, as commands do."""

_PLAIN: Final = frozenset({str, int, bool, bytes, datetime, type(None)})
"""Stored as they are."""


class LeanDocument(Document):
    """A document without lazy parsing: what `BaseModel` does, and no more.

    Its validator is made when the first one is read or written, not at the start for all of them.
    """

    model_config = ConfigDict(defer_build=True)

    if not TYPE_CHECKING:
        __getattribute__ = object.__getattribute__
        __init__ = BaseModel.__init__

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.model_post_init = _set_private


def _set_private(document: BaseModel, _: Any) -> None:
    """Private attributes from their defaults; pydantic would ask each class above for its own."""
    model: Any = type(document)
    values = dict(_private(model))
    object.__setattr__(document, "__pydantic_private__", values)


@cache
def _private(model: Any) -> Mapping[str, Any]:
    """What is private is Beanie's own, and nothing that is used here ever changes it."""
    return {name: each.get_default() for name, each in model.__private_attributes__.items()}


def copy_with(document: Document, changes: Mapping[str, Any]) -> Any:
    """A document of the same class with some fields changed; they are not validated."""
    made = object.__new__(type(document))
    for name, value in {
        "__dict__": {**document.__dict__, **changes},
        "__pydantic_extra__": document.__pydantic_extra__,
        "__pydantic_fields_set__": {*document.__pydantic_fields_set__, *changes},
        "__pydantic_private__": dict(document.__pydantic_private__ or {}),
    }.items():
        object.__setattr__(made, name, value)
    return made


def written(document: Document) -> Raw:
    """The document as the server stores it: what `beanie.odm.utils.dump.get_dict` answers."""
    model: Any = type(document)
    names, keep_nulls, encode = _shape(model)
    fields = document.__dict__
    return {
        name: value if type(value) in _PLAIN else _stored(value, encode)
        for field, name in names
        if (value := fields[field]) is not None or keep_nulls
    }


def _stored(value: Any, encode: Callable[[Any], Any]) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list or kind is tuple:
        return [_stored(each, encode) for each in value]
    if kind is dict:
        return {
            name if isinstance(name, Enum) else str(name): _stored(each, encode)
            for name, each in value.items()
        }
    return encode(value)


async def fetch(
    model: type[D],
    condition: Mapping[str, Any],
    *,
    sort: str = "",
    limit: int = 0,
    descending: bool = False,
) -> list[D]:
    """Documents by one query, for those who ask often: a third of what `model.find` costs.

    Args:
        sort: A field.
        limit: 0 for all.
        descending: Sort it so; ascending otherwise.
    """
    cursor = model.get_pymongo_collection().find(condition, limit=limit)
    if sort:
        cursor = cursor.sort(sort, DESCENDING if descending else ASCENDING)
    return [model.model_validate(raw) for raw in await cursor.to_list()]


async def fetch_one(model: type[D], condition: Mapping[str, Any]) -> D | None:
    """The first document, as `fetch`."""
    raw = await model.get_pymongo_collection().find_one(condition)
    return None if raw is None else model.model_validate(raw)


@cache
def _shape(model: Any) -> tuple[list[tuple[str, str]], bool, Callable[[Any], Any]]:
    """The stored fields with their names, whether nulls are kept, and how the rest is encoded."""
    settings = model.get_settings()
    assert settings.union_doc is None and not model._class_id and not model.get_link_fields()
    special = tuple(settings.bson_encoders)
    assert not any(issubclass(plain, special) for plain in _PLAIN), "a plain type is stored plainly"
    names = [
        (field, info.alias or field)
        for field, info in model.model_fields.items()
        if info.exclude is not True
    ]
    encoder = Encoder(
        custom_encoders=settings.bson_encoders, to_db=True, keep_nulls=settings.keep_nulls
    )
    return names, settings.keep_nulls, encoder.encode

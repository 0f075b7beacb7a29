"""What could have been meant: names and values that a type knows at a place in its content."""

import difflib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import inspect

CHOICES_MAX: Final = 20
"""Of longer lists nothing is told."""

ALIKE: Final = 0.6
TYPES_MAX: Final = 256
"""Types whose description is kept; ours are some hundred."""

_STEP: Final = re.compile(r"([A-Za-z_]\w*)|\[[^\]]*\]")


def meant(name: str, known: Iterable[str]) -> str:
    """A question such as ``did you mean amount?``; empty when nothing known is like it."""
    alike = difflib.get_close_matches(name, sorted(known), 1, ALIKE)
    return f"did you mean {alike[0]}?" if alike else ""


def fields_at(target: Any, path: str) -> list[str]:
    """The fields that an object may have there.

    Args:
        target: The type that the content was decoded as.
        path: As msgspec tells it, without its ``$``: ``rules[...].above``; empty for the whole.
    """
    kinds = _at(target, path)
    return [
        field.encode_name
        for kind in kinds
        if isinstance(kind, inspect.StructType)
        for field in kind.fields
    ]


def choices_at(target: Any, path: str) -> list[str]:
    """The values that an enumeration may have there; empty when they are none, or many."""
    found: list[str] = []
    for kind in _at(target, path):
        if isinstance(kind, inspect.LiteralType):
            found += [str(value) for value in kind.values if value != ""]
        elif isinstance(kind, inspect.EnumType):
            found += [str(member.value) for member in kind.cls]
    return found if len(found) <= CHOICES_MAX else []


def _at(target: Any, path: str) -> list[inspect.Type]:
    kinds = _flat(_described(target))
    for step in _STEP.finditer(path):
        kinds = _flat(each for kind in kinds for each in _into(kind, step[1]))
    return kinds


@lru_cache(maxsize=TYPES_MAX)
def _described(target: Any) -> tuple[inspect.Type, ...]:
    try:
        return (inspect.type_info(target),)
    except (TypeError, msgspec.MsgspecError):  # a type that msgspec cannot describe
        return ()


def _flat(kinds: Iterable[inspect.Type]) -> list[inspect.Type]:
    """Without annotations, unions taken apart."""
    found: list[inspect.Type] = []
    for kind in kinds:
        if isinstance(kind, inspect.Metadata):
            kind = kind.type
        found += _flat(kind.types) if isinstance(kind, inspect.UnionType) else [kind]
    return found


def _into(kind: inspect.Type, name: str | None) -> list[inspect.Type]:
    """One step down: into the field of this name, or into the items of a list or mapping."""
    if name is not None and isinstance(kind, inspect.StructType):
        return [field.type for field in kind.fields if field.encode_name == name]
    if name is None and isinstance(kind, inspect.ListType | inspect.VarTupleType):
        return [kind.item_type]
    if name is None and isinstance(kind, inspect.DictType):
        return [kind.value_type]
    return []

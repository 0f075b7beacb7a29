"""What could have been meant: names and values that a type knows at a place in its content.

A name may be nearly right, or be what other payment services call the same thing. What has no
field because it is said in another way, a struct tells in `ELSEWHERE`, a hint by name.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
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
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_GAP: Final = re.compile(r"[\s\-.]+")

_TO: Final = ("recipient_address", "to_address", "receiver_address")
_REFERENCE: Final = ("merchant_reference",)
OTHER_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("address", "wallet_address"), (*_TO, "contract_address")),
    **dict.fromkeys(
        ("to", "recipient", "receiver", "destination", "destination_address", "beneficiary"), _TO
    ),
    **dict.fromkeys(("payee", "payee_address", "target", "target_address"), _TO),
    **dict.fromkeys(("from", "sender", "sender_address"), ("from_address", "wallet_id")),
    **dict.fromkeys(("wallet", "source", "source_wallet", "from_wallet"), ("wallet_id",)),
    **dict.fromkeys(("value", "call_value"), ("amount", "call_value_trx")),
    **dict.fromkeys(("sum", "total", "quantity", "volume"), ("amount",)),
    **dict.fromkeys(("token", "asset", "coin", "symbol", "ticker", "asset_code"), ("currency",)),
    **dict.fromkeys(("currency_code", "token_symbol"), ("currency",)),
    **dict.fromkeys(("contract", "token_address", "token_contract"), ("contract_address",)),
    **dict.fromkeys(("reference", "ref", "reference_id", "external_id"), _REFERENCE),
    **dict.fromkeys(("client_reference", "merchant_ref", "order_id", "custom_id"), _REFERENCE),
    **dict.fromkeys(("user", "customer", "customer_id", "client_id", "uid"), ("user_id",)),
    **dict.fromkeys(("fee", "max_fee", "fee_limit", "fee_limit_trx"), ("max_fee_trx",)),
    **dict.fromkeys(("simulate", "preview", "validate_only"), ("dry_run",)),
    **dict.fromkeys(("note", "comment", "message", "description"), ("reason", "note", "metadata")),
    **dict.fromkeys(("custom", "custom_data", "custom_fields"), ("metadata",)),
    **dict.fromkeys(("ttl", "lifetime", "expires_in"), ("expires_in_s", "expires_in_days")),
    **dict.fromkeys(("success_url", "redirect_url"), ("return_url",)),
    **dict.fromkeys(("events", "event_types", "topics"), ("types",)),
    **dict.fromkeys(("rows", "items", "payments", "transfers", "recipients"), ("payouts",)),
    **dict.fromkeys(("seed", "seed_phrase", "words"), ("mnemonic",)),
    **dict.fromkeys(("otp", "totp"), ("code",)),
    **dict.fromkeys(("permissions", "rights"), ("scopes",)),
    "name": ("label",),
    "type": ("kind", "resource"),
    "hash": ("order_hash",),
}
"""What others call it, and what it is here: the first that a place knows."""

EVERYWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("idempotency_key", "idempotency"), "send the header Idempotency-Key"),
    **dict.fromkeys(
        ("webhook_url", "callback_url", "notify_url", "ipn_url"),
        "webhooks are set up once, at /payments/webhook-endpoints",
    ),
    **dict.fromkeys(("memo", "destination_tag"), "no memo goes to the chain"),
    **dict.fromkeys(
        ("network", "chain", "chain_id", "blockchain"), "leave it out, there is one network here"
    ),
}
"""What no content has, and what to do instead."""


def meant(name: str, known: Iterable[str]) -> str:
    """A question such as ``did you mean amount?``; empty when nothing known is like it."""
    plain, here = _plain(name), sorted(known)
    if (found := plain if plain in here else _otherwise(plain, here)) is None:
        found = next(iter(difflib.get_close_matches(name, here, 1, ALIKE)), None)
    return "" if found is None else f"did you mean {found}?"


def instead_at(target: Any, path: str, name: str, content: Any = None) -> str:
    """What to do instead of a field that does not exist there; empty when nobody knows.

    Args:
        target: The type that the content was decoded as.
        path: As msgspec tells it, without its ``$``: ``rules[...].above``; empty for the whole.
        content: What came, as far as it is known: of several tagged types it says which.
    """
    structs = [kind for kind in _at(target, path, content) if isinstance(kind, inspect.StructType)]
    for kind in structs:
        if note := getattr(kind.cls, "ELSEWHERE", {}).get(_plain(name)):
            return str(note)
    fields = {field.encode_name for kind in structs for field in kind.fields}
    return EVERYWHERE.get(_plain(name), "") or meant(name, fields)


def _plain(name: str) -> str:
    """``recipientAddress`` and ``Recipient Address`` as ``recipient_address``."""
    return _GAP.sub("_", _HUMP.sub("_", name.strip())).lower()


def _otherwise(plain: str, known: Iterable[str]) -> str | None:
    return next((each for each in OTHER_NAMES.get(plain, ()) if each in known), None)


def choices_at(target: Any, path: str) -> list[str]:
    """The values that an enumeration may have there; empty when they are none, or many."""
    found: list[str] = []
    for kind in _at(target, path):
        if isinstance(kind, inspect.LiteralType):
            found += [str(value) for value in kind.values if value != ""]
        elif isinstance(kind, inspect.EnumType):
            found += [str(member.value) for member in kind.cls]
    return found if len(found) <= CHOICES_MAX else []


def _at(target: Any, path: str, content: Any = None) -> list[inspect.Type]:
    kinds = [kind for kind in _flat(_described(target)) if _may_be(kind, content)]
    for step in _STEP.finditer(path):
        kinds = _flat(each for kind in kinds for each in _into(kind, step[1]))
    return kinds


def _may_be(kind: inspect.Type, content: Any) -> bool:
    """Whether content may be of this kind, going by its tag."""
    if not isinstance(kind, inspect.StructType) or kind.tag_field is None:
        return True
    return not isinstance(content, dict) or content.get(kind.tag_field) == kind.tag


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

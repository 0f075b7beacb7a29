"""Protobuf messages as java-tron's JSON, and back (JsonFormat).

Default values are left out. `visible` decides whether addresses are base58check or hex, and whether
text in byte fields is shown as text. Other bytes are always hex.
"""

from typing import Any, Final, Protocol

from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped,unused-ignore]

from tron_payment.devnet.errors import BadRequest, parse_error
from tron_payment.devnet.keys import base58check, from_base58check
from tron_payment.devnet.proto import Message

ADDRESS_FIELDS: Final = frozenset(
    (
        "owner_address",
        "to_address",
        "account_address",
        "contract_address",
        "origin_address",
        "receiver_address",
        "vote_address",
        "address",
        "witness_address",
    )
)
TEXT_FIELDS: Final = frozenset(("account_name", "url", "name", "permission_name"))
NULL_POINTER: Final = 'Cannot read the array length because "<parameter1>" is null'
_BYTES: Final = FieldDescriptor.TYPE_BYTES
_MESSAGE: Final = FieldDescriptor.TYPE_MESSAGE
_ENUM: Final = FieldDescriptor.TYPE_ENUM
_BOOL: Final = FieldDescriptor.TYPE_BOOL
_STRING: Final = FieldDescriptor.TYPE_STRING


def address_text(address: bytes, visible: bool) -> str:
    return base58check(address) if visible else address.hex()


def text(raw: bytes, visible: bool) -> str:
    """A name or message: text when visible, else the hex of its UTF-8."""
    return raw.decode("utf-8", "replace") if visible else raw.hex()


def _repeats(field: FieldDescriptor) -> bool:
    """Whether a field is a list, in the words of protobuf 6 and later or of those before."""
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)


def to_json(message: Message, visible: bool) -> dict[str, Any]:
    return {field.name: _value(field, value, visible) for field, value in message.ListFields()}


def _value(field: FieldDescriptor, value: Any, visible: bool) -> Any:
    kind = field.type
    if kind == _BYTES and not _repeats(field):
        if visible and field.name in ADDRESS_FIELDS:
            return base58check(value)
        if visible and field.name in TEXT_FIELDS:
            return value.decode("utf-8", "replace")
        return value.hex()
    if _repeats(field):
        if kind == _MESSAGE:
            return [to_json(item, visible) for item in value]
        return [item.hex() if kind == _BYTES else item for item in value]
    if kind == _MESSAGE:
        return to_json(value, visible)
    if kind == _ENUM:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    return value


class Columns(Protocol):
    """Knows where in the request a value stands."""

    def column(self, name: str) -> int: ...


def read_address(value: Any, visible: bool, column: int = 12) -> bytes:
    """An address of a request.

    Raises:
        BadRequest: Not hex, or with `visible` not base58check.
    """
    if not isinstance(value, str):
        raise parse_error("1:1: Expected string.")
    if visible:
        raw = from_base58check(value)
        if raw is None:
            raise BadRequest(NULL_POINTER, "java.lang.NullPointerException")
        return raw
    return read_hex(value, column)


def read_hex(value: Any, column: int = 12) -> bytes:
    """Bytes of a request.

    Raises:
        BadRequest: Not hex.
    """
    try:
        return bytes.fromhex(value.removeprefix("0x"))
    except (AttributeError, ValueError):
        raise parse_error(f"1:{column}: INVALID hex String") from None


def read_int(value: Any, column: int = 8) -> int:
    """An integer of a request; numbers only, as java-tron.

    Raises:
        BadRequest: Text, a fraction or a boolean.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    raise parse_error(f'1:{column}: Couldn\'t parse integer: For input string: "{shown}"')


def from_json(cls: Any, data: Any, visible: bool, where: Columns | None = None) -> Message:
    """A message of class `cls` from its JSON; unknown names are ignored.

    Raises:
        BadRequest: A value does not fit its field.
    """
    message = cls()
    fill(message, data, visible, where)
    return message


def fill(message: Message, data: Any, visible: bool, where: Columns | None = None) -> None:
    """Set the fields of a message that `data` names.

    Raises:
        BadRequest: A value does not fit its field.
    """
    if not isinstance(data, dict):
        raise parse_error('1:1: Expected "{".')
    fields = message.DESCRIPTOR.fields_by_name
    for name, value in data.items():
        field = fields.get(name)
        if field is None or value is None:
            continue
        column = where.column(name) if where else 1
        if _repeats(field):
            for item in value if isinstance(value, list) else [value]:
                if field.type == _MESSAGE:
                    fill(getattr(message, name).add(), item, visible, where)
                else:
                    getattr(message, name).append(_read(field, item, visible, column))
        elif field.type == _MESSAGE:
            getattr(message, name).SetInParent()
            fill(getattr(message, name), value, visible, where)
        else:
            try:
                setattr(message, name, _read(field, value, visible, column))
            except (TypeError, ValueError) as error:
                raise parse_error(f"1:1: {error}") from None


def _read(field: FieldDescriptor, value: Any, visible: bool, column: int) -> Any:
    kind = field.type
    if kind == _BYTES:
        if field.name in ADDRESS_FIELDS:
            return read_address(value, visible, column)
        if visible and field.name in TEXT_FIELDS:
            return str(value).encode()
        return read_hex(value, column)
    if kind == _ENUM:
        return _read_enum(field, value, column)
    if kind == _BOOL:
        if isinstance(value, bool):
            return value
        raise parse_error('1:1: Expected "true" or "false".')
    if kind == _STRING:
        return str(value)
    return read_int(value, column)


def _read_enum(field: FieldDescriptor, value: Any, column: int) -> int:
    enum = field.enum_type
    if isinstance(value, int):
        if value in enum.values_by_number:
            return value
        raise parse_error(
            f'1:{column}: Enum type "protocol.{enum.name}" has no value with number {value}.'
        )
    name = str(value)
    # java-tron reads "function" as Function: all lower case is capitalized.
    known = enum.values_by_name.get(name.capitalize() if name.islower() else name)
    if known is None:
        raise parse_error(
            f'1:{column}: Enum type "protocol.{enum.name}" has no value named "{value}".'
        )
    return int(known.number)

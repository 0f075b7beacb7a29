"""JSON that is nested deeper than anything legitimate is refused before it is decoded."""

import tracemalloc
from collections.abc import Callable

import msgspec
import pytest

from tron_payment.core.errors import Refused
from tron_payment.http.depth import DEPTH_MAX, TOO_DEEP, VALUES_MAX, too_deep, too_many_values
from tron_payment.http.limits import decode_json
from tron_payment.http.problems import BodyTooLarge, InvalidField, MalformedBody

D = DEPTH_MAX


class Named(msgspec.Struct, forbid_unknown_fields=True):
    """With a list of what is looked at later."""

    a: list[msgspec.Raw]
    b: str


def nested(depth: int, inside: bytes = b"") -> bytes:
    return b"[" * depth + inside + b"]" * depth


@pytest.mark.parametrize(
    ("body", "deep"),
    [
        (nested(D), False),
        (nested(D + 1), True),
        (b'{"a":' * D + b"1" + b"}" * D, False),
        (b'{"a":' * (D + 1) + b"1" + b"}" * (D + 1), True),
        (b'{"a":%s,"a":1}' % nested(D), True),
        (b"[" + b",".join([nested(D - 1)] * 5_000) + b"]", False),
        (b"[" + b",".join([nested(D - 1)] * 5_000 + [nested(D)]) + b"]", True),
        (b'["%s"]' % (b"[" * 1_000), False),
        (b'["\\"%s"]' % (b"[" * 1_000), False),
        (b'["\\\\",%s]' % nested(D), True),
        (b'["\\\\\\"%s"]' % (b"{" * 1_000), False),
        (b"[" * 8_000_000, True),
    ],
    ids=range(12),
)
def test_how_deep_it_is(body: bytes, deep: bool) -> None:
    assert too_deep(body) is deep


@pytest.mark.parametrize("depth", [D + 1, 300, *range(980, 1_000), 100_000])
def test_a_name_is_not_hidden_by_depth(depth: int) -> None:
    """Near the recursion limit one decoder reads it and the other gives up without a word."""
    body = b'{"a":1,"a":2,"b":%s}' % nested(depth)
    with pytest.raises(MalformedBody) as refused:
        decode_json(body, dict)
    assert (refused.value.status, refused.value.detail) == (400, TOO_DEEP)
    with pytest.raises((MalformedBody, InvalidField)):
        decode_json(body, dict[str, msgspec.Raw], inside=False)


def test_what_is_deep_enough_is_still_looked_at() -> None:
    assert decode_json(nested(D), list)
    with pytest.raises(Refused) as refused:
        decode_json(b'{"a":1,"a":2,"b":%s}' % nested(D - 1), dict)
    assert refused.value.param == "a"


def test_lists_of_lists_are_counted_as_values() -> None:
    with pytest.raises(BodyTooLarge):
        decode_json(b"[" + b"[]" * VALUES_MAX + b"]", list)


@pytest.mark.parametrize(
    ("texts", "many"),
    [
        ((b"[" * VALUES_MAX,), False),
        ((b"[" * VALUES_MAX + b"{",), True),
        ((b"[" * (VALUES_MAX // 2), b"," * (VALUES_MAX // 2)), False),
        ((b"[" * (VALUES_MAX // 2), b"," * (VALUES_MAX // 2), b"{"), True),
        ((b'"%s"' % (b'[,\\"{' * VALUES_MAX),), False),
        ((b'"%s",' % (b"[,\\\\" * VALUES_MAX) * 2, b"[" * VALUES_MAX), True),
        ((b'"', b"[" * (VALUES_MAX + 1)), True),
        ((b'\\"' * 100_000 + b"," * (VALUES_MAX + 1),), True),
    ],
    ids=range(8),
)
def test_how_much_is_in_it(texts: tuple[bytes, ...], many: bool) -> None:
    assert too_many_values(*texts) is many


def peak_of(read: Callable[[], object]) -> int:
    """Bytes that are in use at most while something is read."""
    tracemalloc.start()
    try:
        with pytest.raises(Refused):
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_is_read_in_vain_takes_less_than_a_hundred_megabytes() -> None:
    objects = b'{"":' * 60 + b"0" + b"}" * 60
    lists = b",".join([objects] * (VALUES_MAX // 61 - 1))
    names = b",".join(b'"%d":1' % number for number in range(VALUES_MAX - 10))
    for body in (b'{"a":[%s],"b":0}' % lists, b"{%s}" % names):
        assert not too_many_values(body)
        assert peak_of(lambda body=body: decode_json(body, Named)) < 100_000_000  # type: ignore[misc]
        only = peak_of(lambda body=body: decode_json(body, Named, inside=False))  # type: ignore[misc]
        assert only < 1_000_000, "what is inside is not read"

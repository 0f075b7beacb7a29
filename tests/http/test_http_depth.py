"""JSON that is nested deeper than anything legitimate is refused before it is decoded."""

import msgspec
import pytest

from tron_payment.core.errors import Refused
from tron_payment.http.depth import DEPTH_MAX, TOO_DEEP, too_deep
from tron_payment.http.limits import VALUES_MAX, decode_json
from tron_payment.http.problems import BodyTooLarge, InvalidField, MalformedBody

D = DEPTH_MAX


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

"""A name that a JSON object has twice."""

import pytest

from tron_payment.core.errors import Refused
from tron_payment.http.limits import decode_json
from tron_payment.http.repeats import repeated, repeated_outside
from tron_payment.payouts.views import PayoutRequest

ROW = b'"user_id":"u","recipient_address":"TJRabPrwbZy45sbavfcjinPJC18kjpRTv8","amount":"1"'


@pytest.mark.parametrize(
    ("body", "outermost", "anywhere"),
    [
        (b"{}", None, None),
        (b'[{"a":1},{"a":2}]', None, None),
        (b'{"a":{"b":1},"b":{"a":1}}', None, None),
        (b'{"a":1,"b":2,"a":1}', "a", "a"),
        (b'{"a":1,"\\u0061":2}', "a", "a"),
        (b'{"a":[{"b":1,"b":2}]}', None, "b"),
        (b'{"a":"\\"a\\":1,\\"a\\":2"}', None, None),
        (b'{"a":' + b"9" * 10_000 + b',"a":1e999}', "a", "a"),
        (b'{"a":"\xff","a":1}', "a", "a"),
        (b'{"a":{"c":1,"c":2},"b":[{"c":1,"c":2}]}', None, "c"),
        (b'{"a":1, "b" : {} , "b" : 2}', "b", "b"),
    ],
)
def test_which_name_is_there_twice(
    body: bytes, outermost: str | None, anywhere: str | None
) -> None:
    assert (repeated_outside(body), repeated(body)) == (outermost, anywhere)


def test_a_payout_that_says_its_amount_twice_is_refused() -> None:
    decode_json(b"{%s}" % ROW, PayoutRequest)
    with pytest.raises(Refused) as refused:
        decode_json(b'{%s,"amount":"1000"}' % ROW, PayoutRequest)
    assert (refused.value.code, refused.value.param) == ("invalid_field", "amount")

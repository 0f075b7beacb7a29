"""Whatever somebody types into a search, the answer is a list or a refusal in words."""

import pytest

from tests.payouts.world import Pay
from tron_payment.payouts import WAITS

ODD = ("%00", "a%00b", "%C3%28", "(", "%0A", "%F0%9F%92%A9", "%ED%A0%80", ".*", "$gt", "%5C")
"""NUL, half of a character, signs of patterns, a line's end, a character of four bytes."""

FIELDS = ("user_id", "recipient_address", "merchant_reference", "txid")


async def test_a_wait_is_one_of_the_words_that_are_documented(pay: Pay) -> None:
    for word in ("somebody", *WAITS):
        known = await pay.get(f"/payouts/history?waiting_for={word}")
        assert known.status_code == 200, known.text
    for word in ("fee", "Funds", "funds:", *ODD):
        refused = await pay.get(f"/payouts/history?waiting_for={word}")
        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (422, "invalid_parameter"), refused.text
        assert "fee_above_maximum" in problem["detail"] and "somebody" in problem["detail"]


@pytest.mark.parametrize("field", FIELDS)
async def test_odd_text_in_another_search_finds_nothing(pay: Pay, field: str) -> None:
    for text in ODD:
        answer = await pay.get(f"/payouts/history?{field}={text}")
        assert answer.status_code == 200, (text, answer.text)
        assert answer.json()["data"] == []


@pytest.mark.parametrize("field", ["actor", "action", "object_id"])
async def test_odd_text_in_a_search_of_the_audit_log_finds_nothing(pay: Pay, field: str) -> None:
    for text in ODD:
        answer = await pay.get(f"/audit?{field}={text}", role="auditor")
        assert answer.status_code == 200, (text, answer.text)
        assert answer.json()["data"] == []


async def test_odd_text_for_a_status_or_a_place_in_the_list_is_refused(pay: Pay) -> None:
    for path in ("/payouts/history", "/payouts/schedules", "/payments"):
        for field in ("status", "cursor"):
            for text in ODD:
                answer = await pay.get(f"{path}?{field}={text}")
                assert answer.status_code in (400, 422), (path, field, text, answer.text)

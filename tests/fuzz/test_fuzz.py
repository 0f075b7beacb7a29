"""A short run of what `make fuzz` does for long, and a hundred equal requests at once."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.addresses import fresh_address
from tests.e2e.service import Service, new_key
from tests.fuzz.run import Outcome, answered, run_pass

SECONDS: Final = 25
LIMIT_S: Final = 180
AT_ONCE: Final = 100


async def test_a_hundred_equal_requests_at_once_pay_once(service: Service) -> None:
    """One effect; each answer is the same payout, or says that the first is under way."""
    key = new_key()
    wish = {
        "user_id": "hundred",
        "recipient_address": fresh_address(),
        "amount": "12.5",
        "currency": "USDT",
        "merchant_reference": key,
    }
    async with service.client("operator", "hundred") as api:
        calls = [
            api.post("/api/v1/payouts/direct", json=wish, headers={"Idempotency-Key": key})
            for _ in range(AT_ONCE)
        ]
        answers = await asyncio.gather(*calls)
        assert {answer.status_code for answer in answers} <= {202, 409}
        good = [answer for answer in answers if answer.status_code == 202]
        in_flight = [answer for answer in answers if answer.status_code == 409]
        assert len({answer.content for answer in good}) == 1
        assert {answer.json()["code"] for answer in in_flight} <= {"idempotency_in_flight"}
        first = [a for a in good if "idempotent-replayed" not in a.headers]
        assert len(first) == 1
        payout_id = good[0].json()["payout_id"]
        again = await api.post(
            "/api/v1/payouts/direct", json=wish, headers={"Idempotency-Key": key}
        )
        assert (again.status_code, again.content) == (202, good[0].content)
        assert again.headers["idempotent-replayed"] == "true"
        other = await api.post(
            "/api/v1/payouts/direct", json=wish | {"amount": "13"}, headers={"Idempotency-Key": key}
        )
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    async with service.mongo() as client:
        database = client[service.settings.payment_db_name]
        assert await database["payouts"].count_documents({"merchant_reference": key}) == 1
        assert await database["orders"].count_documents({"subject": payout_id}) == 1


@pytest.mark.parametrize("role", ["operator"])
async def test_the_service_keeps_to_its_document(
    service: Service, role: str, tmp_path: Path
) -> None:
    """No 5xx, no undocumented status, no answer that differs from its schema."""
    before = await answered(service)
    done = await asyncio.to_thread(
        run_pass,
        service,
        role,
        1,
        tmp_path,
        phases="coverage,fuzzing",
        examples=2,
        seconds=SECONDS,
        limit_s=LIMIT_S,
    )
    outcome = Outcome([done], await answered(service) - before)
    assert outcome.good, outcome.table()
    assert outcome.answered >= done.cases > 0

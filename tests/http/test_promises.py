"""What an acceptance has promised is what is made, whoever judges the request again."""

from datetime import timedelta

import pytest
from http_world import NOW

from tron_payment.core.clock import ManualClock
from tron_payment.core.errors import Unavailable
from tron_payment.db.group import GroupInsert
from tron_payment.http import acceptances
from tron_payment.http.forgetting import forget_old
from tron_payment.http.idempotency import (
    RETENTION,
    AnswerTooLarge,
    Idempotency,
    KeyReused,
    Promise,
    StoredAnswer,
    StoredRequest,
)
from tron_payment.http.twins import UNDER_WAY_MAX, InFlight

KEY = "key-of-the-client-1"
REQUEST = {"principal_id": "u", "key": KEY, "operation": "o", "content": b"{}"}


@pytest.fixture
async def store(mongo):
    return await mongo.connect([StoredRequest])


class Replica:
    """Judges a request in its own way, and makes what holds the key."""

    def __init__(self, judged: bytes, clock: ManualClock | None = None) -> None:
        self.idem = Idempotency(b"s" * 32, clock or ManualClock(NOW), GroupInsert())
        self.judged = judged
        self.made: list[bytes] = []
        self.fails: Exception | None = None

    async def request(self) -> StoredAnswer:
        async def keep(content: bytes) -> None:
            if self.fails is not None:
                raise self.fails
            self.made.append(content)

        async def effect() -> None:
            await keep(b"effect")

        return await self.idem.run(
            **REQUEST, answer=(202, self.judged), effect=effect, promise=Promise(self.judged, keep)
        )


async def test_who_repeats_makes_what_the_first_one_promised(store) -> None:
    one, two = Replica(b"[1,2]"), Replica(b"[1]")
    one.fails = Unavailable()
    with pytest.raises(Unavailable):
        await one.request()
    assert (await two.idem.find(**REQUEST)).promised == b"[1,2]"
    answer = await two.request()
    assert (answer.body, answer.replayed, two.made) == (b"[1,2]", True, [b"[1,2]"])
    assert (await two.idem.find(**REQUEST)).promised is None, "it is there"
    await two.request()
    assert two.made[1:] == [b"effect"], "which leaves alone what it finds"


async def test_a_promise_is_refused_where_it_does_not_fit(store, monkeypatch) -> None:
    monkeypatch.setattr("tron_payment.http.idempotency.RECORD_BYTES_MAX", 9)
    with pytest.raises(AnswerTooLarge):
        await Replica(b"[1,2]").request()
    assert await StoredRequest.count() == 0
    assert acceptances.RECORD_BYTES_MAX < 16 * 1024 * 1024


async def test_a_promise_is_forgotten_with_its_answer(store) -> None:
    one = Replica(b"[1,2]")
    one.fails = Unavailable()
    with pytest.raises(Unavailable):
        await one.request()
    assert await forget_old(NOW + RETENTION + timedelta(seconds=1))
    record = await StoredRequest.find_one({})
    assert (record.body, record.promised, record.forgotten) == (b"", None, True)


async def test_who_finds_another_s_takes_no_live_acceptance_back(store) -> None:
    """Judged otherwise, the effect of a repeat finds what the first has made and calls it other."""
    clock = ManualClock(NOW)
    one, two = Replica(b"[1,2]", clock), Replica(b"[1]", clock)
    await one.request()
    two.fails = KeyReused()
    with pytest.raises(InFlight):
        await two.request()
    assert (await one.request()).replayed and await StoredRequest.count() == 1
    clock.advance(UNDER_WAY_MAX)
    with pytest.raises(KeyReused):
        await two.request()

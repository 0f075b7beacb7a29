"""Streams that are open at once have a bound, for all and for one, as soon as they are promised."""

import pytest

from tron_payment.core.errors import RateLimited
from tron_payment.http.exchange import SCOPE_KEY, Exchange
from tron_payment.http.streams import RETRY_S, Streams


class Full(RateLimited):
    """No room."""


def ask(streams: Streams, whose: str) -> Exchange:
    exchange = Exchange("req_1")
    streams.hold({SCOPE_KEY: exchange}, whose)
    return exchange


def test_one_thing_has_some_of_the_room_and_all_have_no_more_than_all() -> None:
    streams = Streams(3, 2, Full)
    first, _ = ask(streams, "a"), ask(streams, "a")
    with pytest.raises(Full) as refused:
        ask(streams, "a")
    assert refused.value.retry_after_s == RETRY_S
    ask(streams, "b")
    with pytest.raises(Full):
        ask(streams, "c")
    first.end()
    first.end()
    assert not first.at_end
    ask(streams, "c")
    with pytest.raises(Full):
        ask(streams, "a")


def test_who_was_refused_gives_nothing_back() -> None:
    streams = Streams(1, 1, Full)
    held, other = ask(streams, "a"), Exchange("req_2")
    with pytest.raises(Full):
        streams.hold({SCOPE_KEY: other}, "a")
    other.end()
    with pytest.raises(Full):
        ask(streams, "b")
    held.end()
    assert streams._open == {}
    ask(streams, "b")

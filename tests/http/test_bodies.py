"""Long bodies that are in the memory at once have a bound, for all callers and for each."""

import asyncio
import json
from typing import Any

import pytest
from http_world import bearer, serve
from listening import WITHIN_S, Listening, listening, rest
from litestar import post

from tron_payment.http import bodies
from tron_payment.http.bodies import Bodies
from tron_payment.http.limits import BODY_BYTES_MAX, StrictRequest
from tron_payment.http.streams import RETRY_S

BATCH = b'{"payouts": []}'
LONG = BATCH + b" " * BODY_BYTES_MAX
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@post("/pages", opt={"open": True, "consumes": ("text/plain",), "body": "batch"})
async def take_page(request: StrictRequest) -> dict[str, int]:
    """Read an upload of somebody who is known by other means."""
    return {"bytes": len(await request.body())}


@pytest.fixture(autouse=True)
def _little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (
        ("LONG_BODIES_MAX", 3),
        ("LONG_BODIES_OF_ONE_MAX", 2),
        ("PAGE_BODIES_MAX", 2),
        ("PAGE_BODIES_OF_ONE_MAX", 1),
    ):
        monkeypatch.setattr(bodies, name, most)


def sized(count: int) -> bytes:
    return b"Content-Length: %d\r\n" % count


class Upload:
    """One request whose body comes as the test wants it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self, more: bytes = b"") -> tuple[int, bytes, bytes]:
        """Status, head and content, once `more` has come."""
        self.writer.write(more)
        async with asyncio.timeout(WITHIN_S):
            head, _, content = (await rest(self.reader)).partition(b"\r\n\r\n")
        self.writer.close()
        return int(head.split()[1]), head.lower(), content


async def upload(
    listen: Listening, size: bytes, who: str = "user-1", begin: bytes = b"{", path: str = "/batches"
) -> Upload:
    """Begin to send a body."""
    media = "text/plain" if path == "/pages" else "application/json"
    headers = {**bearer(sub=who), "Content-Type": media, "Connection": "close", "Host": "x"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await listen.connect()
    writer.write(f"POST {path} HTTP/1.1\r\n{lines}".encode() + size + b"\r\n" + begin)
    return Upload(reader, writer)


def room_of(listen: Listening) -> Bodies:
    return listen.app.front._gate._bodies


async def held(listen: Listening, count: int) -> None:
    """Wait until so many long bodies are being read."""
    room = room_of(listen)
    async with asyncio.timeout(WITHIN_S):
        while room._known._open.total() + room._pages._open.total() != count:
            await asyncio.sleep(0.01)


def assert_full(answer: tuple[int, bytes, bytes]) -> None:
    status, head, content = answer
    found: dict[str, Any] = json.loads(content)
    assert (status, found["code"], found["retryable"]) == (429, "too_many_bodies", True)
    assert f"retry-after: {RETRY_S}".encode() in head


@pytest.mark.parametrize(
    ("size", "begin", "end"),
    [
        (sized(len(LONG)), LONG[:1], LONG[1:]),
        (CHUNKED, b"1\r\n{\r\n", b"e\r\n" + BATCH[1:] + b"\r\n0\r\n\r\n"),
    ],
    ids=["long", "of unknown size"],
)
async def test_one_caller_has_some_of_the_room_and_all_have_no_more_than_all(
    size: bytes, begin: bytes, end: bytes
) -> None:
    async with listening() as listen:
        slow = [await upload(listen, size, begin=begin) for _ in range(2)]
        await held(listen, 2)
        assert_full(await (await upload(listen, size, begin=begin)).answer())
        slow.append(await upload(listen, size, "user-2", begin))
        await held(listen, 3)
        assert_full(await (await upload(listen, size, "user-3", begin)).answer())
        for each in slow:
            status, _, content = await each.answer(end)
            assert (status, json.loads(content)) == (202, {"rows": 0})
        await held(listen, 0)
        again = await upload(listen, size, begin=begin)
        assert (await again.answer(end))[0] == 202


async def test_who_goes_away_or_is_refused_keeps_no_room() -> None:
    async with listening() as listen:
        for _ in range(3):
            gone = [await upload(listen, sized(len(LONG))) for _ in range(2)]
            await held(listen, 2)
            for each in gone:
                each.writer.transport.abort()
            await held(listen, 0)
        for _ in range(3):
            wrong = await upload(listen, sized(len(LONG)), begin=b"x" * len(LONG))
            assert (await wrong.answer())[0] == 400
        await held(listen, 0)
        assert (await (await upload(listen, sized(len(LONG)), begin=LONG)).answer())[0] == 202


async def test_a_body_of_ordinary_size_always_finds_room() -> None:
    """Where long ones are taken, too; and where none are, its size need not be known."""
    async with listening() as listen:
        slow = [await upload(listen, sized(len(LONG))) for _ in range(2)]
        await held(listen, 2)
        most = BATCH.ljust(BODY_BYTES_MAX)
        few = [await upload(listen, sized(len(most)), begin=most[:1]) for _ in range(3)]
        for each in few:
            assert (await each.answer(most[1:]))[0] == 202
        note = await upload(listen, CHUNKED, begin=b"2\r\n{}\r\n0\r\n\r\n", path="/notes")
        assert (await note.answer())[0] == 201
        assert (await (await upload(listen, b"", begin=b"")).answer())[0] == 400, "no body at all"
        await held(listen, 2)
        for each in slow:
            each.writer.close()


async def test_pages_have_a_room_of_their_own() -> None:
    """They ask the API with what they were sent, while they hold it."""
    async with listening(take_page) as listen:
        page = await upload(listen, sized(len(LONG)), path="/pages")
        await held(listen, 1)
        assert_full(await (await upload(listen, sized(len(LONG)), path="/pages")).answer())
        batches = [await upload(listen, sized(len(LONG))) for _ in range(2)]
        await held(listen, 3)
        for each in batches:
            assert (await each.answer(LONG[1:]))[0] == 202
        assert (await page.answer(LONG[1:]))[0] == 201


async def test_who_may_not_send_one_holds_none() -> None:
    async with serve() as world:
        for _ in range(4):
            answer = await world.client.post(
                "/batches", content=LONG, headers=bearer(role="viewer")
            )
            assert answer.status_code == 403
        headers = {**bearer(), "Content-Type": "application/json"}
        assert (await world.client.post("/batches", content=LONG, headers=headers)).is_success

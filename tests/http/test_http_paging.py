"""Pages neither repeat nor lose a row while rows are added, and cursors open nothing."""

import base64
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec
import pytest
from beanie import Document
from http_world import NOW, bearer, serve
from litestar import get
from litestar.di import NamedDependency, Provide
from pymongo import ASCENDING, IndexModel

from tron_payment.http.paging import (
    InvalidCursor,
    Page,
    PageRequest,
    fetch_page,
    provide_page,
)


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


class Row(Document):
    id: str  # type: ignore[assignment]
    owner: str = "user-1"
    status: Color = Color.RED
    created_at: datetime
    updated_at: datetime

    class Settings:
        name = "rows"
        indexes = [IndexModel([("owner", ASCENDING), ("created_at", ASCENDING), ("_id", 1)])]


class RowView(msgspec.Struct):
    id: str


@get("/rows", opt={"permission": "payout:read"})
async def rows(page: NamedDependency[PageRequest]) -> Page[RowView]:
    """List."""
    where = {"owner": "user-1"}
    if statuses := page.statuses_of(Color):
        where["status"] = {"$in": list(statuses)}
    return await fetch_page(Row, where, page, lambda row: RowView(row.id))


@get("/history", opt={"permission": "payout:read"})
async def history(page: NamedDependency[PageRequest]) -> Page[RowView]:
    """List, newest first."""
    return await fetch_page(
        Row, {"owner": "user-1"}, page, lambda row: RowView(row.id), newest_first=True
    )


def lists():
    return serve(
        [rows, history], dependencies={"page": Provide(provide_page, sync_to_thread=False)}
    )


def row(number: int, **more) -> Row:
    """Three rows share each millisecond."""
    at = NOW + timedelta(milliseconds=number // 3)
    return Row(id=f"row_{number:04}", created_at=at, updated_at=at, **more)


async def walk(client, path: str, meanwhile=None) -> list[str]:
    found, cursor = [], None
    for _ in range(100):
        query = {"limit": 7} | ({"cursor": cursor} if cursor else {})
        answer = await client.get(path, params=query, headers=bearer())
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found += [each["id"] for each in body["data"]]
        assert body["has_more"] == (body["next_cursor"] is not None)
        if not body["has_more"]:
            return found
        cursor = body["next_cursor"]
        if meanwhile:
            await meanwhile()
    raise AssertionError("endless")


async def test_every_row_comes_once_in_order(mongo) -> None:
    await mongo.connect([Row])
    await Row.insert_many([row(n) for n in range(50)] + [row(99, owner="user-2")])
    async with lists() as world:
        oldest = await walk(world.client, "/rows")
        newest = await walk(world.client, "/history")
    assert oldest == [f"row_{n:04}" for n in range(50)]
    assert newest == oldest[::-1]


async def test_new_rows_disturb_nobody(mongo) -> None:
    await mongo.connect([Row])
    await Row.insert_many([row(n) for n in range(30)])
    number = 30

    async def add() -> None:
        nonlocal number
        if number < 40:
            await row(number).insert()
            number += 1

    async with lists() as world:
        newest = await walk(world.client, "/history", add)
        oldest = await walk(world.client, "/rows", add)
    assert newest == [f"row_{n:04}" for n in range(29, -1, -1)]
    assert oldest == [f"row_{n:04}" for n in range(number)]


async def test_filters(mongo) -> None:
    await mongo.connect([Row])
    await Row.insert_many([row(n, status=Color.BLUE if n % 2 else Color.RED) for n in range(12)])
    at = (NOW + timedelta(milliseconds=2)).isoformat().replace("+00:00", "Z")

    async with lists() as world:

        async def ids(**query: str) -> list[int]:
            answer = await world.client.get("/rows", params=query, headers=bearer())
            assert answer.status_code == 200, answer.text
            return [int(each["id"][4:]) for each in answer.json()["data"]]

        assert await ids(status="blue") == [1, 3, 5, 7, 9, 11]
        assert await ids(status="blue,red") == list(range(12))
        assert await ids(created_after=at) == list(range(6, 12))
        assert await ids(created_before=at) == list(range(6))
        assert await ids(updated_after=at, created_before=at) == []
        assert await ids(created_after=at, status="red") == [6, 8, 10]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"status": "green"}, "status"),
        ({"status": "red,"}, "status"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"created_after": "2026-11-20T12:00:00"}, "created_after"),
        ({"updated_after": "2026-13-40T12:00:00Z"}, "updated_after"),
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"cursor": "x" * 301}, "cursor"),
        ({"cursor": "not base64!"}, "cursor"),
        ({"cursor": ""}, "cursor"),
    ],
)
async def test_a_bad_filter_is_named(mongo, query: dict, param: str) -> None:
    await mongo.connect([Row])
    async with lists() as world:
        answer = await world.client.get("/rows", params=query, headers=bearer())
    assert (answer.status_code, answer.json()["param"]) == (422, param), answer.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'["+created_at", 1]',
        b'["+created_at", "1", "row_1"]',
        b'["-created_at", 1, "row_1"]',
        b'["+owner", 1, "row_1"]',
        b'["+created_at", -1, "row_1"]',
        b'["+created_at", 999999999999999999, "row_1"]',
        b'["+created_at", 1, {"$gt": ""}]',
    ],
)
async def test_a_made_up_cursor_is_refused(mongo, content: bytes) -> None:
    await mongo.connect([Row])
    cursor = base64.urlsafe_b64encode(content).decode()
    with pytest.raises(InvalidCursor):
        await fetch_page(Row, {}, PageRequest(cursor=cursor), lambda each: each.id)


async def test_a_cursor_of_another_owner_shows_nothing_of_theirs(mongo) -> None:
    await mongo.connect([Row])
    await Row.insert_many([row(n, owner="user-2") for n in range(5)])
    theirs = await fetch_page(Row, {"owner": "user-2"}, PageRequest(limit=1), lambda r: r.id)
    mine = await fetch_page(
        Row, {"owner": "user-1"}, PageRequest(cursor=theirs.next_cursor), lambda r: r.id
    )
    assert mine.data == [] and not mine.has_more


def test_half_open_times() -> None:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    page = PageRequest(created_after=start, created_before=end)
    assert page.times() == {"created_at": {"$gte": start, "$lt": end}}

"""Every path that a document names is a path of the service, with that method."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from litestar.routes import HTTPRoute
from whole_app import options, whole

from tron_payment.app import DOCUMENTS
from tron_payment.db.connect import Store, connect

ROOT = Path(__file__).parents[2]
ELSEWHERE = re.compile(
    r"^/(devnet|wallet|walletsolidity|v1|jsonrpc|run|transactions|dev|tmp|file)\b"
)
"""Paths of nodes, of the devnet and of the file system."""

FRONT_DOOR = {("GET", "/metrics"), ("GET", "/schema"), ("GET", "/api/v1"), ("GET", "/console")}
"""Answered, but no route of a module."""

PATH = r"/[A-Za-z0-9_./{}-]*"
NAMED = re.compile(rf"\b(GET|POST|PUT|PATCH|DELETE) +({PATH})|`({PATH})(?:\?[^`]*)?`")


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def named(text: str) -> set[tuple[str, str]]:
    """(method or nothing, path) of everything that looks like a path of the service."""
    joined = re.sub(r"`[^`]+`", lambda span: re.sub(r"\s+", " ", span.group()), text)
    joined = re.sub(r"\*(?=`)", "", joined)
    found = set()
    for method, path, alone in NAMED.findall(joined):
        place = (path or alone).rstrip("./") or "/"
        if len(place) > 1 and not ELSEWHERE.match(place):
            found.add((method, re.sub(r"\{[^}]*\}", "{}", place)))
    return found


def same(place: str, template: str) -> bool:
    """Whether the place is the template; a parameter of the document stands for anything."""
    ours, theirs = place.split("/"), template.split("/")
    pairs = list(zip(ours, theirs, strict=False))
    return len(ours) == len(theirs) and all(a in ("{}", b) for a, b in pairs)


@pytest.fixture(scope="module")
async def store(mongo_uri: str) -> AsyncIterator[Store]:
    made = await connect(mongo_uri, f"docs_{uuid4().hex[:12]}", DOCUMENTS)
    try:
        yield made
    finally:
        await made.client.drop_database(made.database.name)
        await made.close()


@pytest.fixture(scope="module")
async def table(store: Store, tmp_path_factory: Any) -> set[tuple[str, str]]:
    """Method and path template of every route; parameters without their names."""
    found: set[tuple[str, str]] = set(FRONT_DOOR)
    async with whole(store, options(tmp_path_factory.mktemp("secrets"))) as service:
        for route in service.app.routes:
            assert isinstance(route, HTTPRoute)
            parts = [each if isinstance(each, str) else "{}" for each in route.path_components]
            for handler in route.route_handlers:
                found |= {(str(method), "/" + "/".join(parts)) for method in handler.http_methods}
    return found


def test_the_reader_of_documents_finds_what_it_should() -> None:
    text = "Ask `POST /api/v1/a/{id}`, `GET\n/b`, look at `/c?x=1` and POST /devnet/mine; `/run/x`."
    assert named(text) == {("POST", "/api/v1/a/{}"), ("GET", "/b"), ("", "/c")}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
async def test_every_path_that_is_named_exists(path: Path, table: set[tuple[str, str]]) -> None:
    wrong = {
        f"{method} {place}".strip()
        for method, place in named(path.read_text())
        if not any(method in ("", known) and same(place, template) for known, template in table)
    }
    assert not wrong

"""Handlers are registered once and reached at several paths."""

from typing import Any

import httpx
import pytest
from litestar import Litestar, Request, Router, get
from litestar.params import FromPath

from tron_payment.http.older_paths import add_paths


class Kept(Router):
    """Registered as itself, as `add_paths` asks for."""

    def __deepcopy__(self, memo: dict[int, object]) -> "Kept":
        return self


@get("/things/{name:str}")
async def read(name: FromPath[str], request: Request[Any, Any, Any]) -> str:
    return f"{name} by {request.scope['path_template']}"


def _app(*further: tuple[Router, list[str]]) -> Litestar:
    routers = [router for router, _ in further]
    app = Litestar(routers, openapi_config=None, logging_config=None)
    add_paths(app, further)
    return app


async def test_a_handler_answers_at_every_path_under_its_template() -> None:
    app = _app((Kept("/new", route_handlers=[read]), ["/", "/old"]))
    front: Any = app  # Litestar's types of ASGI are narrower than httpx's
    transport = httpx.ASGITransport(front)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        for prefix in ("/new", "", "/old"):
            answer = await client.get(f"{prefix}/things/a")
            assert answer.text == f"a by {prefix}/things/{{name}}"
            assert (await client.post(f"{prefix}/things/a")).status_code == 405
            options = await client.options(f"{prefix}/things/a")
            assert options.status_code == 204
        assert (await client.get("/older/things/a")).status_code == 404


def test_a_path_that_is_taken_is_an_error() -> None:
    with pytest.raises(AssertionError, match="registered already"):
        _app((Kept("/a", route_handlers=[read]), ["/b"]), (Kept("/b", route_handlers=[read]), []))

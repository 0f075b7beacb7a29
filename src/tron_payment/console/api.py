"""The API as the console uses it: in the same process, through the same front door, as a person."""

import asyncio
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import quote

import httpx
from litestar import Litestar

from tron_payment.console.sessions import Visitor
from tron_payment.http.problems import InvalidHeader
from tron_payment.http.step_up import CODE_HEADER

BASE_URL: Final = "http://console.internal"
CALL_S: Final = 20.0
PAGE_MAX: Final = 100
"""Rows that one call of a list answers at most."""

_PARAMETER: Final = re.compile(r"\{[^}]*\}")
_NAME: Final = re.compile(r"\{([a-z_]+)\}")


class ApiProblem(Exception):
    """The API refuses; `problem` is its problem+json."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or str(status))
        self.status = status
        self.problem = problem

    @property
    def code(self) -> str:
        return str(self.problem.get("code", self.status))

    @property
    def detail(self) -> str:
        return str(self.problem.get("detail") or self.problem.get("title") or "")


def at(path: str, /, **ids: str) -> str:
    """A path with ids in it, none of which can reach beyond its own segment.

    `ids` may have more than the path has places for, such as all fields of a form.

    Raises:
        ApiProblem: An id of dots only, which a reader of paths would take for a direction, or one
            with a slash: in this process a path arrives decoded, so that no quoting holds it.
        KeyError: There is no id for a place.
    """
    placed = {name: ids[name] for name in _NAME.findall(path)}
    if any("/" in text or (text and not text.strip(".")) for text in placed.values()):
        raise ApiProblem(404, {"code": "not_found", "title": "There is no such thing here"})
    return path.format(**{name: quote(text, safe="") for name, text in placed.items()})


@cache
def paths_of(app: Litestar) -> frozenset[str]:
    """Every path that this application answers, with ``{}`` for each parameter."""
    return frozenset(_PARAMETER.sub("{}", route.path_format) for route in app.routes)


class Api:
    """Calls with one person's token."""

    def __init__(self, app: Litestar, visitor: Visitor, request_id: str) -> None:
        """
        Raises:
            ApiProblem: The token has characters that no header has.
        """
        self._paths = paths_of(app)
        front: Any = app  # Litestar's types of ASGI are narrower than httpx's
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=front),
            base_url=BASE_URL,
            headers=_plain(
                {"Authorization": f"Bearer {visitor.token}", "X-Request-ID": request_id}
            ),
            timeout=CALL_S,
            trust_env=False,
        )

    def offers(self, path: str) -> bool:
        """Whether the API has this path; ``{...}`` stands for any parameter."""
        return _PARAMETER.sub("{}", path) in self._paths

    async def get(self, path: str, **params: Any) -> dict[str, Any]:
        """The body of a good answer.

        Raises:
            ApiProblem
        """
        given = {name: value for name, value in params.items() if value not in (None, "")}
        return await self._call("GET", path, params=given or None)

    async def maybe(self, path: str, **params: Any) -> dict[str, Any] | None:
        """The same; None when the person may not see it or it cannot be shown now."""
        try:
            return await self.get(path, **params)
        except ApiProblem:
            return None

    async def all(self, *paths: str) -> list[dict[str, Any] | None]:
        """Several at once, each as `maybe`."""
        return list(await asyncio.gather(*(self.maybe(path) for path in paths)))

    async def rows(self, path: str, most: int, **params: Any) -> tuple[list[dict[str, Any]], bool]:
        """Up to `most` rows of a list, page after page; whether there are more.

        Raises:
            ApiProblem
        """
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            limit = min(PAGE_MAX, most - len(found))
            page = await self.get(path, **params, limit=limit, cursor=cursor)
            found += page["data"]
            cursor = page["next_cursor"]
            if not page["has_more"] or len(found) >= most:
                return found, bool(page["has_more"])

    async def file(self, path: str, **params: Any) -> tuple[bytes, str]:
        """What the API gives as a file: its content and media type.

        Raises:
            ApiProblem
        """
        given = {name: value for name, value in params.items() if value not in (None, "")}
        answer = await self._client.get(path, params=given or None, headers={"Accept": "*/*"})
        if answer.status_code >= 400:
            raise ApiProblem(answer.status_code, _json(answer))
        return answer.content, answer.headers["content-type"]

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        code: str | None = None,
    ) -> dict[str, Any]:
        """Do something; `key` is the Idempotency-Key, `code` one of the second factor's.

        Raises:
            ApiProblem
        """
        headers = {"Idempotency-Key": key} if key else {}
        if code:
            headers[CODE_HEADER] = code
        return await self._call(method, path, json=body, headers=_plain(headers))

    async def send(
        self, path: str, content: bytes, media_type: str, *, key: str | None = None
    ) -> dict[str, Any]:
        """Upload a file's content.

        Raises:
            ApiProblem
        """
        headers = {"Content-Type": media_type} | ({"Idempotency-Key": key} if key else {})
        return await self._call("POST", path, content=content, headers=_plain(headers))

    async def _call(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        answer = await self._client.request(method, path, **more)
        body = _json(answer)
        if answer.status_code >= 400:
            raise ApiProblem(answer.status_code, body)
        return body


def _plain(headers: dict[str, str]) -> dict[str, str]:
    """The headers, of which some come from a form.

    Raises:
        ApiProblem: What somebody has pasted is no header.
    """
    if all(value.isascii() for value in headers.values()):
        return headers
    detail = "it has characters that no token, code or key has: copy it again"
    raise ApiProblem(
        400, {"code": "invalid_header", "title": InvalidHeader.title(), "detail": detail}
    )


def _json(answer: httpx.Response) -> dict[str, Any]:
    """The body; a bare list as a page would hold it."""
    try:
        body = answer.json() if answer.content else {}
    except ValueError:
        body = {"detail": "the answer is not JSON"}
    return {"data": body} if isinstance(body, list) else body

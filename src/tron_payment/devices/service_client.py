"""The service as the agent sees it: three calls over HTTP."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from tron_payment.bearer import WAYS, is_private
from tron_payment.core.errors import AppError, Refused, Unavailable
from tron_payment.core.terminal import printable

TIMEOUT_S: Final = 30.0
PAGE: Final = 100
PAGES_MAX: Final = 100
WORDS_MAX: Final = 200
"""Characters that are shown of what the service says: more could push our own words away."""


class ServiceRefused(AppError, code="service_refused"):
    """The service refuses."""

    status = 409


class UrlUnsafe(Refused, code="url_unsafe"):
    """A token goes over https, or to this very computer."""


class ServiceClient:
    """Use as an async context manager.

    Args:
        url: Of the API, such as ``https://pay.example/api/v1``.
        token: Sent as a bearer token; may read and sign requests.
    """

    def __init__(
        self, url: str, token: str, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """
        Raises:
            UrlUnsafe
        """
        parts = urlsplit(url)
        if not is_private(parts.scheme, parts.hostname):
            raise UrlUnsafe(f"{url}: {WAYS}")
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/"),
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            trust_env=False,
            transport=transport,
        )

    async def open_requests(self) -> list[Mapping[str, Any]]:
        """All that wait, oldest first."""
        found: list[Mapping[str, Any]] = []
        query: dict[str, Any] = {"status": "open", "limit": PAGE}
        for _ in range(PAGES_MAX):
            page = await self._call("GET", "/signing-requests", params=query)
            found.extend(page["data"])
            if not page.get("has_more"):
                break
            query["cursor"] = page["next_cursor"]
        return found

    async def request(self, request_id: str) -> Mapping[str, Any]:
        return await self._call("GET", f"/signing-requests/{checked_id(request_id)}")

    async def give(self, request_id: str, signature: bytes) -> Mapping[str, Any]:
        """Hand over a signature; safe to repeat (the second time it is refused as given)."""
        return await self._call(
            "POST",
            f"/signing-requests/{checked_id(request_id)}/signatures",
            json={"signature": signature.hex()},
        )

    async def _call(self, method: str, path: str, **options: Any) -> Mapping[str, Any]:
        try:
            answer = await self._http.request(method, path, **options)
            body = answer.json()
        except httpx.HTTPError as error:
            raise Unavailable(f"the service does not answer: {type(error).__name__}") from None
        except ValueError:
            raise Unavailable(f"the service answered {answer.status_code} without JSON") from None
        if not isinstance(body, dict):
            raise Unavailable("the service answered something else than an object")
        if answer.status_code >= 400:
            told = words(body.get("detail") or body.get("title") or "no reason given")
            raise ServiceRefused(f"the service answered {answer.status_code}: {told}")
        return body

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, traceback)


def words(said: object) -> str:
    """What the service says, as it is shown to a person: short and on one line."""
    return printable(str(said)[:WORDS_MAX])


def checked_id(request_id: str) -> str:
    """
    Raises:
        Refused: Not an id.
    """
    if not request_id.replace("_", "").isalnum() or not request_id.isascii():
        raise Refused(f"{words(request_id)!r} is not the id of a signing request")
    return request_id

"""Every refusal as RFC 9457 ``application/problem+json``, in one shape.

Our own `AppError`s say their status and code; Litestar's, msgspec's and MongoDB's errors are
translated here. Whatever is left is our fault: 500, logged, and told without detail.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from pymongo.errors import PyMongoError

from tron_payment.core.errors import AppError, Malformed, NotFound, Refused, Unavailable
from tron_payment.core.money import InvalidAmount
from tron_payment.db.faults import as_unavailable
from tron_payment.http.advice import ADVICE, detail_of
from tron_payment.http.exchange import exchange_of
from tron_payment.http.hints import choices_at, instead_at

log = structlog.get_logger()

PROBLEM_TYPE_BASE: Final = "https://tron-payment.dev/problems/"
PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

RESERVED: Final = frozenset(
    {
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "code",
        "param",
        "request_id",
        "retryable",
    }
)
"""Members that an error's `extra` must not overwrite."""


class MethodNotAllowed(AppError, code="method_not_allowed"):
    """This path does not answer to this method."""

    status = 405


class NotAcceptable(AppError, code="not_acceptable"):
    """There is no answer in a media type that you accept."""

    status = 406


class BodyTooLarge(AppError, code="body_too_large"):
    """The body is larger than this endpoint reads."""

    status = 413


class TooSlow(AppError, code="too_slow"):
    """The request did not come to its end in time; nothing was done for it."""

    status = 408
    retryable = True


class UnsupportedMediaType(AppError, code="unsupported_media_type"):
    """The body is of a media type that this endpoint does not read."""

    status = 415


class MalformedBody(Malformed, code="malformed_body"):
    """The body cannot be read."""


class BodyMissing(Malformed, code="body_missing"):
    """This endpoint needs a body."""


class HeaderMissing(Malformed, code="header_missing"):
    """A header is missing."""


class InvalidHeader(Malformed, code="invalid_header"):
    """A header's value is not acceptable."""


class UnknownField(Refused, code="unknown_field"):
    """The content has a field that does not exist."""


class MissingField(Refused, code="missing_field"):
    """The content lacks a field."""


class InvalidField(Refused, code="invalid_field"):
    """A field's value is not acceptable."""


class InvalidParameter(Refused, code="invalid_parameter"):
    """A parameter of the address is not acceptable."""


class UnknownParameter(Refused, code="unknown_parameter"):
    """The address has a parameter that does not exist here."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal, ready for the wire."""

    status: int
    code: str
    title: str
    detail: str
    param: str | None = None
    retryable: bool = False
    retry_after_s: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def body(self, scope: Any) -> bytes:
        """The JSON text, with the request's path and id."""
        assert not RESERVED & self.extra.keys(), "an error's extra overwrites a problem member"
        return msgspec.json.encode(
            {
                "type": PROBLEM_TYPE_BASE + self.code,
                "title": self.title,
                "status": self.status,
                "detail": self.detail,
                "instance": quote(scope["path"]),
                "code": self.code,
                "param": self.param,
                "request_id": exchange_of(scope).request_id,
                "retryable": self.retryable,
                **self.extra,
            }
        )

    def all_headers(self) -> dict[str, str]:
        """Headers of the answer, the media type apart."""
        headers = dict(self.headers)
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status == TooSlow.status:
            headers["Connection"] = "close"  # what may still come is no next request
        return headers


INTERNAL: Final = Problem(500, "internal", "Something went wrong on our side.", ADVICE["internal"])


def problem_of(exc: Exception) -> Problem:
    """Translate any exception; an unexpected one becomes `INTERNAL` and is logged."""
    headers: dict[str, str] = {}
    if isinstance(exc, MethodNotAllowedException):
        headers = {"Allow": (exc.headers or {}).get("allow", "")}
    error = exc if isinstance(exc, AppError) else _translate(exc)
    if error is None or (error.status >= 500 and not isinstance(error, Unavailable)):
        log.error("request.crashed", exc_info=exc)
        return INTERNAL
    return Problem(
        status=error.status,
        code=error.code,
        title=error.title(),
        detail=detail_of(error),
        param=error.param,
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
        extra=error.extra,
        headers=headers,
    )


def respond_with_problem(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    """Litestar's exception handler for everything."""
    problem = problem_of(exc)
    return Response(
        content=problem.body(request.scope),
        status_code=problem.status,
        headers=problem.all_headers(),
        media_type=PROBLEM_MEDIA_TYPE,
    )


def _translate(exc: Exception) -> AppError | None:
    """The AppError that says the same; None for what nobody expected."""
    if isinstance(exc, PyMongoError):
        return as_unavailable(exc)
    if isinstance(exc, MethodNotAllowedException):
        return MethodNotAllowed()
    if isinstance(exc, RequestEntityTooLarge):
        return BodyTooLarge()
    if isinstance(exc, ValidationException):
        return _of_validation(exc)
    if isinstance(exc, NotFoundException):
        return NotFound("there is nothing at this path")
    if isinstance(exc, HTTPException) and exc.status_code == 400:
        return Malformed()
    return None


_MISSING_PARAMETER: Final = re.compile(r"Missing required (\w+) parameter '([^']+)'")


def _of_validation(exc: ValidationException) -> AppError:
    """Litestar's complaint about parameters and missing bodies; unreadable before refused."""
    if match := _MISSING_PARAMETER.match(exc.detail):
        kind, name = match[1], match[2]
        if kind in ("header", "cookie"):
            return HeaderMissing(f"{name} is required", param=name)
        return InvalidParameter(f"{name} is required", param=name)
    found: list[AppError] = []
    for entry in exc.extra if isinstance(exc.extra, list) else []:
        key, source = entry.get("key"), str(entry.get("source", ""))
        if source.endswith("body") or key == "data":
            found.append(BodyMissing())
        elif source.lower().endswith(("header", "cookie")):
            found.append(InvalidHeader(entry["message"][:DETAIL_TEXT_MAX], param=key))
        else:
            found.append(InvalidParameter(entry["message"][:DETAIL_TEXT_MAX], param=key))
    return min(found, key=lambda error: error.status, default=InvalidParameter())


_PATH: Final = re.compile(r" - at (?:`key` in )?`\$\.?((?:[\w.]|\[[^\]`]*\])*)`")
"""The end of msgspec's words. What came is quoted before it, and may look the same: so the last
place counts, and all of it has to be a path."""

_UNKNOWN_BEGINS: Final = "Object contains unknown field `"
_UNKNOWN: Final = re.compile(re.escape(_UNKNOWN_BEGINS) + r"(.*)`?", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_NO_CHOICE: Final = re.compile(r"Invalid enum value (.*)", re.DOTALL)
_NUMBER_FOR_TEXT: Final = re.compile(r"Expected `str(?: \| null)?`, got `(?:int|float)`")
_MONEY_NAME: Final = re.compile(
    r"(?:.*[._])?(?:amounts?|fees?|balance|value|price|limit|floor|threshold|minimum|maximum)"
    r"(?:_(?:trx|usdt))?|.*_(?:trx|usdt|amount)"
)
PARAM_TEXT_MAX: Final = 100
GIVEN_TEXT_MAX: Final = 40
DETAIL_TEXT_MAX: Final = 300
PATH_TEXT_MAX: Final = 1_000
"""Of fields' names, which are ours, and brackets."""

WORDS_TEXT_MAX: Final = 1_000


Hinting = Callable[[Any, str, str, Any], str]
"""As `hints.instead_at`."""


def refusal_of(
    error: msgspec.ValidationError,
    target: Any,
    content: Any = None,
    hinting: Hinting = instead_at,
) -> Refused:
    """What msgspec found wrong with well-formed content, with the field's path as `param`.

    Args:
        target: What it was decoded as: knows which names and values there could have been.
        content: What came, where it is known.
        hinting: Says what may have been meant by a field that does not exist.
    """
    path, text = _parted(str(error))
    if match := _UNKNOWN.fullmatch(text):
        name = match[1].removesuffix("`")[:PARAM_TEXT_MAX]
        hint = hinting(target, path, name, content)
        detail = f"this field does not exist; {hint}" if hint else "this field does not exist"
        return UnknownField(detail, param=_join(path, name))
    if match := _MISSING.fullmatch(text):
        return MissingField("this field is required", param=_join(path, match[1]))
    if _NUMBER_FOR_TEXT.fullmatch(text) and _MONEY_NAME.fullmatch(path):
        return InvalidAmount('money is a decimal string such as "12.5"', param=path)
    if (match := _NO_CHOICE.fullmatch(text)) and (choices := choices_at(target, path)):
        text = f"{match[1][:GIVEN_TEXT_MAX]} is none of {', '.join(choices)}"
    return InvalidField(text.replace("`", "")[:DETAIL_TEXT_MAX], param=path or None)


def _parted(text: str) -> tuple[str, str]:
    """The path, and the words before it; of what was quoted, megabytes maybe, only the beginning.

    A field's name may end as if it were a path: then it is one that lacks the mark at its end.
    """
    start = text.rfind(" - at ", -PATH_TEXT_MAX)
    match = _PATH.fullmatch(text, start) if start >= 0 else None
    words = text if match is None else text[:start]
    if match is None or (words.startswith(_UNKNOWN_BEGINS) and not words.endswith("`")):
        return "", text[:WORDS_TEXT_MAX]
    return match[1], words[:WORDS_TEXT_MAX]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name

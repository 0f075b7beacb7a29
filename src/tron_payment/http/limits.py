"""What may come in and what every answer carries: sizes, media types, strict JSON, headers.

`check_surface` runs after the caller is known and allowed, and before the body is parsed.
`StrictRequest` decodes a body straight into the handler's struct, without coercion, and tells
unreadable (400) from unacceptable (422).
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any, Final, TypeGuard
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.datastructures.headers import Accept
from litestar.exceptions import InternalServerException
from litestar.handlers import BaseRouteHandler
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import Empty, Receive

from tron_payment.core.errors import Malformed
from tron_payment.http.depth import TOO_DEEP, VALUES_MAX, too_deep, too_many_values
from tron_payment.http.headers import Headers, header
from tron_payment.http.hints import instead_at, meant
from tron_payment.http.problems import (
    PARAM_TEXT_MAX,
    BodyTooLarge,
    HeaderMissing,
    Hinting,
    InvalidField,
    InvalidHeader,
    InvalidParameter,
    MalformedBody,
    NotAcceptable,
    TooSlow,
    UnknownParameter,
    UnsupportedMediaType,
    refusal_of,
)
from tron_payment.http.repeats import repeated, repeated_outside

BODY_BYTES_MAX: Final = 64 * 1024
BATCH_BODY_BYTES_MAX: Final = 8 * 1024 * 1024
BODY_S: Final = 10.0
BATCH_BODY_S: Final = 300.0
"""From where a body is read to its end; whoever is slower would hold a request open for nothing."""

PART_BYTES: Final = 64 * 1024
PART_S: Final = 30.0
"""Of a longer body so much comes in this time, or its rest: 8 MiB at 28 KB/s are in time."""

ACCEPT_TEXT_MAX: Final = 1_000
PARAMETERS_MAX: Final = 100
_KNOWN: Final = "known_parameters"
_SEVERAL: Final = "repeatable_parameters"

JSON: Final = "application/json"
KEY_HEADER: Final = "Idempotency-Key"
KEY_LENGTH_MIN: Final = 16
KEY_LENGTH_MAX: Final = 255
KEY_PATTERN: Final = r"^[!-~]+$(?!\n)"

SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""Added unless the handler set its own, as the pages do."""


class KeyMissing(HeaderMissing, code="idempotency_key_missing"):
    """This request moves money: send an Idempotency-Key."""


class KeyInvalid(InvalidHeader, code="idempotency_key_invalid"):
    """An Idempotency-Key has 16 to 255 printable characters."""


def check_key(key: str) -> None:
    """Refuse a key of the wrong length or alphabet; `read_headers` saw that it is printable.

    Raises:
        KeyInvalid: Too short, too long, or with spaces.
    """
    if not KEY_LENGTH_MIN <= len(key) <= KEY_LENGTH_MAX:
        raise KeyInvalid(
            f"it has {KEY_LENGTH_MIN} to {KEY_LENGTH_MAX} characters, yours has {len(key)}",
            param=KEY_HEADER,
        )
    if " " in key:
        raise KeyInvalid("it has no spaces, yours has", param=KEY_HEADER)


def body_bytes_max(opt: dict[str, Any]) -> int:
    """The size limit of a handler's body."""
    return BATCH_BODY_BYTES_MAX if opt.get("body") == "batch" else BODY_BYTES_MAX


def body_s(opt: dict[str, Any]) -> float:
    """The seconds within which a handler's body has to come."""
    return BATCH_BODY_S if opt.get("body") == "batch" else BODY_S


def check_surface(scope: Any, headers: Headers, handler: BaseRouteHandler) -> None:
    """See to sizes, media types, parameters and the idempotency key, before the body is parsed.

    Handlers say in ``opt``: ``produces`` (media types of the answer, default JSON), ``consumes``
    (media types of the body, default JSON where there is a body), ``body="batch"``,
    ``idempotent=True`` (the key is required).

    Raises:
        NotAcceptable, BodyTooLarge, UnsupportedMediaType, KeyMissing, KeyInvalid,
        UnknownParameter, InvalidParameter
    """
    opt = handler.opt
    if (accept := headers.get(b"accept")) and not _acceptable(
        accept.decode("latin-1"), tuple(opt.get("produces", (JSON,)))
    ):
        raise NotAcceptable(param="Accept")
    if b"content-length" in headers or b"transfer-encoding" in headers:
        _check_body(headers, handler)
    if b"idempotency-key" in headers:
        check_key(headers[b"idempotency-key"].decode("latin-1"))
    elif opt.get("idempotent"):
        raise KeyMissing(param=KEY_HEADER)
    if query := scope["query_string"]:
        _check_query(query, opt)


def _check_body(headers: Headers, handler: BaseRouteHandler) -> None:
    opt, length = handler.opt, header(headers, b"content-length")
    if length is not None and int(length) > body_bytes_max(opt):
        raise BodyTooLarge(f"at most {body_bytes_max(opt)} bytes")
    consumes = tuple(opt.get("consumes", (JSON,) if handler.parsed_data_field else ()))
    if consumes and length != "0":
        _check_media_type(header(headers, b"content-type"), consumes)


def learn_parameters(routes: Iterable[BaseRoute]) -> None:
    """Note in each handler's `opt` which parameters its address may have; called once at start.

    A handler that reads the query string itself says ``opt={"any_query": True}``.
    """
    for route in routes:
        for handler, model in route.route_handler_map.values() if _is_http(route) else ():
            handler.opt[_KNOWN] = {p.field_alias for p in model.expected_query_params}
            handler.opt[_SEVERAL] = set(model.sequence_query_parameter_names)


def _is_http(route: BaseRoute) -> TypeGuard[HTTPRoute]:
    return isinstance(route, HTTPRoute)


def _check_query(query: bytes, opt: dict[str, Any]) -> None:
    """Refuse parameters that nobody reads, and repeated ones of which only one would be read."""
    if opt.get("any_query"):
        return
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise Malformed("the query string cannot be read") from None
    seen: set[str] = set()
    for name, _ in pairs:
        if name not in opt[_KNOWN]:
            name = name[:PARAM_TEXT_MAX]
            raise UnknownParameter(meant(name, opt[_KNOWN]), param=name)
        if name in seen and name not in opt[_SEVERAL]:
            raise InvalidParameter(f"{name} came more than once", param=name)
        seen.add(name)


def _acceptable(accept: str, produced: tuple[str, ...]) -> bool:
    if len(accept) > ACCEPT_TEXT_MAX:
        return False
    try:
        return Accept(accept).best_match(list(produced)) is not None
    except (ValueError, IndexError):
        return False


def _check_media_type(given: str | None, consumes: tuple[str, ...]) -> None:
    media_type, _, parameters = (given or "").partition(";")
    if media_type.strip().lower() not in consumes:
        raise UnsupportedMediaType("send " + " or ".join(consumes), param="Content-Type")
    name, _, charset = parameters.strip().partition("=")
    if name.lower() == "charset" and charset.strip('"').lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("the charset is UTF-8", param="Content-Type")


class StrictRequest(Request[Any, Any, Any]):
    """Reads at most what the handler allows, and decodes JSON into the handler's own type."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body in the parts in which it comes; all that reads one reads it here.

        Raises:
            TooSlow: Its end did not come within `body_s`, or `PART_BYTES` of it within `PART_S`.
        """
        self.receive = _receiving(self.receive, body_s(self.route_handler.opt))
        async for part in super().stream():
            yield part

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            BodyTooLarge: More bytes came than the handler reads, whatever was announced.
            MalformedBody: The client went away in the middle.
            TooSlow
        """
        if self._body is Empty:
            limit, size, chunks = body_bytes_max(self.route_handler.opt), 0, []
            try:
                async for chunk in self.stream():
                    size += len(chunk)
                    if size > limit:
                        raise BodyTooLarge(f"at most {limit} bytes")
                    chunks.append(chunk)
            except InternalServerException:
                raise MalformedBody("the body ended too early") from None
            self._body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        """The body as the type of the handler's `data`.

        Raises:
            MalformedBody: Not JSON.
            Refused: JSON that does not fit the type.
        """
        field = self.route_handler.parsed_data_field
        body, target = await self.body(), field.annotation if field else Any
        if len(body) > BODY_BYTES_MAX:
            return await asyncio.to_thread(decode_json, body, target)
        return decode_json(body, target)


def _receiving(receive: Receive, within_s: float) -> Receive:
    loop, come = asyncio.get_running_loop(), 0
    last = loop.time() + within_s
    ends_at = min(loop.time() + PART_S, last)

    async def in_time() -> Any:
        nonlocal come, ends_at
        try:
            async with asyncio.timeout_at(ends_at):
                message: Any = await receive()
        except TimeoutError:
            raise TooSlow("the body did not come in time") from None
        come += len(message.get("body", b""))
        if come >= PART_BYTES:
            come, ends_at = 0, min(loop.time() + PART_S, last)
        return message

    return in_time


def decode_json(
    body: bytes, target: Any, hinting: Hinting = instead_at, *, inside: bool = True
) -> Any:
    """Decode strictly: no coercion, no unknown field where the struct forbids it, none twice.

    Args:
        inside: Whether what is in it is looked at, too: that no object in it has a name twice, and
            how deep it is. Else whoever takes it apart sees to that.

    Raises:
        BodyTooLarge: More than `VALUES_MAX` values.
        MalformedBody: Not JSON, or nested too deep; this is judged before the content.
        Refused: Well-formed, but not of this type; `param` names the field.
    """
    if too_many_values(body):
        raise BodyTooLarge(f"at most {VALUES_MAX} values")
    if inside and too_deep(body):
        raise MalformedBody(TOO_DEEP)
    try:
        decoded = msgspec.json.decode(body, type=target)
        if (name := (repeated if inside else repeated_outside)(body)) is not None:
            raise InvalidField("it is there more than once", param=name[:PARAM_TEXT_MAX])
        return decoded
    except msgspec.ValidationError as error:
        refused = error.with_traceback(None)  # it would hold this frame, and all that it read
    except RecursionError:
        raise MalformedBody(TOO_DEEP) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedBody("the body is not JSON") from None
    content = None
    try:
        content = msgspec.json.decode(body, type=Any if inside else msgspec.Raw)
    except msgspec.ValidationError:
        pass  # such as a number that no float holds
    except RecursionError:
        raise MalformedBody(TOO_DEEP) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedBody("the body is not JSON") from None
    raise refusal_of(refused, target, content, hinting)

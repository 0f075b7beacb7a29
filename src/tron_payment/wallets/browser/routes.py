"""HTTP of the signing page: the page, its two files, and the signature that it brings."""

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.core.errors import NotFound
from tron_payment.wallets.raw_json import NotForBrowsers, transaction_json
from tron_payment.wallets.signing import RequestNotFound, SigningRequests
from tron_payment.wallets.signing_documents import RequestStatus, SigningRequest

if TYPE_CHECKING:
    from jinja2 import Environment

PACKAGE: Final = "tron_payment.wallets.browser"
HTML: Final[dict[str, Any]] = {"open": True, "rate": "read", "produces": ("text/html",)}
FILE: Final[dict[str, Any]] = {"open": True, "produces": ("*/*",)}
STATIC: Final = {"sign.js": "text/javascript; charset=utf-8", "sign.css": "text/css; charset=utf-8"}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    signature: str
    """65 bytes r, s, v in hex."""


class TakenView(msgspec.Struct, frozen=True, kw_only=True):
    """What a stranger with a key may know."""

    signing_request_id: str
    status: str
    weight: int
    threshold: int


@get("/{signing_request_id:str}", media_type=MediaType.HTML, opt=HTML)
async def signing_page(
    signing_request_id: FromPath[str], signing: NamedDependency[SigningRequests]
) -> Response[str]:
    """The request in plain words, and a button for the browser wallet.

    Once nothing is left to sign, the page's address tells nothing any more.
    """
    try:
        request = await signing.get(signing_request_id)
    except RequestNotFound:
        return _page(404, request=None)
    if not signing.takes(request):
        open_still = request.status is RequestStatus.OPEN
        status = RequestStatus.EXPIRED if open_still else request.status
        return _page(200, request=request, over=status.value)
    try:
        transaction = transaction_json(request.raw)
    except NotForBrowsers:
        transaction = None
    return _page(
        200,
        request=request,
        over="",
        said=signing.words(request),
        expires_at=rfc3339(from_ms(request.expiration_ms)),
        for_script=None if transaction is None else json.dumps(_for_script(request, transaction)),
    )


@get("/static/{name:str}", opt=FILE)
async def signing_page_file(name: FromPath[str]) -> Response[bytes]:
    """The page's own script and style."""
    if name not in STATIC:
        raise NotFound
    return Response(_file(name), media_type=STATIC[name])


@post("/{signing_request_id:str}/signature", status_code=200, opt={"open": True, "audit": "act"})
async def take_browser_signature(
    signing_request_id: FromPath[str],
    data: JSONBody[Signature],
    signing: NamedDependency[SigningRequests],
    request_id: NamedDependency[str],
) -> TakenView:
    """Take a signature from whoever has a key that may sign."""
    request = await signing.accept_from_key(
        signing_request_id, data.signature, http_request_id=request_id
    )
    return TakenView(
        signing_request_id=request.id,
        status=request.status.value,
        weight=request.weight,
        threshold=request.threshold,
    )


HANDLERS = (signing_page, signing_page_file, take_browser_signature)


def _for_script(request: SigningRequest, transaction: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": request.id,
        "transaction": transaction,
        "keys": [key.address for key in request.missing],
        "permission_id": request.permission_id,
        "several": request.threshold > 1 or len(request.keys) > 1 or bool(request.permission_id),
    }


def _page(status: int, **values: Any) -> Response[str]:
    return Response(
        _templates().get_template("sign.html").render(**values),
        status_code=status,
        media_type="text/html; charset=utf-8",
        headers={
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        },
    )


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined  # a start needs none of it

    return Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _file(name: str) -> bytes:
    return (resources.files(PACKAGE) / "static" / name).read_bytes()

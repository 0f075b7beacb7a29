"""HTTP of signing requests, for devices, co-signers and browser wallets."""

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.http.paging import Page, PageRequest
from tron_payment.http.principals import Principal
from tron_payment.wallets.manifest import Manifest
from tron_payment.wallets.signing import SigningRequests
from tron_payment.wallets.signing_documents import SigningRequest


class GiveSignature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    signature: str
    """65 bytes r, s, v in hex."""


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    address: str
    weight: int


class SignatureView(msgspec.Struct, frozen=True, kw_only=True):
    address: str
    weight: int
    signed_at: str


class RequestView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a signer needs; recompute txid and manifest from `raw_data_hex` yourself."""

    signing_request_id: str
    order_id: str
    wallet_id: str
    status: str
    address: str
    path: str | None
    raw_data_hex: str
    txid: str
    manifest: Manifest
    permission_id: int
    threshold: int
    weight: int
    signatures: list[SignatureView]
    missing: list[KeyView]
    expires_at: str
    created_at: str

    @classmethod
    def of(cls, request: SigningRequest, manifest: Manifest) -> "RequestView":
        return cls(
            signing_request_id=request.id,
            order_id=request.order_id,
            wallet_id=request.wallet_id,
            status=request.status.value,
            address=request.address,
            path=request.path or None,
            raw_data_hex=request.raw.hex(),
            txid=request.txid,
            manifest=manifest,
            permission_id=request.permission_id,
            threshold=request.threshold,
            weight=request.weight,
            signatures=[
                SignatureView(address=each.address, weight=each.weight, signed_at=rfc3339(each.at))
                for each in request.given
            ],
            missing=[KeyView(address=key.address, weight=key.weight) for key in request.missing],
            expires_at=rfc3339(from_ms(request.expiration_ms)),
            created_at=rfc3339(request.created_at),
        )


@get("/", opt={"permission": "signing:read"})
async def list_requests(
    signing: NamedDependency[SigningRequests], page: NamedDependency[PageRequest]
) -> Page[RequestView]:
    """List signing requests, oldest first; ``status=open`` for those that wait."""
    found = await signing.page(page)
    return Page(
        data=[RequestView.of(request, signing.words(request)) for request in found.data],
        has_more=found.has_more,
        next_cursor=found.next_cursor,
    )


@get("/{signing_request_id:str}", opt={"permission": "signing:read"})
async def show_request(
    signing_request_id: FromPath[str], signing: NamedDependency[SigningRequests]
) -> RequestView:
    """Show one, with who has signed and who is missing."""
    request = await signing.get(signing_request_id)
    return RequestView.of(request, signing.words(request))


@post("/{signing_request_id:str}/signatures", status_code=200, opt={"permission": "signing:sign"})
async def give_signature(
    signing_request_id: FromPath[str],
    data: JSONBody[GiveSignature],
    signing: NamedDependency[SigningRequests],
    principal: NamedDependency[Principal],
    request_id: NamedDependency[str],
) -> RequestView:
    """Give a signature over the request's bytes; it is checked before it is taken."""
    request = await signing.accept(
        principal, signing_request_id, data.signature, http_request_id=request_id
    )
    return RequestView.of(request, signing.words(request))


HANDLERS = (list_requests, show_request, give_signature)

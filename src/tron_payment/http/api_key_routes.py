"""HTTP of the API keys: make, approve, list, show, rotate and revoke them."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from litestar import Router, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody

from tron_payment.core.redaction import Silent
from tron_payment.http.api_keys import ApiKeys, KeyRequest, KeyView
from tron_payment.http.paging import Page, PageRequest, provide_page
from tron_payment.http.principals import Principal

OVERLAP_S_MAX: Final = 7 * 24 * 3600
OVERLAP_S_DEFAULT: Final = 24 * 3600


class RotateRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long the old key still works beside the new one."""

    overlap_s: Annotated[int, msgspec.Meta(ge=0, le=OVERLAP_S_MAX)] = OVERLAP_S_DEFAULT


class NewKeyView(Silent, msgspec.Struct, frozen=True, kw_only=True):
    """A new key; `secret` is shown this once."""

    secret: str
    key: KeyView


@post("/", status_code=201, opt={"permission": "apikey:create"})
async def create_key(
    data: JSONBody[KeyRequest],
    principal: NamedDependency[Principal],
    api_keys: NamedDependency[ApiKeys],
) -> NewKeyView:
    """Make a key for a machine; its secret is in this answer and never again."""
    key, secret = await api_keys.create(data, principal)
    return NewKeyView(secret=secret, key=api_keys.view(key))


@post("/{key_id:str}/approve", status_code=200, opt={"permission": "apikey:approve"})
async def approve_key(
    key_id: FromPath[str],
    principal: NamedDependency[Principal],
    api_keys: NamedDependency[ApiKeys],
) -> KeyView:
    """Approve a key that another admin made and that may do what no admin may."""
    return api_keys.view(await api_keys.approve(key_id, principal))


@get("/", opt={"permission": "apikey:read"})
async def list_keys(
    page: NamedDependency[PageRequest],
    principal: NamedDependency[Principal],
    api_keys: NamedDependency[ApiKeys],
) -> Page[KeyView]:
    """List keys, oldest first; without the right to see all, your own."""
    return await api_keys.page(page, principal)


@get("/{key_id:str}", opt={"permission": "apikey:read"})
async def show_key(
    key_id: FromPath[str],
    principal: NamedDependency[Principal],
    api_keys: NamedDependency[ApiKeys],
) -> KeyView:
    """Show a key without its secret."""
    return api_keys.view(await api_keys.find(key_id, principal))


@delete("/{key_id:str}", status_code=200, opt={"permission": "apikey:revoke"})
async def revoke_key(
    key_id: FromPath[str],
    principal: NamedDependency[Principal],
    api_keys: NamedDependency[ApiKeys],
) -> KeyView:
    """End a key at once; doing it again is harmless."""
    return api_keys.view(await api_keys.revoke(key_id, principal))


@post("/{key_id:str}/rotate", status_code=201, opt={"permission": "apikey:rotate"})
async def rotate_key(
    key_id: FromPath[str],
    data: JSONBody[RotateRequest],
    principal: NamedDependency[Principal],
    api_keys: NamedDependency[ApiKeys],
) -> NewKeyView:
    """Replace a key; the old one works on for the overlap."""
    key, secret = await api_keys.rotate(key_id, data.overlap_s, principal)
    return NewKeyView(secret=secret, key=api_keys.view(key))


HANDLERS: Final[Sequence[Any]] = (
    create_key,
    approve_key,
    list_keys,
    show_key,
    revoke_key,
    rotate_key,
)


def api_keys_router(api_keys: ApiKeys) -> Router:
    """The routes under ``/api-keys``; mount it below the canonical prefix."""
    return Router(
        "/api-keys",
        route_handlers=list(HANDLERS),
        dependencies={
            "api_keys": Provide(lambda: api_keys, sync_to_thread=False),
            "page": Provide(provide_page, sync_to_thread=False),
        },
        tags=["api keys"],
    )

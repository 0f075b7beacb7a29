"""HTTP of changes of permissions that one person asked for and another one decides about."""

from datetime import datetime
from typing import Any, Final

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from tron_payment.chain import Permission
from tron_payment.core.address import Address
from tron_payment.core.clock import rfc3339
from tron_payment.core.ids import derived_id
from tron_payment.http.idempotency import (
    Idempotency,
    IdempotencyKey,
    StoredAnswer,
    canonical,
    respond,
)
from tron_payment.http.paging import Page, PageRequest
from tron_payment.http.principals import Principal
from tron_payment.module import House
from tron_payment.wallets.agreement_documents import ChangeStatus, PermissionChange
from tron_payment.wallets.permission_routes import PlacedView
from tron_payment.wallets.permissions import Permissions, operations_named, update_of
from tron_payment.wallets.service import Wallets

OPERATION: Final = "wallets.permissions_agree"


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    change_hash: str
    """Of what you were shown."""


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """`asked` are those that another treasurer may still agree to."""

    change_id: str
    change_hash: str
    wallet_id: str
    status: ChangeStatus
    asked_by: str
    asked_at: str
    expires_at: str
    decided_by: str | None
    decided_at: str | None

    @classmethod
    def of(cls, change: PermissionChange, now: datetime) -> "ChangeView":
        return cls(**_facts(change, now))


class AskedKeyView(msgspec.Struct, frozen=True, kw_only=True):
    address: str
    weight: int
    wallet: str | None
    """Label of the wallet here that has this address."""

    outside: bool
    """Somebody besides this service may sign with it; false of the account's own key, which had all
    before, whoever knows it."""


class AskedPermissionView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    threshold: int
    keys: list[AskedKeyView]
    allows: list[str]


class WholeChangeView(ChangeView, frozen=True, kw_only=True):
    """With all that would hold for the account."""

    wallet_label: str
    address: str
    owner: AskedPermissionView
    actives: list[AskedPermissionView]


@get("/permission-changes", opt={"permission": "wallet:read"})
async def list_changes(
    permissions: NamedDependency[Permissions],
    principal: NamedDependency[Principal],
    page: NamedDependency[PageRequest],
    house: NamedDependency[House],
) -> Page[ChangeView]:
    """Changes of permissions that needed a second person, newest first."""
    found = await permissions.agreement.page(principal, page)
    now = house.clock.now()
    return Page(
        data=[ChangeView.of(change, now) for change in found.data],
        has_more=found.has_more,
        next_cursor=found.next_cursor,
    )


@get("/permission-changes/{change_id:str}", opt={"permission": "wallet:read"})
async def show_change(
    change_id: FromPath[str],
    permissions: NamedDependency[Permissions],
    wallets: NamedDependency[Wallets],
    principal: NamedDependency[Principal],
    house: NamedDependency[House],
) -> WholeChangeView:
    """One of them with every key, and which of them are from outside."""
    agreement = permissions.agreement
    change = await agreement.get(principal, change_id)
    wallet = await wallets.get(principal, change.wallet_id)
    update = update_of(change, Address(wallet.address))
    outside = await agreement.outside(update)

    async def view(permission: Permission) -> AskedPermissionView:
        keys = []
        for key, weight in permission.keys:
            label = await wallets.label_of(principal, key)
            is_outside = key in outside
            keys.append(AskedKeyView(address=key, weight=weight, wallet=label, outside=is_outside))
        return AskedPermissionView(
            name=permission.name,
            threshold=permission.threshold,
            keys=keys,
            allows=operations_named(permission),
        )

    assert update.owner_permission is not None
    return WholeChangeView(
        **_facts(change, house.clock.now()),
        wallet_label=wallet.label,
        address=wallet.address,
        owner=await view(update.owner_permission),
        actives=[await view(each) for each in update.actives],
    )


@post(
    "/permission-changes/{change_id:str}/agree",
    status_code=202,
    opt={
        "permission": "wallet:override",
        "rate": "approve",
        "idempotent": True,
        "audit": "request",
    },
)
async def agree(
    change_id: FromPath[str],
    data: JSONBody[Decision],
    permissions: NamedDependency[Permissions],
    principal: NamedDependency[Principal],
    house: NamedDependency[House],
    idempotency_key: IdempotencyKey,
) -> Response[PlacedView]:
    """Agree to what somebody else asked for: it is placed, once. Costs the wallet 100 TRX."""
    idempotency: Idempotency = house.idempotency
    content = canonical([change_id, msgspec.to_builtins(data)])
    request_id = idempotency.object_id("prm", principal.id, idempotency_key)

    async def attempt() -> StoredAnswer:
        earlier = await idempotency.find(
            principal_id=principal.id, key=idempotency_key, operation=OPERATION, content=content
        )
        change = await permissions.agreement.get(principal, change_id)
        if earlier is None:
            change = await permissions.agreement.decide(
                principal, change_id, data.change_hash, agree=True
            )
            await permissions.judge_agreeing(change)
        view = PlacedView(
            wallet_id=change.wallet_id,
            order_id=derived_id("ord", house.secret, request_id),
            status="queued",
        )

        async def place() -> None:
            order_id = await permissions.place_agreed(principal, change, request_id)
            assert order_id == view.order_id

        return await idempotency.run(
            principal_id=principal.id,
            key=idempotency_key,
            operation=OPERATION,
            content=content,
            answer=(202, msgspec.json.encode(view)),
            effect=place,
            object_ids=[view.order_id],
        )

    return respond(await idempotency.once(principal.id, idempotency_key, attempt), PlacedView)


@post(
    "/permission-changes/{change_id:str}/refuse",
    status_code=200,
    opt={"permission": "wallet:override", "rate": "approve"},
)
async def refuse(
    change_id: FromPath[str],
    data: JSONBody[Decision],
    permissions: NamedDependency[Permissions],
    principal: NamedDependency[Principal],
    house: NamedDependency[House],
) -> ChangeView:
    """Refuse what somebody asked for, or take back what you asked for; that ends it."""
    change = await permissions.agreement.decide(principal, change_id, data.change_hash, agree=False)
    return ChangeView.of(change, house.clock.now())


def _facts(change: PermissionChange, now: datetime) -> dict[str, Any]:
    return {
        "change_id": change.id,
        "change_hash": change.change_hash,
        "wallet_id": change.wallet_id,
        "status": change.shown_status(now),
        "asked_by": change.asked_by,
        "asked_at": rfc3339(change.created_at),
        "expires_at": rfc3339(change.expires_at),
        "decided_by": change.decided_by,
        "decided_at": None if change.decided_at is None else rfc3339(change.decided_at),
    }


HANDLERS = (list_changes, show_change, agree, refuse)

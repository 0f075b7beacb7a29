"""HTTP of account permissions: who may sign, and replacing it."""

import msgspec
from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from tron_payment.chain import Permission
from tron_payment.core.ids import derived_id
from tron_payment.http.idempotency import (
    Idempotency,
    IdempotencyKey,
    StoredAnswer,
    canonical,
    respond,
)
from tron_payment.http.principals import Principal
from tron_payment.module import House
from tron_payment.wallets.permissions import Permissions, WantedPermission, operations_named

OPERATION = "wallets.permissions"


class WeightedKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    address: str
    weight: int = 1


class PermissionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    threshold: int
    keys: list[WeightedKey]
    name: str = ""
    allows: list[str] = []
    """Contracts that an active permission may sign, such as ``Transfer``."""

    def wanted(self) -> WantedPermission:
        return WantedPermission(
            threshold=self.threshold,
            keys=tuple((key.address, key.weight) for key in self.keys),
            name=self.name,
            allows=tuple(self.allows),
        )


class ReplacePermissions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    owner: PermissionRequest
    actives: list[PermissionRequest]


class PermissionView(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    name: str
    threshold: int
    keys: list[WeightedKey]
    allows: list[str]

    @classmethod
    def of(cls, permission: Permission) -> "PermissionView":
        return cls(
            id=permission.id,
            name=permission.name,
            threshold=permission.threshold,
            keys=[WeightedKey(address=key, weight=weight) for key, weight in permission.keys],
            allows=operations_named(permission),
        )


class PermissionsView(msgspec.Struct, frozen=True, kw_only=True):
    wallet_id: str
    address: str
    activated: bool
    owner: PermissionView | None
    witness: PermissionView | None
    actives: list[PermissionView]


class PlacedView(msgspec.Struct, frozen=True, kw_only=True):
    wallet_id: str
    order_id: str
    status: str


@get("/{wallet_id:str}/permissions", opt={"permission": "wallet:read"})
async def show_permissions(
    wallet_id: FromPath[str],
    permissions: NamedDependency[Permissions],
    principal: NamedDependency[Principal],
) -> PermissionsView:
    """Who may sign for the wallet's account, as the chain says now."""
    wallet, account = await permissions.read(principal, wallet_id)
    owner = account.owner_permission if account else None
    witness = account.witness_permission if account else None
    return PermissionsView(
        wallet_id=wallet.id,
        address=wallet.address,
        activated=account is not None,
        owner=PermissionView.of(owner) if owner else None,
        witness=PermissionView.of(witness) if witness else None,
        actives=[PermissionView.of(each) for each in account.actives] if account else [],
    )


@put(
    "/{wallet_id:str}/permissions",
    status_code=202,
    opt={
        "permission": "wallet:override",
        "rate": "approve",
        "idempotent": True,
        "audit": "request",
    },
)
async def replace_permissions(
    wallet_id: FromPath[str],
    data: JSONBody[ReplacePermissions],
    permissions: NamedDependency[Permissions],
    principal: NamedDependency[Principal],
    house: NamedDependency[House],
    idempotency_key: IdempotencyKey,
) -> Response[PlacedView]:
    """Replace all permissions of the account by one transaction; costs 100 TRX.

    Where keys that were not made here could sign alone, the first request is refused and
    remembered (``second_person_needed``); it is placed when another treasurer agrees to it, or
    sends the same, within 24 hours. A request asks once: when that is over, ask under another key.
    """
    idempotency: Idempotency = house.idempotency
    content = canonical([wallet_id, msgspec.to_builtins(data)])
    change_id = idempotency.object_id("prm", principal.id, idempotency_key)
    owner, actives = data.owner.wanted(), [each.wanted() for each in data.actives]
    view = PlacedView(
        wallet_id=wallet_id, order_id=derived_id("ord", house.secret, change_id), status="queued"
    )

    async def attempt() -> StoredAnswer:
        earlier = await idempotency.find(
            principal_id=principal.id, key=idempotency_key, operation=OPERATION, content=content
        )
        judge = permissions.judge if earlier is None else permissions.judged
        update = await judge(principal, wallet_id, owner, actives, change_id)

        async def place() -> None:
            order_id = await permissions.place(principal, wallet_id, update, change_id)
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


HANDLERS = (show_permissions, replace_permissions)

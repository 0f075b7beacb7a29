"""Permissions are read from the chain and replaced by one order, and nobody locks himself out."""

import hashlib
import json
from typing import Any

import httpx
import pytest
from wallet_world import BOB, NOW, World, bearer, build_world, served

from tron_payment.chain import (
    Permission,
    PermissionKind,
    PermissionUpdate,
    RawData,
    Transfer,
    TriggerContract,
    decode,
    encode,
    operations_of,
)
from tron_payment.core.address import Address
from tron_payment.wallets import OURSELVES, Wallet, WalletKind
from tron_payment.wallets.permissions import (
    LockedOut,
    PermissionMalformed,
    WantedPermission,
    build_update,
    check_in_reach,
)

TREASURER = bearer("treasurer", "tre-1")
KEY = {"Idempotency-Key": "permissions-change-1"}
OTHER_KEY = {"Idempotency-Key": "permissions-change-2"}
PAYS = ("Transfer", "TriggerContract")


def permission(threshold: int, *keys: tuple[str, int], **more: Any) -> dict[str, Any]:
    listed = [{"address": key, "weight": weight} for key, weight in keys]
    return {"threshold": threshold, "keys": listed} | more


async def agreed(client: httpx.AsyncClient, path: str, body: Any) -> httpx.Response:
    """What two treasurers want: one asks, another one sends the same."""
    key = {"Idempotency-Key": f"asked-for-{update_text(body)}"}
    asked = await client.put(path, json=body, headers=TREASURER | key)
    assert (asked.status_code, asked.json()["code"]) == (409, "second_person_needed"), asked.text
    key = {"Idempotency-Key": f"agreed-to-{update_text(body)}"}
    return await client.put(path, json=body, headers=bearer("treasurer", "tre-2") | key)


def update_text(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


@pytest.fixture
async def world(mongo: Any) -> World:
    return await build_world(mongo)


async def test_what_the_chain_says_is_shown_with_names(world: World) -> None:
    hot = await world.wallets.create(OURSELVES, label="hot")
    active = Permission(
        PermissionKind.ACTIVE,
        1,
        ((BOB, 1),),
        name="payer",
        id=2,
        operations=operations_of(Transfer, TriggerContract),
    )
    owner = Permission(PermissionKind.OWNER, 2, ((BOB, 1), (Address(hot.address), 1)), "owner")
    world.nodes.permissions[hot.address] = (owner, (active,))
    async with served(world) as client:
        shown = (await client.get(f"/wallets/{hot.id}/permissions")).json()
    assert shown["owner"]["threshold"] == 2 and len(shown["owner"]["keys"]) == 2
    assert shown["actives"][0]["allows"] == ["Transfer", "TriggerContract"]
    assert (shown["activated"], shown["witness"]) == (True, None)


async def test_a_replacement_is_one_order_however_often_it_is_asked(world: World) -> None:
    hot = await world.wallets.create(OURSELVES, label="hot")
    other = await world.wallets.create(OURSELVES, label="other")
    body = {
        "owner": permission(2, (hot.address, 1), (other.address, 1), (BOB, 1)),
        "actives": [permission(1, (hot.address, 1), allows=list(PAYS))],
    }
    path = f"/wallets/{hot.id}/permissions"
    async with served(world) as client:
        assert (await client.put(path, json=body, headers=KEY)).status_code == 403
        keyless = await client.put(path, json=body, headers=TREASURER)
        assert keyless.status_code == 400
        first = await client.put(path, json=body, headers=TREASURER | KEY)
        await client.put(f"/wallets/{hot.id}", json={"frozen": True})
        world.house.engine.wishes.clear()  # type: ignore[attr-defined]
        again = await client.put(path, json=body, headers=TREASURER | KEY)
        reused = await client.put(
            path, json=body | {"actives": body["actives"] * 2}, headers=TREASURER | KEY
        )
    assert (first.status_code, again.status_code, reused.status_code) == (202, 202, 422)
    assert first.json() == again.json()
    (wish,) = world.house.engine.wishes.values()  # type: ignore[attr-defined]
    assert wish.order_id == first.json()["order_id"]
    update = wish.contract
    assert isinstance(update, PermissionUpdate) and update.owner == hot.address
    raw = encode(RawData(update, b"\0\1", b"\2" * 8, 9, 1))
    assert decode(raw).contract == update, "the signer will read back what was wanted"


async def test_a_replacement_out_of_reach_is_refused(world: World) -> None:
    hot = await world.wallets.create(OURSELVES, label="hot")
    await world.wallets.watch(OURSELVES, label="eyes", address=BOB)
    active = [permission(1, (hot.address, 1), allows=["Transfer"])]
    async with served(world) as client:
        for owner in (permission(1, (BOB, 1)), permission(2, (BOB, 1), (hot.address, 1))):
            answer = await client.put(
                f"/wallets/{hot.id}/permissions",
                json={"owner": owner, "actives": active},
                headers=TREASURER | KEY,
            )
            assert (answer.status_code, answer.json()["code"]) == (422, "permission_locks_out")
    assert not world.house.engine.wishes  # type: ignore[attr-defined]


async def test_a_multisig_accounts_own_key_counts_only_when_it_was_shown(world: World) -> None:
    """Its orders are signed by others; perhaps nobody has had that key for years."""
    vault = await world.wallets.watch(
        OURSELVES, label="vault", address=ME, kind=WalletKind.MULTISIG
    )
    hot = await world.wallets.create(OURSELVES, label="hot")
    body = {
        "owner": permission(1, (ME, 1)),
        "actives": [permission(1, (hot.address, 1), allows=["Transfer"])],
    }
    path = f"/wallets/{vault.id}/permissions"
    async with served(world) as client:
        refused = await client.put(path, json=body, headers=TREASURER | KEY)
        assert (refused.status_code, refused.json()["code"]) == (422, "permission_locks_out")
        assert not world.house.engine.wishes  # type: ignore[attr-defined]
        with_hot = body | {"owner": permission(1, (ME, 1), (hot.address, 1))}
        taken = await agreed(client, path, with_hot)
        assert taken.status_code == 202, taken.text
        await Wallet.get_pymongo_collection().update_one(
            {"_id": vault.id}, {"$set": {"owner_proven_at": NOW}}
        )
        shown = await agreed(client, path, body)
        assert shown.status_code == 202, shown.text


ME = Address("TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC")
GOOD = WantedPermission(1, ((ME, 1),))
ACTIVE = WantedPermission(1, ((ME, 1),), allows=PAYS)


@pytest.mark.parametrize(
    ("owner", "actives"),
    [
        (GOOD, []),
        (GOOD, [ACTIVE] * 9),
        (WantedPermission(2, ((ME, 1),)), [ACTIVE]),
        (WantedPermission(0, ((ME, 1),)), [ACTIVE]),
        (WantedPermission(1, ((ME, 0), (BOB, 2))), [ACTIVE]),
        (WantedPermission(1, ((ME, 1), (ME, 1))), [ACTIVE]),
        (WantedPermission(1, ()), [ACTIVE]),
        (WantedPermission(1, ((ME, 1),), name="x" * 33), [ACTIVE]),
        (WantedPermission(1, ((ME, 1),), allows=PAYS), [ACTIVE]),
        (GOOD, [WantedPermission(1, ((ME, 1),))]),
        (GOOD, [WantedPermission(1, ((ME, 1),), allows=("Steal",))]),
    ],
)
def test_what_the_chain_would_refuse_is_refused(owner: Any, actives: Any) -> None:
    with pytest.raises(PermissionMalformed):
        build_update(ME, owner, actives)


def test_reach_is_a_matter_of_weight() -> None:
    update = build_update(ME, WantedPermission(3, ((ME, 2), (BOB, 2))), [ACTIVE])
    assert update.owner_permission is not None
    check_in_reach(update.owner_permission, {ME, BOB})
    with pytest.raises(LockedOut):
        check_in_reach(update.owner_permission, {ME})

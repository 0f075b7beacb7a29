"""A multisig wallet signs by a permission of its account, and its requests wait for the weight."""

import hashlib
from typing import Any

import pytest
from wallet_world import BOB, NOW, World, bearer, build_world, order, raw_of, served

from tron_payment import chain
from tron_payment.chain import Permission, PermissionKind, PermissionUpdate, Transfer
from tron_payment.core.address import Address
from tron_payment.core.clock import to_ms
from tron_payment.db.cas import insert_once
from tron_payment.engine import CannotSign, OrderStatus
from tron_payment.engine.documents import contract_document, stored
from tron_payment.engine.domain import Attempt
from tron_payment.wallets import SigningKey, SigningRequests
from tron_payment.wallets.keys import Secret

KEYS = [SigningKey(Secret(bytes([n]) * 32)) for n in (1, 2, 3)]
ACCOUNT = Address(SigningKey(Secret(b"\x09" * 32)).address)
TRANSFERS = bytes([0b10]) + bytes(31)


@pytest.fixture
async def world(mongo: Any) -> World:
    world = await build_world(mongo)
    keys = tuple((key.address, 1) for key in KEYS)
    active = Permission(PermissionKind.ACTIVE, 2, keys, "pay", id=3, operations=TRANSFERS)
    owner = Permission(PermissionKind.OWNER, 1, ((ACCOUNT, 1),), "owner")
    world.nodes.permissions[ACCOUNT] = (owner, (active,))
    return world


def body(**changes: Any) -> dict[str, Any]:
    fixed = {"label": "vault", "kind": "multisig", "address": ACCOUNT, "permission_id": 3}
    return fixed | changes


async def test_orders_wait_until_the_weight_is_there_and_tell_who_is_missing(world: World) -> None:
    treasurer = bearer("treasurer", "tre-1")
    async with served(world) as client:
        made = (await client.post("/wallets", json=body())).json()
        assert made["permission_id"] == 3
        wallet = await world.wallets.find_by_address(ACCOUNT)
        requests = world.house.use(SigningRequests)
        transfer = Transfer(ACCOUNT, BOB, 5_000_000)
        permission_id = await requests.permission(made["wallet_id"], transfer)
        it = order(
            wallet,
            detached=True,
            permission_id=permission_id,
            status=OrderStatus.AWAITING_SIGNATURE,
            contract=contract_document(transfer),
        )
        assert await requests.signatures_max(it) == 3
        raw = raw_of(it, expiration_ms=to_ms(NOW) + 3_600_000)
        attempt = Attempt(1, chain.txid(raw), raw, (), 0, 1, to_ms(NOW) + 3_600_000, 1, NOW)
        it.attempts, it.live_txid = [stored(attempt)], attempt.txid
        await insert_once(it)
        request = await requests.ask(it)
        url = f"/signing-requests/{request.id}"
        for count, key in enumerate(KEYS[:2], 1):
            signature = key.sign(hashlib.sha256(raw).digest()).hex()
            given = await client.post(
                f"{url}/signatures", json={"signature": signature}, headers=treasurer
            )
            view = given.json()
            assert (view["weight"], view["threshold"], view["permission_id"]) == (count, 2, 3)
            missing = {each["address"] for each in view["missing"]}
            assert missing == {key.address for key in KEYS[count:]}
            assert view["status"] == ("open" if count == 1 else "complete")


async def test_permissions_are_replaced_by_the_owner_only(world: World) -> None:
    async with served(world) as client:
        made = (await client.post("/wallets", json=body())).json()
    requests = world.house.use(SigningRequests)
    update = PermissionUpdate(ACCOUNT, None, None, ())
    assert await requests.permission(made["wallet_id"], update) == 0


async def test_what_the_permission_does_not_allow_cannot_be_signed(world: World) -> None:
    async with served(world) as client:
        await client.post("/wallets", json=body())
    wallet = await world.wallets.find_by_address(ACCOUNT)
    stake = chain.FreezeV2(ACCOUNT, 1_000_000, chain.Resource.ENERGY)
    it = order(wallet, detached=True, permission_id=3, contract=contract_document(stake))
    with pytest.raises(CannotSign, match="does not allow"):
        await world.house.use(SigningRequests).signatures_max(it)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"permission_id": 4}, "permission_unknown"),
        ({"address": BOB}, "permission_unknown"),
        ({"kind": "cold"}, "wallet_kind"),
        ({"kind": "hot", "address": None}, "wallet_kind"),
    ],
)
async def test_permissions_that_are_not_there_make_no_wallet(
    world: World, changes: dict[str, Any], code: str
) -> None:
    async with served(world) as client:
        answer = await client.post("/wallets", json=body(**changes))
    assert answer.status_code == 422 and answer.json()["code"] == code
    assert await world.wallets.find_by_address(ACCOUNT) is None

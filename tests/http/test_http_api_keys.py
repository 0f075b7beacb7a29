"""Machines call by keys that are hashed, scoped, expiring and rotated with an overlap."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from http_world import NOW, NOW_S, anchor, bearer, claims, serve, show_config, show_order, token

from tron_payment.core.clock import ManualClock
from tron_payment.db.audit import AuditEntry
from tron_payment.http.api_key_routes import api_keys_router
from tron_payment.http.api_keys import LAST_USE_EVERY, ApiKey, ApiKeys
from tron_payment.http.authentication import Authenticator
from tron_payment.http.one_time import UsedToken, UsedTokens
from tron_payment.http.permissions import IN_PERSON, PERMISSIONS, permissions_of
from tron_payment.http.principals import RESERVED, Role

ADMIN = bearer(sub="root-1", role="admin", exp=NOW_S + 10**9)
SECOND = bearer(sub="root-2", role="admin", exp=NOW_S + 10**9)
WISH: dict[str, Any] = {
    "label": "shop",
    "principal": "shop-1",
    "role": "merchant",
    "scopes": ["payout:read", "payout:create"],
}
READ_ALIKE = ("network", "service", "schema", "config", "policy", "audit", "apikey")
"""What an admin reads is all that there is to read of these."""


@pytest.fixture
async def clock(mongo) -> ManualClock:
    await mongo.connect([ApiKey, UsedToken, AuditEntry])
    return ManualClock(NOW)


def world_of(clock: ManualClock):
    keys = ApiKeys(clock)
    return serve(
        [api_keys_router(keys), show_order, show_config],
        clock=clock,
        authenticator=Authenticator(anchor(clock), keys=keys),
    )


async def make(world, **changes: Any) -> dict[str, Any]:
    answer = await world.client.post("/api-keys", json=WISH | changes, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    await approve(world, made)
    return made


async def approve(world, made: dict[str, Any], by: dict[str, str] = SECOND) -> tuple[int, Any]:
    path = f"/api-keys/{made['key']['key_id']}/approve"
    answer = await world.client.post(path, headers=by)
    return answer.status_code, answer.json()


async def status(world, secret: str, path: str = "/orders/1") -> int:
    return (await world.client.get(path, headers={"X-API-Key": secret})).status_code


async def test_a_key_calls_as_its_principal_within_its_scopes(clock) -> None:
    async with world_of(clock) as world:
        made = await make(world)
        secret = made["secret"]
        for headers in ({"X-API-Key": secret}, {"Authorization": f"Bearer {secret}"}):
            answer = await world.client.get("/orders/1", headers=headers)
            assert (answer.status_code, answer.json()["principal"]) == (200, "shop-1")
            wrong = await world.client.get("/orders/1", headers=headers | {"X-User-ID": "root-1"})
            assert wrong.status_code == 401
        assert await status(world, secret, "/config") == 403
        assert await status(world, secret, "/api-keys") == 403

        (stored,) = await ApiKey.find_all().to_list()
        text = secret.split(".")[1]
        assert stored.digest == hashlib.sha256(text.encode()).digest()
        assert text not in stored.model_dump_json(exclude={"digest"})
        assert stored.last_used_at == NOW
        clock.advance(LAST_USE_EVERY)
        await status(world, secret)
        assert (await ApiKey.get(stored.id)).last_used_at == NOW + LAST_USE_EVERY

        listed = (await world.client.get("/api-keys", headers=ADMIN)).json()
        assert [each["key_id"] for each in listed["data"]] == [stored.id]
        assert "digest" not in str(listed) and text not in str(listed)


async def test_one_admin_alone_hands_out_no_power_that_admins_have_not(clock) -> None:
    """They see the secret: a key for another's name would be their way to the money."""
    async with world_of(clock) as world:
        answer = await world.client.post("/api-keys", json=WISH, headers=ADMIN)
        made = answer.json()
        assert made["key"]["active"] is False and made["key"]["waits_for_approval"] is True
        assert await status(world, made["secret"]) == 401
        code, refused = await approve(world, made, by=ADMIN)
        assert (code, refused["code"]) == (403, "own_api_key")
        itself = bearer(sub="shop-1", role="admin", exp=NOW_S + 10**9)
        assert (await approve(world, made, by=itself))[0] == 403
        assert (await approve(world, made, by=bearer(sub="op-1", role="operator")))[0] == 403
        for _ in range(2):
            code, approved = await approve(world, made)
            assert (code, approved["active"], approved["approved_by"]) == (200, True, "root-2")
        assert await status(world, made["secret"]) == 200
        plain = WISH | {"scopes": ["network:read", "service:read"]}
        harmless = (await world.client.post("/api-keys", json=plain, headers=ADMIN)).json()
        assert harmless["key"]["active"] is True


@pytest.mark.parametrize(
    ("role", "scope"),
    [
        (role.value, name)
        for role in Role
        for name in sorted(permissions_of(role))
        if name.endswith(":read") and not name.startswith(READ_ALIKE)
    ],
)
async def test_a_key_that_reads_more_than_its_maker_sleeps(clock, role: str, scope: str) -> None:
    """What an admin's own token does not show, a key under the admin's own name does not either."""
    async with world_of(clock) as world:
        wish = WISH | {"principal": "root-1", "role": role, "scopes": [scope]}
        made = (await world.client.post("/api-keys", json=wish, headers=ADMIN)).json()
        assert (made["key"]["active"], made["key"]["waits_for_approval"]) == (False, True)
        assert await status(world, made["secret"]) == 401
        code, approved = await approve(world, made)
        assert (code, approved["active"]) == (200, True)


@pytest.mark.parametrize("personal", sorted(IN_PERSON))
async def test_no_key_stands_for_a_person(clock, personal: str) -> None:
    """A key's name is its maker's choice: with these, one admin would be two."""
    async with world_of(clock) as world:
        role = sorted(PERMISSIONS[personal])[0].value
        harmless = "config:read" if role == "admin" else "service:read"
        wish = WISH | {"principal": "ghost", "role": role}
        asked = wish | {"scopes": [harmless, personal]}
        answer = await world.client.post("/api-keys", json=asked, headers=ADMIN)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_scope")
        made = await make(world, **(wish | {"scopes": [harmless]}))
        keys = ApiKey.get_pymongo_collection()
        older = {"scopes": asked["scopes"], "approved_by": "root-2"}
        await keys.update_one({"_id": made["key"]["key_id"]}, {"$set": older})
        found = await ApiKeys(clock).principal_of(made["secret"])
        assert found is not None, "a key of an older release"
        assert found.permissions == {harmless}


@pytest.mark.parametrize("role", ["operator", "approver", "treasurer", "compliance", "admin"])
async def test_no_key_proposes_or_decides_what_takes_two_people(clock, role: str) -> None:
    """One who proposes under their key's name and approves under their own would be two."""
    decided = {"policy:propose", "policy:approve", "quarantine:propose", "quarantine:resolve"}
    decided |= {"wallet:override"}
    async with world_of(clock) as world:
        for scope in sorted(decided & permissions_of(Role(role))):
            wish = WISH | {"principal": "bot-7", "role": role, "scopes": [scope]}
            answer = await world.client.post("/api-keys", json=wish, headers=ADMIN)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_scope"), scope


async def test_a_treasurers_key_is_no_second_treasurer(clock) -> None:
    """What two people agree on, one and a key of theirs do not."""
    async with world_of(clock) as world:
        wish = WISH | {"principal": "tre-1-script", "role": "treasurer"}
        asked = wish | {"scopes": ["wallet:read", "wallet:override"]}
        answer = await world.client.post("/api-keys", json=asked, headers=ADMIN)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_scope")
        made = await make(world, **(wish | {"scopes": ["wallet:read"]}))
        keys = ApiKey.get_pymongo_collection()
        older = {"scopes": asked["scopes"], "approved_by": "root-2"}
        await keys.update_one({"_id": made["key"]["key_id"]}, {"$set": older})
        found = await ApiKeys(clock).principal_of(made["secret"])
        assert found is not None and found.permissions == {"wallet:read"}


async def test_wrong_keys_are_refused(clock) -> None:
    async with world_of(clock) as world:
        secret = (await make(world))["secret"]
        key_id, text = secret.split(".")
        other_id, _ = (await make(world))["secret"].split(".")
        for wrong in (
            "",
            "key_",
            key_id,
            f"{key_id}.",
            f"{key_id}.{text[:-1]}",
            f"{key_id}.{text[:-2]}AA",
            f"{key_id}.{text}A",
            f"{key_id}.{text}=",
            f"{other_id}.{text}",
            f"key_{'a' * 24}.{text}",
            f"{key_id.upper()}.{text}",
            f"{secret},{secret}",
        ):
            assert await status(world, wrong) == 401, wrong


async def test_keys_expire_and_are_revoked(clock) -> None:
    async with world_of(clock) as world:
        short = await make(world, expires_in_days=1)
        long = await make(world, expires_in_days=30)
        clock.advance(timedelta(days=1))
        assert await status(world, short["secret"]) == 401
        assert await status(world, long["secret"]) == 200
        path = f"/api-keys/{long['key']['key_id']}"
        for _ in range(2):
            answer = await world.client.delete(path, headers=ADMIN)
            assert (answer.status_code, answer.json()["active"]) == (200, False)
        assert await status(world, long["secret"]) == 401


async def test_rotation_overlaps(clock) -> None:
    async with world_of(clock) as world:
        old = await make(world)
        path = f"/api-keys/{old['key']['key_id']}/rotate"
        new = (await world.client.post(path, json={"overlap_s": 60}, headers=ADMIN)).json()
        assert new["key"]["rotated_from"] == old["key"]["key_id"]
        assert new["key"]["scopes"] == old["key"]["scopes"]
        assert await status(world, new["secret"]) == 401, "its secret was shown to one admin"
        assert (await approve(world, new))[0] == 200
        assert await status(world, old["secret"]) == await status(world, new["secret"]) == 200
        again = await world.client.post(path, json={"overlap_s": 60}, headers=ADMIN)
        assert (again.status_code, again.json()["code"]) == (409, "api_key_not_active")
        clock.advance(timedelta(seconds=60))
        assert await status(world, old["secret"]) == 401
        assert await status(world, new["secret"]) == 200


async def test_nobody_rotates_a_key_into_their_own_hands_that_moves_money(clock) -> None:
    """Another admin made it for them; its new secret would be theirs, as if they had made it."""
    async with world_of(clock) as world:
        wish = WISH | {"principal": "root-2", "role": "operator"}
        third = bearer(sub="root-3", role="admin", exp=NOW_S + 10**9)
        made = (await world.client.post("/api-keys", json=wish, headers=ADMIN)).json()
        assert (await approve(world, made, by=third))[0] == 200
        path = f"/api-keys/{made['key']['key_id']}/rotate"
        own = await world.client.post(path, json={}, headers=SECOND)
        assert (own.status_code, own.json()["code"]) == (422, "api_key_for_yourself")
        assert await ApiKey.count() == 1, "nothing was made"
        assert (await world.client.post(path, json={}, headers=ADMIN)).status_code == 201


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"scopes": ["config:read"]}, "invalid_scope", "scopes"),
        ({"scopes": ["payout:*"]}, "invalid_scope", "scopes"),
        ({"scopes": []}, "invalid_field", "scopes"),
        ({"role": "root"}, "invalid_field", "role"),
        ({"expires_in_days": 0}, "invalid_field", "expires_in_days"),
        ({"expires_in_days": 1000}, "invalid_field", "expires_in_days"),
        ({"principal": "a b"}, "invalid_field", "principal"),
        ({"digest": "x"}, "unknown_field", "digest"),
        ({"principal": "root-1", "role": "operator"}, "api_key_for_yourself", "principal"),
        ({"principal": "service"}, "reserved_principal", "principal"),
        ({"principal": "payment-gateway"}, "reserved_principal", "principal"),
        ({"principal": "command-line"}, "reserved_principal", "principal"),
    ],
)
async def test_a_wish_is_checked(clock, changes: dict, code: str, param: str) -> None:
    async with world_of(clock) as world:
        answer = await world.client.post("/api-keys", json=WISH | changes, headers=ADMIN)
    found = answer.json()
    assert (answer.status_code, found["code"], found["param"]) == (422, code, param)


async def test_nobody_calls_under_the_services_own_name(clock) -> None:
    """What belongs to nobody's name is the service's: its wallets, its orders, its entries."""
    async with world_of(clock) as world:
        made = await make(world)
        for name in sorted(RESERVED):
            answer = await world.client.get("/orders/1", headers=bearer(sub=name))
            assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid"), name
            older = {"$set": {"principal": name}}
            await ApiKey.get_pymongo_collection().update_one({}, older)
            assert await status(world, made["secret"]) == 401, name


async def test_others_keys_do_not_exist_for_a_merchant(clock) -> None:
    async with world_of(clock) as world:
        made = await make(world)
        path = f"/api-keys/{made['key']['key_id']}"
        assert (await world.client.get(path, headers=bearer(sub="shop-1"))).status_code == 200
        stranger = await world.client.get(path, headers=bearer(sub="shop-2"))
        assert (stranger.status_code, stranger.json()["code"]) == (404, "api_key_not_found")
        assert (await world.client.get("/api-keys", headers=bearer(sub="shop-2"))).json()[
            "data"
        ] == []
        assert (await world.client.delete(path, headers=bearer(sub="shop-1"))).status_code == 403


async def test_a_one_time_token_is_good_for_one_request(clock) -> None:
    authenticator = Authenticator(anchor(clock), one_time=UsedTokens())
    async with serve(clock=clock, authenticator=authenticator) as world:

        async def send(**changes: Any) -> tuple[int, str | None]:
            answer = await world.client.get("/orders/1", headers=bearer(**changes))
            return answer.status_code, answer.json().get("code")

        assert await send() == (401, "token_invalid")
        assert await send(jti="one") == (200, None)
        assert await send(jti="one") == (401, "token_used")
        assert await send(jti="one", exp=NOW_S + 200) == (401, "token_used")
        assert await send(jti="two", exp=NOW_S + 10**12) == (200, None)
    stored = {each.expires_at.year for each in await UsedToken.find_all().to_list()}
    assert stored == {2026, 3000} and claims() and token()

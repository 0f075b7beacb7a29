"""Keys from outside get an account's power only when two people want the very same."""

import asyncio
from datetime import timedelta
from itertools import count
from typing import Any

import httpx
import pytest
from coincurve import PrivateKey
from wallet_world import BOB, NOW, World, bearer, build_world, principal, served

from tron_payment.contracts import signer_address
from tron_payment.core.address import Address
from tron_payment.core.errors import Unavailable
from tron_payment.db.audit import AuditEntry
from tron_payment.wallets import OURSELVES, Custody, Wallet, WalletKind, Who
from tron_payment.wallets.agreement import ASKED, REPLACING, may_take
from tron_payment.wallets.agreement_documents import (
    ASKED_LIFETIME,
    ChangeStatus,
    PermissionChange,
)
from tron_payment.wallets.granted import outsiders_reach
from tron_payment.wallets.permissions import WantedPermission, build_update

LATER = int((NOW + timedelta(days=9)).timestamp())
PAYS = ["Transfer", "TriggerContract"]
NEEDED = (409, "second_person_needed")
OVER = (409, "permission_change_over")
PASSWORD = "a correct horse battery staple"
ME = Address("TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC")
EVE = Address("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")
KEYS = count()


def permission(threshold: int, *keys: str, **more: Any) -> dict[str, Any]:
    return {"threshold": threshold, "keys": [{"address": key} for key in keys]} | more


def shared(hot: str, other: str, threshold: int = 1) -> dict[str, Any]:
    """An owner of two keys, and an active permission of ours alone."""
    return {
        "owner": permission(threshold, hot, other),
        "actives": [permission(1, hot, allows=PAYS)],
    }


async def put(
    client: httpx.AsyncClient, wallet: Wallet, body: Any, who: str, key: str | None = None
) -> tuple[int, str]:
    headers = bearer("treasurer", who, exp=LATER)
    headers |= {"Idempotency-Key": key or f"a-change-of-permissions-{next(KEYS)}"}
    answer = await client.put(f"/wallets/{wallet.id}/permissions", json=body, headers=headers)
    return answer.status_code, answer.json().get("code", "")


def placed(world: World) -> dict[str, Any]:
    wishes: dict[str, Any] = world.house.engine.wishes  # type: ignore[attr-defined]
    return wishes


@pytest.fixture
async def world(mongo: Any) -> World:
    return await build_world(mongo)


async def test_one_treasurer_gives_no_account_away(world: World) -> None:
    """By the owner's or an active permission, by one key or several, of strangers or devices."""
    hot = await world.wallets.create(OURSELVES, label="hot")
    await world.wallets.watch(OURSELVES, label="cold", address=BOB, kind=WalletKind.COLD)
    ours = permission(1, hot.address)
    for body in (
        shared(hot.address, EVE),
        shared(hot.address, BOB),
        {"owner": ours, "actives": [permission(1, EVE, allows=["TriggerContract"])]},
        {"owner": ours, "actives": [ours | {"allows": PAYS}, permission(1, EVE, allows=PAYS)]},
        {"owner": permission(2, hot.address, EVE, BOB), "actives": [ours | {"allows": PAYS}]},
    ):
        async with served(world) as client:
            for _ in range(3):
                assert await put(client, hot, body, "tre-1") == NEEDED, body
    assert not placed(world)
    told = {each.action for each in await AuditEntry.find({"actor": "tre-1"}).to_list()}
    assert told == {ASKED, REPLACING}


async def test_a_key_that_somebody_brought_is_not_ours_alone(world: World) -> None:
    """Whoever imports a key, or restores a backup of their own making, knows it."""
    hot = await world.wallets.create(OURSELVES, label="hot")
    secret = bytes(31) + b"\x55"
    brought = await world.wallets.import_key(OURSELVES, label="brought", private_key=secret.hex())
    assert brought.address == signer_address(PrivateKey(secret))
    made = await world.wallets.create(OURSELVES, label="made")
    async with served(world) as client:
        assert await put(client, hot, shared(hot.address, brought.address), "tre-1") == NEEDED
        assert await put(client, hot, shared(hot.address, made.address), "tre-1") == (202, "")
        own = shared(brought.address, made.address)
        assert await put(client, brought, own, "tre-1") == (202, ""), "its own key had all before"
    assert len(placed(world)) == 2


async def test_the_same_by_another_person_in_time_is_placed_once(world: World) -> None:
    hot = await world.wallets.create(OURSELVES, label="hot")
    body, other = shared(hot.address, EVE), shared(hot.address, BOB)
    await world.wallets.watch(OURSELVES, label="cold", address=BOB, kind=WalletKind.COLD)
    async with served(world) as client:
        assert await put(client, hot, body, "tre-1") == NEEDED
        assert await put(client, hot, other, "tre-2") == NEEDED, "another change is another wish"
        assert await put(client, hot, body, "tre-1") == NEEDED
        world.clock.advance(ASKED_LIFETIME)
        assert await put(client, hot, body, "tre-2") == NEEDED, "the first has lapsed"
        assert not placed(world)
        key = "the-second-person-s-request"
        for _ in range(3):
            assert await put(client, hot, body, "tre-1", key) == (202, "")
        assert len(placed(world)) == 1
        assert await put(client, hot, body, "tre-1") == NEEDED, "agreed to once, not for ever"
        assert await put(client, hot, body, "tre-1", key) == (202, ""), "the answer stands"
    (wish,) = placed(world).values()
    assert {str(key) for key, _ in wish.contract.owner_permission.keys} == {hot.address, EVE}
    entry = await AuditEntry.find_one({"action": "wallet.permissions"})
    assert entry is not None and entry.after is not None
    assert (entry.actor, entry.after["asked_by"]) == ("tre-1", "tre-2")


async def test_who_dies_after_the_agreement_places_it_by_repeating(world: World) -> None:
    hot = await world.wallets.create(OURSELVES, label="hot")
    body, key = shared(hot.address, EVE), "the-second-person-s-request"
    engine: Any = world.house.engine
    place = engine.place

    async def die(_wish: Any) -> bool:
        raise Unavailable("gone")

    async with served(world) as client:
        assert await put(client, hot, body, "tre-1") == NEEDED
        engine.place = die
        assert (await put(client, hot, body, "tre-2", key))[0] == 503
        engine.place = place
        assert not placed(world)
        assert await put(client, hot, body, "tre-2", key) == (202, "")
        assert len(placed(world)) == 1
        assert await put(client, hot, body, "tre-3") == NEEDED, "the agreement is used up"
        assert await put(client, hot, body, "tre-2", key) == (202, "")
    assert len(placed(world)) == 1


async def test_what_was_used_is_not_opened_again_by_repeating_who_asked(world: World) -> None:
    """Clients repeat what was refused; each of two people wanted it once, so it is placed once."""
    hot = await world.wallets.create(OURSELVES, label="hot")
    body, first, second = shared(hot.address, EVE), "the-first-one-s-request", "the-second-one-s"
    async with served(world) as client:
        for _ in range(2):
            assert await put(client, hot, body, "tre-1", first) == NEEDED
        assert await put(client, hot, body, "tre-2", second) == (202, "")
        assert await put(client, hot, body, "tre-2") == NEEDED, "one person wants it once more"
        assert await put(client, hot, body, "tre-1", first) == OVER
        assert len(placed(world)) == 1
        assert await put(client, hot, body, "tre-1") == (202, ""), "two people, once more"
        for who, key in (("tre-1", first), ("tre-2", second)):
            await put(client, hot, body, who, key)
    assert len(placed(world)) == 2


async def test_what_has_lapsed_is_not_opened_again_by_repeating_it(world: World) -> None:
    hot = await world.wallets.create(OURSELVES, label="hot")
    body, key = shared(hot.address, EVE), "the-first-one-s-request"
    async with served(world) as client:
        assert await put(client, hot, body, "tre-1", key) == NEEDED
        world.clock.advance(ASKED_LIFETIME - timedelta(seconds=1))
        assert await put(client, hot, body, "tre-1", key) == NEEDED, "and no longer for that"
        world.clock.advance(timedelta(seconds=1))
        assert await put(client, hot, body, "tre-1", key) == OVER
        assert await put(client, hot, body, "tre-2") == NEEDED, "nobody else asks any more"
        assert await put(client, hot, body, "tre-1", key) == OVER
        other = shared(hot.address, BOB)
        assert (await put(client, hot, other, "tre-1", key))[1] == "idempotency_key_reused"
    assert not placed(world)


async def test_who_died_after_the_agreement_does_not_place_it_days_later(world: World) -> None:
    hot = await world.wallets.create(OURSELVES, label="hot")
    body, key = shared(hot.address, EVE), "the-second-person-s-request"
    engine: Any = world.house.engine
    place = engine.place

    async def die(_wish: Any) -> bool:
        raise Unavailable("gone")

    async with served(world) as client:
        assert await put(client, hot, body, "tre-1") == NEEDED
        engine.place = die
        assert (await put(client, hot, body, "tre-2", key))[0] == 503
        engine.place = place
        world.clock.advance(ASKED_LIFETIME)
        assert await put(client, hot, body, "tre-2", key) == OVER
    assert not placed(world)


async def test_a_key_that_was_backed_up_is_not_ours_alone(world: World) -> None:
    """Whoever made the backup has it; also of one made before keys were stamped with it."""
    hot = await world.wallets.create(OURSELVES, label="hot")
    names = ("one", "all", "earlier", "never")
    one, all_, earlier, never = [await world.wallets.create(OURSELVES, label=n) for n in names]
    custody = world.house.use(Custody)
    await custody.backup(principal(), one.id, password=PASSWORD, wallet_password=None)
    await custody.backup(principal(), earlier.id, password=PASSWORD, wallet_password=None)
    await Wallet.find_one({"_id": earlier.id}).update({"$unset": {"backed_up_at": ""}})
    async with served(world) as client:
        for key in (one, earlier):
            assert await put(client, hot, shared(hot.address, key.address), "tre-1") == NEEDED
        for key in (all_, never):
            assert (await put(client, hot, shared(hot.address, key.address), "tre-1"))[0] == 202
        await custody.backup_all(PASSWORD)
        assert await put(client, hot, shared(hot.address, all_.address), "tre-1") == NEEDED
        active = permission(1, one.address, allows=PAYS)
        own = {"owner": permission(1, one.address), "actives": [active]}
        assert (await put(client, one, own, "tre-1"))[0] == 202, "its own key had all before"
    stamped = await Wallet.find({"backed_up_at": {"$ne": None}}).to_list()
    assert {each.id for each in stamped} == {hot.id, one.id, all_.id, earlier.id, never.id}


async def test_a_backup_brought_back_says_that_somebody_has_the_key(world: World) -> None:
    hot = await world.wallets.create(OURSELVES, label="hot")
    other = await world.wallets.create(OURSELVES, label="other")
    custody = world.house.use(Custody)
    text = await custody.backup(principal(), other.id, password=PASSWORD, wallet_password=None)
    await AuditEntry.find({"object_id": other.id}).delete()  # of another installation's log
    await Wallet.find_one({"_id": other.id}).update({"$unset": {"backed_up_at": ""}})
    await custody.restore(Who.of(principal()), backup=text, password=PASSWORD)
    async with served(world) as client:
        assert await put(client, hot, shared(hot.address, other.address), "tre-1") == NEEDED


async def test_a_wallets_password_is_not_gone_around_by_another_wallets_key(world: World) -> None:
    """The other key's backup would not ask for it."""
    hot = await world.wallets.create(OURSELVES, label="hot", password=PASSWORD)
    other = await world.wallets.create(OURSELVES, label="other")
    async with served(world) as client:
        assert await put(client, hot, shared(hot.address, other.address), "tre-1") == NEEDED


async def test_many_at_once_place_what_was_agreed_once(world: World) -> None:
    hot = await world.wallets.create(OURSELVES, label="hot")
    body = shared(hot.address, EVE)
    async with served(world) as client:
        alone = await asyncio.gather(*(put(client, hot, body, "tre-1") for _ in range(5)))
        assert {status for status, _ in alone} == {409} and not placed(world)
        answers = await asyncio.gather(*(put(client, hot, body, "tre-2") for _ in range(5)))
    assert [status for status, _ in answers].count(202) == 1, answers
    assert len(placed(world)) == 1


def test_who_may_take_it() -> None:
    asked = PermissionChange.model_construct(
        change_hash="h",
        asked_by="ann",
        status=ChangeStatus.ASKED,
        expires_at=NOW + ASKED_LIFETIME,
    )
    assert may_take(asked, "h", "ben", NOW)
    assert not may_take(asked, "h", "ann", NOW)
    assert not may_take(asked, "other", "ben", NOW)
    assert not may_take(asked, "h", "ben", NOW + ASKED_LIFETIME)
    for status in set(ChangeStatus) - {ChangeStatus.ASKED}:
        assert not may_take(asked.model_copy(update={"status": status}), "h", "ben", NOW)


@pytest.mark.parametrize(
    ("threshold", "weights", "reach"),
    [
        (1, {ME: 1}, False),
        (1, {ME: 1, EVE: 1}, True),
        (2, {ME: 1, EVE: 1}, False),
        (2, {ME: 1, EVE: 1, BOB: 1}, True),
        (3, {ME: 2, EVE: 2}, False),
        (2, {ME: 2, EVE: 2}, True),
    ],
)
def test_outsiders_reach_by_weight(threshold: int, weights: Any, reach: bool) -> None:
    mixed = WantedPermission(threshold, tuple(weights.items()))
    active = WantedPermission(1, ((ME, 1),), allows=("Transfer",))
    assert outsiders_reach(build_update(ME, mixed, [active]), {ME}) is reach
    owner = WantedPermission(1, ((ME, 1),))
    second = WantedPermission(threshold, tuple(weights.items()), allows=("Transfer",))
    assert outsiders_reach(build_update(ME, owner, [active, second]), {ME}) is reach

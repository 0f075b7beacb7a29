"""Who is the second person sees what was asked for, and agrees to just that, or refuses it."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from test_wallets_agreement import EVE, LATER, NEEDED, OVER, placed, put, shared
from wallet_world import World, bearer, build_world, served

from tron_payment.core.errors import Unavailable
from tron_payment.db.audit import AuditEntry
from tron_payment.wallets import OURSELVES, Wallet, agreement_documents
from tron_payment.wallets.agreement import ASKED, REPLACING, Agreement
from tron_payment.wallets.agreement_documents import ASKED_LIFETIME

LIST = "/wallets/permission-changes"


@pytest.fixture
async def world(mongo: Any) -> World:
    return await build_world(mongo)


@pytest.fixture
async def hot(world: World) -> Wallet:
    return await world.wallets.create(OURSELVES, label="hot")


async def asked(
    client: httpx.AsyncClient, hot: Wallet, who: str = "tre-1", weight: int = 1
) -> dict[str, Any]:
    """The change that somebody has just asked for."""
    body = shared(hot.address, EVE)
    body["owner"]["keys"][0]["weight"] = weight
    assert await put(client, hot, body, who) == NEEDED
    rows = (await client.get(f"{LIST}?status=asked", headers=by("aud-1", "auditor"))).json()["data"]
    shown = await client.get(f"{LIST}/{rows[0]['change_id']}")
    assert shown.status_code == 200, shown.text
    found: dict[str, Any] = shown.json()
    return found


def by(who: str, role: str = "treasurer") -> dict[str, str]:
    return bearer(role, who, exp=LATER)


async def decide(
    client: httpx.AsyncClient,
    change: dict[str, Any],
    what: str,
    who: str,
    key: str = "one-decision-of-mine",
    **other: str,
) -> tuple[int, str]:
    body = {"change_hash": change["change_hash"]} | other
    headers = by(who) | ({"Idempotency-Key": key} if what == "agree" else {})
    path = f"{LIST}/{change['change_id']}/{what}"
    answer = await client.post(path, json=body, headers=headers)
    return answer.status_code, answer.json().get("code", "")


async def test_every_key_is_shown_and_which_are_from_outside(world: World, hot: Wallet) -> None:
    async with served(world) as client:
        shown = await asked(client, hot)
    assert (shown["asked_by"], shown["status"], shown["wallet_label"]) == ("tre-1", "asked", "hot")
    assert (shown["wallet_id"], shown["address"]) == (hot.id, hot.address)
    assert [(k["address"], k["wallet"], k["outside"]) for k in shown["owner"]["keys"]] == [
        (hot.address, "hot", False),
        (EVE, None, True),
    ]
    assert shown["actives"][0]["allows"] == ["Transfer", "TriggerContract"]
    assert shown["expires_at"] == "2026-11-21T12:00:00.000Z"


async def test_another_person_agrees_once_to_what_was_shown(world: World, hot: Wallet) -> None:
    async with served(world) as client:
        change = await asked(client, hot)
        assert await decide(client, change, "agree", "tre-1") == NEEDED, "not who asked"
        differs = (409, "permission_change_differs")
        assert await decide(client, change, "agree", "tre-2", change_hash="0" * 64) == differs
        assert not placed(world)
        for _ in range(2):
            assert await decide(client, change, "agree", "tre-2") == (202, "")
        assert await decide(client, change, "agree", "tre-2", "another-key-of-mine") == OVER
        assert await decide(client, change, "agree", "tre-3") == OVER
        assert await decide(client, change, "refuse", "tre-3") == OVER
        rows = (await client.get(f"{LIST}?status=agreed")).json()["data"]
    assert [(row["change_id"], row["decided_by"]) for row in rows] == [
        (change["change_id"], "tre-2")
    ]
    (wish,) = placed(world).values()
    assert {str(key) for key, _ in wish.contract.owner_permission.keys} == {hot.address, EVE}


async def test_what_was_refused_or_taken_back_is_over(world: World, hot: Wallet) -> None:
    async with served(world) as client:
        for who in ("tre-1", "tre-2"):
            change = await asked(client, hot)
            assert await decide(client, change, "refuse", who) == (200, "")
            assert await decide(client, change, "agree", "tre-2") == OVER
        assert (await client.get(f"{LIST}?status=asked")).json()["data"] == []
    assert not placed(world)
    entries = await AuditEntry.find({"action": "wallet.permissions_refused"}).to_list()
    assert [each.actor for each in entries] == ["tre-1", "tre-2"]


async def test_what_is_open_is_in_the_audit_log_with_what_it_replaced(
    world: World, hot: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the process died before it noted it, and somebody repeats the request; once."""

    async def dies(*_: Any) -> None:
        raise RuntimeError("killed before the entry")

    async with served(world) as client:
        first = await asked(client, hot, "tre-3", weight=2)
        body = shared(hot.address, EVE)
        with monkeypatch.context() as death:
            death.setattr(Agreement, "_note", dies)
            status, _ = await put(client, hot, body, "tre-1", "asked-and-then-died")
            assert status == 500
        for _ in range(2):
            assert await put(client, hot, body, "tre-1", "asked-and-then-died") == NEEDED
        (entry,) = await AuditEntry.find({"actor": "tre-1", "action": ASKED}).to_list()
        assert entry.after is not None
        (row,) = (await client.get(f"{LIST}?status=asked", headers=by("tre-1"))).json()["data"]
        told = (entry.after["change_id"], entry.after["replaces"])
        assert told == (row["change_id"], first["change_id"])


async def dies(*_: Any) -> None:
    raise RuntimeError("killed")


async def test_what_gave_way_is_in_the_audit_log_though_nothing_came_in_its_place(
    world: World, hot: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died when the old change was closed; a repeat says what it has replaced."""
    async with served(world) as client:
        first = await asked(client, hot, "tre-3", weight=2)
        body = shared(hot.address, EVE)
        with monkeypatch.context() as death:
            death.setattr(agreement_documents, "ask", dies)
            assert (await put(client, hot, body, "tre-1", "closed-and-then-died"))[0] == 500
        assert await decide(client, first, "agree", "tre-2") == OVER
        (entry,) = await AuditEntry.find({"action": REPLACING}).to_list()
        assert entry.actor == "tre-1" and entry.after is not None
        assert (entry.after["change_id"], entry.after["asked_by"]) == (first["change_id"], "tre-3")
        assert await put(client, hot, body, "tre-1", "closed-and-then-died") == NEEDED
        (entry,) = await AuditEntry.find({"actor": "tre-1", "action": ASKED}).to_list()
        assert entry.after is not None and entry.after["replaces"] == first["change_id"]


@pytest.mark.parametrize("what", ["agree", "refuse"])
async def test_who_decides_notes_what_was_asked_if_nobody_has(
    world: World, hot: Wallet, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """On the account of who asked, whose process died before that."""
    async with served(world) as client:
        body = shared(hot.address, EVE)
        with monkeypatch.context() as death:
            death.setattr(Agreement, "_note", dies)
            assert (await put(client, hot, body, "tre-1"))[0] == 500
        (row,) = (await client.get(f"{LIST}?status=asked", headers=by("tre-1"))).json()["data"]
        assert (await decide(client, row, what, "tre-2"))[0] in (200, 202)
        (entry,) = await AuditEntry.find({"action": ASKED}).to_list()
        assert (entry.actor, entry.role) == ("tre-1", "treasurer")


async def test_what_an_older_release_has_noted_is_not_noted_twice(
    world: World, hot: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gave its entries ids of their own."""
    real = Agreement._note

    async def older(self: Agreement, *args: Any) -> None:
        await real(self, *args[:4])

    async with served(world) as client:
        body = shared(hot.address, EVE)
        with monkeypatch.context() as before:
            before.setattr(Agreement, "_note", older)
            assert await put(client, hot, body, "tre-1", "asked-before-the-upgrade") == NEEDED
        assert await put(client, hot, body, "tre-1", "asked-before-the-upgrade") == NEEDED
        assert await AuditEntry.find({"action": ASKED}).count() == 1


async def test_what_has_lapsed_or_was_replaced_is_over(world: World, hot: Wallet) -> None:
    async with served(world) as client:
        first = await asked(client, hot)
        world.clock.advance(timedelta(seconds=1))
        second = await asked(client, hot, "tre-3", weight=2)
        assert await decide(client, first, "agree", "tre-2") == OVER
        world.clock.advance(ASKED_LIFETIME)
        assert await decide(client, second, "agree", "tre-2") == OVER
        rows = (await client.get(LIST, headers=by("tre-1"))).json()["data"]
        assert [row["status"] for row in rows] == ["expired", "replaced"]
        lapsed = (await client.get(f"{LIST}?status=expired", headers=by("tre-1"))).json()["data"]
        assert [row["change_id"] for row in lapsed] == [second["change_id"]]
    assert not placed(world)


async def test_agreeing_and_asking_for_the_same_at_once_places_it_once(
    world: World, hot: Wallet
) -> None:
    async with served(world) as client:
        change = await asked(client, hot)
        body = shared(hot.address, EVE)
        answers = await asyncio.gather(
            *(decide(client, change, "agree", f"tre-{n}") for n in (2, 3)),
            *(decide(client, change, "refuse", "tre-4") for _ in range(2)),
            *(put(client, hot, body, f"tre-{n}") for n in (5, 6)),
        )
    assert len(placed(world)) == [status for status, _ in answers].count(202) <= 1, answers


async def test_who_dies_after_agreeing_places_it_by_repeating(world: World, hot: Wallet) -> None:
    engine: Any = world.house.engine
    place = engine.place

    async def die(_wish: Any) -> bool:
        raise Unavailable("gone")

    async with served(world) as client:
        change = await asked(client, hot)
        engine.place = die
        assert (await decide(client, change, "agree", "tre-2"))[0] == 503
        engine.place = place
        assert await decide(client, change, "agree", "tre-2") == (202, "")
    assert len(placed(world)) == 1


async def test_a_stranger_sees_none_and_decides_about_none(world: World, hot: Wallet) -> None:
    async with served(world) as client:
        change = await asked(client, hot)
        merchant = by("shop", "merchant")
        assert (await client.get(LIST, headers=merchant)).json()["data"] == []
        shown = await client.get(f"{LIST}/{change['change_id']}", headers=merchant)
        assert (shown.status_code, shown.json()["code"]) == (404, "permission_change_not_found")
        for what in ("agree", "refuse"):
            path = f"{LIST}/{change['change_id']}/{what}"
            headers = by("op-9", "operator") | {"Idempotency-Key": "an-operators-request"}
            body = {"change_hash": change["change_hash"]}
            assert (await client.post(path, json=body, headers=headers)).status_code == 403

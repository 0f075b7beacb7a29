"""Ledger against chain: exact when nothing is wrong, and a lost sun is named."""

import json
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.conftest import Mongo
from tests.gateway.world import Payer, World, again, somebody
from tron_payment.chain import MongoCursors
from tron_payment.core.address import Address
from tron_payment.db.audit import Act, AuditEntry
from tron_payment.db.cas import insert_once
from tron_payment.db.ledger import Balance, Pocket
from tron_payment.engine import SafeMode
from tron_payment.gateway import Reconciliations, books
from tron_payment.gateway.own_documents import own_of
from tron_payment.gateway.reconciliation import FIRST_AFTER, INTERVAL, round_s
from tron_payment.measuring import Measuring
from tron_payment.metrics import Figures
from tron_payment.wallets import Wallets, strangers


async def run(world: World) -> dict[str, object]:
    service: Reconciliations = world.service(Reconciliations)
    report = await service.request("test")
    await service.run(report)
    answer = await world.get("/payments/reconciliation", role="operator", sub="op-1")
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


async def test_before_the_first_run_there_is_no_block(gateway: World) -> None:
    answer = await gateway.get("/payments/reconciliation", role="auditor")
    assert answer.status_code == 200
    assert answer.json()["solid_block"] is None
    assert (await gateway.get("/payments/reconciliation")).status_code == 403


async def test_the_first_run_begins_by_itself_and_the_next_follow_it(gateway: World) -> None:
    service: Reconciliations = gateway.service(Reconciliations)
    assert not await service.step(), "a start has something else to do"
    gateway.clock.skew += FIRST_AFTER - timedelta(seconds=1)
    assert not await service.step() and await service.last() is None
    gateway.clock.skew += timedelta(seconds=1)
    assert await service.step() and not await service.step()
    first = await service.last()
    assert first is not None and first.requested_by == "service"
    report = (await gateway.get("/payments/reconciliation", role="auditor")).json()
    assert (report["balanced"], report["difference"]) == (True, {"TRX": "0", "USDT": "0"})
    gateway.clock.skew += INTERVAL
    assert await service.step()
    second = await service.last()
    assert second is not None and second.id != first.id


async def test_the_first_run_waits_for_the_follower_and_calls_nothing_wrong_that_is_not_open_yet(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    service: Reconciliations = gateway.service(Reconciliations)
    payer = Payer(0xBEEF)
    await gateway.fund(payer.address, "500")
    await gateway.tick()
    cold = {"label": "cold", "address": payer.address, "kind": "cold"}
    answer = await gateway.post("/wallets/import", cold, role="operator")
    assert answer.status_code == 201, answer.text
    await service.step()
    gateway.clock.skew += FIRST_AFTER

    async def nowhere(_: MongoCursors) -> None:
        return None

    with monkeypatch.context() as context:
        context.setattr(MongoCursors, "load", nowhere)
        assert not await service.step() and await service.last() is None
    assert await service.step()
    report = (await gateway.get("/payments/reconciliation", role="auditor")).json()
    assert (report["waiting"], report["complete"]) == ([payer.address], False)
    assert report["difference"] == {"TRX": "0", "USDT": "0"}


async def test_a_first_run_that_died_is_finished_by_the_next_process(
    gateway: World, mongo: Mongo
) -> None:
    service: Reconciliations = gateway.service(Reconciliations)
    begun = await service.request("service")  # and there it ended
    async with again(mongo, gateway) as after:
        assert await after.service(Reconciliations).step()
        last = await after.service(Reconciliations).last()
        assert last is not None and last.id == begun.id


async def test_the_books_equal_the_chain_at_one_solidified_block(gateway: World) -> None:
    report = await run(gateway)
    assert report["difference"] == {"TRX": "0", "USDT": "0"}
    assert report["balanced"] is True
    assert report["solid_block"] == gateway.devnet.chain.solid_number
    rows = {(row["name"], row["currency"]): row for row in report["rows"]}
    assert rows[("treasury", "USDT")]["ledger"] == "50000"
    assert rows[("treasury", "USDT")]["chain"] == "50000"


async def test_a_report_says_how_much_it_compared(gateway: World) -> None:
    first = await run(gateway)
    assert first["complete"] is True
    assert first["addresses"] == 1, "the treasury; the first run leaves the empty ones out"
    await gateway.tick()
    second = await run(gateway)
    assert second["holders"] == second["addresses"] == first["holders"], "fewer than take turns"
    assert second["round_seconds"] == 900
    path = f"/payments/reconciliation/{second['reconciliation_id']}/file"
    signed = (await gateway.get(path, role="auditor")).json()
    assert (signed["holders"], signed["round_seconds"]) == (second["holders"], 900)


@pytest.mark.parametrize(
    ("holders", "with_money", "seconds"),
    [(0, 0, 900), (500, 500, 900), (500, 300, 900), (501, 300, 1_800), (1_000_000, 0, 4_500_000)],
)
def test_how_long_a_round_takes(holders: int, with_money: int, seconds: int) -> None:
    assert round_s(holders, with_money) == seconds


async def test_what_is_not_compared_yet_is_not_called_balanced(gateway: World) -> None:
    """An address whose books are being opened: neither equal nor different."""
    payer = Payer(0xBEEF)
    answer = await gateway.post(
        "/wallets/import", {"label": "watched", "address": payer.address}, role="operator"
    )
    assert answer.status_code == 201, answer.text
    report = await run(gateway)
    assert report["waiting"] == [payer.address]
    assert (report["complete"], report["balanced"]) == (False, None)
    await gateway.devnet.mine()
    while await gateway.assembly.follower.step():
        pass  # the openings wait
    key = f"{gateway.treasury}:available|TRX"
    await Balance.find_one({"_id": key}).update({"$inc": {"units": -1}})
    wrong = await run(gateway)
    assert (wrong["complete"], wrong["balanced"]) == (False, False)
    await Balance.find_one({"_id": key}).update({"$inc": {"units": 1}})
    await gateway.solidify()
    await gateway.tick(2)
    after = await run(gateway)
    assert (after["waiting"], after["complete"], after["balanced"]) == ([], True, True)


async def test_one_sun_removed_by_hand_is_found_and_named(gateway: World) -> None:
    key = f"{gateway.treasury}:available|TRX"
    await Balance.find_one({"_id": key}).update({"$inc": {"units": -1}})
    report = await run(gateway)
    assert report["difference"] == {"TRX": "0.000001", "USDT": "0"}
    (first, *_) = report["rows"]
    assert (first["address"], first["difference"]) == (gateway.treasury, "0.000001")


async def test_money_at_an_address_that_our_books_call_empty_is_found(gateway: World) -> None:
    """As if a deposit had been missed: the chain has it, the ledger has not."""
    invoice = await gateway.invoice("25")
    await run(gateway)
    await gateway.fund(invoice["address"], "3", "USDT")
    await gateway.solidify()
    key = f"{invoice['address']}:available|USDT"
    await Balance.find_one({"_id": key}).delete()
    report = await run(gateway)
    assert report["difference"] == {"TRX": "0", "USDT": "3"}
    assert report["rows"][0]["address"] == invoice["address"]


async def test_payments_that_are_not_solid_yet_change_neither_side(gateway: World) -> None:
    await gateway.fund(gateway.treasury, "7", "USDT")
    await gateway.tick(3)
    assert (await run(gateway))["difference"] == {"TRX": "0", "USDT": "0"}
    await gateway.solidify()
    report = await run(gateway)
    assert report["balanced"]
    rows = {(row["name"], row["currency"]): row for row in report["rows"]}
    assert rows[("treasury", "USDT")]["ledger"] == "50007"


async def test_blocks_booked_after_the_compared_one_are_rolled_back(gateway: World) -> None:
    block = gateway.devnet.chain.solid_number
    before = await books.as_of(gateway.house.ledger, {gateway.treasury: block})
    await gateway.fund(gateway.treasury, "5", "USDT")
    await gateway.solidify()
    assert await books.as_of(gateway.house.ledger, {gateway.treasury: block}) == before
    solid = gateway.devnet.chain.solid_number
    after = await books.as_of(gateway.house.ledger, {gateway.treasury: solid})
    usdt = (gateway.treasury, Pocket.AVAILABLE, "USDT")
    assert after[usdt] - before[usdt] == 5_000_000


async def test_money_that_left_by_nobodys_order_is_listed(gateway: World) -> None:
    payer = Payer(0xBEEF)
    await gateway.fund(payer.address, "500")
    await gateway.tick()
    cold = {"label": "cold", "address": payer.address, "kind": "cold"}
    answer = await gateway.post("/wallets/import", cold, role="operator")
    assert answer.status_code == 201, answer.text
    await gateway.solidify()
    await gateway.tick(2)  # its books are open
    txid = await gateway.pay(payer, somebody(9), "3", "TRX")
    await gateway.solidify()
    report = await run(gateway)
    assert report["balanced"], report
    assert [each["txid"] for each in report["unmatched"]] == [txid]
    assert report["unmatched"][0]["amount"] == "3"


async def test_what_a_watched_stranger_pays_is_no_theft(gateway: World) -> None:
    payer = Payer(0xBEEF)
    await gateway.fund(payer.address, "500")
    await gateway.tick()
    watched = {"label": "an exchange", "address": payer.address}
    answer = await gateway.post("/wallets/import", watched, role="operator")
    assert (answer.status_code, answer.json()["kind"]) == (201, "watch")
    await gateway.solidify()
    await gateway.tick(2)
    await gateway.pay(payer, somebody(9), "3", "TRX")
    await gateway.solidify()
    report = await run(gateway)
    assert report["balanced"] and report["unmatched"] == [], report
    waiting = await gateway.get("/policy/unexplained", role="treasurer")
    assert waiting.json() == []


async def test_what_is_ours_is_no_strangers_because_somebody_watches_it(gateway: World) -> None:
    """Nobody silences the alarm, or has a router called, by watching its address."""
    router, wallets = somebody(7), gateway.service(Wallets)
    await gateway.house.openings.request(router)
    await gateway.solidify()
    issued = (await wallets.issue_address((await wallets.ensure_hd("shop")).id)).address
    for address in (router, issued):
        watched = {"label": "mine", "address": address}
        answer = await gateway.post("/wallets/import", watched, role="operator")
        assert answer.status_code == 201, answer.text
        assert await strangers([Address(address)]) == set()
        assert await own_of(gateway.house.ledger, [Address(address)]) == {address}


async def test_what_a_person_has_acknowledged_stays_listed_and_pages_no_more(
    gateway: World,
) -> None:
    payer = Payer(0xBEEF)
    await gateway.fund(payer.address, "500")
    await gateway.tick()
    cold = {"label": "cold", "address": payer.address, "kind": "cold"}
    answer = await gateway.post("/wallets/import", cold, role="operator")
    assert answer.status_code == 201, answer.text
    await gateway.solidify()
    figures = Figures()
    house: Any = SimpleNamespace(house=gateway.house, modules=())
    measuring = Measuring(house, figures, "test")

    async def figure() -> float | None:
        await measuring.look()
        return figures.get("unmatched_outgoing")

    async def stolen(amount: str) -> str:
        txid = await gateway.pay(payer, somebody(9), amount, "TRX")
        await gateway.solidify()
        await run(gateway)
        return txid

    assert await figure() == 0
    first = await stolen("3")
    assert await figure() == 1
    path = f"/policy/unexplained/{first}/acknowledge"
    assert (await gateway.post(path, {}, role="treasurer")).status_code == 200
    assert await figure() == 0
    second = await stolen("4")
    assert await figure() == 1, "an old theft hides no new one"
    report: Any = await run(gateway)
    assert [each["txid"] for each in report["unmatched"]] == [first, second]
    by = [each["acknowledged_by"] for each in report["unmatched"]]
    assert by[0] and by[1] is None


async def test_how_long_safe_mode_lasts_is_a_figure(gateway: World) -> None:
    figures = Figures()
    house: Any = SimpleNamespace(house=gateway.house, modules=())
    measuring = Measuring(house, figures, "test")
    await measuring.look()
    assert figures.get("safe_mode_seconds") == 0
    since = gateway.house.clock.now() - timedelta(hours=2)
    await insert_once(SafeMode(since=since, lag_ms=1, why="behind", until_ms=1))
    await measuring.look()
    assert (figures.get("safe_mode_seconds") or 0) >= 7_200


async def test_a_run_on_request_is_answered_at_once_and_done_by_the_loop(gateway: World) -> None:
    path = "/payments/reconciliation?run=true"
    assert (await gateway.get(path, role="viewer")).status_code == 403
    started = await gateway.get(path, role="operator")
    assert (started.status_code, started.json()["status"]) == (202, "running")
    service: Reconciliations = gateway.service(Reconciliations)
    assert await service.step()
    last = (await gateway.get("/payments/reconciliation", role="operator")).json()
    assert last["reconciliation_id"] == started.json()["reconciliation_id"]
    assert last["status"] == "finished"


async def test_the_report_is_a_signed_file_whose_hash_is_in_the_audit_log(gateway: World) -> None:
    report = await run(gateway)
    path = f"/payments/reconciliation/{report['reconciliation_id']}/file"
    file = await gateway.get(path, role="auditor")
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(str(report["public_key"])))
    key.verify(bytes.fromhex(file.headers["x-report-signature"]), file.content)
    assert json.loads(file.content)["difference"] == {"TRX": 0, "USDT": 0}
    entry = await AuditEntry.find_one({"action": "reconciliation.finished"})
    assert entry is not None and entry.after is not None
    assert entry.after["sha256"] == report["sha256"]


async def test_a_report_whose_process_died_is_noted_by_the_next(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    async def die(*_: Any) -> None:
        raise Died

    service: Reconciliations = gateway.service(Reconciliations)
    first = await service.request("somebody")
    with monkeypatch.context() as patch:
        patch.setattr(service._audit, "append", die)
        with pytest.raises(Died):
            await service.run(first)
    assert await AuditEntry.find_one({"object_id": first.id}) is None
    await gateway.tick()
    second = await run(gateway)
    await gateway.tick()
    await run(gateway)
    for each in (first.id, second["reconciliation_id"]):
        entries = await AuditEntry.find({"object_id": each}).to_list()
        assert [entry.action for entry in entries] == ["reconciliation.finished"]
        stored = await service.get(str(each))
        assert entries[0].after is not None and entries[0].after["sha256"] == stored.sha256


async def test_a_report_of_an_older_release_is_in_the_audit_log_once(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older releases noted a report under a random id, not under one that its own tells."""
    service: Reconciliations = gateway.service(Reconciliations)
    append = service._audit.append

    async def as_then(act: Act) -> AuditEntry:
        return await append(replace(act, entry_id=""))

    with monkeypatch.context() as patch:
        patch.setattr(service._audit, "append", as_then)
        old = await run(gateway)
    await gateway.tick()
    await run(gateway)
    assert await AuditEntry.find({"object_id": old["reconciliation_id"]}).count() == 1

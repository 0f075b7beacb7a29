"""Exports: written in the background, day by day, with progress; an accountant's rows."""

import csv
import io
import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from tests.gateway.test_deposits import PAYER
from tests.gateway.test_refunds import body, paid
from tests.gateway.world import World, somebody
from tron_payment.core.clock import from_ms
from tron_payment.core.money import TRX, parse_units
from tron_payment.db.ledger import NETWORK_FEES, Balance
from tron_payment.gateway.export_documents import ExportPart
from tron_payment.gateway.export_entries import worth
from tron_payment.wallets import Wallets


async def begin(world: World, **asked: Any) -> Any:
    answer = await world.post("/payments/exports", asked)
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] == "running"
    return answer.json()


async def fetch(world: World, export: Any, **caller: str) -> str:
    answer = await world.get(f"/payments/exports/{export['export_id']}/file", **caller)
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_an_accountant_gets_every_movement_with_its_value(gateway: World) -> None:
    invoice = await paid(gateway, "25")
    await gateway.pay(PAYER, invoice["address"], "3", "TRX")
    assert (await gateway.post("/payments/refund", body(invoice, "5"))).status_code == 202
    wallet = await gateway.service(Wallets).find_by_address(gateway.treasury)
    transfer = {"wallet_id": wallet.id, "to_address": somebody(0xACC), "amount": "7"}
    sent = await gateway.post("/usdt/transfer", transfer, role="operator", sub="op-1")
    assert sent.status_code == 202, sent.text
    await gateway.tick(3)
    await gateway.solidify()
    export = await begin(gateway, value_currency="EUR", rates={"USDT": "0.92"})
    await gateway.work()
    shown = (await gateway.get(f"/payments/exports/{export['export_id']}")).json()
    assert (shown["status"], shown["days_done"], shown["days_total"]) == ("finished", 30, 30)
    rows = list(csv.DictReader(io.StringIO(await fetch(gateway, export))))
    assert len(rows) == shown["rows"] == 3, rows
    facts = {(r["kind"], r["outcome"]): (r["amount"], r["currency"], r["value"]) for r in rows}
    assert facts == {
        ("received", "credited"): ("25", "USDT", "23"),
        ("received", "wrong_currency"): ("3", "TRX", ""),
        ("refunded", ""): ("-5", "USDT", "-4.6"),
    }
    assert all(row["txid"] and row["block_number"] for row in rows)
    asked = {"format": "jsonl", "value_currency": "EUR", "rates": {"USDT": "0.92"}}
    all_rows = (await gateway.post("/payments/exports", asked, role="auditor", sub="au")).json()
    await gateway.work()
    text = await fetch(gateway, all_rows, role="auditor", sub="au")
    kinds = [json.loads(line)["kind"] for line in text.splitlines()]
    assert sorted(kinds) == ["network_fee", "received", "received", "refunded", "transferred"]
    await the_fees_are_those_of_the_books(gateway)


async def the_fees_are_those_of_the_books(world: World) -> Counter[str]:
    """All rows of an all-seeing export together against the ledger; fees in sun by kind."""
    days = 60
    first = (world.clock.now() - timedelta(days=days)).date().isoformat()
    who = {"role": "auditor", "sub": "fees"}
    begun = await world.post("/payments/exports", {"from": first}, **who)
    assert begun.status_code == 202, begun.text
    (loop,) = [each for each in world.assembly.loops.all if each.name == "gateway.export"]
    for _ in range(days + 2):
        await loop.step()
    by_kind: Counter[str] = Counter()
    for row in csv.DictReader(io.StringIO(await fetch(world, begun.json(), **who))):
        by_kind[row["kind"]] += parse_units(TRX.decimals, row["fee_trx"])
    paid = await Balance.find_one({"_id": f"{NETWORK_FEES}|TRX"})
    assert by_kind.total() == (paid.units if paid else 0), by_kind
    return by_kind


async def test_the_days_are_those_of_the_report(gateway: World) -> None:
    await paid(gateway, "25")
    export = await begin(gateway, kind="days")
    await gateway.work()
    (row,) = csv.DictReader(io.StringIO(await fetch(gateway, export)))
    (shown,) = (await gateway.get("/payments/reports")).json()["data"]
    assert row == {name: str(value) for name, value in shown.items()}


async def test_progress_a_death_in_mid_day_and_a_long_list(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tron_payment.gateway import exports as module

    await paid(gateway, "25")
    monkeypatch.setattr(module, "PART_ROWS", 2)
    for _ in range(3):
        invoice = await gateway.invoice("10")
        await gateway.pay(PAYER, invoice["address"], "10")
    await gateway.solidify()
    export = await begin(gateway)
    path = f"/payments/exports/{export['export_id']}"
    refused = await gateway.get(f"{path}/file")
    assert (refused.status_code, refused.json()["code"]) == (409, "export_not_finished")
    (loop,) = [each for each in gateway.assembly.loops.all if each.name == "gateway.export"]
    for _ in range(29):
        assert await loop.step()
    assert (await gateway.get(path)).json()["days_done"] == 29

    class Died(BaseException):
        pass

    async def die(*_: Any, **__: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(module.store, "change", die)
        with pytest.raises(Died):
            await loop.step()
    assert await ExportPart.find_all().count() > 1
    await gateway.work()
    rows = list(csv.DictReader(io.StringIO(await fetch(gateway, export))))
    assert len(rows) == len({row["txid"] for row in rows}) == 4
    assert (await gateway.get(path)).json()["rows"] == 4


async def test_a_day_that_is_over_is_written_when_its_last_block_is_applied(gateway: World) -> None:
    """A payment of 23:59:39 is final a minute later; asked for meanwhile, it is in the file."""
    await gateway.fund(PAYER.address, "500")
    await gateway.fund(PAYER.address, "500", "USDT")
    await gateway.solidify()
    invoice = await gateway.invoice("25", expires_in_s=86_400)
    left_ms = 86_400_000 - gateway.devnet.now_ms() % 86_400_000
    await gateway.devnet.mine(skip_ms=left_ms - 30_000)
    day = from_ms(gateway.devnet.now_ms()).date().isoformat()
    txid = await gateway.pay(PAYER, invoice["address"], "25")
    running = await begin(gateway, **{"from": day, "to": day})
    await gateway.work()
    early = (await gateway.get(f"/payments/exports/{running['export_id']}")).json()
    assert (early["status"], early["rows"]) == ("finished", 0), "a day under way is not waited for"
    await gateway.devnet.mine(15)
    await gateway.work()
    assert gateway.clock.now().date().isoformat() > day
    export = await begin(gateway, **{"from": day, "to": day})
    await gateway.work()
    path = f"/payments/exports/{export['export_id']}"
    waits = (await gateway.get(path)).json()
    assert (waits["status"], waits["waiting_for"], waits["days_done"]) == ("running", "follower", 0)
    assert (await gateway.get(f"{path}/file")).status_code == 409
    await gateway.solidify()
    done = (await gateway.get(path)).json()
    assert (done["status"], done["waiting_for"], done["rows"]) == ("finished", None, 1)
    assert txid in await fetch(gateway, export)


async def test_an_export_is_its_owners_and_there_are_not_many_at_once(gateway: World) -> None:
    export = await begin(gateway)
    path = f"/payments/exports/{export['export_id']}"
    assert (await gateway.get(path, sub="shop-2")).status_code == 404
    assert (await gateway.get(path, role="admin")).status_code == 403
    for _ in range(2):
        await begin(gateway)
    more = await gateway.post("/payments/exports", {})
    assert (more.status_code, more.json()["code"]) == (409, "too_many_exports")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"from": "2026-12-01", "to": "2026-11-01"}, "invalid_period"),
        ({"rates": {"USDT": "-1"}}, "invalid_amount"),
        ({"rates": {"USDT": "0"}}, "invalid_amount"),
        ({"rates": {"DOGE": "1"}}, "unknown_currency"),
        ({"value_currency": "euro"}, "invalid_field"),
        ({"kind": "everything"}, "invalid_field"),
        ({"colour": "red"}, "unknown_field"),
    ],
)
async def test_nonsense_is_refused(gateway: World, asked: Any, code: str) -> None:
    answer = await gateway.post("/payments/exports", asked)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


@pytest.mark.parametrize(
    ("units", "rate", "text"),
    [
        (1_500_000, 920_000_000, "1.38"),
        (-1_500_000, 920_000_000, "-1.38"),
        (5_000, 1_000_000_000, "0"),  # half a cent to the even one below
        (15_000, 1_000_000_000, "0.02"),
        (5_001, 1_000_000_000, "0.01"),
        (2**62, 999_999_999, "4611686013815.7"),
    ],
)
def test_values_are_exact_and_round_half_to_even(units: int, rate: int, text: str) -> None:
    assert worth(units, 6, rate) == text

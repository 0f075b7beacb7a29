"""The ledger beside the chain: a sound wallet, a booking that was tampered with."""

from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.ops.installation import hot_address
from tests.ops.live import RECIPIENT, Live
from tron_payment.db.ledger import Pocket
from tron_payment.operator.report import Exit
from tron_payment.operator.wallet_debug import together


@pytest.fixture(scope="module")
def paid(live: Live) -> dict[str, Any]:
    return live.settled(live.pay())


def movements_of(data: dict[str, Any], txid: str) -> dict[str, dict[str, Any]]:
    return {each["asset"]: each for each in data["movements"] if each["txid"] == txid}


def test_each_movement_stands_beside_its_entry(live: Live, paid: dict[str, Any]) -> None:
    code, data = live.command_json("wallets", "debug", hot_address())
    assert code == Exit.OK, data
    assert data["wrong"] == 0 and all(row["matches"] for row in data["balances"])
    assert {row["asset"] for row in data["balances"]} >= {"TRX", "USDT"}
    assert data["solid_block"] > data["books_since_block"] >= 0
    moved = movements_of(data, paid["txid"])
    assert moved["USDT"]["chain_units"] == moved["USDT"]["ledger_units"] == "-12500000"
    assert int(moved["TRX"]["chain_units"]) < 0 and moved["TRX"]["entry"]
    assert moved["USDT"]["order_id"].startswith("ord_")
    code, out, _ = live.command("wallets", "debug", hot_address(), "--blocks", "1")
    assert code == Exit.OK and "the newest 1 blocks" in out and "ledger = chain" in out


def test_a_booking_that_is_not_the_chains_is_marked(live: Live, paid: dict[str, Any]) -> None:
    uri = (Path(live.environment["SECRETS_DIR"]) / "mongodb_uri").read_text().strip()
    with MongoClient[dict[str, Any]](uri) as client:
        entries = client["tron_payment"]["ledger_entries"]
        entry = entries.find_one({"block_number": paid["settled_block"]})
        assert entry is not None
        number = next(n for n, p in enumerate(entry["postings"]) if p["asset"] == "USDT")
        field = f"postings.{number}.units"
        try:
            entries.update_one({"_id": entry["_id"]}, {"$inc": {field: 1}})
            code, data = live.command_json("wallets", "debug", hot_address())
            shown = live.command("wallets", "debug", hot_address())
        finally:
            entries.update_one({"_id": entry["_id"]}, {"$inc": {field: -1}})
    assert code == Exit.FAILED and data["wrong"] == 1, data
    moved = movements_of(data, paid["txid"])
    assert not moved["USDT"]["matches"] and moved["USDT"]["ledger_units"] == "-12500001"
    assert moved["TRX"]["matches"]
    assert "WRONG" in shown[2] and shown[0] == Exit.FAILED


def test_only_what_has_books_can_be_looked_at(live: Live) -> None:
    for nobody in (RECIPIENT, "wal_nothing"):
        code, data = live.command_json("wallets", "debug", nobody)
        assert code == Exit.FAILED and data["error"]["code"] == "not_found"
    code, data = live.command_json("wallets", "debug", hot_address(), "--blocks", "1000000")
    assert code == Exit.USAGE


def test_wallets_are_listed_with_their_money(live: Live, paid: dict[str, Any]) -> None:
    code, data = live.command_json("wallets", "list")
    assert code == Exit.OK and data["has_more"] is False, data
    (row,) = [each for each in data["wallets"] if each["address"] == hot_address()]
    assert row["kind"] == "hot" and row["status"] == "active"
    held = {each["currency"]: each["available"] for each in row["balances"]}
    assert held.keys() >= {"TRX", "USDT"} and float(held["USDT"]) > 0
    code, out, _ = live.command("wallets", "list")
    assert code == Exit.OK and hot_address() in out and "USDT available" in out
    code, data = live.command_json("wallets", "debug")
    assert code == Exit.USAGE and data["error"]["code"] == "usage"


def test_what_the_journal_has_in_sums_is_counted_and_compared_in_sums() -> None:
    """It keeps the first txid of each; a payout of the same block stands by itself."""

    def key(txid: str, asset: str = "USDT") -> tuple[str, str, Pocket]:
        return txid, asset, Pocket.AVAILABLE

    sent = {key(f"{number:02}"): number for number in range(1, 11)}
    on_chain = {**sent, key("pay"): -7, key("pay", "TRX"): -1, key("11", "TRX"): 5}
    booked = {key("02"): 55, key("pay"): -7, key("pay", "TRX"): -1, key("11", "TRX"): 5}
    assert together(on_chain, booked) == {key("02"): 10}
    assert on_chain == booked == {
        key("02"): 55, key("pay"): -7, key("pay", "TRX"): -1, key("11", "TRX"): 5
    }  # fmt: skip
    less = {key("02"): 54}
    assert together(dict(sent), less) == {key("02"): 10}
    nothing: dict[tuple[str, str, Pocket], int] = {}
    on_chain = dict(sent)
    assert together(on_chain, nothing) == {key("01"): 10}
    assert (on_chain, nothing) == ({key("01"): 55}, {key("01"): 0})

"""One timeline of a payout, by whatever id it is asked for."""

from typing import Any

import pytest

from tests.ops.installation import until
from tests.ops.live import Live
from tron_payment.operator.report import Exit

ENDPOINTS = "/api/v1/payments/webhook-endpoints"
ORDER = ("request", "payout", "order", "signed", "broadcast", "ledger")


@pytest.fixture(scope="module")
def paid(live: Live) -> dict[str, Any]:
    return live.settled(live.pay())


def first(timeline: list[dict[str, str]], what: str) -> int:
    return next(n for n, each in enumerate(timeline) if each["what"] == what)


def test_a_payout_is_followed_from_the_request_to_the_books(
    live: Live, paid: dict[str, Any]
) -> None:
    code, data = live.command_json("trace", paid["payout_id"])
    assert code == Exit.OK, data
    timeline = data["timeline"]
    places = [first(timeline, what) for what in ORDER]
    assert places[0] < places[2] and sorted(places[1:5]) == places[1:5], timeline
    assert "payouts." in timeline[places[0]]["detail"]
    (block,) = [each for each in timeline if each["what"] == "block"]
    assert "SUCCESS" in block["detail"]
    assert [each["at"] for each in timeline] == sorted(each["at"] for each in timeline)
    booked = [each["detail"] for each in timeline if each["what"] == "ledger"]
    assert any("solidified block" in each and "USDT" in each for each in booked)
    assert any(each["detail"].startswith("payout.settled") for each in timeline)
    assert data["transactions"] == [{"txid": paid["txid"], "explorer": None}]


def test_every_id_leads_to_the_same_payout(live: Live, paid: dict[str, Any]) -> None:
    code, by_payout = live.command_json("trace", paid["payout_id"])
    assert code == Exit.OK and by_payout["request_id"].startswith("req_")
    for other in (by_payout["order_id"], paid["txid"], by_payout["request_id"]):
        code, data = live.command_json("trace", other)
        assert code == Exit.OK and data["payouts"] == [paid["payout_id"]], other
        assert data["timeline"] == by_payout["timeline"]


def test_people_read_it_and_nobody_knows_a_wrong_id(live: Live, paid: dict[str, Any]) -> None:
    code, out, _ = live.command("trace", paid["payout_id"])
    assert code == Exit.OK
    assert paid["txid"] in out and "(no public explorer)" in out and "broadcast" in out
    for wrong in ("pay_nothing", "0" * 64, "req_nothing"):
        code, data = live.command_json("trace", wrong)
        assert code == Exit.FAILED and data["error"]["code"] == "not_found"


def test_the_try_to_deliver_a_webhook_is_in_it(live: Live) -> None:
    made = live.call("POST", ENDPOINTS, url="https://example.com/hook", types=["payout.settled"])
    assert made.status_code == 201, made.text
    endpoint_id = made.json()["webhook_endpoint_id"]
    try:
        payout_id = live.settled(live.pay())["payout_id"]

        def told() -> list[str]:
            _, data = live.command_json("trace", payout_id)
            lines = [each["detail"] for each in data["timeline"] if each["what"] == "webhook"]
            return [line for line in lines if f" to {endpoint_id}: " in line]  # others' endpoints

        (line, *_) = until(told, "the delivery")
        assert line.startswith("payout.settled to ")
    finally:
        live.call("DELETE", f"{ENDPOINTS}/{endpoint_id}")


def test_money_that_came_in_is_traced_by_invoice_and_transaction(live: Live) -> None:
    wish = {"kind": "invoice", "amount": "25", "currency": "USDT"}
    asked = live.call("POST", "/api/v1/payments/process", **wish)
    assert asked.status_code < 300, asked.text
    payment = asked.json()
    body = {"address": payment["address"], "amount": "25", "currency": "USDT"}
    live.devnet("/devnet/faucet", **body)
    path = f"/api/v1/payments/{payment['payment_id']}"
    until(lambda: live.call("GET", path).json()["status"] == "paid", "the invoice paid")

    def told() -> dict[str, Any] | None:
        _, found = live.command_json("trace", payment["payment_id"])
        return found if "payment.paid" in str(found["timeline"]) else None

    data = until(told, "its event")
    assert {"payment", "deposit", "ledger", "event"} <= {each["what"] for each in data["timeline"]}
    (transaction,) = data["transactions"]
    code, same = live.command_json("trace", transaction["txid"])
    assert code == Exit.OK
    assert same["timeline"][: len(data["timeline"])] == data["timeline"], "it may have gone on"

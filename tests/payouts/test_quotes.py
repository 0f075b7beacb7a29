"""Quotes agree with the bill, and their maximum binds."""

from datetime import timedelta
from typing import Any

from tests.gateway.world import SOLID_LAG
from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.core.address import address_bytes
from tron_payment.core.money import parse_units


async def quote(pay: Pay, body: dict[str, Any]) -> Any:
    answer = await pay.post("/payouts/quote", body, key=None)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def bill(pay: Pay, payout_id: str) -> Any:
    return (await pay.payout(payout_id))["fee"]


async def recipients(pay: Pay) -> dict[str, str]:
    """One of each kind."""
    hot, cold = person(), person()
    await pay.world.fund(hot, "5", "USDT")
    await pay.world.fund(cold, "1")
    await pay.settle()
    return {"hot": hot, "cold": cold, "unactivated": person()}


async def test_quoted_and_actual_fees_agree(pay: Pay) -> None:
    """Hot, cold and unactivated recipients by every route, energy burned."""
    await pay.pay(recipient_address=person())
    await pay.settle()  # the router has paid before: its own slots are warm
    cases = [("v0", "USDT"), ("direct", "USDT"), ("direct", "TRX")]
    for path, currency in cases:
        for kind, address in (await recipients(pay)).items():
            body = wish(recipient_address=address, currency=currency)
            dry = await pay.post(f"/payouts/{path}", body | {"dry_run": True}, key=None)
            assert dry.status_code == 200, dry.text
            fee = dry.json()["fee"]
            if currency == "USDT":
                assert dry.json()["recipient"] == kind
            made = await pay.pay(path, **body)
            await pay.settle()
            paid = parse_units(6, (await bill(pay, made["payout_id"]))["paid_trx"])
            expected, most = parse_units(6, fee["expected_trx"]), parse_units(6, fee["max_fee_trx"])
            assert abs(paid - expected) * 100 <= max(paid, 1), (path, currency, kind, fee, paid)
            assert paid <= most, (path, kind)


async def test_a_check_of_rows_knows_a_blacklisting_and_a_pardon_as_a_payment_does(
    pay: Pay,
) -> None:
    devnet, people = pay.world.devnet, [person() for _ in range(3)]
    bad, clock = people[1], pay.world.clock
    body = {"payouts": [wish(recipient_address=each) for each in people]}

    async def issuer(function: str) -> None:
        devnet.faucet.administer_usdt(function, [address_bytes(bad)], devnet.now_ms())
        await devnet.mine()
        clock.skew += timedelta(seconds=6)  # an answer of the chain is used again for 5 seconds

    async def refused() -> list[tuple[int, str]]:
        answer = await pay.post("/payouts/batch?dry_run=true", body, key=None)
        return [(row["row"], row["code"]) for row in answer.json()["refused"]]

    assert await refused() == []
    await issuer("addBlackList")
    assert await refused() == [(2, "recipient_blacklisted")], "the newest block is enough"
    await devnet.mine(SOLID_LAG + 2)
    await issuer("removeBlackList")
    assert await refused() == [(2, "recipient_blacklisted")], "a pardon must be solid"
    await devnet.mine(SOLID_LAG + 2)
    clock.skew += timedelta(seconds=6)
    assert await refused() == []


async def test_a_batch_is_quoted_as_it_is_paid(pay: Pay) -> None:
    rows = [wish(recipient_address=address) for address in (await recipients(pay)).values()]
    told = await quote(pay, {"payouts": [*rows, wish(amount="1")]})
    assert [row["code"] for row in told["refused"]] == ["amount_below_minimum"]
    assert len(told["quotes"]) == 3 and told["would_be_status"] == "queued"
    total = parse_units(6, told["fee"]["expected_trx"])
    assert total == sum(parse_units(6, each["fee"]["expected_trx"]) for each in told["quotes"])
    dry = await pay.post("/payouts/batch?dry_run=true", {"payouts": rows}, key=None)
    assert dry.status_code == 200 and dry.json()["dry_run"] is True, dry.text
    assert dry.json()["accepted"] == 3 and dry.json()["totals"] == {"USDT": "37.5"}
    made = await pay.batch(rows)
    await pay.settle()
    seen = (await pay.get(f"/payouts/batch/{made['batch_id']}")).json()
    paid = sum(parse_units(6, row["fee"]["paid_trx"]) for row in seen["data"])
    assert abs(paid - total) * 100 <= paid, (paid, total)


async def test_a_quote_binds_the_payout_that_names_it(pay: Pay) -> None:
    body = wish(recipient_address=person())
    told = await quote(pay, body)
    assert told["quote_id"].startswith("quo_") and told["fee"]["expires_at"]
    made = await pay.pay(**body, quote_id=told["quote_id"])
    assert made["fee"]["max_fee_trx"] == told["fee"]["max_fee_trx"]
    assert made["fee"]["quoted_trx"] == told["fee"]["expected_trx"]
    for changes in ({"amount": "12.6"}, {"recipient_address": person()}):
        other = await pay.post("/payouts/initiate", body | changes | {"quote_id": told["quote_id"]})
        assert refusal(other) == (422, "quote_differs", "quote_id")
    stranger = await pay.post(
        "/payouts/initiate", body | {"quote_id": told["quote_id"]}, sub="op-2"
    )
    assert refusal(stranger) == (404, "quote_not_found", "quote_id")
    pay.world.clock.skew += timedelta(minutes=5)
    late = await pay.post("/payouts/initiate", body | {"quote_id": told["quote_id"]})
    pay.world.clock.skew -= timedelta(minutes=5)
    assert refusal(late) == (409, "quote_expired", "quote_id")
    await pay.settle()
    fee = await bill(pay, made["payout_id"])
    assert parse_units(6, fee["paid_trx"]) <= parse_units(6, fee["max_fee_trx"])


async def test_a_quote_needs_no_key_but_the_permission(pay: Pay) -> None:
    assert (await pay.post("/payouts/quote", wish(), role="viewer")).status_code == 403
    assert refusal(await pay.post("/payouts/quote", {"amount": "12"}))[1] == "missing_field"
    assert refusal(await pay.post("/payouts/quote"))[:2] == (400, "body_missing")


async def test_analytics_count_what_settled(pay: Pay) -> None:
    made = await pay.pay(recipient_address=person(), amount="10", sub="op-of-analytics")
    await pay.settle()
    rows = (await pay.get("/payouts/analytics")).json()["rows"]
    row = next(each for each in rows if each["route"] == "v0" and each["settled"])
    assert row["success_percent"] is not None and row["seconds_to_settle"] is not None
    assert row["energy_used"] > 0 and row["energy_source"] == "burn"
    assert (await pay.get("/payouts/analytics", role="merchant", sub="nobody")).json()["rows"] == []
    assert made["payout_id"]

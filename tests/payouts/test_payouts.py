"""Single payouts from the request to the solidified block, by every route, and what is refused."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.chain.contracts import NOBODY
from tron_payment.core.money import parse_units
from tron_payment.payouts.domain import fee_source


@pytest.mark.parametrize(
    ("path", "changes", "route"),
    [
        ("initiate", {}, "v0"),
        ("v0", {}, "v0"),
        ("direct", {}, "direct"),
        ("direct", {"currency": "TRX"}, "direct"),
    ],
)
async def test_a_payout_is_settled_by_its_solid_block(
    pay: Pay, path: str, changes: dict[str, Any], route: str
) -> None:
    alice = person()
    made = await pay.pay(path, recipient_address=alice, **changes)
    assert (made["status"], made["route"], made["amount"]) == ("queued", route, "12.5")
    assert made["flags"] == ["new_recipient"]
    await pay.tick()
    seen = await pay.payout(made["payout_id"])
    assert seen["status"] == "broadcast" and seen["settled_block"] is None, seen
    await pay.settle()
    seen = await pay.payout(made["payout_id"])
    assert seen["status"] == "settled" and seen["fee"]["paid_trx"] is not None, seen
    if "currency" not in changes:
        assert await pay.held(alice) == 12_500_000
    await pay.assert_books_equal_chain()
    told = (await pay.get(f"/payouts/{seen['txid']}/explain")).json()
    assert told["status"] == "settled" and "solidified" in told["what_happened"][-1]


async def test_a_claim_or_an_attestation_takes_the_kyc_route(pay: Pay) -> None:
    alice, user = person(), "user-of-kyc"
    body = wish(user_id=user, recipient_address=alice)
    unverified = await pay.post("/payouts/kyc", body)
    assert refusal(unverified) == (422, "kyc_not_verified", "kyc_verified")
    by_claim = await pay.post("/payouts/initiate", body, kyc=True)
    assert by_claim.json()["route"] == "kyc", by_claim.text
    attestation = {
        "level": "full",
        "recipient_address": alice,
        "expires_at": (pay.world.clock.now() + timedelta(days=1)).isoformat(),
    }
    path = f"/payouts/recipients/{user}/kyc"
    for role, status in (("operator", 403), ("merchant", 403), ("compliance", 200)):
        assert (await pay.put(path, attestation, role=role)).status_code == status
    attested = await pay.post("/payouts/initiate", body)
    assert (attested.json()["route"], attested.json()["decision"]) == (
        "kyc",
        "verified by attestation",
    )
    elsewhere = await pay.post("/payouts/initiate", body | {"recipient_address": person()})
    assert elsewhere.json()["route"] == "v0"
    told = await pay.post("/payouts/initiate", body | {"kyc_verified": False})
    assert told.json()["route"] == "v0"
    await pay.settle()
    assert await pay.held(alice) == 37_500_000
    await pay.assert_books_equal_chain()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"amount": "9.999999"}, (422, "amount_below_minimum", "amount")),
        ({"amount": "10000.000001"}, (422, "amount_above_maximum", "amount")),
        ({"amount": 12.5}, (422, "invalid_amount", "amount")),
        ({"recipient_address": "T" + "1" * 33}, (422, "invalid_address", "recipient_address")),
        ({"recipient_address": NOBODY}, (422, "recipient_refused", "recipient_address")),
        ({"currency": "TRX"}, (422, "route_currency", "currency")),
        ({"kyc_verified": True}, (422, "kyc_not_verified", "kyc_verified")),
        ({"max_fee_trx": "15000.000001"}, (422, "max_fee_too_high", "max_fee_trx")),
        ({"wallet_id": "wal_nobody"}, (404, "wallet_not_found", "wallet_id")),
        (
            {"recipient_address": "own", "wallet_id": "wal_nobody"},
            (422, "recipient_is_own", "recipient_address"),
        ),
        ({"recipient_address": "token"}, (422, "recipient_is_contract", "recipient_address")),
        ({"quote_id": "quo_nobody"}, (404, "quote_not_found", "quote_id")),
    ],
)
async def test_what_is_refused(
    pay: Pay, changes: dict[str, Any], expected: tuple[int, str, str | None]
) -> None:
    names = {"own": pay.v0, "token": pay.world.usdt}
    address = changes.get("recipient_address", person())
    body = wish(**changes | {"recipient_address": names.get(address, address)})
    answer = await pay.post("/payouts/initiate", body | {"merchant_reference": "refused"})
    assert refusal(answer) == expected, answer.text
    again = await pay.get("/payouts/history", role="merchant", sub="nobody")
    assert again.json()["data"] == []


@pytest.mark.parametrize("amount", ["10", "10000"])
async def test_the_bounds_themselves_are_allowed(pay: Pay, amount: str) -> None:
    answer = await pay.post(
        "/payouts/initiate", wish(amount=amount, recipient_address=person(), dry_run=True), key=None
    )
    assert answer.status_code == 200, answer.text


async def test_a_cap_of_zero_is_a_cap_and_waits(pay: Pay) -> None:
    made = await pay.pay(max_fee_trx="0", recipient_address=person())
    await pay.tick()
    seen = await pay.payout(made["payout_id"])
    kind, _, needed = seen["waiting_for"].partition(": ")
    assert (seen["status"], kind) == ("queued", "fee_above_maximum")
    assert seen["fee"]["max_fee_trx"] == "0"
    told = (await pay.get(f"/payouts/{made['payout_id']}/explain")).json()
    assert told["waits_for"] == (  # follows "It waits for"
        f"a lower fee: it may cost up to {needed} now, and its maximum is 0 TRX"
    )
    for word, found in (("somebody", 1), ("fee_above_maximum", 1), ("funds", 0)):
        stuck = (
            await pay.get(f"/payouts/history?waiting_for={word}&status=queued,awaiting_signature")
        ).json()["data"]
        assert len([each for each in stuck if each["payout_id"] == made["payout_id"]]) == found
    enough = needed.removesuffix(" TRX")
    assert told["what_to_do"].endswith(f"with max_fee_trx {enough} or more")
    paid = await pay.pay(max_fee_trx=enough, recipient_address=person())
    await pay.settle()
    assert (await pay.payout(paid["payout_id"]))["status"] == "settled", "that was enough"


async def test_the_same_key_is_the_same_payout_by_any_mount(pay: Pay) -> None:
    key, alice = "a-key-of-the-client-1", person()
    body = wish(merchant_reference="m-1", recipient_address=alice)
    first = await pay.post("/payouts/initiate", body, key=key)
    headers = pay.world.bearer() | {"Idempotency-Key": key}
    for path in ("/payouts/initiate", "/tron/payouts/initiate", "/api/v1/payouts/initiate"):
        again = await pay.world.http.post(path, json=body, headers=headers)
        assert again.json() == first.json(), again.text
        assert again.headers["Idempotent-Replayed"] == "true"
    other = await pay.post("/payouts/initiate", body)
    assert other.status_code == 409 and other.json()["payout_id"] == first.json()["payout_id"]
    await pay.settle()
    assert await pay.held(alice) == 12_500_000


async def test_cancel_until_signed(pay: Pay) -> None:
    alice, bob = person(), person()
    made = await pay.pay(max_fee_trx="0", recipient_address=alice)
    await pay.tick()
    canceled = await pay.post(f"/payouts/{made['payout_id']}/cancel")
    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled"), canceled.text
    again = await pay.post("/payouts/cancel", {"payout_id": made["payout_id"]}, sub="late-comer")
    assert again.json()["status"] == "canceled"
    told = (await pay.get(f"/payouts/{made['payout_id']}/explain")).json()
    assert "canceled by op-1 before it was signed" in told["what_happened"][-1]
    assert (told["waits_for"], told["what_to_do"]) == (None, "nothing")
    sent = await pay.pay(recipient_address=bob)
    await pay.tick()
    late = await pay.post(f"/payouts/{sent['payout_id']}/cancel")
    assert refusal(late) == (409, "not_cancelable", None)
    await pay.settle()
    assert (await pay.held(alice), await pay.held(bob)) == (0, 12_500_000)
    await pay.assert_books_equal_chain()


async def test_a_merchant_sees_only_its_own(pay: Pay) -> None:
    made = await pay.post(
        "/payouts/initiate", wish(recipient_address=person()), role="merchant", sub="shop-1"
    )
    assert made.status_code == 202, made.text
    path = f"/payouts/{made.json()['payout_id']}"
    assert (await pay.get(path, role="merchant", sub="shop-2")).status_code == 404
    assert (await pay.get(path, role="merchant", sub="shop-1")).status_code == 200
    assert (await pay.post(path + "/cancel", role="merchant", sub="shop-2")).status_code == 404


async def test_a_dry_run_says_what_would_be_and_stores_nothing(pay: Pay) -> None:
    answer = await pay.post("/payouts/initiate", wish(dry_run=True), key=None)
    assert answer.status_code == 200, answer.text
    dry = answer.json()
    assert (dry["route"], dry["would_be_status"], dry["dry_run"]) == ("v0", "queued", True)
    assert dry["fee"]["source"] == "burn" and dry["recipient"] == "unactivated"


@pytest.mark.parametrize(
    ("fee_sun", "energy", "burned_sun", "source"),
    [
        (1_100_000, 0, 0, "burn"),  # an activation
        (0, 0, 0, "bandwidth"),
        (0, 30_000, 0, "own_energy"),
        (345_000, 30_000, 0, "mixed"),
        (13_000_000, 130_000, 13_000_000, "burn"),
        (6_000_000, 130_000, 6_000_000, "burn"),
    ],
)
def test_the_source_of_a_fee(fee_sun: int, energy: int, burned_sun: int, source: str) -> None:
    assert fee_source(fee_sun, energy, burned_sun) == source


async def test_the_activation_of_a_recipient_is_burned(pay: Pay) -> None:
    made = await pay.pay("direct", recipient_address=person(), currency="TRX", amount="12")
    await pay.settle()
    fee = (await pay.payout(made["payout_id"]))["fee"]
    assert parse_units(6, fee["paid_trx"]) >= 1_100_000 and fee["source"] == "burn"


async def test_bodies_that_handlers_read_themselves_are_documented(pay: Pay) -> None:
    document = (await pay.world.http.get("/schema")).json()
    paths = {path.removesuffix("/"): item for path, item in document["paths"].items()}
    batch = paths["/api/v1/payouts/batch"]["post"]["requestBody"]
    assert set(batch["content"]) == {"application/json", "text/csv", "application/x-ndjson"}
    rows = batch["content"]["application/json"]["schema"]["properties"]["payouts"]
    assert rows["maxItems"] == 10_000 and "user_id" in rows["items"]["properties"]
    quote = paths["/api/v1/payouts/quote"]["post"]["requestBody"]["content"]["application/json"]
    one, many = quote["schema"]["anyOf"]
    assert "recipient_address" in one["required"] and "payouts" in many["required"]
    for name, field in (("approve", "order_hash"), ("reject", "reason")):
        for prefix in ("/api/v1/payouts/{payout_id}", "/api/v1/payouts/batch/{batch_id}"):
            body = paths[f"{prefix}/{name}"]["post"]["requestBody"]
            schema = body["content"]["application/json"]["schema"]
            assert field in schema["properties"] and body["required"] is False
    assert "$defs" not in str(document["paths"])


async def test_a_name_with_a_line_break_at_its_end_is_refused_by_every_endpoint(pay: Pay) -> None:
    """It would be another name than the one without: paid twice, or past the recipient book."""
    for changes in ({"merchant_reference": "INV-77\n"}, {"user_id": "ann-77\n"}):
        row = wish(recipient_address=person(), **changes)
        for path in ("initiate", "v0", "direct"):
            answer = await pay.post(f"/payouts/{path}", row)
            assert refusal(answer)[:2] == (422, "invalid_field"), answer.text
        listed = await pay.post("/payouts/batch", {"payouts": [row]})
        lines = msgspec.json.encode(row) + b"\n"
        kind = "application/x-ndjson"
        lined = await pay.post("/payouts/batch", content=lines, media_type=kind)
        for answer in (listed, lined):
            assert refusal(answer)[:2] == (422, "no_good_row"), answer.text

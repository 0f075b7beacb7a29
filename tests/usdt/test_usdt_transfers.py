"""Token transfers from the request to the solidified block, and what is refused before."""

from datetime import timedelta

from tests.usdt.world import ALICE, BOB, World
from tron_payment.chain.contracts import NOBODY
from tron_payment.engine import Order
from tron_payment.ordered import OrderedStatus
from tron_payment.usdt import Transfer


async def body(world: World, **changes: object) -> dict[str, object]:
    wish = {"wallet_id": await world.wallet_id(), "to_address": ALICE, "amount": "12.5"}
    return {name: value for name, value in (wish | changes).items() if value is not None}


async def balance(world: World, address: str, **params: object) -> str:
    answer = await world.get(f"/usdt/balance/{address}", **params)
    assert answer.status_code == 200, answer.text
    return answer.json()["balance"]


async def test_a_transfer_arrives_and_is_settled_by_its_solid_block(world: World) -> None:
    answer = await world.post("/usdt/transfer", await body(world))
    assert answer.status_code == 202, answer.text
    first = answer.json()
    assert first["transfer_id"].startswith("trf_")
    assert (first["status"], first["amount"], first["currency"]) == ("queued", "12.5", "USDT")

    await world.work()
    await world.mine()
    await world.work()
    seen = (await world.get(f"/usdt/transfers/{first['transfer_id']}")).json()
    assert seen["status"] == "broadcast" and len(seen["txid"]) == 64
    for status, count in (("broadcast", 1), ("signed", 0), ("queued,broadcast", 1), ("failed", 0)):
        assert len((await world.get("/usdt/transfers", status=status)).json()["data"]) == count
    assert (await world.get("/usdt/transfers", status="lost")).status_code == 422

    await world.settle()
    seen = (await world.get(f"/usdt/transfers/{first['transfer_id']}")).json()
    assert seen["status"] == "settled", seen
    assert seen["block_number"] > 0 and seen["fee"]["paid_trx"] is not None
    assert await balance(world, ALICE) == "12.5"
    assert await balance(world, ALICE, at="solid") == "12.5"
    assert await balance(world, world.hot) == "4987.5"

    on_chain = (await world.get(f"/tron/network/transactions/{seen['txid']}")).json()
    assert (on_chain["solid"], on_chain["result"]) == (True, "SUCCESS")
    assert (on_chain["to"], on_chain["amount"], on_chain["currency"]) == (ALICE, "12.5", "USDT")
    assert on_chain["fee_trx"] == seen["fee"]["paid_trx"]


async def test_a_repeat_is_the_same_transfer_and_another_content_is_refused(world: World) -> None:
    wish, key = await body(world), "key-of-the-client-1"
    first = await world.post("/usdt/transfer", wish, key=key)
    again = await world.post("/usdt/transfer", wish, key=key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    other = await world.post("/usdt/transfer", await body(world, amount="13"), key=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    missing = await world.post("/usdt/transfer", wish, key=None)
    assert (missing.status_code, missing.json()["code"]) == (400, "idempotency_key_missing")
    await world.settle()
    assert await balance(world, ALICE) == "12.5"
    assert await Transfer.count() == 1


BAD_WISHES: list[tuple[dict[str, object], int, str]] = [
    ({"amount": "0"}, 422, "invalid_amount"),
    ({"amount": "-1"}, 422, "invalid_amount"),
    ({"amount": "1.0000001"}, 422, "invalid_amount"),
    ({"amount": 12.5}, 422, "invalid_amount"),
    ({"to_address": "T123"}, 422, "invalid_address"),
    ({"to_address": NOBODY}, 422, "recipient_refused"),
    ({"currency": "TRX"}, 422, "unknown_currency"),
    ({"currency": "WOW"}, 422, "unknown_currency"),
    ({"wallet_id": "wal_unknown"}, 404, "wallet_not_found"),
    ({"surprise": 1}, 422, "unknown_field"),
    ({"max_fee_trx": "x"}, 422, "invalid_amount"),
]


async def test_bad_wishes_are_refused_and_leave_nothing(world: World) -> None:
    for changes, status, code in BAD_WISHES:
        answer = await world.post("/usdt/transfer", await body(world, **changes))
        said = (answer.status_code, answer.json()["code"])
        assert said == (status, code), (changes, answer.text)
    assert await Transfer.count() == 0 and await Order.count() == 0


async def test_contracts_the_wallet_itself_and_the_blacklisted_are_refused(world: World) -> None:
    token = world.house.deployment.usdt
    for address, code in ((token, "recipient_is_contract"), (world.hot, "recipient_is_own")):
        answer = await world.post("/usdt/transfer", await body(world, to_address=address))
        assert (answer.status_code, answer.json()["code"]) == (422, code)

    await world.blacklist(BOB)
    answer = await world.post("/usdt/transfer", await body(world, to_address=BOB))
    assert (answer.status_code, answer.json()["code"]) == (422, "recipient_blacklisted")
    assert await Order.count() == 0


async def test_a_frozen_wallet_is_409_and_other_roles_are_403(world: World) -> None:
    wish = await body(world)
    for role in ("viewer", "merchant", "admin", "treasurer", "auditor"):
        answer = await world.post("/usdt/transfer", wish, role=role)
        assert answer.status_code == 403, role
    await world.http.put(
        f"/wallets/{wish['wallet_id']}", json={"frozen": True}, headers=world.headers()
    )
    answer = await world.post("/usdt/transfer", wish)
    assert (answer.status_code, answer.json()["code"]) == (409, "wallet_frozen")


async def test_a_dry_run_prices_the_transfer_and_stores_nothing(world: World) -> None:
    answer = await world.post("/usdt/transfer", await body(world, dry_run=True), key=None)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["decision"], said["would_be_status"]) == ("accept", "queued")
    assert said["fee"]["energy"] > 0
    assert await Transfer.count() == 0 and await Order.count() == 0


async def test_the_sweeper_places_an_order_that_was_lost(world: World) -> None:
    first = (await world.post("/usdt/transfer", await body(world))).json()
    await Order.find_all().delete()
    await world.work()
    assert await Order.count() == 0, "too early to be swept"
    world.clock.advance(timedelta(seconds=11))
    await world.settle()
    (transfer,) = await Transfer.find_all().to_list()
    assert (transfer.id, transfer.status) == (first["transfer_id"], OrderedStatus.SETTLED)


async def test_another_principals_transfer_does_not_exist(world: World) -> None:
    first = (await world.post("/usdt/transfer", await body(world))).json()
    path = f"/usdt/transfers/{first['transfer_id']}"
    stranger = await world.http.get(path, headers=world.headers("merchant", sub="user-2"))
    assert (stranger.status_code, stranger.json()["code"]) == (404, "transfer_not_found")
    assert (await world.get(path, role="auditor")).status_code == 200
    listed = (await world.get("/usdt/transfers")).json()
    assert [each["transfer_id"] for each in listed["data"]] == [first["transfer_id"]]


async def test_a_transfer_without_funds_waits_and_says_so(world: World) -> None:
    first = (await world.post("/usdt/transfer", await body(world, amount="6000"))).json()
    await world.work()
    seen = (await world.get(f"/usdt/transfers/{first['transfer_id']}")).json()
    assert seen["status"] == "queued" and seen["waiting_for"], seen


async def test_a_maximum_fee_of_zero_is_a_maximum(world: World) -> None:
    first = (await world.post("/usdt/transfer", await body(world, max_fee_trx="0"))).json()
    assert first["fee"]["max_fee_trx"] == "0"
    await world.work()
    seen = (await world.get(f"/usdt/transfers/{first['transfer_id']}")).json()
    assert seen["status"] == "queued"
    assert seen["waiting_for"].startswith("fee_above_maximum: ")

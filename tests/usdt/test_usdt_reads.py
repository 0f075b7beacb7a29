"""Estimates that equal the bill, allowances, history, and other tokens."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from tests.usdt.world import ALICE, BOB, SOLID, World
from tron_payment.core.address import address_of
from tron_payment.core.money import parse_units
from tron_payment.db.ledger import Holder, LedgerEntry, Pocket
from tron_payment.engine import Order
from tron_payment.usdt import Transfer, Usdt
from tron_payment.usdt.documents import TokenOpening
from tron_payment.usdt.index import TokenIndex

CAROL = address_of(b"\x41" + bytes(19) + b"\x0c")


async def settled(world: World, path: str, **body: Any) -> dict[str, Any]:
    """Ask, settle, and see that it is settled."""
    body = {"wallet_id": await world.wallet_id(), **body}
    answer = await world.post(f"/usdt/{path}", body)
    assert answer.status_code == 202, answer.text
    await world.settle()
    seen = (await world.get(f"/usdt/transfers/{answer.json()['transfer_id']}")).json()
    assert seen["status"] == "settled", seen
    return seen


@pytest.mark.parametrize("state", ["hot", "cold", "unactivated"])
async def test_an_estimate_equals_the_bill(world: World, state: str) -> None:
    if state == "hot":
        await world.fund(ALICE, usdt_units=5)
    if state == "cold":
        await world.fund(ALICE, trx=1)
    await world.settle()
    wish = {"from_address": world.hot, "to_address": ALICE, "amount": "2.5"}
    said = (await world.post("/usdt/estimate-gas", wish, key=None)).json()
    assert said["recipient"] == state

    paid = await settled(world, "transfer", to_address=ALICE, amount="2.5")
    order = await Order.find_one({"subject": paid["transfer_id"]})
    assert order.outcome.energy_used == said["energy_used"]
    transaction = (await world.get(f"/tron/network/transactions/{paid['txid']}")).json()
    assert transaction["bandwidth_used"] == said["bandwidth"]
    assert transaction["fee_trx"] == said["expected_fee_trx"]
    burned = parse_units(6, said["fee_trx"])
    assert burned == said["energy_used"] * 100 + said["bandwidth"] * 1000


async def test_estimates_refuse_what_the_contract_refuses(world: World) -> None:
    wish = {"to_address": BOB, "amount": "1"}
    poor = await world.post("/usdt/estimate-gas", wish | {"from_address": ALICE}, key=None)
    assert (poor.status_code, poor.json()["code"]) == (422, "simulation_reverted")
    assert "holds 0 USDT only" in poor.json()["detail"]
    both = {"from_address": ALICE, "wallet_id": "wal_x"}
    for extra in ({}, both):
        answer = await world.post("/usdt/estimate-gas", wish | extra, key=None)
        assert (answer.status_code, answer.json()["code"]) == (422, "estimate_source")
    by_wallet = wish | {"wallet_id": await world.wallet_id()}
    assert (await world.post("/usdt/estimate-gas", by_wallet, key=None)).status_code == 200


async def test_an_allowance_is_set_read_guarded_and_revoked(world: World) -> None:
    await settled(world, "approve", spender=BOB, amount="10")
    query = await world.get("/usdt/allowance", owner=world.hot, spender=BOB)
    path = await world.get(f"/usdt/allowance/{world.hot}/{BOB}")
    assert query.json() == path.json() and query.json()["allowance"] == "10"

    wish = {"wallet_id": await world.wallet_id(), "spender": BOB, "amount": "20"}
    refused = await world.post("/usdt/approve", wish)
    assert (refused.status_code, refused.json()["code"]) == (409, "allowance_not_zero")
    assert refused.json()["allowance"] == "10"
    wrong = await world.post("/usdt/approve", wish | {"expected_allowance": "9"})
    assert (wrong.status_code, wrong.json()["code"]) == (409, "allowance_differs")
    await settled(world, "approve", spender=BOB, amount="20", expected_allowance="10")
    await settled(world, "approve", spender=BOB, amount="0")
    assert (await world.get(f"/usdt/allowance/{world.hot}/{BOB}")).json()["allowance"] == "0"


async def test_one_approval_of_a_spender_at_a_time(world: World) -> None:
    wish = {"wallet_id": await world.wallet_id(), "spender": BOB, "amount": "10"}
    first = await world.post("/usdt/approve", wish)
    second = await world.post("/usdt/approve", wish)
    assert (first.status_code, second.status_code) == (202, 409)
    assert second.json()["code"] == "approval_in_flight"
    assert second.json()["transfer_id"] == first.json()["transfer_id"]
    other = await world.post("/usdt/approve", wish | {"spender": CAROL})
    assert other.status_code == 202
    await world.settle()
    again = await world.post("/usdt/approve", wish | {"expected_allowance": "10"})
    assert again.status_code == 202
    assert await Transfer.find({"kind": "approval"}).count() == 3


async def test_history_is_what_solid_blocks_moved(world: World) -> None:
    for amount in ("1", "2", "3"):
        await settled(world, "transfer", to_address=ALICE, amount=amount)
    path = f"/usdt/transactions/{world.hot}"
    first = (await world.get(path, limit=2)).json()
    assert [each["amount"] for each in first["data"]] == ["3", "2"]
    assert first["source"] == "follower" and first["has_more"] is True
    rest = (await world.get(path, limit=2, cursor=first["next_cursor"])).json()
    assert [(each["amount"], each["direction"]) for each in rest["data"]] == [
        ("1", "out"),
        ("5000", "in"),
    ]
    assert rest["data"][0]["to"] == ALICE and len(rest["data"][0]["txid"]) == 64
    await world.fund(world.hot, usdt_units=7_000_000)
    await world.mine(SOLID)
    await world.work()
    newest = (await world.get(path, limit=1)).json()["data"][0]
    assert (newest["amount"], newest["direction"]) == ("7", "in")
    assert (await world.get(path, cursor="nonsense")).json()["code"] == "invalid_cursor"


async def test_a_strangers_history_comes_from_the_nodes_index(world: World) -> None:
    history = world.house.use(Usdt).history
    for units in (1_000_000, 2_000_000, 3_000_000):
        await world.fund(ALICE, usdt_units=units)
    await world.mine(SOLID)
    path = f"/usdt/transactions/{ALICE}"
    history._index = None
    nobody = (await world.get(path)).json()
    assert (nobody["source"], nobody["data"]) == ("none", []) and nobody["note"]

    node = httpx.AsyncClient(transport=httpx.ASGITransport(world.devnet.asgi))
    history._index = TokenIndex("http://devnet", node, SecretStr(""), 5)
    first = (await world.get(path, limit=2)).json()
    assert first["source"] == "index" and first["has_more"] is True
    assert [each["amount"] for each in first["data"]] == ["3", "2"]
    rest = (await world.get(path, limit=2, cursor=first["next_cursor"])).json()
    assert [(each["amount"], each["direction"]) for each in rest["data"]] == [("1", "in")]
    assert rest["data"][0]["to"] == ALICE and rest["has_more"] is False
    bad = await world.get(path, cursor="nonsense")
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid_cursor")

    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, json={"success": False, "error": "frequency limit"})

    busy = httpx.AsyncClient(transport=httpx.MockTransport(refuse))
    history._index = TokenIndex("http://devnet", busy, SecretStr(""), 5)
    away = await world.get(path)
    assert (away.status_code, away.json()["code"]) == (503, "index_unavailable")
    assert (await world.get(f"/usdt/transactions/{world.hot}")).json()["source"] == "follower"


async def test_another_token_is_registered_only_after_its_contract_has_answered(
    world: World,
) -> None:
    token = await world.deploy_token("Wrapped Euro", "EURW", 2)
    wish = {"contract_address": token, "symbol": "EURW"}
    assert (await world.post("/usdt/tokens", wish, role="viewer")).status_code == 403
    made = await world.post("/usdt/tokens", wish)
    assert made.status_code == 201, made.text
    assert made.json() == {
        "currency": "EURW",
        "name": "Wrapped Euro",
        "contract_address": token,
        "decimals": 2,
    }
    listed = (await world.get("/usdt/tokens")).json()["data"]
    assert [each["currency"] for each in listed] == ["USDT", "EURW"]
    again = await world.post("/usdt/tokens", wish)
    assert (again.status_code, again.json()["code"]) == (409, "token_exists")
    balance = (await world.get(f"/usdt/balance/{ALICE}", currency="EURW")).json()
    assert (balance["balance"], balance["currency"]) == ("0", "EURW")
    assert world.house.engine.settler._tokens.by_contract[token] == "EURW"


async def test_what_a_wallet_held_of_a_token_before_its_registration_can_be_sent(
    world: World,
) -> None:
    token = await world.deploy_token("Wrapped Euro", "EURW", 2)
    await world.token_transfer(token, world.hot, 5_000)
    made = await world.post("/usdt/tokens", {"contract_address": token})
    assert made.status_code == 201
    await world.token_transfer(token, world.hot, 250)
    await world.mine(2 * SOLID)
    await world.work()
    await world.mine(SOLID)
    await world.work()
    held = (await world.house.ledger.holdings(world.hot))["EURW"]
    assert held[Pocket.AVAILABLE] == 5_250, "before and after the registration, each once"
    assert await TokenOpening.count() == 0
    opened = await LedgerEntry.find_one({"cause": {"$regex": f"^open:.*{token}"}})
    holder = await Holder.find_one({"_id": world.hot})
    assert opened is not None and opened.opens is not None and holder is not None
    assert 0 < opened.opens[0].block_number <= holder.opened_block, "they are not booked again"

    await settled(world, "transfer", to_address=ALICE, amount="12.34", currency="EURW")
    held = (await world.house.ledger.holdings(world.hot))["EURW"]
    assert held[Pocket.AVAILABLE] == 4_016 and not held.get(Pocket.RESERVED)
    balance = (await world.get(f"/usdt/balance/{world.hot}", currency="EURW")).json()
    assert balance["balance"] == "40.16"


BAD_TOKENS: list[tuple[int, str, str | None, int, str]] = [
    (18, "BIG", None, 422, "not_a_token"),
    (6, "no good", None, 422, "not_a_token"),
    (6, "USDT", None, 409, "token_exists"),
    (6, "TRX", None, 409, "token_exists"),
    (6, "GOOD", "OTHER", 422, "not_a_token"),
]


async def test_bad_tokens_are_refused(world: World) -> None:
    for decimals, symbol, expected, status, code in BAD_TOKENS:
        token = await world.deploy_token("Token", symbol, decimals)
        answer = await world.post("/usdt/tokens", {"contract_address": token, "symbol": expected})
        said = (answer.status_code, answer.json()["code"])
        assert said == (status, code), (symbol, answer.text)
    assert len((await world.get("/usdt/tokens")).json()["data"]) == 1


async def test_no_token_lives_at_a_plain_address(world: World) -> None:
    answer = await world.post("/usdt/tokens", {"contract_address": ALICE})
    assert (answer.status_code, answer.json()["code"]) == (422, "not_a_token")


BAD_QUESTIONS: list[tuple[str, dict[str, str], str]] = [
    (f"/usdt/balance/{ALICE[:-1]}x", {}, "invalid_address"),
    (f"/usdt/balance/{ALICE}", {"at": "moon"}, "invalid_parameter"),
    (f"/usdt/balance/{ALICE}", {"currency": "TRX"}, "unknown_currency"),
    ("/usdt/allowance", {"owner": ALICE}, "invalid_parameter"),
    ("/usdt/transactions/x", {}, "invalid_address"),
]


async def test_bad_questions(world: World) -> None:
    for path, params, code in BAD_QUESTIONS:
        answer = await world.get(path, **params)
        assert (answer.status_code, answer.json()["code"]) == (422, code), (path, answer.text)


async def test_a_balance_names_its_block(world: World) -> None:
    await world.mine(3)
    head = (await world.get(f"/usdt/balance/{world.hot}")).json()
    solid = (await world.get(f"/usdt/balance/{world.hot}", at="solid")).json()
    chain = world.devnet.chain
    assert (head["block_number"], head["exact"]) == (chain.head.number, True)
    assert head["block_id"] == chain.head.id.hex()
    assert (solid["block_number"], solid["at"]) == (chain.solid_number, "solid")

"""What each USDT endpoint did, read from the chain by asking a node directly."""

from tests.staking.raw_node import RawNode
from tests.usdt.world import ALICE, BOB, World

BALANCE = "balanceOf(address)"
ALLOWANCE = "allowance(address,address)"


async def test_a_transfer_an_approval_and_a_registered_token(world: World) -> None:
    node, usdt = RawNode(world), world.house.deployment.usdt
    wallet_id = await world.wallet_id()
    wish = {"wallet_id": wallet_id, "to_address": ALICE, "amount": "12.5"}
    estimate = {"from_address": world.hot, "to_address": ALICE, "amount": "12.5"}
    gas = (await world.post("/usdt/estimate-gas", estimate, key=None)).json()
    asked = await world.post("/usdt/transfer", wish)
    allow = {"wallet_id": wallet_id, "spender": BOB, "amount": "7.25"}
    assert (await world.post("/usdt/approve", allow)).status_code == 202
    await world.settle()

    assert await node.token_word(usdt, BALANCE, ALICE) == 12_500_000
    assert await node.token_word(usdt, ALLOWANCE, world.hot, BOB) == 7_250_000
    assert (await world.get(f"/usdt/balance/{ALICE}")).json()["balance"] == "12.5"
    assert (await world.get(f"/usdt/allowance/{world.hot}/{BOB}")).json()["allowance"] == "7.25"
    seen = (await world.get(f"/usdt/transfers/{asked.json()['transfer_id']}")).json()
    receipt = await node.ask("gettransactioninfobyid", value=seen["txid"])
    assert receipt["receipt"]["energy_usage_total"] == gas["energy_used"]
    assert receipt["blockNumber"] == seen["block_number"]
    told = (await world.get(f"/tron/network/transactions/{seen['txid']}")).json()
    assert told["energy_used"] == gas["energy_used"] and told["solid"] is True
    (moved,) = (await world.get(f"/usdt/transactions/{world.hot}", limit=1)).json()["data"]
    assert (moved["txid"], moved["amount"], moved["to"]) == (seen["txid"], "12.5", ALICE)

    token = await world.deploy_token("Wrapped Euro", "EURW", 2)
    assert (await world.post("/usdt/tokens", {"contract_address": token})).status_code == 201
    supply = await node.token_word(token, "decimals()")
    listed = (await world.get("/usdt/tokens")).json()["data"]
    assert listed[-1]["decimals"] == supply == 2


async def test_a_transfer_that_waits_is_canceled_and_never_reaches_the_chain(world: World) -> None:
    node, usdt = RawNode(world), world.house.deployment.usdt
    wish = {"wallet_id": await world.wallet_id(), "to_address": ALICE, "amount": "1"}
    first = (await world.post("/usdt/transfer", wish | {"max_fee_trx": "0"})).json()
    await world.work()
    path = f"/usdt/transfers/{first['transfer_id']}"
    stranger = await world.http.post(f"{path}/cancel", headers=world.headers("merchant"))
    assert stranger.status_code == 403
    answer = await world.post(f"{path}/cancel", None)
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled"), answer.text
    assert (await world.post(f"{path}/cancel", None)).json()["status"] == "canceled"
    await world.settle()
    assert await node.token_word(usdt, BALANCE, ALICE) == 0
    assert (await world.get(path)).json()["txid"] is None

    sent = (await world.post("/usdt/transfer", wish)).json()
    await world.settle()
    late = await world.post(f"/usdt/transfers/{sent['transfer_id']}/cancel", None)
    assert (late.status_code, late.json()["code"]) == (409, "order_finished")
    missing = await world.post("/usdt/transfers/trf_nothing/cancel", None)
    assert (missing.status_code, missing.json()["code"]) == (404, "transfer_not_found")

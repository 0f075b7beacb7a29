"""The network's endpoints against the devnet: what they say is what the chain holds."""

from tests.usdt.world import ALICE, World
from tron_payment.core.address import address_bytes


async def ok(world: World, path: str) -> dict[str, object]:
    answer = await world.get(f"/tron/network/{path}", role="viewer")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_info_names_the_chain_and_our_contracts(world: World) -> None:
    said = await ok(world, "info")
    chain = world.devnet.chain
    assert said["network"] == "devnet"
    assert (said["genesis_id"], said["chain_id"]) == (chain.genesis_id.hex(), chain.chain_id)
    assert said["usdt_contract"] == world.house.deployment.usdt
    assert said["routers"] == {"v0": None, "kyc": None}
    assert [each["alias"] for each in said["nodes"]] == ["devnet"]


async def test_height_shows_head_solid_and_our_follower(world: World) -> None:
    await world.mine(5)
    said = await ok(world, "height")
    chain = world.devnet.chain
    assert said["head"]["number"] == chain.head.number
    assert said["head"]["id"] == chain.head.id.hex()
    assert said["solid"]["number"] == chain.solid_number
    assert said["follower"]["lag_blocks"] == 5
    await world.work()
    assert (await ok(world, "height"))["follower"]["lag_blocks"] == 0
    assert said["head"]["time"].endswith("Z")


async def test_status_and_health_are_healthy_and_say_what_ails(world: World) -> None:
    assert (await ok(world, "health"))["status"] == "healthy"
    said = await ok(world, "status")
    assert said["status"] == "healthy" and said["nodes"][0]["state"] == "closed"
    await world.mine(60)
    degraded = await ok(world, "health")
    assert degraded["status"] == "degraded" and "follower" in degraded["reasons"][0]

    await world.house.cursors.halt("two blocks at one height")
    answer = await world.get("/tron/network/health")
    assert (answer.status_code, answer.json()["code"]) == (503, "follower_halted")


async def test_fees_are_the_chains_prices_and_what_a_transfer_really_needs(world: World) -> None:
    said = await ok(world, "fees")
    assert (said["energy_price_sun"], said["bandwidth_price_sun"]) == (100, 1000)
    assert (said["activation_trx"], said["memo_trx"]) == ("1.1", "1")
    assert said["usdt_transfer_source"] == "model"
    assert said["usdt_transfer"]["cold"]["energy"] > said["usdt_transfer"]["warm"]["energy"] > 0
    assert said["usdt_transfer"]["warm"]["bandwidth"] == 345


async def test_parameters_are_the_nodes_own(world: World) -> None:
    parameters = (await ok(world, "parameters"))["parameters"]
    assert parameters["getEnergyFee"] == 100 and parameters["getTransactionFee"] == 1000


async def test_a_block_tells_its_transactions_in_words(world: World) -> None:
    await world.fund(ALICE, trx=3)
    number = world.devnet.chain.head.number
    fresh = await ok(world, f"blocks/{number}")
    assert fresh["solid"] is False and fresh["transaction_count"] == 1
    (transfer,) = fresh["transactions"]
    assert (transfer["to"], transfer["amount"], transfer["currency"]) == (ALICE, "3", "TRX")
    assert (transfer["status"], transfer["fee_trx"]) == ("included", "1.1")
    assert transfer["contract_type"] == "TransferContract"

    await world.mine(25)
    assert (await ok(world, f"blocks/{number}"))["solid"] is True
    seen = await ok(world, f"transactions/{transfer['txid']}")
    assert (seen["status"], seen["solid"], seen["block_number"]) == ("solid", True, number)
    genesis = await ok(world, "blocks/0")
    assert genesis["number"] == 0


async def test_a_pending_transaction_is_pending(world: World) -> None:
    tx = world.devnet.faucet.send_trx(address_bytes(ALICE), 1_000_000, world.devnet.now_ms())
    seen = await ok(world, f"transactions/{tx.txid.hex()}")
    assert (seen["status"], seen["solid"], seen["block_number"]) == ("pending", False, None)


BAD_IDS = [
    ("blocks/99999999", 404, "block_not_found"),
    ("blocks/-1", 422, "invalid_block_number"),
    ("blocks/abc", 422, "invalid_block_number"),
    ("blocks/1e3", 422, "invalid_block_number"),
    ("transactions/" + "0" * 64, 404, "transaction_not_found"),
    ("transactions/xyz", 422, "invalid_txid"),
]


async def test_bad_and_unknown_ids(world: World) -> None:
    for path, status, code in BAD_IDS:
        answer = await world.get(f"/tron/network/{path}")
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_a_dead_node_is_503_and_comes_back(world: World) -> None:
    (member,) = world.house.nodes.members
    good = member.client._calls._pool

    class Dead:
        async def handle_async_request(self, request: object) -> object:
            raise OSError("the wire is cut")

    member.client._calls._pool = Dead()
    for path in ("height", "health", "blocks/1", "fees"):
        answer = await world.get(f"/tron/network/{path}")
        assert answer.status_code == 503, answer.text
        assert answer.json()["retryable"] is True
    state = (await ok(world, "status"))["nodes"][0]["state"]
    assert state == "open"
    member.client._calls._pool = good

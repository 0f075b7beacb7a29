"""From a faucet to a solidified receipt."""

from tests.devnet.client import ALICE, BOB, Client
from tron_payment.devnet import Devnet


async def test_a_transfer_is_built_signed_packed_and_solidified(
    client: Client, devnet: Devnet
) -> None:
    await client.fund(ALICE)
    built = await client.wallet(
        "createtransaction", owner_address=ALICE.hex, to_address=BOB.hex, amount=5_000_000
    )
    assert await client.send(built, ALICE) == {"result": True, "txid": built["txID"]}
    assert await client.wallet("gettransactioninfobyid", value=built["txID"]) == {}
    assert (await client.wallet("gettransactionbyid", value=built["txID"]))["ret"]

    await devnet.mine()
    info = await client.wallet("gettransactioninfobyid", value=built["txID"])
    assert info["fee"] == 1_100_000
    assert info["receipt"] == {"net_fee": 100_000}
    assert await client.solid("gettransactioninfobyid", value=built["txID"]) == {}

    await devnet.mine(27)
    assert await client.solid("gettransactioninfobyid", value=built["txID"]) == info
    account = await client.solid("getaccount", address=BOB.hex)
    assert account["balance"] == 5_000_000


async def test_the_solid_block_is_eighteen_behind(client: Client, devnet: Devnet) -> None:
    await devnet.mine(40)
    info = await client.http.get("/devnet/info")
    assert info.json()["head"] - info.json()["solid"] == 18


async def test_usdt_costs_what_it_costs(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    await client.fund(ALICE, "100", "USDT")
    token = devnet.faucet.usdt
    assert token is not None
    data = "a9059cbb" + BOB.hex[2:].rjust(64, "0") + f"{1_000_000:064x}"
    bills = []
    for _ in range(2):
        info = await client.run(
            "triggersmartcontract",
            ALICE,
            contract_address=token.hex(),
            data=data,
            fee_limit=100_000_000,
        )
        assert info["receipt"]["result"] == "SUCCESS"
        assert len(info["log"]) == 1
        assert info["contractResult"] == ["0" * 64]
        bills.append(info["receipt"]["energy_usage_total"])
    assert bills[0] - bills[1] == 15_000
    bandwidth = info["receipt"]
    assert bandwidth["net_fee"] == 345_000

"""The test USDT behaves as Tether's on the main net, and its owner is at the end of a control.

What the contract does in detail is tested with the contracts; here it is the whole way: control,
transaction, block, receipt, events, balance.
"""

from typing import Any

import pytest

from tests.devnet.client import ALICE, BOB, CAROL, Client, Wallet
from tests.devnet.test_contracts import call
from tron_payment.devnet import Devnet
from tron_payment.devnet.genesis import FAUCET
from tron_payment.devnet.keys import from_base58check, keccak

NO, YES = f"{0:064x}", f"{1:064x}"
NAMES = {
    keccak(f"{name}({kinds})".encode()).hex(): name
    for name, kinds in (
        ("Transfer", "address,address,uint256"),
        ("DestroyedBlackFunds", "address,uint256"),
        ("Issue", "uint256"),
        ("Redeem", "uint256"),
        ("Params", "uint256,uint256"),
        ("AddedBlackList", "address"),
        ("Pause", ""),
        ("Deprecate", "address"),
    )
}


class Token:
    """The devnet's USDT in few words. Amounts are units."""

    def __init__(self, client: Client, devnet: Devnet) -> None:
        address = from_base58check(devnet.info()["usdt_contract"])
        assert address is not None
        self.client, self.hex = client, address.hex()

    async def owner(self, function: str, *arguments: Any) -> dict[str, Any]:
        """A call of the owner through the control; its receipt."""
        answer = await self.client.post("/devnet/usdt", function=function, arguments=arguments)
        assert "txid" in answer, answer
        await self.client.devnet.mine()
        info = await self.client.wallet("gettransactioninfobyid", value=answer["txid"])
        return dict(info)

    async def send(self, wallet: Wallet, selector: str, *words: bytes | int) -> dict[str, Any]:
        data = keccak(selector.encode())[:4].hex() + "".join(
            (word[1:].hex() if isinstance(word, bytes) else f"{word:x}").rjust(64, "0")
            for word in words
        )
        return await call(self.client, wallet, self.hex, data)

    async def transfer(self, wallet: Wallet, to: Wallet, units: int) -> dict[str, Any]:
        return await self.send(wallet, "transfer(address,uint256)", to.address, units)

    async def balance(self, of: bytes) -> int:
        answer = await self.client.wallet(
            "triggerconstantcontract",
            owner_address=ALICE.hex,
            contract_address=self.hex,
            function_selector="balanceOf(address)",
            parameter=of[1:].hex().rjust(64, "0"),
        )
        return int(answer["constant_result"][0], 16)


def events(info: dict[str, Any]) -> list[tuple[str, int]]:
    """Name and last number of each event."""
    return [
        (NAMES[log["topics"][0]], int(log["data"][-64:] or "0", 16) if "data" in log else 0)
        for log in info.get("log", [])
    ]


@pytest.fixture
async def token(client: Client, devnet: Devnet) -> Token:
    """Alice has TRX and 100 USDT, Bob TRX."""
    for wallet in (ALICE, BOB):
        await client.fund(wallet, "10000")
    await client.fund(ALICE, "100", "USDT")
    return Token(client, devnet)


async def test_a_transfer_succeeds_and_answers_false(token: Token) -> None:
    info = await token.transfer(ALICE, BOB, 5)
    assert info["receipt"]["result"] == "SUCCESS"
    assert info["contractResult"] == [NO]
    assert events(info) == [("Transfer", 5)]
    await token.send(ALICE, "approve(address,uint256)", BOB.address, (1 << 256) - 1)
    for units in (7, 8):
        selector = "transferFrom(address,address,uint256)"
        info = await token.send(BOB, selector, ALICE.address, CAROL.address, units)
        assert info["contractResult"] == [YES]  # and an endless allowance stays endless
    assert await token.balance(CAROL.address) == 15


async def test_too_much_is_a_revert_that_costs(token: Token) -> None:
    info = await token.transfer(ALICE, BOB, 100_000_001)
    assert (info["result"], info["receipt"]["result"]) == ("FAILED", "REVERT")
    assert info["fee"] > 0 and "log" not in info


async def test_the_fee_is_taken_from_what_arrives(token: Token) -> None:
    assert events(await token.owner("setParams", 10, 49)) == [("Params", 49_000_000)]
    owner_before = await token.balance(FAUCET)
    info = await token.transfer(ALICE, BOB, 10_000_000)
    assert events(info) == [("Transfer", 9_990_000), ("Transfer", 10_000)]
    assert await token.balance(BOB.address) == 9_990_000
    assert await token.balance(FAUCET) == owner_before + 10_000
    assert await token.balance(ALICE.address) == 90_000_000


@pytest.mark.parametrize("params", [(20, 49), (19, 50)])
async def test_the_fee_has_its_bounds(token: Token, params: tuple[int, int]) -> None:
    assert (await token.owner("setParams", *params))["receipt"]["result"] == "REVERT"


async def test_a_paused_token_moves_nothing(token: Token) -> None:
    assert events(await token.owner("pause")) == [("Pause", 0)]
    assert (await token.transfer(ALICE, BOB, 1))["receipt"]["result"] == "REVERT"
    await token.owner("unpause")
    assert (await token.transfer(ALICE, BOB, 1))["receipt"]["result"] == "SUCCESS"


async def test_the_black_list_stops_sending_and_lets_receive(token: Token) -> None:
    await token.transfer(ALICE, BOB, 50)
    await token.owner("addBlackList", BOB.text)
    assert (await token.transfer(BOB, ALICE, 1))["receipt"]["result"] == "REVERT"
    assert (await token.transfer(ALICE, BOB, 1))["receipt"]["result"] == "SUCCESS"
    await token.owner("removeBlackList", BOB.text)
    assert (await token.transfer(BOB, ALICE, 1))["receipt"]["result"] == "SUCCESS"


async def test_destroyed_funds_leave_no_transfer_behind(token: Token) -> None:
    assert (await token.owner("destroyBlackFunds", ALICE.text))["receipt"]["result"] == "REVERT"
    await token.owner("addBlackList", ALICE.text)
    info = await token.owner("destroyBlackFunds", ALICE.text)
    assert events(info) == [("DestroyedBlackFunds", 100_000_000)]
    assert await token.balance(ALICE.address) == 0


async def test_supply_grows_and_shrinks_at_the_owner(token: Token) -> None:
    before = await token.balance(FAUCET)
    assert events(await token.owner("issue", 500)) == [("Issue", 500), ("Transfer", 500)]
    assert await token.balance(FAUCET) == before + 500
    assert events(await token.owner("redeem", 200)) == [("Redeem", 200), ("Transfer", 200)]
    assert await token.balance(FAUCET) == before + 300


async def test_a_deprecated_token_asks_its_successor(token: Token) -> None:
    """There is no contract at Carol's address, so every question fails."""
    info = await token.owner("deprecate", CAROL.text)
    assert [name for name, _ in events(info)] == ["Deprecate"]
    assert (await token.transfer(ALICE, BOB, 1))["receipt"]["result"] == "REVERT"


async def test_only_the_owner_rules(token: Token) -> None:
    info = await token.send(ALICE, "pause()")
    assert info["receipt"]["result"] == "REVERT"


@pytest.mark.parametrize(
    "body",
    [
        {"function": "mint", "arguments": [1]},
        {"function": "issue", "arguments": []},
        {"function": "issue", "arguments": ["1"]},
        {"function": "issue", "arguments": [-1]},
        {"function": "addBlackList", "arguments": ["nobody"]},
        {"function": None},
    ],
)
async def test_a_control_of_the_token_that_makes_no_sense(
    client: Client, body: dict[str, Any]
) -> None:
    assert (await client.http.post("/devnet/usdt", json=body)).status_code == 400

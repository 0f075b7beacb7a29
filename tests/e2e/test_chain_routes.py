"""Every route of USDT, the network and staking on the running service: what it does and says is
what a node says that is asked directly.

The routes come from the service's own document; one without a check fails the test. What takes
days of chain time (unstaked TRX, rewards) is in tests/staking, against a raw node, too.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import httpx
import pytest
from coincurve import PrivateKey

from tests.e2e.addresses import fresh_address
from tests.e2e.service import FINAL, POLL_S, SETTLE_S, Service, new_key
from tron_payment import chain
from tron_payment.contracts import artifact, signer_address
from tron_payment.contracts.codec import keccak256
from tron_payment.core.address import Address, address_bytes, address_of, address_of_hex
from tron_payment.core.clock import from_ms, rfc3339

API: Final = "/api/v1"
ROUTES: Final = re.compile(r"/(usdt|staking|tron/network)(/|$)")
SUN: Final = 1_000_000
DEPLOY_FEE_LIMIT_SUN: Final = 5_000 * SUN
LIFETIME_MS: Final = 600_000
TRC20: Final = "TestUSDT"


@dataclass
class Told:
    """One wallet of its own, and both sides: the service and a raw node."""

    api: httpx.AsyncClient
    node: httpx.AsyncClient
    templates: dict[str, re.Pattern[str]]
    wallet_id: str = ""
    address: str = ""
    usdt: str = ""
    asked: set[str] = field(default_factory=set)

    async def _ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Idempotency-Key": new_key()} if method == "POST" else {}
        answer = await self.api.request(method, API + path, json=body, headers=headers)
        bare = path.partition("?")[0]
        template = next(name for name, shape in self.templates.items() if shape.fullmatch(bare))
        self.asked.add(f"{method} {template}")
        return answer

    async def get(self, path: str) -> Any:
        answer = await self._ask("GET", path)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json() if "json" in answer.headers["content-type"] else answer.text

    async def post(self, path: str, status: int = 202, **body: Any) -> Any:
        answer = await self._ask("POST", path, body or None)
        assert answer.status_code == status, (path, answer.text)
        return answer.json()

    async def wallet(self, path: str, *, solid: bool = False, **body: Any) -> Any:
        """The raw node."""
        side = "walletsolidity" if solid else "wallet"
        answer = await self.node.post(f"/{side}/{path}", json=body | {"visible": True})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def token_word(self, contract: str, signature: str, *addresses: str) -> int:
        """A number that a contract's function answers."""
        words = (address_bytes(Address(each))[1:].hex().rjust(64, "0") for each in addresses)
        answer = await self.wallet(
            "triggerconstantcontract",
            owner_address=self.address,
            contract_address=contract,
            function_selector=signature,
            parameter="".join(words),
        )
        return int(answer["constant_result"][0], 16)

    async def ended(self, path: str, ids: list[str]) -> list[dict[str, Any]]:
        """These objects once they are settled on solidified blocks."""
        found = {}
        async with asyncio.timeout(SETTLE_S):
            while len(found) < len(ids):
                for each in ids:
                    seen = await self.get(f"{path}/{each}")
                    if seen["status"] in FINAL:
                        assert seen["status"] == "settled", seen
                        found[each] = seen
                await asyncio.sleep(POLL_S)
        return [found[each] for each in ids]

    async def staked(self, *wishes: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Operations asked for at once, settled; each stands in the raw node's solid block."""
        ids = []
        for what, body in wishes:
            made = await self.post(f"/staking/{what}", wallet_id=self.wallet_id, **body)
            ids.append(made["stake_id"])
        done = await self.ended("/staking/operations", ids)
        for each in done:
            receipt = await self.wallet("gettransactioninfobyid", solid=True, value=each["txid"])
            assert receipt["blockNumber"] == each["block_number"], each
        return done

    async def faucet(self, address: str, amount: str, currency: str = "TRX") -> None:
        body = {"address": address, "amount": amount, "currency": currency}
        (await self.node.post("/devnet/faucet", json=body)).raise_for_status()

    async def until(self, path: str, **same: Any) -> Any:
        """The answer once it says this."""
        async with asyncio.timeout(SETTLE_S):
            while True:
                answer = await self._ask("GET", path)
                said = answer.json()
                if answer.status_code == 200 and said.items() >= same.items():
                    return said
                await asyncio.sleep(POLL_S)


@pytest.fixture
async def told(service: Service) -> AsyncIterator[tuple[Told, set[str]]]:
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(service.client("operator", "chain-routes"))
        node = await stack.enter_async_context(service.devnet())
        paths = {
            path.removeprefix(API): item
            for path, item in (await api.get("/schema")).json()["paths"].items()
            if path.startswith(API) and ROUTES.match(path.removeprefix(API))
        }
        shapes = {
            path: re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path))
            for path in sorted(paths, key=lambda each: each.count("{"))
        }
        it = Told(api, node, shapes)
        label = f"chain-routes-{new_key()}"
        made = await api.post(f"{API}/wallets", json={"label": label, "kind": "hot"})
        assert made.status_code == 201, made.text
        it.wallet_id, it.address = made.json()["wallet_id"], made.json()["address"]
        it.usdt = (await node.get("/devnet/info")).json()["usdt_contract"]
        await it.faucet(it.address, "4000")
        await it.faucet(it.address, "100", "USDT")
        routes = {
            f"{method.upper()} {path}"
            for path, item in paths.items()
            for method in item
            if method in ("get", "post", "put", "delete")
        }
        assert len(routes) > 35, routes
        yield it, routes


async def test_every_route_is_what_a_node_says(told: tuple[Told, set[str]]) -> None:
    it, routes = told
    await it.until(f"/usdt/balance/{it.address}?at=solid", balance="100")
    txid = await of_usdt(it)
    await of_tokens(it)
    await of_staking(it)
    await of_plans(it)
    await of_network(it, txid)
    assert it.asked == routes, (routes - it.asked, it.asked - routes)


# ---- USDT ----------------------------------------------------------------------------------------


async def of_usdt(it: Told) -> str:
    """Transfer, approval, cancelation and all that is said of them; the transfer's txid."""
    to, spender = fresh_address(), fresh_address()
    bill = await it.post(
        "/usdt/estimate-gas", 200, from_address=it.address, to_address=to, amount="12.5"
    )
    sent = await it.post("/usdt/transfer", wallet_id=it.wallet_id, to_address=to, amount="12.5")
    allow = await it.post("/usdt/approve", wallet_id=it.wallet_id, spender=spender, amount="7.25")
    held = await it.post(
        "/usdt/transfer", wallet_id=it.wallet_id, to_address=to, amount="1", max_fee_trx="0"
    )
    ended = await it.post(f"/usdt/transfers/{held['transfer_id']}/cancel", 200)
    assert ended["status"] == "canceled"
    ids = [sent["transfer_id"], allow["transfer_id"]]
    transfer, _ = await it.ended("/usdt/transfers", ids)

    assert await it.token_word(it.usdt, "balanceOf(address)", to) == 12_500_000
    assert await it.token_word(it.usdt, "balanceOf(address)", it.address) == 87_500_000
    allowance = await it.token_word(it.usdt, "allowance(address,address)", it.address, spender)
    assert allowance == 7_250_000
    for path in (f"?owner={it.address}&spender={spender}", f"/{it.address}/{spender}"):
        assert (await it.get(f"/usdt/allowance{path}"))["allowance"] == "7.25"
    for at in ("head", "solid"):
        assert (await it.get(f"/usdt/balance/{to}?at={at}"))["balance"] == "12.5"
    receipt = await it.wallet("gettransactioninfobyid", value=transfer["txid"])
    assert receipt["receipt"]["energy_usage_total"] == bill["energy_used"]
    used = (await it.get("/staking/energy?days=2"))["data"]
    assert sum(each["energy_used"] for each in used) >= bill["energy_used"]
    for each in used:
        sources = [each[f"energy_{name}"] for name in ("staked", "creator", "burned")]
        assert sum(sources) == each["energy_used"]
    (moved,) = (await it.get(f"/usdt/transactions/{to}"))["data"]
    assert (moved["txid"], moved["amount"], moved["from"]) == (
        transfer["txid"],
        "12.5",
        it.address,
    )
    listed = {each["transfer_id"]: each for each in (await it.get("/usdt/transfers"))["data"]}
    assert listed.keys() == {*ids, held["transfer_id"]}
    assert listed[held["transfer_id"]]["txid"] is None

    watch = await it.get("/usdt/watch")
    assert watch["contract_address"] == it.usdt
    assert watch["paused"] is bool(await it.token_word(it.usdt, "paused()"))
    assert watch["fee_basis_points"] == await it.token_word(it.usdt, "basisPointsRate()")
    return str(transfer["txid"])


async def of_tokens(it: Told) -> None:
    """A token that somebody has just deployed, by the node's word."""
    key = PrivateKey()
    owner = signer_address(key)
    await it.faucet(owner, "5000")
    await it.until(f"/staking/balance/{owner}", available="5000")
    code = artifact(TRC20)
    head = await it.wallet("getnowblock")
    number, at_ms = (head["block_header"]["raw_data"][name] for name in ("number", "timestamp"))
    reference = chain.reference(number, head["blockID"])
    raw = chain.encode(
        chain.RawData(
            contract=chain.CreateContract(
                owner, "Coin", "[]", code.init_code(10**12, "Some Coin", "SOME", 3)
            ),
            ref_block_bytes=reference[0],
            ref_block_hash=reference[1],
            expiration_ms=at_ms + LIFETIME_MS,
            timestamp_ms=at_ms,
            fee_limit_sun=DEPLOY_FEE_LIMIT_SUN,
        )
    )
    txid = chain.txid(raw)
    signature = key.sign_recoverable(bytes.fromhex(txid), hasher=None)
    sent = await it.wallet("broadcasthex", transaction=chain.signed(raw, (signature,)).hex())
    assert sent["result"], sent
    token = address_of(b"\x41" + keccak256(bytes.fromhex(txid) + address_bytes(owner))[-20:])
    async with asyncio.timeout(SETTLE_S):
        while not await it.wallet("gettransactioninfobyid", solid=True, value=txid):
            await asyncio.sleep(POLL_S)
    made = await it.post("/usdt/tokens", 201, contract_address=token)
    assert made["decimals"] == await it.token_word(token, "decimals()") == 3
    rows = (await it.get("/usdt/tokens"))["data"]
    assert [each["contract_address"] for each in rows] == [it.usdt, token]


# ---- staking -------------------------------------------------------------------------------------


async def of_staking(it: Told) -> None:
    receiver = fresh_address()
    await it.faucet(receiver, "1")
    energy = {"resource": "ENERGY"}
    waiting = await it.post(
        "/staking/stake", wallet_id=it.wallet_id, amount="1", max_fee_trx="0", **energy
    )
    ended = await it.post(f"/staking/operations/{waiting['stake_id']}/cancel", 200)
    assert ended["status"] == "canceled"
    await it.staked(("stake", {"amount": "1000", **energy}))
    await same(it)
    witness = address_of_hex((await it.wallet("listwitnesses"))["witnesses"][0]["address"])
    lend = {"receiver_address": receiver, **energy}
    await it.staked(
        ("vote", {"votes": [{"address": witness, "count": 600}]}),
        ("delegate", {"amount": "300", **lend}),
        ("unstake", {"amount": "100", **energy}),
    )
    account = await same(it)
    assert [(each["vote_address"], each["vote_count"]) for each in account["votes"]] == [
        (witness, 600)
    ]
    assert [each["unfreeze_amount"] for each in account["unfrozenV2"]] == [100 * SUN]
    lent = await it.wallet("getaccount", address=receiver)
    borrowed = lent["account_resource"]["acquired_delegated_frozenV2_balance_for_energy"]
    assert borrowed == 300 * SUN
    assert (await it.get(f"/staking/status/{receiver}"))["borrowed"]["ENERGY"] == "300"
    (row,) = [
        each
        for each in (await it.get("/staking/statistics"))["unstaking"]
        if each["address"] == it.address
    ]
    free_at = from_ms(account["unfrozenV2"][0]["unfreeze_expire_time"])
    announced = datetime.fromisoformat(row["expires_at"])
    assert announced == free_at

    await it.staked(("undelegate", {"amount": "120", **lend}), ("cancel-unstake", {}))
    account = await same(it)
    assert not account.get("unfrozenV2")
    for what, path, code, words in (
        ("unstaked", "withdrawexpireunfreeze", "nothing_to_withdraw", "no unFreeze balance"),
        ("rewards", "withdrawbalance", "no_reward", "does not have any reward"),
    ):
        problem = await it.post("/staking/withdraw", 409, wallet_id=it.wallet_id, what=what)
        node = await it.wallet(path, owner_address=it.address)
        assert problem["code"] == code and words in node["Error"], (problem, node)
    rows = (await it.get("/staking/operations"))["data"]
    assert len([each for each in rows if each["address"] == it.address]) == 7


async def same(it: Told) -> dict[str, Any]:
    """All that is said of the wallet is the node's; the node's account."""
    account: dict[str, Any] = await it.wallet("getaccount", address=it.address)
    ours = await it.get(f"/staking/status/{it.address}")
    staked = {row.get("type", "BANDWIDTH"): row.get("amount", 0) for row in account["frozenV2"]}
    energy = account.get("account_resource", {})
    assert _sun(ours["staked"]["ENERGY"]) == staked["ENERGY"]
    assert _sun(ours["lent"]["ENERGY"]) == energy.get("delegated_frozenV2_balance_for_energy", 0)
    assert [_sun(each["amount"]) for each in ours["unstaking"]] == [
        each["unfreeze_amount"] for each in account.get("unfrozenV2", [])
    ]
    balance = await it.get(f"/staking/balance/{it.address}")
    assert _sun(balance["available"]) == account["balance"]
    rewards = await it.get(f"/staking/rewards/{it.address}")
    assert rewards["reward"] == "0" and rewards["last_claim_at"] is None
    before = await it.wallet("getaccountresource", address=it.address)
    said = await it.get(f"/staking/resources/{it.address}")
    after = await it.wallet("getaccountresource", address=it.address)
    for name, theirs in (
        ("energy_limit", "EnergyLimit"),
        ("energy_used", "EnergyUsed"),
        ("bandwidth_limit", "NetLimit"),
        ("free_bandwidth_used", "freeNetUsed"),
        ("voting_power", "tronPowerLimit"),
        ("voting_power_used", "tronPowerUsed"),
    ):  # what was used comes back while blocks go on
        bounds = sorted((before.get(theirs, 0), after.get(theirs, 0)))
        assert bounds[0] <= said[name] <= bounds[1], (name, bounds, said)
    return account


def _sun(text: str) -> int:
    return int(Decimal(text) * SUN)


async def of_plans(it: Told) -> None:
    """Its prices and limits are the chain's; a wallet that may not sign has a plan, too."""
    question = f"wallet_id={it.wallet_id}&payouts_per_day=10"
    plan = await it.get(f"/staking/plan?{question}")
    resources = await it.wallet("getaccountresource", address=it.address)
    assert plan["address"] == it.address
    assert plan["energy_limit"] == resources["EnergyLimit"]
    assert plan["energy_price_sun"] == (await parameters(it))["getEnergyFee"]
    assert "<svg" in await it.get(f"/staking/plan/chart?{question}")
    change = f"{API}/wallets/{it.wallet_id}"
    for frozen in (True, False):
        answer = await it.api.put(change, json={"frozen": frozen})
        assert answer.status_code == 200, answer.text
        assert (await it.get(f"/staking/plan?{question}"))["address"] == it.address
        assert "<svg" in await it.get(f"/staking/plan/chart?{question}")
        if frozen:
            problem = await it.post(
                "/staking/stake", 409, wallet_id=it.wallet_id, amount="1", resource="ENERGY"
            )
            assert problem["code"] == "wallet_frozen"


# ---- the network ---------------------------------------------------------------------------------


async def parameters(it: Told) -> dict[str, int]:
    rows = (await it.wallet("getchainparameters"))["chainParameter"]
    return {each["key"]: each.get("value", 0) for each in rows}


async def of_network(it: Told, txid: str) -> None:
    base = "/tron/network"
    info = await it.get(f"{base}/info")
    genesis = await it.wallet("getblockbynum", num=0)
    assert (info["network"], info["genesis_id"]) == ("devnet", genesis["blockID"])
    assert (info["chain_id"], info["usdt_contract"]) == (int(genesis["blockID"][-8:], 16), it.usdt)

    before = await it.wallet("getnowblock")
    height = await it.get(f"{base}/height")
    after = await it.wallet("getnowblock")
    for side, first, last in (
        ("head", before, after),
        ("solid", None, await it.wallet("getnowblock", solid=True)),
    ):
        said = height[side]
        node = await it.wallet("getblockbynum", num=said["number"])
        assert (said["id"], said["time"]) == (
            node["blockID"],
            rfc3339(from_ms(node["block_header"]["raw_data"]["timestamp"])),
        )
        numbers = [each["block_header"]["raw_data"]["number"] for each in (first, last) if each]
        assert said["number"] <= numbers[-1] and (len(numbers) < 2 or numbers[0] <= said["number"])
    for name in ("health", "status"):
        said = await it.get(f"{base}/{name}")
        assert said["status"] in ("healthy", "degraded"), said  # behind, on a busy machine
    node = await it.wallet("getblockbynum", num=said["follower"]["block_number"])
    assert said["follower"]["block_id"] == node["blockID"]

    prices = await parameters(it)
    fees = await it.get(f"{base}/fees")
    assert fees["energy_price_sun"] == prices["getEnergyFee"]
    assert fees["bandwidth_price_sun"] == prices["getTransactionFee"]
    assert (await it.get(f"{base}/parameters"))["parameters"] == prices
    changed = (await it.get(f"{base}/parameters/changes"))["data"]
    assert all(each["after"] == prices.get(each["name"]) for each in changed)

    seen = await it.get(f"{base}/transactions/{txid}")
    receipt = await it.wallet("gettransactioninfobyid", solid=True, value=txid)
    assert (seen["solid"], seen["block_number"]) == (True, receipt["blockNumber"])
    assert _sun(seen["fee_trx"]) == receipt.get("fee", 0)
    assert seen["energy_used"] == receipt["receipt"]["energy_usage_total"]
    block = await it.get(f"{base}/blocks/{receipt['blockNumber']}")
    raw = await it.wallet("getblockbynum", num=receipt["blockNumber"])
    assert [each["txid"] for each in block["transactions"]] == [
        each["txID"] for each in raw["transactions"]
    ]
    await of_certificates(it, f"{base}/certificates")


async def of_certificates(it: Told, path: str) -> None:
    """The follower's word about what it has read, computed again from the node's blocks."""
    async with asyncio.timeout(SETTLE_S):
        while not (rows := (await it.get(path))["data"]):
            await asyncio.sleep(POLL_S)
    newest = rows[0]
    count = 0
    for number in range(newest["from_block"], newest["to_block"] + 1):
        found = await it.wallet("getblockbynum", num=number)
        count += len(found.get("transactions", []))
    assert count == newest["transactions"]
    check = await it.get(f"{path}/{newest['from_block']}/check")
    assert check["agrees"] is True and check["hash"] == newest["hash"]

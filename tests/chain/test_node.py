"""One endpoint: real answers become values, refusals become errors, nonsense never gets in."""

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from tests.client_pool import ClientPool
from tron_payment import chain
from tron_payment.chain import calls
from tron_payment.chain.breaker import FAILURES_TO_OPEN, OPEN_FIRST_S
from tron_payment.core.address import address_of_hex
from tron_payment.core.errors import Unavailable

from .recorded import ANSWERS, TRANSACTIONS
from .scripted import Reply, client_of, fixed

ACCOUNT = address_of_hex("41a56160a359f2eaa66f5c9df5245542b07339a9a6")
RECEIVER = address_of_hex("416b09d6433a379752157fd1a9e537c5cae5fa3168")
WITNESS = address_of_hex("417e5f4552091a69125d5dfcb7b8c2659029395bdf")
USDT = address_of_hex("4100fd6c7561c2986aa930eebdbbe06e11219d20ff")


def recorded(name: str) -> chain.NodeClient:
    return client_of(fixed(ANSWERS[name]["answer"], ANSWERS[name]["status"]))


async def test_heads_and_blocks_are_read() -> None:
    head = await recorded("getblock-head").head()
    assert len(head.block_id) == 64
    assert head.number == int(head.block_id[:16], 16)
    solid = await recorded("solid_head").solid_head()
    assert (solid.number, solid.timestamp_ms) == (207, 1795173807000)

    block = await recorded("getblockbynum").block(208)

    assert block.parent_id == solid.block_id
    (transaction,) = block.transactions
    assert transaction.raw.hex() == TRANSACTIONS["transfer"]["raw"]
    (receipt,) = await recorded("receipts").receipts(208)
    assert receipt.id == transaction.txid
    assert (receipt.fee_sun, receipt.receipt.net_fee_sun) == (1_100_000, 100_000)


async def test_the_genesis_block_has_no_number_and_an_id() -> None:
    genesis = await recorded("genesis").genesis_id()
    assert genesis == "00000000000000007424fba92db0a2a9f0c2ae6c63883280245f1e1fbf2d1ddf"


async def test_a_missing_block_is_not_an_empty_block() -> None:
    with pytest.raises(chain.NodeHasNot):
        await recorded("empty").block(1_000)
    with pytest.raises(chain.NodeHasNot):
        await recorded("empty").head()
    assert await recorded("receipts_missing").receipts(10_000_000) == ()
    with pytest.raises(chain.NodeUnavailable):
        await recorded("receipts_zero").receipts(1)


async def test_another_block_than_asked_for_is_refused() -> None:
    with pytest.raises(chain.NodeUnavailable, match="208 instead of 209"):
        await recorded("getblockbynum").block(209)


async def test_an_account_with_stakes_is_read() -> None:
    account = await recorded("account").account(ACCOUNT)
    assert account is not None
    assert account.balance_sun == 843_560_100
    assert account.frozen == {
        chain.Resource.BANDWIDTH: 50_000_000,
        chain.Resource.ENERGY: 75_000_000,
    }
    assert account.delegated[chain.Resource.ENERGY] == 5_000_000
    assert account.staked_sun == 130_000_000
    assert account.unfrozen == (
        chain.Unfreezing(chain.Resource.ENERGY, 20_000_000, 1_796_383_467_000),
    )
    assert account.unfreezing_sun == 20_000_000
    assert account.votes == ((WITNESS, 100),)
    assert not account.is_contract


async def test_permissions_are_read() -> None:
    account = await recorded("account_multisig").account(ACCOUNT)
    assert account is not None
    assert account.owner_permission == chain.Permission(
        chain.PermissionKind.OWNER, 1, ((ACCOUNT, 1),), name="owner"
    )
    (active,) = account.actives
    assert (active.id, active.threshold, len(active.keys), active.name) == (2, 2, 3, "pay")
    assert active.allows(1)
    assert active.allows(31)
    assert not active.allows(54)


async def test_an_unknown_account_is_none_and_another_one_is_nonsense() -> None:
    assert await recorded("empty").account(ACCOUNT) is None
    with pytest.raises(chain.NodeUnavailable, match="another account"):
        await recorded("account").account(RECEIVER)


async def test_resources_are_read() -> None:
    resources = await recorded("resources").resources(RECEIVER)
    assert resources.energy_left == 27_000_000_000
    assert resources.free_net_left == 600
    assert resources.total_energy_weight == 100
    assert (await recorded("resources_missing").resources(RECEIVER)).free_net_limit == 0


async def test_prices_and_parameters_are_read() -> None:
    parameters = await recorded("parameters").parameters()
    assert parameters["getEnergyFee"] == 100
    assert parameters["getAllowUpdateAccountName"] == 0
    assert await recorded("maintenance").next_maintenance_ms() == 1_795_173_930_000
    with pytest.raises(chain.NodeUnavailable):
        await recorded("empty").parameters()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("getEnergyFee", None),
        ("getEnergyFee", 0),
        ("getEnergyFee", -1),
        ("getTransactionFee", None),
        ("getTransactionFee", 2**70),
        ("getMultiSignFee", -1_000_000),
    ],
)
async def test_a_node_without_possible_prices_tells_none(name: str, value: int | None) -> None:
    told = {"getEnergyFee": 100, "getTransactionFee": 1_000, name: value}
    listed = [{"key": key, "value": each} for key, each in told.items() if each is not None]
    node = client_of(fixed({"chainParameter": listed}))
    with pytest.raises(chain.NodeUnavailable):
        await node.parameters()


async def test_stakes_votes_and_the_node_itself_are_read() -> None:
    (witness,) = await recorded("witnesses").witnesses()
    assert (witness.address, witness.votes, witness.is_active) == (WITNESS, 1_100, True)
    assert await recorded("reward").reward(ACCOUNT) == 0
    assert await recorded("brokerage").brokerage(WITNESS) == 20
    assert (
        await recorded("can_delegate").can_delegate_max(ACCOUNT, chain.Resource.ENERGY)
        == 85_000_000
    )
    assert await recorded("unfreeze_count").unfreeze_count(ACCOUNT) == 31
    free, locked = await recorded("delegations").delegations(ACCOUNT, RECEIVER)
    assert (free.energy_sun, free.energy_locked_until_ms) == (10_000_000, 0)
    assert (locked.energy_sun, locked.energy_locked_until_ms) == (5_000_000, 1_795_174_158_000)
    assert await recorded("delegation_index").delegation_partners(ACCOUNT) == ((), (RECEIVER,))
    info = await recorded("nodeinfo").info()
    assert (info.version, info.block_number) == ("4.8.0", 237)


async def test_a_contract_is_read_and_nothing_is_none() -> None:
    contract = await recorded("contract").contract(USDT)
    assert contract is not None
    assert (contract.address, contract.name, contract.origin) == (USDT, "TetherToken", WITNESS)
    assert contract.consume_user_resource_percent == 100
    assert await recorded("empty").contract(USDT) is None


async def test_a_simulated_call_tells_success_from_revert() -> None:
    good = await recorded("call_ok").constant_call(ACCOUNT, USDT, b"")
    assert (good.energy_used, good.energy_penalty, good.reverted) == (17_183, 2_592, False)
    balance = await recorded("call_balance").constant_call(ACCOUNT, USDT, b"")
    assert int.from_bytes(balance.output) == 50_000_000
    bad = await recorded("call_revert").constant_call(ACCOUNT, USDT, b"")
    assert bad.reverted
    assert bad.message == "REVERT opcode executed"


@pytest.mark.parametrize(
    "sign",
    [{"result": {"result": True, "message": "00"}}, {"transaction": {"ret": [{"ret": "F"}]}}],
)
async def test_either_sign_of_a_revert_is_enough(sign: dict[str, Any]) -> None:
    answer = {"result": {"result": True}, "energy_used": 1} | sign
    assert (await client_of(fixed(answer)).constant_call(ACCOUNT, USDT, b"")).reverted


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("call_nocontract", "CONTRACT_VALIDATE_ERROR", "Smart contract is not exist."),
        ("call_noowner", "OTHER_ERROR", "owner_address isn't set"),
        ("error", "ERROR", "no OwnerAccount"),
    ],
)
async def test_a_refusal_has_its_code_and_its_text(name: str, code: str, message: str) -> None:
    with pytest.raises(chain.NodeRefused, match=message) as refusal:
        await recorded(name).constant_call(ACCOUNT, USDT, b"")
    assert refusal.value.node_code == code


async def test_transactions_by_id_may_be_unknown() -> None:
    found = await recorded("transaction").transaction("00" * 32)
    assert found is not None
    assert found.raw.hex() == TRANSACTIONS["transfer"]["raw"]
    assert len(found.signatures[0]) == 65
    assert await recorded("empty").transaction("00" * 32) is None
    receipt = await recorded("info_cold").transaction_info("00" * 32)
    assert receipt is not None
    assert receipt.receipt.energy_total == 29_591
    assert await recorded("empty").transaction_info("00" * 32) is None


_CODES = [
    "SIGERROR", "CONTRACT_VALIDATE_ERROR", "CONTRACT_EXE_ERROR", "BANDWITH_ERROR",
    "DUP_TRANSACTION_ERROR", "TAPOS_ERROR", "TOO_BIG_TRANSACTION_ERROR",
    "TRANSACTION_EXPIRATION_ERROR", "SERVER_BUSY", "NO_CONNECTION",
    "NOT_ENOUGH_EFFECTIVE_CONNECTION", "BLOCK_UNSOLIDIFIED", "OTHER_ERROR",
]  # fmt: skip


@pytest.mark.parametrize("code", _CODES)
async def test_every_refusal_of_a_broadcast_is_an_answer(code: str) -> None:
    node = client_of(fixed({"result": False, "code": code, "txid": "", "message": "why"}))
    assert await node.broadcast(b"\1") == chain.BroadcastAnswer(False, code, "why")


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [
        ({"result": True, "code": "SUCCESS", "txid": "", "message": ""}, True),
        ({"result": True, "txid": ""}, True),
        ({"result": True, "code": "SERVER_BUSY"}, False),
        ({"result": False}, False),
    ],
)
async def test_only_a_clear_yes_is_a_yes(answer: dict[str, Any], accepted: bool) -> None:
    assert (await client_of(fixed(answer)).broadcast(b"\1")).accepted is accepted


def _header(**raw_data: Any) -> dict[str, Any]:
    data = {"number": 5, "parentHash": "0" * 64, "timestamp": 1} | raw_data
    return {"blockID": "0" * 64, "block_header": {"raw_data": data}}


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        pytest.param({}, 200, id="nothing"),
        pytest.param(b"", 200, id="an empty body"),
        pytest.param(b"<html>captcha</html>", 200, id="a page"),
        pytest.param(b"this API is closed because this node is a lite fullnode", 200, id="lite"),
        pytest.param(b'{"blockID":"00', 200, id="half an answer"),
        pytest.param(b"[]", 200, id="a list"),
        pytest.param(b"null", 200, id="null"),
        pytest.param(b"\xff\xfe", 200, id="no text"),
        pytest.param(b"[" * 100_000, 200, id="deep"),
        pytest.param({"Error": "class x : lack of computing resources"}, 200, id="busy"),
        pytest.param({"Error": "The key exceeds the frequency limit(15)"}, 200, id="limit"),
        pytest.param(_header(number="5"), 200, id="a number as text"),
        pytest.param(_header(number=1.5), 200, id="a fraction"),
        pytest.param(_header(number=2**63), 200, id="a number beyond 64 bits"),
        pytest.param(_header(timestamp=2**63), 200, id="a date beyond 64 bits"),
        pytest.param(_header(number=-1), 200, id="a negative number"),
        pytest.param(_header(parentHash="zz"), 200, id="an id that is none"),
        pytest.param(_header() | {"blockID": "00"}, 200, id="a short id"),
        pytest.param({"Error": "this API is unavailable due to config"}, 404, id="404"),
        pytest.param(b"{}", 429, id="429"),
        pytest.param(b"{}", 403, id="403"),
        pytest.param(b"{}", 500, id="500"),
        pytest.param(b"{}", 302, id="a redirect"),
    ],
)  # fmt: skip
async def test_nonsense_is_no_answer(answer: Any, status: int) -> None:
    with pytest.raises(chain.NodeUnavailable):
        await client_of(fixed(answer, status)).head()


async def test_the_same_header_without_the_nonsense_is_an_answer() -> None:
    assert (await client_of(fixed(_header())).head()).number == 5


async def test_an_answer_that_does_not_end_is_cut() -> None:
    with pytest.raises(chain.NodeUnavailable, match="too long"):
        await client_of(fixed(b" " * (calls.RESPONSE_BYTES_MAX + 1))).head()


async def test_what_a_contract_answers_too_long_is_not_held_against_the_node() -> None:
    long = {"triggerconstantcontract"}

    async def handler(path: str, body: dict[str, Any]) -> Reply:
        if path.rpartition("/")[2] in long:
            return 200, b" " * (calls.RESPONSE_BYTES_MAX + 1)
        return await fixed(_header())(path, body)

    seconds = 0.0
    nodes = chain.Nodes([client_of(handler)], 1, lambda: seconds)

    def state() -> chain.BreakerState:
        return nodes.status()[0].breaker

    for _ in range(FAILURES_TO_OPEN + 1):
        with pytest.raises(chain.NodesUnavailable, match="of a call, the answer is too long"):
            await nodes.constant_call(ACCOUNT, USDT, b"")
    assert state() is chain.BreakerState.CLOSED
    assert "too long" in nodes.status()[0].last_error, "a person may see it"
    assert (await nodes.head()).number == 5

    long.add("getblock")
    for _ in range(FAILURES_TO_OPEN):  # nor does it hide that whatever the node says is too long
        with pytest.raises(chain.NodesUnavailable):
            await nodes.constant_call(ACCOUNT, USDT, b"")
        with pytest.raises(chain.NodesUnavailable):
            await nodes.head()
    assert state() is chain.BreakerState.OPEN
    seconds = OPEN_FIRST_S
    with pytest.raises(chain.NodesUnavailable, match="too long"):
        await nodes.constant_call(ACCOUNT, USDT, b"")
    assert state() is chain.BreakerState.OPEN, "no trial stays under way"
    long.clear()
    assert (await nodes.head()).number == 5
    assert state() is chain.BreakerState.CLOSED


async def test_a_block_as_large_as_the_chain_can_make_is_read() -> None:
    """12 bytes of an ABI's flags become a hundred of JSON; here with hex, padded to 20 MB."""
    answer = json.loads(json.dumps(ANSWERS["getblockbynum"]["answer"]))
    answer["transactions"][0]["raw_data"]["padding"] = "x" * 20_000_000
    assert (await client_of(fixed(answer)).block(208)).number == 208


@pytest.mark.parametrize(
    ("status", "retry_after", "rest_s"),
    [
        (429, None, 10),
        (429, b"3", 3),
        (403, b"30", 30),
        (503, b"86400", 60),
        (503, None, 0),
        (503, b"Wed, 21 Oct 2026 07:28:00 GMT", 0),
        (500, b"30", 0),
    ],
)
async def test_a_node_that_asks_for_rest_says_how_long(
    status: int, retry_after: bytes | None, rest_s: float
) -> None:
    headers = [(b"retry-after", retry_after)] if retry_after else []
    with pytest.raises(chain.NodeUnavailable) as error:
        await client_of(fixed({}, status), headers=headers).head()
    assert error.value.rest_s == rest_s


@pytest.mark.parametrize(
    "transaction",
    [
        {"txID": "00", "raw_data_hex": "xyz"},
        {"txID": "00"},
        {"txID": 5, "raw_data_hex": ""},
        {"txID": "00", "raw_data_hex": "00", "ret": [{"contractRet": 1}]},
    ],
)
async def test_nonsense_inside_a_block_spoils_the_block(transaction: dict[str, Any]) -> None:
    answer = json.loads(json.dumps(ANSWERS["getblockbynum"]["answer"]))
    answer["transactions"].append(transaction)
    with pytest.raises(chain.NodeUnavailable):
        await client_of(fixed(answer)).block(208)


async def test_amounts_beyond_a_float_stay_exact() -> None:
    answer = {"address": "41" + "11" * 20, "balance": 2**63 - 1}
    account = await client_of(fixed(answer)).account(address_of_hex("41" + "11" * 20))
    assert account is not None
    assert account.balance_sun == 2**63 - 1


async def test_unknown_keys_are_ignored() -> None:
    answer = ANSWERS["solid_head"]["answer"] | {"novelty": [{"deep": None}]}
    assert (await client_of(fixed(answer)).solid_head()).number == 207


async def test_our_own_deadline_ends_a_call_that_hangs() -> None:
    async def hang(path: str, body: dict[str, Any]) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    started = asyncio.get_running_loop().time()
    with pytest.raises(chain.NodeUnavailable, match=r"within 0\.05 s"):
        await client_of(hang, deadline_s=0.05).head()
    assert asyncio.get_running_loop().time() - started < 2


async def test_what_is_asked_is_not_visible_and_goes_to_the_right_server() -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    async def note(path: str, body: dict[str, Any]) -> Reply:
        asked.append((path, body))
        return 200, b"{}"

    node = client_of(note)
    await node.account(ACCOUNT)
    await node.account(ACCOUNT, solid=True)
    with pytest.raises(Unavailable):
        await node.constant_call(ACCOUNT, USDT, b"\1\2", call_value_sun=7)
    with pytest.raises(Unavailable):
        await node.broadcast(b"\3")
    owner = "41a56160a359f2eaa66f5c9df5245542b07339a9a6"
    assert asked == [
        ("/wallet/getaccount", {"address": owner, "visible": False}),
        ("/walletsolidity/getaccount", {"address": owner, "visible": False}),
        (
            "/wallet/triggerconstantcontract",
            {
                "owner_address": owner,
                "contract_address": "4100fd6c7561c2986aa930eebdbbe06e11219d20ff",
                "data": "0102",
                "call_value": 7,
                "visible": False,
            },
        ),
        ("/wallet/broadcasthex", {"transaction": "03", "visible": False}),
    ]


async def test_the_api_key_reaches_the_node_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = "5f3c-very-secret"
    seen: list[str | None] = []

    async def refuse(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get(calls.API_KEY_HEADER.decode()))
        raise httpx.ConnectError(f"cannot reach {request.url} with {secret}")

    http = httpx.AsyncClient(transport=httpx.MockTransport(refuse), trust_env=False)
    url = f"http://node/{secret}"
    node = chain.NodeClient("a", url, url, ClientPool(http), SecretStr(secret), 1.0)
    with caplog.at_level(logging.DEBUG), pytest.raises(chain.NodeUnavailable) as error:
        await node.head()
    assert seen == [secret]
    shown = f"{error.value} {error.value!r} {error.value.extra} {node!r} {vars(node)['_calls']!r}"
    assert secret not in shown
    assert error.value.__cause__ is None
    assert secret not in caplog.text

"""A block and its receipts belong together or are refused; what is in them is read exactly."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tron_payment import chain
from tron_payment.chain.answers import Receipt, ReceiptPart
from tron_payment.chain.transactions import TRANSFER_TOPIC
from tron_payment.core.address import Address, address_bytes, address_of, address_of_hex

from .recorded import ANSWERS, TRANSACTIONS
from .scripted import ALICE, BOB, client_of, fixed, transfer

USDT = address_of_hex("4100fd6c7561c2986aa930eebdbbe06e11219d20ff")
HOT = address_of_hex("417e5f4552091a69125d5dfcb7b8c2659029395bdf")
COLD = address_of_hex("41a56160a359f2eaa66f5c9df5245542b07339a9a6")


def receipt_of(answer: dict[str, Any]) -> Receipt:
    return msgspec.json.decode(json.dumps(answer).encode(), type=Receipt)


def tx_of(name: str) -> chain.SolidTransaction:
    """A recorded transaction with its recorded receipt."""
    raw = bytes.fromhex(ANSWERS[f"tx_{name}"]["answer"]["raw_data_hex"])
    return chain.SolidTransaction(raw, receipt_of(ANSWERS[f"info_{name}"]["answer"]))


async def recorded_block() -> tuple[chain.Block, tuple[Receipt, ...]]:
    block = await client_of(fixed(ANSWERS["getblockbynum"]["answer"])).block(208)
    receipts = await client_of(fixed(ANSWERS["receipts"]["answer"])).receipts(208)
    return block, receipts


async def test_a_recorded_block_joins_its_receipts() -> None:
    solid = chain.join(*await recorded_block())

    (tx,) = solid.transactions
    assert (solid.number, solid.timestamp_ms) == (208, 1795173810000)
    assert solid.find(TRANSACTIONS["transfer"]["txid"]) is tx
    assert solid.find("00" * 32) is None
    assert tx.contract == chain.Transfer(HOT, COLD, 1_000_000_000)
    assert (tx.owner, tx.fee_sun, tx.net_fee_sun, tx.net_usage) == (HOT, 1_100_000, 100_000, 0)
    assert (tx.succeeded, tx.result, tx.index) == (True, "SUCCESS", 0)
    assert tx.expiration_ms == 1795173867000


async def test_block_and_receipts_that_do_not_belong_together_are_refused() -> None:
    block, (receipt,) = await recorded_block()
    (transaction,) = block.transactions
    other = transaction._replace(raw=transaction.raw + b"\0")
    wrong: list[tuple[chain.Block, tuple[Receipt, ...]]] = [
        (block, ()),
        (block, (receipt, receipt)),
        (replace(block, transactions=()), (receipt,)),
        (block, (msgspec.structs.replace(receipt, id="00" * 32),)),
        *(
            (block, (msgspec.structs.replace(receipt, receipt=ReceiptPart(**{name: amount})),))
            for name in ("energy_total", "energy_fee_sun", "net_usage", "net_fee_sun")
            for amount in (-1, 2**70)
        ),
        (block, (msgspec.structs.replace(receipt, block_number=209),)),
        (block, (msgspec.structs.replace(receipt, block_timestamp_ms=1),)),
        (block, (msgspec.structs.replace(receipt, fee_sun=-1),)),
        (block, (msgspec.structs.replace(receipt, withdraw_expire_sun=2**63),)),
        (replace(block, number=209), (receipt,)),
        (replace(block, transactions=(other,)), (receipt,)),
        (replace(block, transactions=(transaction._replace(contract_ret="REVERT"),)),
         (receipt_of(ANSWERS["receipts"]["answer"][0] | {"receipt": {"result": "SUCCESS"}}),)),
    ]  # fmt: skip
    for each in wrong:
        with pytest.raises(chain.BlockInconsistent):
            chain.join(*each)


def test_a_token_transfer_is_read_with_what_it_cost() -> None:
    tx = tx_of("cold")
    assert chain.trc20_transfers(tx) == [chain.TokenTransfer(0, USDT, HOT, COLD, 50_000_000)]
    assert (tx.energy_total, tx.energy_fee_sun, tx.net_fee_sun) == (29_591, 2_959_100, 345_000)
    assert tx.contract_address == USDT
    assert tx.logs[0].address == USDT
    assert tx.logs[0].topics[0].hex() == TRANSFER_TOPIC
    assert tx.output == bytes(32)


@pytest.mark.parametrize(
    ("name", "result"), [("revert", "REVERT"), ("out_of_energy", "OUT_OF_ENERGY")]
)
def test_a_failed_call_failed_and_cost_its_fee(name: str, result: str) -> None:
    tx = tx_of(name)
    assert (tx.succeeded, tx.result) == (False, result)
    assert tx.fee_sun > 0
    assert chain.trc20_transfers(tx) == []


def test_stakes_and_rewards_are_read() -> None:
    assert dict(tx_of("cancel").cancel_unfreeze)["ENERGY"] == 20_000_000
    assert tx_of("withdraw").withdraw_amount_sun == 79_127_272
    assert tx_of("withdraw").succeeded


def test_a_call_without_a_result_has_not_succeeded() -> None:
    raw = bytes.fromhex(TRANSACTIONS["trigger"]["raw"])
    tx = chain.SolidTransaction(raw, receipt_of({"id": chain.txid(raw)}))
    assert (tx.succeeded, tx.result) == (False, "DEFAULT")
    lying = receipt_of({"id": "", "result": "FAILED", "receipt": {"result": "SUCCESS"}})
    assert not chain.SolidTransaction(raw, lying).succeeded


def word(address: Address) -> str:
    return address_bytes(address)[1:].hex().rjust(64, "0")


GOOD_LOG = {
    "address": "00fd6c7561c2986aa930eebdbbe06e11219d20ff",
    "topics": [TRANSFER_TOPIC, word(ALICE), word(BOB)],
    "data": "5".rjust(64, "0"),
}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"topics": GOOD_LOG["topics"][:2]}, id="two topics"),
        pytest.param({"topics": [*GOOD_LOG["topics"], "00" * 32]}, id="an NFT"),
        pytest.param({"topics": ["00" * 32, *GOOD_LOG["topics"][1:]]}, id="another event"),
        pytest.param({"topics": [TRANSFER_TOPIC, "ff" * 32, word(BOB)]}, id="dirty padding"),
        pytest.param({"topics": [TRANSFER_TOPIC, word(ALICE), "zz" * 32]}, id="no hex"),
        pytest.param({"topics": [TRANSFER_TOPIC, word(ALICE), "00" * 30]}, id="a short topic"),
        pytest.param({"data": ""}, id="no data"),
        pytest.param({"data": "00" * 64}, id="two words of data"),
        pytest.param({"data": "zz" * 32}, id="data that is no hex"),
        pytest.param({"address": "00" * 5}, id="no address"),
        pytest.param({"topics": []}, id="no topics"),
    ],
)
def test_malformed_events_are_ignored_and_the_others_keep_their_index(
    change: dict[str, Any],
) -> None:
    raw = bytes.fromhex(TRANSACTIONS["trigger"]["raw"])
    logs = [GOOD_LOG | change, GOOD_LOG]
    receipt = receipt_of({"id": "", "receipt": {"result": "SUCCESS"}, "log": logs})

    found = chain.trc20_transfers(chain.SolidTransaction(raw, receipt))

    assert found == [chain.TokenTransfer(1, USDT, ALICE, BOB, 5)]


def test_a_failed_transaction_has_no_transfers_even_if_a_node_says_so() -> None:
    raw = bytes.fromhex(TRANSACTIONS["trigger"]["raw"])
    receipt = receipt_of({"id": "", "receipt": {"result": "REVERT"}, "log": [GOOD_LOG]})
    assert chain.trc20_transfers(chain.SolidTransaction(raw, receipt)) == []


def internal(note: str, **change: Any) -> dict[str, Any]:
    return {
        "hash": "00" * 32,
        "caller_address": address_bytes(ALICE).hex(),
        "transferTo_address": address_bytes(BOB).hex(),
        "callValueInfo": [{"callValue": 7}],
        "note": note.encode().hex(),
    } | change


def internals(*parts: dict[str, Any]) -> tuple[chain.InternalTransfer, ...]:
    receipt = receipt_of({"id": "", "internal_transactions": list(parts)})
    return chain.SolidTransaction(b"", receipt).internal


def test_trx_moved_by_contracts_is_seen() -> None:
    moved = chain.InternalTransfer(ALICE, BOB, 7, False)
    assert internals(internal("call")) == (moved,)
    assert internals(internal("create"), internal("suicide")) == (moved, moved)
    assert internals(internal("call", rejected=True)) == (moved._replace(rejected=True),)


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(internal("delegateResourceOfEnergy"), id="a loan of energy"),
        pytest.param(internal("freezeForBandwidth"), id="an old stake for somebody else"),
        pytest.param(internal("freezeBalanceV2ForEnergy"), id="a stake"),
        pytest.param(internal("call", callValueInfo=[{}]), id="no value"),
        pytest.param(internal("call", callValueInfo=[{"callValue": -(2**63)}]), id="a debt"),
        pytest.param(
            internal("call", callValueInfo=[{"callValue": 7, "tokenId": "1000001"}]), id="TRC-10"
        ),
        pytest.param(
            internal("call", transferTo_address=address_bytes(ALICE).hex()), id="to itself"
        ),
        pytest.param(internal("call", transferTo_address=""), id="to nobody"),
    ],
)
def test_what_looks_like_a_deposit_but_moves_no_trx_is_left_out(part: dict[str, Any]) -> None:
    assert internals(part) == ()


def test_touching_finds_every_way_to_be_a_party() -> None:
    raw = transfer(1, 1_000, ALICE, BOB)
    plain = chain.SolidTransaction(raw, receipt_of({"id": chain.txid(raw)}))
    someone = address_of(bytes([7]) * 20)
    logged = chain.SolidTransaction(
        transfer(1, 1_000, someone, someone), receipt_of({"id": "b", "log": [GOOD_LOG]})
    )
    paid = chain.SolidTransaction(
        transfer(1, 1_000, someone, someone),
        receipt_of({"id": "c", "internal_transactions": [internal("call")]}),
    )
    block = chain.SolidBlock(1, "", "", 0, (plain, logged, paid))
    for watched in (ALICE, BOB):
        assert block.touching({address_bytes(watched)[1:]}) == [plain, logged, paid]
    assert block.touching({address_bytes(someone)[1:]}) == [logged, paid]
    assert block.touching({bytes(20)}) == []
    assert block.touching(set()) == []

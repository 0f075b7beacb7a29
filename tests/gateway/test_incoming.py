"""What counts as arrived, transaction by transaction, hostile ones among them."""

from typing import Any

import pytest

from tests.engine.network import TOKEN
from tron_payment import chain
from tron_payment.chain import (
    OtherContract,
    RawData,
    Receipt,
    SolidBlock,
    SolidTransaction,
    Transfer,
    TriggerContract,
)
from tron_payment.chain.answers import LogPart, ReceiptPart
from tron_payment.chain.wire import bytes_field, int_field
from tron_payment.core.address import Address, address_bytes, address_hex, address_of
from tron_payment.gateway.incoming import incoming

TRANSFER_TOPIC = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def somebody(seed: int) -> Address:
    return address_of(b"\x41" + seed.to_bytes(20, "big"))


ALICE, SHOP, ROUTER, FAKE = (somebody(n) for n in (1, 2, 3, 4))
TOKENS = {TOKEN: "USDT"}


def found(contract: chain.Contract, **receipt: Any) -> list[tuple[str | None, int, str]]:
    raw = chain.encode(
        RawData(
            contract=contract,
            ref_block_bytes=b"\0\1",
            ref_block_hash=b"\2" * 8,
            expiration_ms=60_000,
            timestamp_ms=1_000,
            fee_limit_sun=0,
        )
    )
    receipt.setdefault("receipt", ReceiptPart(result="SUCCESS"))
    told = Receipt(id=chain.txid(raw), block_number=7, block_timestamp_ms=1, **receipt)
    block = SolidBlock(7, "7", "6", 1, (SolidTransaction(raw, told, 0),))
    return [(one.asset, one.units, one.index) for one in incoming(block, {SHOP}, TOKENS)]


def log(
    units: int,
    *,
    token: Address = TOKEN,
    to: Address = SHOP,
    topics: list[str] | None = None,
    data: str | None = None,
) -> LogPart:
    words = [TRANSFER_TOPIC, word(ALICE), word(to)] if topics is None else topics
    text = f"{units:064x}" if data is None else data
    return LogPart(address=address_bytes(token)[1:].hex(), topics=words, data=text)


def word(address: Address) -> str:
    return address_bytes(address)[1:].rjust(32, b"\0").hex()


CALL = TriggerContract(ALICE, ROUTER, b"\1\2\3\4")


def test_plain_trx_and_trx_given_along_with_a_call() -> None:
    plain = {"receipt": ReceiptPart()}
    assert found(Transfer(ALICE, SHOP, 5), **plain) == [("TRX", 5, "value")]
    assert found(Transfer(ALICE, ROUTER, 5), **plain) == []


def test_several_transfers_in_one_transaction_are_several() -> None:
    logs = [log(5), log(5, to=ROUTER), log(7)]
    assert found(CALL, log=logs) == [("USDT", 5, "log:0"), ("USDT", 7, "log:2")]


@pytest.mark.parametrize("result", ["REVERT", "OUT_OF_ENERGY", "OUT_OF_TIME", "FAILED", "DEFAULT"])
def test_a_failed_transaction_brings_nothing_whatever_its_logs_say(result: str) -> None:
    internal = internals(9)
    failed = {"log": [log(5)], "receipt": ReceiptPart(result=result), "result": "FAILED"}
    assert found(CALL, internal_transactions=internal, **failed) == []


def test_only_the_exact_event_of_the_pinned_contract_is_the_token() -> None:
    assert found(CALL, log=[log(5, token=FAKE)]) == [(None, 5, "log:0")]
    assert found(CALL, log=[log(0)]) == []
    dirty = "11" * 12 + word(SHOP)[24:]
    assert found(CALL, log=[log(5, topics=[TRANSFER_TOPIC, word(ALICE), dirty])]) == []
    assert found(CALL, log=[log(5, topics=[TRANSFER_TOPIC, word(ALICE)])]) == []
    four = [TRANSFER_TOPIC, word(ALICE), word(SHOP), word(SHOP)]
    assert found(CALL, log=[log(5, topics=four)]) == []
    approval = ["8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925", *four[1:3]]
    assert found(CALL, log=[log(5, topics=approval)]) == []
    assert found(CALL, log=[log(5, data="")]) == []
    assert found(CALL, log=[log(5, data=f"{5:064x}{5:064x}")]) == []


def internals(sun: int, *, rejected: bool = False, note: str = "call") -> list[Any]:
    from tron_payment.chain.answers import CallValue, InternalPart

    return [
        InternalPart(
            caller=address_hex(ROUTER),
            to=address_hex(SHOP),
            note=note.encode().hex(),
            rejected=rejected,
            values=[CallValue(call_value=sun)],
        )
    ]


def test_trx_that_a_contract_sends_counts_unless_it_was_rejected() -> None:
    assert found(CALL, internal_transactions=internals(9)) == [("TRX", 9, "int:0")]
    assert found(CALL, internal_transactions=internals(9, rejected=True)) == []
    stake = internals(9, note="delegateResourceOfEnergy")
    assert found(CALL, internal_transactions=stake) == []


def test_a_trc10_token_that_is_called_usdt_is_a_strange_token() -> None:
    message = (
        bytes_field(1, b"USDT")
        + bytes_field(2, address_bytes(ALICE))
        + bytes_field(3, address_bytes(SHOP))
        + int_field(4, 25_000_000)
    )
    contract = OtherContract(ALICE, 2, "TransferAssetContract", message)
    assert found(contract, receipt=ReceiptPart()) == [(None, 25_000_000, "trc10")]


def test_an_amount_beyond_every_bound_is_no_trouble() -> None:
    huge = 2**256 - 1
    assert found(CALL, log=[log(huge, token=FAKE)]) == [(None, huge, "log:0")]
    lies = [log(huge), log(2**63), log(2**63 - 1)]
    told = [("USDT", huge, "log:0"), ("USDT", 2**63, "log:1"), ("USDT", 2**63 - 1, "log:2")]
    assert found(CALL, log=lies) == told, "booking leaves out what the books have no room for"

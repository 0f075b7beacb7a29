"""What a contract's call says: by the ABI that is known here, or as the bytes are."""

from typing import Any

from tron_payment.chain import Transfer, TriggerContract
from tron_payment.contracts import artifact
from tron_payment.core.address import address_of
from tron_payment.engine import contract_document
from tron_payment.module import Deployment
from tron_payment.payouts.calls import CallReader, CallView
from tron_payment.usdt import TokenRegistry

ANN, BOB, USDT, ROUTER, KYC, STRANGER = (address_of(bytes([n] * 20)) for n in range(1, 7))
TOKEN = artifact("TestUSDT")


def read(contract: Any) -> CallView | None:
    places = Deployment(genesis_id="00" * 32, usdt=USDT, router_v0=ROUTER, router_kyc=KYC)
    return CallReader(TokenRegistry(USDT), places).read(contract_document(contract))


def call(contract: Any, data: bytes, sun: int = 0) -> CallView:
    found = read(TriggerContract(ANN, contract, data, sun))
    assert found is not None
    return found


def test_a_registered_tokens_call_is_read_with_its_amount() -> None:
    shown = call(USDT, TOKEN.call_data("transfer", BOB, 12_500_000))
    assert (shown.contract_name, shown.known) == ("USDT", True)
    assert shown.method == "transfer(address,uint256)"
    assert [each.value for each in shown.arguments] == [BOB, "12500000"]
    assert [each.amount for each in shown.arguments] == [None, "12.5 USDT"]
    allowed = call(USDT, TOKEN.call_data("approve", BOB, 2**256 - 1))
    assert allowed.arguments[1].amount == "unlimited USDT"


def test_a_routers_call_is_read() -> None:
    data = artifact("PayoutRouterV0").call_data("pay", b"\x07" * 32, BOB, 5)
    shown = call(ROUTER, data)
    assert (shown.contract_name, shown.known) == ("payout router v0", True)
    assert shown.method is not None and shown.method.startswith("pay(")
    assert [each.value for each in shown.arguments] == ["07" * 32, BOB, "5"]


def test_of_a_stranger_the_bytes_are_shown() -> None:
    shown = call(STRANGER, bytes.fromhex("d09de08a"), sun=1_500_000)
    assert (shown.contract_name, shown.known, shown.method) == (None, False, None)
    assert (shown.selector, shown.data, shown.call_value_trx) == ("d09de08a", "d09de08a", "1.5")
    assert (call(STRANGER, b"").selector, call(STRANGER, b"").data) == (None, "")


def test_what_a_strangers_selector_reads_as_is_told_but_not_as_known() -> None:
    shown = call(STRANGER, TOKEN.call_data("approve", BOB, 7))
    assert (shown.known, shown.method) == (False, "approve(address,uint256)")
    assert [(each.value, each.amount) for each in shown.arguments] == [(BOB, None), ("7", None)]


def test_what_is_not_canonical_is_not_read() -> None:
    data = TOKEN.call_data("transfer", BOB, 1)
    for bad in (data + b"\0" * 32, data[:-1], data[:4] + b"\x01" + data[5:]):
        shown = call(USDT, bad)
        assert (shown.known, shown.method, shown.data) == (False, None, bad.hex())


def test_what_calls_nothing_has_no_call() -> None:
    assert read(Transfer(ANN, BOB, 1)) is None

"""Names that a newcomer guesses from other services are answered with ours, where ours is sure."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

import tron_payment
from tron_payment.core.errors import Refused
from tron_payment.gateway.views import ContractRequest, InvoiceRequest, TransferRequest
from tron_payment.http.hints import EVERYWHERE, OTHER_NAMES, meant
from tron_payment.http.limits import decode_json
from tron_payment.payouts.batch_rows import COLUMNS, BatchRequest, BatchRow
from tron_payment.payouts.views import PayoutRequest
from tron_payment.usdt import views as usdt
from tron_payment.wallets.routes import CreateWallet

PAYMENT = InvoiceRequest | TransferRequest | ContractRequest


def told(target: Any, name: str, **more: Any) -> str:
    with pytest.raises(Refused) as refusal:
        decode_json(msgspec.json.encode({**more, name: "x"}), target)
    assert refusal.value.code == "unknown_field" and refusal.value.param == name
    return refusal.value.detail.removeprefix("this field does not exist").removeprefix("; ")


@pytest.mark.parametrize(
    ("target", "name", "field"),
    [
        (PayoutRequest, "address", "recipient_address"),
        (PayoutRequest, "to", "recipient_address"),
        (PayoutRequest, "recipientAddress", "recipient_address"),
        (PayoutRequest, "value", "amount"),
        (PayoutRequest, "Amount", "amount"),
        (PayoutRequest, "token", "currency"),
        (PayoutRequest, "asset", "currency"),
        (PayoutRequest, "reference", "merchant_reference"),
        (PayoutRequest, "order-id", "merchant_reference"),
        (PayoutRequest, "customer_id", "user_id"),
        (PayoutRequest, "from", "wallet_id"),
        (PayoutRequest, "fee_limit", "max_fee_trx"),
        (PayoutRequest, "dryRun", "dry_run"),
        (PayoutRequest, "description", "metadata"),
        (BatchRow, "address", "recipient_address"),
        (BatchRequest, "rows", "payouts"),
        (usdt.TransferRequest, "to", "to_address"),
        (usdt.EstimateRequest, "from", "from_address"),
        (CreateWallet, "name", "label"),
        (CreateWallet, "type", "kind"),
    ],
)
def test_the_right_field_is_asked_about(target: Any, name: str, field: str) -> None:
    assert told(target, name) == f"did you mean {field}?"


def test_what_has_no_field_is_told_where_it_goes() -> None:
    assert "/payouts/initiate" in told(PayoutRequest, "route")
    assert told(BatchRow, "idempotency_key") == "send the header Idempotency-Key"
    assert "one network" in told(PayoutRequest, "network")
    assert told(PayoutRequest, "memo") == "no memo goes to the chain"
    assert "/payments/webhook-endpoints" in told(PAYMENT, "callbackUrl", kind="invoice")


def test_of_several_kinds_of_content_the_tag_chooses() -> None:
    assert told(PAYMENT, "value", kind="contract") == "did you mean call_value_trx?"
    assert told(PAYMENT, "value", kind="invoice") == "did you mean amount?"
    assert told(PAYMENT, "to", kind="invoice") == "", "an invoice is to nobody"


def test_what_nobody_knows_is_not_guessed_at() -> None:
    for name in ("colour", "", "x" * 90, "приветик"):
        assert told(PayoutRequest, name) == ""
    assert told(CreateWallet, "to") == "", "there is no such field here"


def test_columns_are_asked_about_in_the_same_way() -> None:
    assert meant("Recipient Address", COLUMNS) == "did you mean recipient_address?"
    assert meant("wallet_address", COLUMNS) == "did you mean recipient_address?"


def structs() -> Iterator[type[msgspec.Struct]]:
    for found in pkgutil.walk_packages(tron_payment.__path__, "tron_payment."):
        if found.name.endswith("__main__") or ".devnet" in found.name:
            continue
        for kind in vars(importlib.import_module(found.name)).values():
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                yield kind


def test_every_hint_leads_to_a_field_that_exists_and_none_hides_one() -> None:
    strict = [kind for kind in structs() if kind.__struct_config__.forbid_unknown_fields]
    fields = {name for kind in strict for name in kind.__struct_encode_fields__}
    assert {name for names in OTHER_NAMES.values() for name in names} <= fields
    assert not EVERYWHERE.keys() & fields, "a name that is a field somewhere"

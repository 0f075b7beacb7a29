"""Unsigned transactions built by the node, each refused when its actuator would refuse it."""

import json
from typing import Any, Final

from tron_payment.devnet import codec, ledger, render, tvm, vm
from tron_payment.devnet.actuators import ACTUATORS
from tron_payment.devnet.api.calls import CallRefused, read_trigger, reference
from tron_payment.devnet.api.query import Query, View
from tron_payment.devnet.errors import BadRequest, ContractInvalid
from tron_payment.devnet.keys import PREFIX
from tron_payment.devnet.proto import CONTRACT_TYPES, MESSAGES, Message
from tron_payment.devnet.state import CONTRACT
from tron_payment.devnet.transactions import (
    CREATE_CONTRACT,
    TRIGGER_CONTRACT,
    Tx,
    build_raw,
    of,
)

PATHS: Final = {
    "createaccount": 0,
    "createtransaction": 1,
    "votewitnessaccount": 4,
    "updateaccount": 10,
    "withdrawbalance": 13,
    "updatesetting": 33,
    "updateenergylimit": 45,
    "accountpermissionupdate": 46,
    "clearabi": 48,
    "freezebalancev2": 54,
    "unfreezebalancev2": 55,
    "withdrawexpireunfreeze": 56,
    "delegateresource": 57,
    "undelegateresource": 58,
    "cancelallunfreezev2": 59,
}
"""Path to contract type, where the body has the names of the contract's fields."""
_MUTABILITY: Final = {"pure": 1, "view": 2, "nonpayable": 3, "payable": 4}
_ENTRY_TYPES: Final = {
    "constructor": 1,
    "function": 2,
    "event": 3,
    "fallback": 4,
    "receive": 5,
    "error": 6,
}


def _assemble(
    view: View, query: Query, kind: int, message: Message, now_ms: int, fee_limit: int = 0
) -> Tx:
    memo = query.body.get("extra_data")
    data = b""
    if memo:
        data = str(memo).encode() if query.visible else query.hex("extra_data")
    raw = build_raw(
        kind,
        message,
        timestamp=now_ms,
        fee_limit=fee_limit,
        data=data,
        permission_id=query.integer("Permission_id"),
        **reference(view),
    )
    return of(raw, ())


def build(view: View, query: Query, now_ms: int, kind: int) -> Any:
    """A transaction of one system contract.

    Raises:
        Refusal: The body does not fit, or the contract is not valid now.
    """
    message = codec.from_json(MESSAGES[CONTRACT_TYPES[kind]], query.body, query.visible, query)
    ACTUATORS[kind].validate(view.get, message)
    return render.built(_assemble(view, query, kind, message, now_ms), query.visible)


def triggersmartcontract(view: View, query: Query, now_ms: int) -> Any:
    """Never simulates; only the existence of the contract is checked."""
    try:
        message = read_trigger(query)
        if view.get(CONTRACT + bytes(message.contract_address)) is None:
            raise CallRefused(
                "CONTRACT_VALIDATE_ERROR", "No contract or not a valid smart contract"
            )
        tx = _assemble(view, query, TRIGGER_CONTRACT, message, now_ms, query.integer("fee_limit"))
    except CallRefused as refused:
        return refused.answer
    return {"result": {"result": True}, "transaction": render.built(tx, query.visible)}


def deploycontract(view: View, query: Query, now_ms: int) -> Any:
    """
    Raises:
        Refusal: The body does not fit, or the owner cannot deploy it.
    """
    body = query.body
    message = MESSAGES["CreateSmartContract"](owner_address=query.address("owner_address"))
    new = message.new_contract
    new.origin_address = message.owner_address
    new.name = str(body.get("name") or "")
    new.consume_user_resource_percent = query.integer("consume_user_resource_percent")
    new.origin_energy_limit = query.integer("origin_energy_limit")
    new.call_value = query.integer("call_value")
    new.bytecode = query.hex("bytecode") + query.hex("parameter")
    fill_abi(new.abi, body.get("abi") or "[]")
    vm.validate_creation(view.get, message)
    if ledger.account(view.get, bytes(message.owner_address)) is None:
        raise ContractInvalid("Account not exists")
    tx = _assemble(view, query, CREATE_CONTRACT, message, now_ms, query.integer("fee_limit"))
    address = PREFIX + tvm.contract_address(tx.txid, tx.owner)
    return render.built(tx, query.visible, address)


def fill_abi(abi: Message, source: Any) -> None:
    """Put Solidity's JSON ABI, as text or list, into TRON's message.

    Raises:
        BadRequest: It is no ABI.
    """
    try:
        entries = json.loads(source) if isinstance(source, str) else source
        if isinstance(entries, dict):
            entries = entries["entrys"]
        for entry in entries:
            _fill_entry(abi.entrys.add(), entry)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadRequest(f"abi: {error}", "com.alibaba.fastjson.JSONException") from None


def _fill_entry(shown: Message, entry: dict[str, Any]) -> None:
    shown.anonymous = bool(entry.get("anonymous"))
    shown.constant = bool(entry.get("constant"))
    shown.name = entry.get("name") or ""
    for name in ("inputs", "outputs"):
        for param in entry.get(name) or []:
            getattr(shown, name).add(
                indexed=bool(param.get("indexed")),
                name=param.get("name") or "",
                type=param["type"],
            )
    shown.type = _ENTRY_TYPES.get(str(entry.get("type", "")).lower(), 0)
    shown.payable = bool(entry.get("payable"))
    shown.stateMutability = _MUTABILITY.get(str(entry.get("stateMutability", "")).lower(), 0)

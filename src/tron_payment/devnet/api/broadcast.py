"""broadcasttransaction and broadcasthex, with java-tron's two shapes of answer."""

from typing import Any

import msgspec

from tron_payment.devnet import codec, render
from tron_payment.devnet.api.query import Query
from tron_payment.devnet.chain import Chain
from tron_payment.devnet.errors import BadRequest, ContractInvalid, Refusal
from tron_payment.devnet.proto import MESSAGES, TYPE_NUMBERS, TYPE_URL, Raw
from tron_payment.devnet.transactions import Tx, decode, of


def pack(body: dict[str, Any], visible: bool) -> Tx:
    """The transaction of its JSON: txID and raw_data_hex are ignored, as java-tron does.

    Raises:
        Refusal: A part cannot be read.
    """
    shown = body.get("raw_data")
    if not isinstance(shown, dict):
        raise BadRequest("null", "java.lang.NullPointerException")
    raw = Raw()
    simple = {name: value for name, value in shown.items() if name != "contract"}
    codec.fill(raw, simple, visible=False)
    contracts = shown.get("contract")
    for entry in contracts if isinstance(contracts, list) else []:
        _pack_contract(raw, entry, visible)
    signatures = body.get("signature") or []
    return of(
        bytes(raw.SerializeToString()),
        tuple(codec.read_hex(signature) for signature in signatures),
    )


def _pack_contract(raw: Any, entry: Any, visible: bool) -> None:
    """Append one contract; one that does not fit its form is dropped, as java-tron does."""
    try:
        name = entry["type"]
        cls, kind = MESSAGES[name], TYPE_NUMBERS[name]
        message = codec.from_json(cls, entry["parameter"]["value"], visible)
    except (KeyError, TypeError, Refusal):
        return
    contract = raw.contract.add(type=kind)
    contract.parameter.type_url = TYPE_URL + name
    contract.parameter.value = message.SerializeToString()
    if permission_id := entry.get("Permission_id"):
        contract.Permission_id = codec.read_int(permission_id)


def read(name: str, query: Query) -> Tx:
    """The transaction that a broadcast carries.

    Raises:
        Refusal: It cannot be read.
    """
    if name == "broadcasthex":
        return decode(query.hex("transaction"))
    return pack(query.body, query.visible)


def refused(name: str, query: Query, tx: Tx, code: str, message: str) -> Any:
    """The answer for a transaction that was not accepted."""
    if name == "broadcasthex":
        return _hex_answer(query, tx, code, message)
    text = codec.text(message.encode(), query.visible)
    return {"code": code, "txid": tx.txid.hex(), "message": text}


def broadcasttransaction(chain: Chain, query: Query) -> Any:
    tx = read("broadcasttransaction", query)
    try:
        chain.push(tx)
    except Refusal as error:
        return refused("broadcasttransaction", query, tx, error.code, error.message)
    return {"result": True, "txid": tx.txid.hex()}


def broadcasthex(chain: Chain, query: Query) -> Any:
    try:
        tx = read("broadcasthex", query)
    except ContractInvalid as error:
        return {"result": False, "code": error.code, "txid": "", "message": error.message}
    try:
        chain.push(tx)
    except Refusal as error:
        return _hex_answer(query, tx, error.code, error.message)
    return _hex_answer(query, tx, "SUCCESS", "")


def _hex_answer(query: Query, tx: Tx, code: str, message: str) -> Any:
    shown = {"visible": query.visible} | render.transaction(tx, query.visible)
    return {
        "result": code == "SUCCESS",
        "code": code,
        "txid": tx.txid.hex(),
        "message": message,
        "transaction": msgspec.json.encode(shown).decode(),
    }

"""Calls that change nothing: triggerconstantcontract and estimateenergy."""

from typing import Any, Final

from tron_payment.devnet import params, render, vm
from tron_payment.devnet.api.query import Query, View
from tron_payment.devnet.codec import address_text
from tron_payment.devnet.errors import ContractInvalid, Refusal
from tron_payment.devnet.keys import base58check, keccak
from tron_payment.devnet.proto import MESSAGES
from tron_payment.devnet.receipts import InternalRecord
from tron_payment.devnet.state import Overlay
from tron_payment.devnet.transactions import TRIGGER_CONTRACT, build_raw, of
from tron_payment.devnet.tvm import Outcome

EXPIRATION_MS: Final = 60_000
TRX: Final = 1_000_000
PARAMETERS: Final = ("owner_address", "contract_address", "function_selector", "data")
OUT_OF_TIME: Final = "OUT_OF_TIME"
_TIME_ERROR: Final = "class org.tron.core.vm.program.Program$OutOfTimeException"
_PARAMETER_ERROR: Final = (
    "org.bouncycastle.util.encoders.DecoderException : exception decoding Hex string: "
    "invalid characters encountered in Hex string"
)


class CallRefused(Exception):
    """The call cannot be tried; carries java-tron's code and plain message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def answer(self) -> dict[str, Any]:
        return {"result": {"code": self.code, "message": self.message.encode().hex()}}


def call_data(query: Query) -> bytes:
    """Selector and parameters, or raw data.

    Raises:
        CallRefused: The parameter is not hex.
    """
    body = query.body
    selector = body.get("function_selector")
    try:
        if selector:
            return keccak(str(selector).encode())[:4] + bytes.fromhex(body.get("parameter") or "")
        return bytes.fromhex(str(body.get("data") or "").removeprefix("0x"))
    except ValueError:
        raise CallRefused("OTHER_ERROR", "class " + _PARAMETER_ERROR) from None


def read_trigger(query: Query) -> Any:
    """The TriggerSmartContract message of a request; without a contract it simulates a creation.

    Raises:
        CallRefused: An address or the parameter is missing or malformed.
    """
    present = {name for name in PARAMETERS if query.body.get(name)}
    if "owner_address" not in present:
        raise _parameter("owner_address isn't set.")
    if not present & {"contract_address", "data"}:
        raise _parameter("At least one of contract_address and data must be set.")
    if present >= {"function_selector", "data"} and "contract_address" not in present:
        raise _parameter("While trying to deploy, function_selector and data can not be both set.")
    try:
        return MESSAGES["TriggerSmartContract"](
            owner_address=query.address("owner_address"),
            contract_address=query.address("contract_address")
            if "contract_address" in present
            else b"",
            call_value=query.integer("call_value"),
            data=call_data(query),
        )
    except Refusal as error:
        raise CallRefused("OTHER_ERROR", error.error) from None


def _parameter(message: str) -> CallRefused:
    return CallRefused("OTHER_ERROR", f"class java.security.InvalidParameterException : {message}")


def reference(view: View) -> dict[str, Any]:
    """Reference block and expiration of a transaction that the node builds."""
    solid = view.solid_block
    return {
        "ref_block_bytes": solid.id[6:8],
        "ref_block_hash": solid.id[8:16],
        "expiration": view.head.timestamp_ms + EXPIRATION_MS,
    }


def constant_call(view: View, message: Any, energy_limit: int) -> Outcome:
    """Run a TriggerSmartContract message without consequences; without a contract, a creation.

    Raises:
        CallRefused: It cannot be tried, or took too long.
    """
    outcome = _run(view, message, energy_limit)
    if outcome.result == OUT_OF_TIME:
        raise CallRefused("OTHER_ERROR", f"{_TIME_ERROR} : {outcome.error}")
    return outcome


def _run(view: View, message: Any, energy_limit: int) -> Outcome:
    head = view.head
    block = vm.Block(
        number=head.number,
        timestamp_ms=head.timestamp_ms,
        maker=head.witness,
        chain_id=view.chain.chain_id,
        block_hash=view.chain.environment().block_hash,
    )
    overlay = Overlay(view.get)
    if not message.contract_address:
        return vm.create_constant(overlay, block, message, energy_limit)
    try:
        return vm.call_constant(
            overlay,
            block,
            owner=bytes(message.owner_address),
            contract=bytes(message.contract_address),
            data=bytes(message.data),
            value=message.call_value,
            energy_limit=energy_limit,
        )
    except ContractInvalid as error:
        raise CallRefused("CONTRACT_VALIDATE_ERROR", error.text) from None


def triggerconstantcontract(view: View, query: Query, now_ms: int) -> Any:
    try:
        message = read_trigger(query)
        outcome = constant_call(view, message, vm.CONSTANT_ENERGY_LIMIT)
    except CallRefused as refused:
        return refused.answer
    raw = build_raw(TRIGGER_CONTRACT, message, timestamp=now_ms, **reference(view))
    transaction = render.built(of(raw, ()), query.visible)
    result: dict[str, Any] = {"result": True}
    ret: dict[str, Any] = {}
    if not outcome.succeeded:
        result["message"] = outcome.error.encode().hex()
        ret["ret"] = "FAILED"
    shown: dict[str, Any] = {
        "result": result,
        "energy_used": outcome.energy_used,
        "constant_result": [outcome.output.hex()],
    }
    if outcome.logs:
        shown["logs"] = [
            {
                # java-tron encodes the bare 20 bytes here, which gives no TRON address.
                "address": base58check(log.address) if query.visible else log.address.hex(),
                **({"data": log.data.hex()} if log.data else {}),
                **({"topics": [topic.hex() for topic in log.topics]} if log.topics else {}),
            }
            for log in outcome.logs
        ]
    if outcome.internal:
        shown["internal_transactions"] = _internal(outcome, query.visible)
    if outcome.energy_penalty:
        shown["energy_penalty"] = outcome.energy_penalty
    shown["transaction"] = {"ret": [ret], **transaction}
    return shown


def _internal(outcome: Outcome, visible: bool) -> list[dict[str, Any]]:
    records = [
        InternalRecord(
            i.hash,
            b"A" + i.caller,
            b"A" + i.to if i.to else b"",
            i.value,
            i.note,
            i.rejected,
        )
        for i in outcome.internal
    ]
    return [
        {
            "hash": step.hash.hex(),
            "caller_address": address_text(step.caller, visible),
            "transferTo_address": address_text(step.to, visible),
            "callValueInfo": [{"callValue": step.value} if step.value else {}],
            "note": step.note.encode().hex(),
            **({"rejected": True} if step.rejected else {}),
        }
        for step in records
    ]


def estimateenergy(view: View, query: Query) -> Any:
    """java-tron's search: between the energy used and twice that, down to a step of 1 TRX."""
    try:
        message = read_trigger(query)
        outcome = constant_call(view, message, vm.CONSTANT_ENERGY_LIMIT)
        if not outcome.succeeded:
            raise CallRefused("CONTRACT_EXE_ERROR", outcome.error)
        price = params.read(view.get, "getEnergyFee")
        low = outcome.energy_used * price
        high = 2 * low
        while low + TRX < high:
            middle = (low + high) // 2
            tried = constant_call(view, message, middle // price)
            if tried.succeeded:
                high = middle
            else:
                low = middle
    except CallRefused as refused:
        return refused.answer
    return {"result": {"result": True}, "energy_required": -(-high // price)}

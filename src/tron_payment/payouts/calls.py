"""What a contract's call says, for the people who are asked to approve it. Pure.

Method and arguments are read by the ABI that this service ships, and encoded again to see that
nothing is hidden behind them. Of a contract that is not known here the selector and the data are
shown as they are; a token's method that the selector reads as is named, but not as `known`: a
stranger's contract does what it likes under any name.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tron_payment.contracts import Artifact, UnknownEntry, artifact
from tron_payment.core.address import Address
from tron_payment.core.money import TRX, decimal_text
from tron_payment.module import Deployment
from tron_payment.usdt import TokenRegistry

SELECTOR_BYTES: Final = 4
UNLIMITED: Final = 2**256 - 1
CALL: Final = "TriggerContract"
UNITS: Final = frozenset({"transfer", "approve", "transferFrom"})
"""Methods of a token whose number is an amount of it."""


class ArgumentView(msgspec.Struct, frozen=True, kw_only=True):
    """One argument. Numbers are decimal, bytes hex; `amount` reads a token's units."""

    name: str
    type: str
    value: str
    amount: str | None = None


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """A contract's call. `method` and `arguments` are empty where only the bytes are known."""

    contract: str
    contract_name: str | None
    """What the contract is here: a registered token's code, a router; none for a stranger's."""

    known: bool
    """The contract and its ABI are known here; else nobody here knows what the call does."""

    method: str | None
    arguments: list[ArgumentView]
    selector: str | None
    data: str
    call_value_trx: str


class CallReader:
    """Reads the calls of orders."""

    def __init__(self, tokens: TokenRegistry, deployment: Deployment) -> None:
        self._tokens = tokens
        self._deployment = deployment

    def read(self, contract: Mapping[str, Any]) -> CallView | None:
        """The call that an order's contract is; None for what calls no contract."""
        if contract["type"] != CALL:
            return None
        address, data = Address(contract["contract"]), bytes(contract["data"])
        name, abi = self._known(address)
        method, arguments = _decoded(abi or artifact("TestUSDT"), data)
        code = self._tokens.by_contract.get(address)
        if code is not None and method is not None and method.partition("(")[0] in UNITS:
            arguments = [self._with_amount(each, code) for each in arguments]
        return CallView(
            contract=address,
            contract_name=name,
            known=abi is not None and method is not None,
            method=method,
            arguments=arguments,
            selector=data[:SELECTOR_BYTES].hex() if len(data) >= SELECTOR_BYTES else None,
            data=data.hex(),
            call_value_trx=decimal_text(int(contract["call_value_sun"]), TRX.decimals),
        )

    def _known(self, address: Address) -> tuple[str | None, Artifact | None]:
        if (code := self._tokens.by_contract.get(address)) is not None:
            return code, artifact("TestUSDT")
        if address == self._deployment.router_v0:
            return "payout router v0", artifact("PayoutRouterV0")
        if address == self._deployment.router_kyc:
            return "payout router KYC", artifact("PayoutRouterKYC")
        return None, None

    def _with_amount(self, argument: ArgumentView, code: str) -> ArgumentView:
        if argument.type != "uint256":
            return argument
        units = int(argument.value)
        decimals = self._tokens.asset(code).decimals
        text = "unlimited" if units == UNLIMITED else decimal_text(units, decimals)
        return msgspec.structs.replace(argument, amount=f"{text} {code}")


def _decoded(abi: Artifact, data: bytes) -> tuple[str | None, list[ArgumentView]]:
    """Signature and arguments by this ABI, which has the call in its one canonical form."""
    try:
        name, values = abi.decode_call(data)
    except UnknownEntry:
        return None, []
    signature = next(
        text for text, found in abi.selectors.items() if found == data[:SELECTOR_BYTES]
    )
    inputs = next(
        each["inputs"]
        for each in abi.abi
        if each["type"] == "function"
        and each["name"] == name
        and len(each["inputs"]) == len(values)
    )
    return signature, [
        ArgumentView(name=each["name"], type=each["type"], value=_text(value))
        for each, value in zip(inputs, values, strict=True)
    ]


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(each) for each in value) + "]"
    return str(value)

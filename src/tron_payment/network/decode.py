"""Transactions in words: what a contract does, as plain fields for people and programs. Pure.

Amounts are decimal strings; of a token that we do not know they are whole units and the currency
is the token's contract address.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tron_payment.chain import (
    TYPE_NAMES,
    TYPE_NUMBERS,
    CancelAllUnfreezeV2,
    Contract,
    CreateAccount,
    CreateContract,
    Delegate,
    FreezeV2,
    OtherContract,
    PermissionUpdate,
    SolidTransaction,
    TokenTransfer,
    Transfer,
    TriggerContract,
    Undelegate,
    UnfreezeV2,
    Vote,
    WithdrawExpireUnfreeze,
    WithdrawReward,
    trc20_transfers,
)
from tron_payment.core.address import Address, InvalidAddress, address_of
from tron_payment.core.money import TRX, USDT, decimal_text, trx_text

WORD: Final = 32
MEMO_CHARACTERS_MAX: Final = 500
_TRANSFER: Final = bytes.fromhex("a9059cbb")
_TRANSFER_FROM: Final = bytes.fromhex("23b872dd")
_APPROVE: Final = bytes.fromhex("095ea7b3")


@dataclass(frozen=True, slots=True)
class Words:
    """What one contract says. `amount` is None for what moves nothing, such as a vote."""

    contract_type: str
    sender: Address
    recipient: Address | None = None
    amount: str | None = None
    currency: str | None = None
    method: str | None = None
    """The token call that a contract call makes, when it is one that we know."""
    details: Mapping[str, Any] = field(default_factory=dict)


def words_of(contract: Contract, usdt: Address) -> Words:
    """Put a contract into words.

    Args:
        usdt: The contract whose units are shown as USDT.
    """
    kind = type_name(contract)
    sun = trx_text
    match contract:
        case Transfer():
            return Words(kind, contract.owner, contract.to, sun(contract.amount_sun), TRX.code)
        case TriggerContract():
            return _call(kind, contract, usdt)
        case CreateAccount():
            return Words(kind, contract.owner, contract.account)
        case CreateContract():
            return Words(kind, contract.owner, details={"name": contract.name})
        case FreezeV2() | UnfreezeV2():
            amount = sun(contract.amount_sun)
            staked = {"resource": contract.resource.value}
            return Words(kind, contract.owner, None, amount, TRX.code, None, staked)
        case Delegate():
            details: dict[str, Any] = {
                "resource": contract.resource.value,
                "lock": contract.lock,
                "lock_period_blocks": contract.lock_period_blocks,
            }
            return _resource(kind, contract, details)
        case Undelegate():
            return _resource(kind, contract, {"resource": contract.resource.value})
        case Vote():
            votes = [{"address": address, "votes": count} for address, count in contract.votes]
            return Words(kind, contract.owner, details={"votes": votes})
        case PermissionUpdate():
            return Words(kind, contract.owner, details={"actives": len(contract.actives)})
        case WithdrawExpireUnfreeze() | CancelAllUnfreezeV2() | WithdrawReward() | OtherContract():
            return Words(kind, contract.owner)


def type_name(contract: Contract) -> str:
    """java-tron's name of the contract's type."""
    if isinstance(contract, OtherContract):
        return contract.type_name
    return TYPE_NAMES[TYPE_NUMBERS[type(contract)]]


def token_amount(token: Address, units: int, usdt: Address) -> tuple[str, str]:
    """Amount and currency of a token's units."""
    if token == usdt:
        return decimal_text(units, USDT.decimals), USDT.code
    return str(units), token


def transfers_of(transaction: SolidTransaction, usdt: Address) -> list[dict[str, str]]:
    """Everything that the receipt says has moved besides the contract's own amount."""
    found = [_transfer(each, usdt) for each in trc20_transfers(transaction)]
    for each in transaction.internal if transaction.succeeded else ():
        if not each.rejected:
            found.append(
                {
                    "from": each.caller,
                    "to": each.to,
                    "amount": trx_text(each.amount_sun),
                    "currency": TRX.code,
                }
            )
    return found


def memo_text(memo: bytes) -> str | None:
    """A memo as text; hex when it is not UTF-8; None when there is none."""
    if not memo:
        return None
    try:
        text = memo.decode()
    except UnicodeDecodeError:
        text = memo.hex()
    return text[:MEMO_CHARACTERS_MAX]


def _transfer(each: TokenTransfer, usdt: Address) -> dict[str, str]:
    amount, currency = token_amount(each.token, each.units, usdt)
    return {"from": each.sender, "to": each.recipient, "amount": amount, "currency": currency}


def _resource(kind: str, contract: Delegate | Undelegate, details: Mapping[str, Any]) -> Words:
    amount = trx_text(contract.amount_sun)
    return Words(kind, contract.owner, contract.receiver, amount, TRX.code, None, details)


def _call(kind: str, contract: TriggerContract, usdt: Address) -> Words:
    details = {"contract_address": contract.contract}
    selector, arguments = contract.data[:4], contract.data[4:]
    try:
        if selector == _TRANSFER and len(arguments) == 2 * WORD:
            sender, recipient, method = contract.owner, _address(arguments, 0), "transfer"
        elif selector == _APPROVE and len(arguments) == 2 * WORD:
            sender, recipient, method = contract.owner, _address(arguments, 0), "approve"
        elif selector == _TRANSFER_FROM and len(arguments) == 3 * WORD:
            sender, recipient = _address(arguments, 0), _address(arguments, 1)
            method = "transferFrom"
        else:
            return _plain_call(kind, contract, details)
    except InvalidAddress:
        return _plain_call(kind, contract, details)
    units = int.from_bytes(arguments[-WORD:])
    amount, currency = token_amount(contract.contract, units, usdt)
    return Words(kind, sender, recipient, amount, currency, method, details)


def _plain_call(kind: str, contract: TriggerContract, details: dict[str, Any]) -> Words:
    value = contract.call_value_sun
    details |= {"selector": contract.data[:4].hex()}
    return Words(
        kind,
        contract.owner,
        contract.contract,
        trx_text(value) if value else None,
        TRX.code if value else None,
        None,
        details,
    )


def _address(arguments: bytes, index: int) -> Address:
    word = arguments[index * WORD : (index + 1) * WORD]
    return address_of(word[WORD - 20 :])

"""What a transaction does, in plain words, read from its bytes alone. Pure.

The person who signs compares these words with what the device shows. Whatever is not understood
is called so (`blind`), never guessed.
"""

from typing import Any, Final

import msgspec

from tron_payment import chain
from tron_payment.chain import RawData
from tron_payment.core.address import Address, address_of
from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.core.errors import AppError
from tron_payment.core.money import TRX, trx_text
from tron_payment.wallets.currencies import Currencies

TRANSFER: Final = bytes.fromhex("a9059cbb")
APPROVE: Final = bytes.fromhex("095ea7b3")
WORD: Final = 32
UNLIMITED: Final = 2**256 - 1

Words = dict[str, Any]
"""Some of a manifest's fields."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The words. Amounts are decimals; `blind` means that a person cannot see what it does."""

    what: str
    from_address: str
    to_address: str | None = None
    amount: str | None = None
    currency: str | None = None
    contract: str | None = None
    """The contract that is called, and its data's hex when `blind`."""

    data: str | None = None
    fee_limit_trx: str
    expires_at: str
    txid: str
    permission_id: int = 0
    memo: str | None = None
    blind: bool = False


def manifest_of(raw: bytes, currencies: Currencies) -> Manifest:
    """Describe the bytes of a transaction.

    Raises:
        MalformedRawData: These are not a transaction's bytes.
    """
    said = chain.decode(raw)
    fields = _words(said, currencies)
    return Manifest(
        from_address=said.contract.owner,
        fee_limit_trx=trx_text(said.fee_limit_sun),
        expires_at=rfc3339(from_ms(said.expiration_ms)),
        txid=chain.txid(raw),
        permission_id=said.permission_id,
        memo=said.memo.decode(errors="replace") or None,
        **fields,
    )


def _words(said: RawData, currencies: Currencies) -> Words:
    contract = said.contract
    match contract:
        case chain.Transfer():
            return _moved("send", contract.to, trx_text(contract.amount_sun), TRX.code)
        case chain.TriggerContract():
            return _call(contract, currencies)
        case chain.FreezeV2():
            return _plain(f"stake for {contract.resource}", contract.amount_sun)
        case chain.UnfreezeV2():
            return _plain(f"unstake {contract.resource}", contract.amount_sun)
        case chain.Delegate():
            lent = _plain(f"lend {contract.resource}", contract.amount_sun)
            return lent | {"to_address": contract.receiver}
        case chain.Undelegate():
            back = _plain(f"take back {contract.resource}", contract.amount_sun)
            return back | {"to_address": contract.receiver}
        case chain.Vote():
            votes = ", ".join(f"{count} for {to}" for to, count in contract.votes)
            return {"what": f"vote: {votes}"}
        case chain.WithdrawReward():
            return {"what": "withdraw voting rewards"}
        case chain.WithdrawExpireUnfreeze():
            return {"what": "withdraw what has finished unstaking"}
        case chain.CancelAllUnfreezeV2():
            return {"what": "cancel all unstaking"}
        case chain.CreateAccount():
            return {"what": "activate an address", "to_address": contract.account}
        case chain.PermissionUpdate():
            return {"what": _permissions(contract)}
        case _:
            name = chain.TYPE_NAMES.get(chain.type_number_of(contract), "unknown")
            return {"what": f"a contract of the type {name}", "blind": True}


def _call(contract: chain.TriggerContract, currencies: Currencies) -> Words:
    code = currencies.by_contract.get(contract.contract)
    data = contract.data
    at: Words = {"contract": contract.contract}
    arguments = [data[4 + n : 4 + n + WORD] for n in range(0, len(data) - 4, WORD)]
    try:
        if code is not None and not contract.call_value_sun and len(data) == 4 + 2 * WORD:
            party, units = _address(arguments[0]), int.from_bytes(arguments[1])
            if data[:4] == TRANSFER:
                return _moved("send", party, currencies.text(units, code), code) | at
            if data[:4] == APPROVE:
                amount = "unlimited" if units == UNLIMITED else currencies.text(units, code)
                return _moved("let spend", party, amount, code) | at
    except AppError:
        pass  # a party that is no address: nothing that a person could check
    value = f" with {trx_text(contract.call_value_sun)} TRX" if contract.call_value_sun else ""
    return {"what": f"call a contract{value}", "data": data.hex(), "blind": True} | at


def _address(word: bytes) -> Address:
    return address_of(word[-20:] if not any(word[:12]) else word)


def _moved(verb: str, to: Address, amount: str, code: str) -> Words:
    return {
        "what": f"{verb} {amount} {code}",
        "to_address": to,
        "amount": amount,
        "currency": code,
    }


def _plain(what: str, sun: int) -> Words:
    amount = trx_text(sun)
    return {"what": f"{what}: {amount} TRX", "amount": amount, "currency": TRX.code}


def _permissions(contract: chain.PermissionUpdate) -> str:
    parts = [contract.owner_permission, contract.witness_permission, *contract.actives]
    told = [
        f"{each.kind.name.lower()} {each.name!r} needs {each.threshold} of "
        + ", ".join(f"{key} ({weight})" for key, weight in each.keys)
        for each in parts
        if each is not None
    ]
    return "replace all permissions: " + "; ".join(told)

"""A transaction as browser wallets and java-tron's HTTP API write it: JSON beside the bytes. Pure.

TronWeb builds the bytes again from this JSON and refuses when their hash is another, so it must
say all that the bytes say. Addresses are hex (``visible: false``); defaults are left out.
"""

from typing import Any

from tron_payment import chain
from tron_payment.chain import RawData
from tron_payment.core.address import address_hex
from tron_payment.core.errors import Refused

Json = dict[str, Any]


class NotForBrowsers(Refused, code="not_for_browsers"):
    """A browser wallet cannot sign this kind of transaction; use another key."""


def transaction_json(raw: bytes) -> Json:
    """The unsigned transaction for `tronWeb.trx.sign`.

    Raises:
        MalformedRawData: These are not a transaction's bytes.
        NotForBrowsers
    """
    said = chain.decode(raw)
    return {
        "visible": False,
        "txID": chain.txid(raw),
        "raw_data": _raw_data(said),
        "raw_data_hex": raw.hex(),
    }


def _raw_data(said: RawData) -> Json:
    name = chain.TYPE_NAMES.get(chain.type_number_of(said.contract), "")
    contract: Json = {
        "parameter": {
            "value": {"owner_address": address_hex(said.contract.owner)} | _value(said.contract),
            "type_url": f"type.googleapis.com/protocol.{name}",
        },
        "type": name,
    }
    if said.permission_id:
        contract["Permission_id"] = said.permission_id
    whole: Json = {
        "contract": [contract],
        "ref_block_bytes": said.ref_block_bytes.hex(),
        "ref_block_hash": said.ref_block_hash.hex(),
        "expiration": said.expiration_ms,
        "timestamp": said.timestamp_ms,
    }
    if said.fee_limit_sun:
        whole["fee_limit"] = said.fee_limit_sun
    if said.memo:
        whole["data"] = said.memo.hex()
    return whole


def _value(contract: chain.Contract) -> Json:
    match contract:
        case chain.Transfer():
            return {"to_address": address_hex(contract.to), "amount": contract.amount_sun}
        case chain.TriggerContract():
            call: Json = {
                "contract_address": address_hex(contract.contract),
                "data": contract.data.hex(),
            }
            return call | _unless_zero(call_value=contract.call_value_sun)
        case chain.FreezeV2():
            return {"frozen_balance": contract.amount_sun} | _resource(contract.resource)
        case chain.UnfreezeV2():
            return {"unfreeze_balance": contract.amount_sun} | _resource(contract.resource)
        case chain.Delegate():
            lent = _unless_zero(lock=contract.lock, lock_period=contract.lock_period_blocks)
            return _lent(contract) | lent
        case chain.Undelegate():
            return _lent(contract)
        case chain.Vote():
            votes = [
                {"vote_address": address_hex(to), "vote_count": count}
                for to, count in contract.votes
            ]
            return {"votes": votes}
        case chain.CreateAccount():
            return {"account_address": address_hex(contract.account)}
        case chain.WithdrawReward() | chain.WithdrawExpireUnfreeze() | chain.CancelAllUnfreezeV2():
            return {}
        case _:
            raise NotForBrowsers


def _lent(contract: chain.Delegate | chain.Undelegate) -> Json:
    return {
        "receiver_address": address_hex(contract.receiver),
        "balance": contract.amount_sun,
    } | _resource(contract.resource)


def _resource(resource: chain.Resource) -> Json:
    """Bandwidth is the default, which is left out."""
    return {} if resource is chain.Resource.BANDWIDTH else {"resource": resource.value}


def _unless_zero(**values: int | bool) -> Json:
    return {name: value for name, value in values.items() if value}

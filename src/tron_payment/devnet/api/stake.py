"""Questions about stake and delegation, for both /wallet and /walletsolidity."""

from typing import Any, Final

from tron_payment.devnet import ledger, params
from tron_payment.devnet.actuators.delegation import LOCKED, UNLOCKED, delegatable, key
from tron_payment.devnet.actuators.stake import UNFREEZE_MAX
from tron_payment.devnet.api.query import Query, View
from tron_payment.devnet.codec import address_text
from tron_payment.devnet.records import Delegation
from tron_payment.devnet.state import DELEGATES, DELEGATORS

_RESOURCES: Final = (0, 1)


def getdelegatedresourcev2(view: View, query: Query) -> Any:
    owner, receiver = query.address("fromAddress"), query.address("toAddress")
    shown = []
    for lock in (UNLOCKED, LOCKED):
        record: Delegation | None = view.get(key(lock, owner, receiver))
        if record is None:
            continue
        fields = {
            "from": address_text(owner, query.visible),
            "to": address_text(receiver, query.visible),
            "frozen_balance_for_bandwidth": record.bandwidth,
            "frozen_balance_for_energy": record.energy,
            "expire_time_for_bandwidth": record.bandwidth_expires,
            "expire_time_for_energy": record.energy_expires,
        }
        shown.append({name: value for name, value in fields.items() if value})
    return {"delegatedResource": shown} if shown else {}


def getdelegatedresourceaccountindexv2(view: View, query: Query) -> Any:
    address = query.address("value")
    fields = {
        "account": address_text(address, query.visible),
        "fromAccounts": _addresses(view, DELEGATORS + address, query.visible),
        "toAccounts": _addresses(view, DELEGATES + address, query.visible),
    }
    return {name: value for name, value in fields.items() if value}


def getdelegatedresourceaccountindex(view: View, query: Query) -> Any:
    """Who lent what before Stake 2.0: nobody, but the node names the account all the same."""
    address = query.address("value")
    return {"account": address_text(address, query.visible)} if address else {}


def _addresses(view: View, where: bytes, visible: bool) -> list[str]:
    return [address_text(address, visible) for address in view.get(where) or ()]


def getcandelegatedmaxsize(view: View, query: Query) -> Any:
    account = ledger.account(view.get, query.address("owner_address"))
    resource = query.integer("type")
    if account is None or resource not in _RESOURCES:
        return {}
    size = delegatable(view.get, account, resource)
    return {"max_size": size} if size else {}


def getavailableunfreezecount(view: View, query: Query) -> Any:
    account = ledger.account(view.get, query.address("owner_address"))
    if account is None:
        return {}
    now = params.read(view.get, params.HEAD_TIME)
    count = UNFREEZE_MAX - sum(entry.expires_ms > now for entry in account.unfreezing)
    return {"count": count} if count else {}


def getcanwithdrawunfreezeamount(view: View, query: Query) -> Any:
    account = ledger.account(view.get, query.address("owner_address"))
    if account is None:
        return {}
    at_ms = query.integer("timestamp") or params.read(view.get, params.HEAD_TIME)
    amount = sum(entry.amount for entry in account.unfreezing if entry.expires_ms <= at_ms)
    return {"amount": amount} if amount else {}

"""What a real java-tron 4.8 node sent and answered, reduced to the parts that the tests need."""

import json
from pathlib import Path
from typing import Any

from tron_payment.chain import (
    CancelAllUnfreezeV2,
    Contract,
    CreateAccount,
    Delegate,
    FreezeV2,
    Permission,
    PermissionKind,
    PermissionUpdate,
    RawData,
    Resource,
    Transfer,
    TriggerContract,
    Undelegate,
    UnfreezeV2,
    Vote,
    WithdrawReward,
)
from tron_payment.core.address import address_of_hex

_FIXTURES = Path(__file__).parent / "fixtures"
_KINDS = {
    "Owner": PermissionKind.OWNER,
    "Witness": PermissionKind.WITNESS,
    "Active": PermissionKind.ACTIVE,
}


def load(name: str) -> Any:
    return json.loads((_FIXTURES / f"{name}.json").read_text())


TRANSACTIONS: dict[str, dict[str, Any]] = load("transactions")
ANSWERS: dict[str, dict[str, Any]] = load("answers")
DEPLOYMENT: dict[str, Any] = load("deployment")


def raw_data_of(recording: dict[str, Any], contract: Contract | None = None) -> RawData:
    """The recording's fields, without its bytes."""
    return RawData(
        contract=contract or contract_of(recording["type"], recording["value"]),
        ref_block_bytes=bytes.fromhex(recording["ref_block_bytes"]),
        ref_block_hash=bytes.fromhex(recording["ref_block_hash"]),
        expiration_ms=recording["expiration"],
        timestamp_ms=recording["timestamp"],
        fee_limit_sun=recording["fee_limit"],
        permission_id=recording.get("permission_id", 0),
    )


def contract_of(kind: str, value: dict[str, Any]) -> Contract:
    """The contract from the node's JSON."""
    owner = address_of_hex(value["owner_address"])
    resource = Resource(value.get("resource", "BANDWIDTH"))
    match kind:
        case "TransferContract":
            return Transfer(owner, address_of_hex(value["to_address"]), value["amount"])
        case "TriggerSmartContract":
            called = address_of_hex(value["contract_address"])
            return TriggerContract(owner, called, bytes.fromhex(value["data"]))
        case "AccountCreateContract":
            return CreateAccount(owner, address_of_hex(value["account_address"]))
        case "FreezeBalanceV2Contract":
            return FreezeV2(owner, value["frozen_balance"], resource)
        case "UnfreezeBalanceV2Contract":
            return UnfreezeV2(owner, value["unfreeze_balance"], resource)
        case "CancelAllUnfreezeV2Contract":
            return CancelAllUnfreezeV2(owner)
        case "WithdrawBalanceContract":
            return WithdrawReward(owner)
        case "DelegateResourceContract":
            receiver = address_of_hex(value["receiver_address"])
            lock, period = value.get("lock", False), value.get("lock_period", 0)
            return Delegate(owner, receiver, value["balance"], resource, lock, period)
        case "UnDelegateResourceContract":
            receiver = address_of_hex(value["receiver_address"])
            return Undelegate(owner, receiver, value["balance"], resource)
        case "VoteWitnessContract":
            votes = ((each["vote_address"], each["vote_count"]) for each in value["votes"])
            return Vote(owner, tuple((address_of_hex(to), count) for to, count in votes))
        case "AccountPermissionUpdateContract":
            actives = tuple(_permission(each) for each in value["actives"])
            return PermissionUpdate(owner, _permission(value["owner"]), None, actives)
    raise AssertionError(kind)


def _permission(value: dict[str, Any]) -> Permission:
    return Permission(
        kind=_KINDS[value.get("type", "Owner")],
        threshold=value["threshold"],
        keys=tuple((address_of_hex(each["address"]), each["weight"]) for each in value["keys"]),
        name=value["permission_name"],
        operations=bytes.fromhex(value.get("operations", "")),
    )

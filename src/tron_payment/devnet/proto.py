"""TRON's protobuf messages, as far as a payment system meets them.

Built from one table instead of generated code: tronpy's schema knows two contract types only.
Numbers are those of java-tron's Tron.proto and core/contract/*.proto. `Transaction.raw_data` is
declared as bytes, so that a transaction is hashed exactly as it was sent.
"""

from typing import Any, Final

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped,unused-ignore]

Message = Any
"""A protobuf message; its fields are made at run time, so no static type knows them."""

_F: Final = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "bytes": _F.TYPE_BYTES,
    "string": _F.TYPE_STRING,
    "int64": _F.TYPE_INT64,
    "int32": _F.TYPE_INT32,
    "bool": _F.TYPE_BOOL,
}

_ENUMS: Final[dict[str, dict[str, int]]] = {
    "AccountType": {"Normal": 0, "AssetIssue": 1, "Contract": 2},
    "ResourceCode": {"BANDWIDTH": 0, "ENERGY": 1, "TRON_POWER": 2},
    "PermissionType": {"Owner": 0, "Witness": 1, "Active": 2},
    "EntryType": {
        "UnknownEntryType": 0,
        "Constructor": 1,
        "Function": 2,
        "Event": 3,
        "Fallback": 4,
        "Receive": 5,
        "Error": 6,
    },
    "StateMutabilityType": {
        "UnknownMutabilityType": 0,
        "Pure": 1,
        "View": 2,
        "Nonpayable": 3,
        "Payable": 4,
    },
    "contractResult": {
        "DEFAULT": 0,
        "SUCCESS": 1,
        "REVERT": 2,
        "BAD_JUMP_DESTINATION": 3,
        "OUT_OF_MEMORY": 4,
        "PRECOMPILED_CONTRACT": 5,
        "STACK_TOO_SMALL": 6,
        "STACK_TOO_LARGE": 7,
        "ILLEGAL_OPERATION": 8,
        "STACK_OVERFLOW": 9,
        "OUT_OF_ENERGY": 10,
        "OUT_OF_TIME": 11,
        "JVM_STACK_OVER_FLOW": 12,
        "UNKNOWN": 13,
        "TRANSFER_FAILED": 14,
        "INVALID_CODE": 15,
    },
}

CONTRACT_TYPES: Final[dict[int, str]] = {
    0: "AccountCreateContract",
    1: "TransferContract",
    4: "VoteWitnessContract",
    10: "AccountUpdateContract",
    13: "WithdrawBalanceContract",
    30: "CreateSmartContract",
    31: "TriggerSmartContract",
    33: "UpdateSettingContract",
    45: "UpdateEnergyLimitContract",
    46: "AccountPermissionUpdateContract",
    48: "ClearABIContract",
    54: "FreezeBalanceV2Contract",
    55: "UnfreezeBalanceV2Contract",
    56: "WithdrawExpireUnfreezeContract",
    57: "DelegateResourceContract",
    58: "UnDelegateResourceContract",
    59: "CancelAllUnfreezeV2Contract",
}
"""Contract type number to message name, of the types that this node executes."""

TYPE_URL: Final = "type.googleapis.com/protocol."

# message: (field, number, type); a leading * is repeated, other names are messages or enums.
_MESSAGES: Final[dict[str, tuple[tuple[str, int, str], ...]]] = {
    "Transaction": (("raw_data", 1, "bytes"), ("signature", 2, "*bytes"), ("ret", 5, "*Result")),
    "Result": (("fee", 1, "int64"), ("contractRet", 3, "contractResult")),
    "raw": (
        ("ref_block_bytes", 1, "bytes"),
        ("ref_block_num", 3, "int64"),
        ("ref_block_hash", 4, "bytes"),
        ("expiration", 8, "int64"),
        ("data", 10, "bytes"),
        ("contract", 11, "*Contract"),
        ("scripts", 12, "bytes"),
        ("timestamp", 14, "int64"),
        ("fee_limit", 18, "int64"),
    ),
    "Contract": (
        ("type", 1, "int32"),
        ("parameter", 2, "Any"),
        ("provider", 3, "bytes"),
        ("ContractName", 4, "bytes"),
        ("Permission_id", 5, "int32"),
    ),
    "AccountCreateContract": (
        ("owner_address", 1, "bytes"),
        ("account_address", 2, "bytes"),
        ("type", 3, "AccountType"),
    ),
    "TransferContract": (
        ("owner_address", 1, "bytes"),
        ("to_address", 2, "bytes"),
        ("amount", 3, "int64"),
    ),
    "Vote": (("vote_address", 1, "bytes"), ("vote_count", 2, "int64")),
    "VoteWitnessContract": (
        ("owner_address", 1, "bytes"),
        ("votes", 2, "*Vote"),
        ("support", 3, "bool"),
    ),
    "AccountUpdateContract": (("account_name", 1, "bytes"), ("owner_address", 2, "bytes")),
    "WithdrawBalanceContract": (("owner_address", 1, "bytes"),),
    "Param": (
        ("indexed", 1, "bool"),
        ("name", 2, "string"),
        ("type", 3, "string"),
    ),
    "Entry": (
        ("anonymous", 1, "bool"),
        ("constant", 2, "bool"),
        ("name", 3, "string"),
        ("inputs", 4, "*Param"),
        ("outputs", 5, "*Param"),
        ("type", 6, "EntryType"),
        ("payable", 7, "bool"),
        ("stateMutability", 8, "StateMutabilityType"),
    ),
    "ABI": (("entrys", 1, "*Entry"),),
    "SmartContract": (
        ("origin_address", 1, "bytes"),
        ("contract_address", 2, "bytes"),
        ("abi", 3, "ABI"),
        ("bytecode", 4, "bytes"),
        ("call_value", 5, "int64"),
        ("consume_user_resource_percent", 6, "int64"),
        ("name", 7, "string"),
        ("origin_energy_limit", 8, "int64"),
        ("code_hash", 9, "bytes"),
        ("trx_hash", 10, "bytes"),
        ("version", 11, "int32"),
    ),
    "CreateSmartContract": (
        ("owner_address", 1, "bytes"),
        ("new_contract", 2, "SmartContract"),
        ("call_token_value", 3, "int64"),
        ("token_id", 4, "int64"),
    ),
    "TriggerSmartContract": (
        ("owner_address", 1, "bytes"),
        ("contract_address", 2, "bytes"),
        ("call_value", 3, "int64"),
        ("data", 4, "bytes"),
        ("call_token_value", 5, "int64"),
        ("token_id", 6, "int64"),
    ),
    "UpdateSettingContract": (
        ("owner_address", 1, "bytes"),
        ("contract_address", 2, "bytes"),
        ("consume_user_resource_percent", 3, "int64"),
    ),
    "UpdateEnergyLimitContract": (
        ("owner_address", 1, "bytes"),
        ("contract_address", 2, "bytes"),
        ("origin_energy_limit", 3, "int64"),
    ),
    "ClearABIContract": (("owner_address", 1, "bytes"), ("contract_address", 2, "bytes")),
    "Key": (("address", 1, "bytes"), ("weight", 2, "int64")),
    "Permission": (
        ("type", 1, "PermissionType"),
        ("id", 2, "int32"),
        ("permission_name", 3, "string"),
        ("threshold", 4, "int64"),
        ("parent_id", 5, "int32"),
        ("operations", 6, "bytes"),
        ("keys", 7, "*Key"),
    ),
    "AccountPermissionUpdateContract": (
        ("owner_address", 1, "bytes"),
        ("owner", 2, "Permission"),
        ("witness", 3, "Permission"),
        ("actives", 4, "*Permission"),
    ),
    "FreezeBalanceV2Contract": (
        ("owner_address", 1, "bytes"),
        ("frozen_balance", 2, "int64"),
        ("resource", 3, "ResourceCode"),
    ),
    "UnfreezeBalanceV2Contract": (
        ("owner_address", 1, "bytes"),
        ("unfreeze_balance", 2, "int64"),
        ("resource", 3, "ResourceCode"),
    ),
    "WithdrawExpireUnfreezeContract": (("owner_address", 1, "bytes"),),
    "DelegateResourceContract": (
        ("owner_address", 1, "bytes"),
        ("resource", 2, "ResourceCode"),
        ("balance", 3, "int64"),
        ("receiver_address", 4, "bytes"),
        ("lock", 5, "bool"),
        ("lock_period", 6, "int64"),
    ),
    "UnDelegateResourceContract": (
        ("owner_address", 1, "bytes"),
        ("resource", 2, "ResourceCode"),
        ("balance", 3, "int64"),
        ("receiver_address", 4, "bytes"),
    ),
    "CancelAllUnfreezeV2Contract": (("owner_address", 1, "bytes"),),
    "HeaderRaw": (
        ("timestamp", 1, "int64"),
        ("txTrieRoot", 2, "bytes"),
        ("parentHash", 3, "bytes"),
        ("number", 7, "int64"),
        ("witness_id", 8, "int64"),
        ("witness_address", 9, "bytes"),
        ("version", 10, "int32"),
    ),
}


def _pool() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="tron_payment/devnet.proto",
        package="protocol",
        syntax="proto3",
        dependency=["google/protobuf/any.proto"],
    )
    for name, values in _ENUMS.items():
        # Each enum lives in a holder: proto3 scopes value names, and some of ours repeat.
        holder = file.message_type.add(name=f"{name}Holder").enum_type.add(name=name)
        for value, number in values.items():
            holder.value.add(name=value, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            repeated = kind.startswith("*")
            kind = kind.removeprefix("*")
            field = message.field.add(
                name=field_name,
                number=number,
                label=_F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL,
            )
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            elif kind in _ENUMS:
                field.type = _F.TYPE_ENUM
                field.type_name = f".protocol.{kind}Holder.{kind}"
            else:
                field.type = _F.TYPE_MESSAGE
                field.type_name = ".google.protobuf.Any" if kind == "Any" else f".protocol.{kind}"
    pool = descriptor_pool.DescriptorPool()
    any_file = descriptor_pb2.FileDescriptorProto()
    any_pb2.DESCRIPTOR.CopyToProto(any_file)
    pool.Add(any_file)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"protocol.{name}"))
        for name in _MESSAGES
    }


MESSAGES: Final = _pool()
"""Message name to class."""
Transaction: Final = MESSAGES["Transaction"]
Raw: Final = MESSAGES["raw"]
HeaderRaw: Final = MESSAGES["HeaderRaw"]
SmartContract: Final = MESSAGES["SmartContract"]
CONTRACT_RESULTS: Final = _ENUMS["contractResult"]
TYPE_NUMBERS: Final = {name: number for number, name in CONTRACT_TYPES.items()}

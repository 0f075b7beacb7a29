"""java-tron's JSON of blocks, transactions, receipts, accounts and contracts."""

from typing import Any, Final

import msgspec

from tron_payment.devnet import params, resources
from tron_payment.devnet.blocks import Block
from tron_payment.devnet.codec import address_text, text, to_json
from tron_payment.devnet.config import SLOT_MS
from tron_payment.devnet.keys import PREFIX, base58check
from tron_payment.devnet.proto import CONTRACT_TYPES, TYPE_URL
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.records import RESOURCES, Account, Permission, Usage
from tron_payment.devnet.resources import increased
from tron_payment.devnet.state import Get
from tron_payment.devnet.transactions import Tx

_KINDS: Final = ("Owner", "Witness", "Active")
_encode: Final = msgspec.json.Encoder().encode


def transaction(tx: Tx, visible: bool, contract_ret: str | None = None) -> dict[str, Any]:
    """A stored transaction; `contract_ret` is its result, absent in the genesis block."""
    shown: dict[str, Any] = {}
    if contract_ret is not None:
        shown["ret"] = [{"contractRet": contract_ret}]
    if tx.signatures:
        shown["signature"] = [signature.hex() for signature in tx.signatures]
    shown["txID"] = tx.txid.hex()
    shown["raw_data"] = raw_data(tx, visible)
    shown["raw_data_hex"] = tx.raw.hex()
    return shown


def raw_data(tx: Tx, visible: bool) -> dict[str, Any]:
    raw = tx.raw_message
    shown: dict[str, Any] = {}
    if raw.data:
        shown["data"] = bytes(raw.data).hex()
    if tx.contract_count:
        contract: dict[str, Any] = {
            "parameter": {
                "value": to_json(tx.message, visible),
                "type_url": TYPE_URL + CONTRACT_TYPES[tx.kind],
            },
            "type": CONTRACT_TYPES[tx.kind],
        }
        if tx.permission_id:
            contract["Permission_id"] = tx.permission_id
        shown["contract"] = [contract]
    if raw.ref_block_bytes:
        shown["ref_block_bytes"] = bytes(raw.ref_block_bytes).hex()
        shown["ref_block_hash"] = bytes(raw.ref_block_hash).hex()
    for name in ("expiration", "fee_limit", "timestamp"):
        if value := getattr(raw, name):
            shown[name] = value
    return shown


def built(tx: Tx, visible: bool, contract_address: bytes = b"") -> dict[str, Any]:
    """An unsigned transaction, as a builder returns it."""
    shown: dict[str, Any] = {"visible": visible, "txID": tx.txid.hex()}
    if contract_address:
        shown["contract_address"] = address_text(contract_address, visible)
    return shown | {"raw_data": raw_data(tx, visible), "raw_data_hex": tx.raw.hex()}


def header(block: Block, visible: bool) -> dict[str, Any]:
    raw: dict[str, Any] = {}
    if block.number:
        raw["number"] = block.number
    raw["txTrieRoot"] = block.trie_root.hex()
    raw["witness_address"] = address_text(block.witness, visible)
    raw["parentHash"] = block.parent.hex()
    if block.version:
        raw["version"] = block.version
    if block.timestamp_ms:
        raw["timestamp"] = block.timestamp_ms
    shown: dict[str, Any] = {"raw_data": raw}
    if block.signature:
        shown["witness_signature"] = block.signature.hex()
    return {"blockID": block.id.hex(), "block_header": shown}


def block_page(block: Block, visible: bool, *, detail: bool = True) -> bytes:
    """A block as bytes of JSON, rendered once."""
    key = ("block", visible, detail)
    page = block.pages.get(key)
    if page is None:
        shown = header(block, visible)
        if detail and block.transactions:
            shown["transactions"] = [
                transaction(tx, visible, receipt.contract_ret if block.number else None)
                for tx, receipt in zip(block.transactions, block.receipts, strict=True)
            ]
        page = block.pages[key] = _encode(shown)
    return page


def infos_page(block: Block, visible: bool) -> bytes:
    """All receipts of a block as bytes of JSON, rendered once."""
    key = ("infos", visible)
    page = block.pages.get(key)
    if page is None:
        page = block.pages[key] = _encode(
            [info(block, position, visible) for position in range(len(block.transactions))]
        )
    return page


def info(block: Block, position: int, visible: bool) -> dict[str, Any]:
    """TransactionInfo of one transaction of a block."""
    tx, receipt = block.transactions[position], block.receipts[position]
    shown: dict[str, Any] = {"id": tx.txid.hex()}
    if receipt.fee:
        shown["fee"] = receipt.fee
    if block.number:
        shown["blockNumber"] = block.number
        shown["blockTimeStamp"] = block.timestamp_ms
    shown["contractResult"] = [receipt.output.hex()]
    if receipt.contract_address:
        shown["contract_address"] = address_text(receipt.contract_address, visible)
    shown["receipt"] = _bill(receipt)
    if receipt.logs:
        shown["log"] = [
            {
                "address": base58check(PREFIX + log.address) if visible else log.address.hex(),
                **({"topics": [topic.hex() for topic in log.topics]} if log.topics else {}),
                **({"data": log.data.hex()} if log.data else {}),
            }
            for log in receipt.logs
        ]
    if receipt.failed:
        shown["result"] = "FAILED"
        shown["resMessage"] = text(receipt.message.encode(), visible)
    if receipt.withdraw_amount:
        shown["withdraw_amount"] = receipt.withdraw_amount
    if receipt.internal:
        shown["internal_transactions"] = internal(receipt, visible)
    if receipt.withdraw_expire_amount:
        shown["withdraw_expire_amount"] = receipt.withdraw_expire_amount
    if receipt.cancel_unfreeze:
        amounts = dict(receipt.cancel_unfreeze)
        shown["cancel_unfreezeV2_amount"] = [
            {"key": key, "value": amounts[key]} for key in ("ENERGY", "TRON_POWER", "BANDWIDTH")
        ]
    return shown


def _bill(receipt: Receipt) -> dict[str, Any]:
    fields = (
        ("energy_usage", receipt.energy_usage),
        ("energy_fee", receipt.energy_fee),
        ("origin_energy_usage", receipt.origin_energy_usage),
        ("energy_usage_total", receipt.energy_total),
        ("net_usage", receipt.net_usage),
        ("net_fee", receipt.net_fee),
        ("result", receipt.result),
        ("energy_penalty_total", receipt.energy_penalty),
    )
    return {name: value for name, value in fields if value}


def internal(receipt: Receipt, visible: bool) -> list[dict[str, Any]]:
    """Internal transactions; `callValueInfo` has one entry, empty when no TRX moved."""
    return [
        {
            "hash": step.hash.hex(),
            "caller_address": address_text(step.caller, visible),
            "transferTo_address": address_text(step.to, visible),
            "callValueInfo": [{"callValue": step.value} if step.value else {}],
            "note": step.note.encode().hex(),
            **({"rejected": True} if step.rejected else {}),
        }
        for step in receipt.internal
    ]


def permission(value: Permission, visible: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if value.kind:
        shown["type"] = _KINDS[value.kind]
    if value.id:
        shown["id"] = value.id
    shown["permission_name"] = value.name
    shown["threshold"] = value.threshold
    if value.operations:
        shown["operations"] = value.operations.hex()
    shown["keys"] = [
        {"address": address_text(address, visible), "weight": weight}
        for address, weight in value.keys
    ]
    return shown


def account(get: Get, value: Account, visible: bool, *, stored: bool) -> dict[str, Any]:
    """An account, its uses recovered to now. `stored`: it was there at the solid block."""
    now = resources.slot_of(get)
    net, energy = increased(value.net, 0, now), increased(value.energy, 0, now)
    free = resources.decay(value.free_net.amount, value.free_net.at, now)
    fields: dict[str, Any] = {
        "account_name": text(value.name, visible),
        "type": "Contract" if value.is_contract else "",
        "address": address_text(value.address, visible),
        "balance": value.balance,
        "votes": [
            {"vote_address": address_text(witness, visible), "vote_count": count}
            for witness, count in value.votes
        ],
        "acquired_delegated_frozenV2_balance_for_bandwidth": value.acquired[0],
        "delegated_frozenV2_balance_for_bandwidth": value.delegated[0],
        "net_usage": net.amount,
        "create_time": value.create_time,
        "latest_opration_time": value.latest_operation_time,
        "allowance": value.allowance,
        "latest_withdraw_time": value.latest_withdraw_time,
        "is_witness": value.is_witness,
        "free_net_usage": free,
        "latest_consume_time": value.net.at * SLOT_MS,
        "latest_consume_free_time": value.free_net.at * SLOT_MS,
        "net_window_size": net.window,
        "net_window_optimized": True,
        "account_resource": _account_resource(value, energy),
    }
    if value.owner_permission is not None:
        fields["owner_permission"] = permission(value.owner_permission, visible)
    if value.witness_permission is not None:
        fields["witness_permission"] = permission(value.witness_permission, visible)
    fields["active_permission"] = [permission(p, visible) for p in value.active_permissions]
    fields["frozenV2"] = [
        ({"type": RESOURCES[kind]} if kind else {}) | ({"amount": amount} if amount else {})
        for kind, amount in enumerate(value.frozen)
    ]
    fields["unfrozenV2"] = [
        ({"type": RESOURCES[entry.resource]} if entry.resource else {})
        | {"unfreeze_amount": entry.amount, "unfreeze_expire_time": entry.expires_ms}
        for entry in value.unfreezing
    ]
    fields["asset_optimized"] = stored
    return {name: shown for name, shown in fields.items() if shown}


def _account_resource(value: Account, energy: Usage) -> dict[str, Any]:
    fields = {
        "energy_usage": energy.amount,
        "latest_consume_time_for_energy": value.energy.at * SLOT_MS,
        "energy_window_size": energy.window,
        "delegated_frozenV2_balance_for_energy": value.delegated[1],
        "acquired_delegated_frozenV2_balance_for_energy": value.acquired[1],
        "energy_window_optimized": True,
    }
    return {name: shown for name, shown in fields.items() if shown}


def account_net(get: Get, value: Account) -> dict[str, int]:
    """The bandwidth half of an account's resources."""
    now = resources.slot_of(get)
    fields = {
        "freeNetUsed": resources.decay(value.free_net.amount, value.free_net.at, now),
        "freeNetLimit": params.read(get, "getFreeNetLimit"),
        "NetUsed": resources.recovered(value.net, now),
        "NetLimit": resources.net_limit(get, value),
        "TotalNetLimit": params.read(get, "getTotalNetLimit"),
        "TotalNetWeight": params.read(get, params.TOTAL_NET_WEIGHT),
    }
    return {name: shown for name, shown in fields.items() if shown}


def account_resource(get: Get, value: Account) -> dict[str, int]:
    """``getaccountresource``."""
    now = resources.slot_of(get)
    fields = {
        **account_net(get, value),
        "TotalTronPowerWeight": params.read(get, params.TOTAL_POWER_WEIGHT),
        "tronPowerUsed": sum(count for _, count in value.votes),
        "tronPowerLimit": value.power() // resources.TRX,
        "EnergyUsed": resources.recovered(value.energy, now),
        "EnergyLimit": resources.energy_limit(get, value),
        "TotalEnergyLimit": params.read(get, "getTotalEnergyCurrentLimit"),
        "TotalEnergyWeight": params.read(get, params.TOTAL_ENERGY_WEIGHT),
    }
    return {name: shown for name, shown in fields.items() if shown}

"""What the creator of a contract may change later: energy share, energy limit, ABI."""

import msgspec

from tron_payment.devnet import ledger
from tron_payment.devnet.errors import ContractInvalid
from tron_payment.devnet.proto import Message, SmartContract
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.records import Contract
from tron_payment.devnet.state import CONTRACT, Get, Overlay


def _owned(get: Get, message: Message) -> Contract:
    owner, address = bytes(message.owner_address), bytes(message.contract_address)
    ledger.owner_of(get, owner, "Account[{}] does not exist")
    contract: Contract | None = get(CONTRACT + address)
    if contract is None:
        raise ContractInvalid("Contract does not exist")
    if contract.origin != owner:
        raise ContractInvalid(f"Account[{owner.hex()}] is not the owner of the contract")
    return contract


def _put(state: Overlay, address: bytes, contract: Contract) -> None:
    """Store the contract with the fields that `getcontract` prints brought up to date."""
    shown = SmartContract.FromString(contract.message)
    shown.consume_user_resource_percent = contract.consume_user_percent
    shown.origin_energy_limit = contract.origin_energy_limit
    changed = msgspec.structs.replace(contract, message=bytes(shown.SerializeToString()))
    state.put(CONTRACT + address, changed)


def validate_setting(get: Get, message: Message) -> None:
    if not 0 <= message.consume_user_resource_percent <= 100:
        raise ContractInvalid("percent not in [0, 100]")
    _owned(get, message)


def execute_setting(state: Overlay, message: Message, receipt: Receipt) -> None:
    contract = msgspec.structs.replace(
        _owned(state.get, message), consume_user_percent=message.consume_user_resource_percent
    )
    _put(state, bytes(message.contract_address), contract)


def validate_energy_limit(get: Get, message: Message) -> None:
    if message.origin_energy_limit <= 0:
        raise ContractInvalid("origin energy limit must be > 0")
    _owned(get, message)


def execute_energy_limit(state: Overlay, message: Message, receipt: Receipt) -> None:
    contract = msgspec.structs.replace(
        _owned(state.get, message), origin_energy_limit=message.origin_energy_limit
    )
    _put(state, bytes(message.contract_address), contract)


def validate_clear_abi(get: Get, message: Message) -> None:
    _owned(get, message)


def execute_clear_abi(state: Overlay, message: Message, receipt: Receipt) -> None:
    contract = _owned(state.get, message)
    shown = SmartContract.FromString(contract.message)
    shown.ClearField("abi")
    contract = msgspec.structs.replace(contract, message=bytes(shown.SerializeToString()))
    _put(state, bytes(message.contract_address), contract)

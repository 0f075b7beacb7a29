"""TRX transfers, activation and naming of accounts (TransferActuator, CreateAccountActuator)."""

import copy

from tron_payment.devnet import ledger, params
from tron_payment.devnet.errors import ContractInvalid
from tron_payment.devnet.proto import Message
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.state import ACCOUNT, Get, Overlay

_CREATE_FEE = "getCreateNewAccountFeeInSystemContract"


def validate_transfer(get: Get, message: Message) -> None:
    owner, to, amount = bytes(message.owner_address), bytes(message.to_address), message.amount
    if not ledger.is_address(owner):
        raise ContractInvalid("Invalid ownerAddress!")
    if not ledger.is_address(to):
        raise ContractInvalid("Invalid toAddress!")
    if owner == to:
        raise ContractInvalid("Cannot transfer TRX to yourself.")
    account = ledger.account(get, owner)
    if account is None:
        raise ContractInvalid("Validate TransferContract error, no OwnerAccount.")
    if amount <= 0:
        raise ContractInvalid("Amount must be greater than 0.")
    recipient = ledger.account(get, to)
    fee_sun = params.read(get, _CREATE_FEE) if recipient is None else 0
    if recipient and recipient.is_contract and params.read(get, "getForbidTransferToContract"):
        raise ContractInvalid("Cannot transfer TRX to a smartContract.")
    if account.balance < amount + fee_sun:
        raise ContractInvalid("Validate TransferContract error, balance is not sufficient.")


def execute_transfer(state: Overlay, message: Message, receipt: Receipt) -> None:
    owner, to = bytes(message.owner_address), bytes(message.to_address)
    if ledger.account(state.get, to) is None:
        ledger.create(state, to)
        fee_sun = params.read(state.get, _CREATE_FEE)
        ledger.charge(state, owner, fee_sun)
        receipt.fee += fee_sun
    ledger.add_balance(state, owner, -message.amount)
    ledger.add_balance(state, to, message.amount)


def validate_create(get: Get, message: Message) -> None:
    owner, address = bytes(message.owner_address), bytes(message.account_address)
    if not ledger.is_address(owner):
        raise ContractInvalid("Invalid ownerAddress")
    account = ledger.account(get, owner)
    if account is None:
        raise ContractInvalid(f"Account[{owner.hex()}] not exists")
    if account.balance < params.read(get, _CREATE_FEE):
        raise ContractInvalid("Validate CreateAccountActuator error, insufficient fee.")
    if not ledger.is_address(address):
        raise ContractInvalid("Invalid account address")
    if ledger.account(get, address) is not None:
        raise ContractInvalid("Account has existed")


def execute_create(state: Overlay, message: Message, receipt: Receipt) -> None:
    fee_sun = params.read(state.get, _CREATE_FEE)
    ledger.create(state, bytes(message.account_address))
    ledger.charge(state, bytes(message.owner_address), fee_sun)
    receipt.fee += fee_sun


def validate_update(get: Get, message: Message) -> None:
    owner = bytes(message.owner_address)
    if len(message.account_name) > 200:
        raise ContractInvalid("Invalid accountName")
    if not ledger.is_address(owner):
        raise ContractInvalid("Invalid ownerAddress")
    account = ledger.account(get, owner)
    if account is None:
        raise ContractInvalid("Account does not exist")
    if account.name and not params.read(get, "getAllowUpdateAccountName"):
        raise ContractInvalid("This account name is already existed")


def execute_update(state: Overlay, message: Message, receipt: Receipt) -> None:
    account = copy.copy(state.get(ACCOUNT + bytes(message.owner_address)))
    account.name = bytes(message.account_name)
    state.put(ACCOUNT + account.address, account)

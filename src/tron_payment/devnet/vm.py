"""Calls and creations of smart contracts: energy limits, the run, and the bill.

Source: VMActuator, TransactionTrace.pay and ReceiptCapsule.payEnergyBill of java-tron 4.8.0.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from tron_payment.devnet import bill, ledger, natives, params, tvm
from tron_payment.devnet.errors import ContractInvalid
from tron_payment.devnet.keys import PREFIX, base58check, keccak
from tron_payment.devnet.proto import Message
from tron_payment.devnet.receipts import InternalRecord, LogRecord, Receipt
from tron_payment.devnet.records import Account, Contract, ContractState
from tron_payment.devnet.state import ACCOUNT, CODE, CONTRACT, DYNAMIC, SLOT, Get, Overlay
from tron_payment.devnet.transactions import CREATE_CONTRACT, Tx

CONSTANT_ENERGY_LIMIT: Final = 100_000_000
FACTOR_UNIT: Final = 10_000
DECREASE_DIVISION: Final = 4
MAX_NAME: Final = 32
SUCCESS: Final = "SUCCESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The block in which something is executed. `maker` is 21 bytes."""

    number: int
    timestamp_ms: int
    maker: bytes
    chain_id: int
    block_hash: Callable[[int], bytes]


class TvmState:
    """The machine's view of an overlay: addresses without 0x41."""

    __slots__ = ("_overlay", "get", "put")

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self.get = overlay.get
        self.put = overlay.put

    def exists(self, address: bytes) -> bool:
        return self.get(ACCOUNT + PREFIX + address) is not None

    def create_account(self, address: bytes) -> None:
        if not self.exists(address):
            ledger.create(self._overlay, PREFIX + address)

    def balance(self, address: bytes) -> int:
        account: Account | None = self.get(ACCOUNT + PREFIX + address)
        return 0 if account is None else account.balance

    def add_balance(self, address: bytes, delta: int) -> None:
        ledger.add_balance(self._overlay, PREFIX + address, delta)

    def code(self, address: bytes) -> bytes:
        return self.get(CODE + PREFIX + address) or b""

    def set_code(self, address: bytes, code: bytes) -> None:
        """Code makes an account a contract; one made by a contract has no owner but itself."""
        full = PREFIX + address
        self.put(CODE + full, code)
        account: Account = self.get(ACCOUNT + full) or ledger.create(self._overlay, full)
        if not account.is_contract:
            changed = copy.copy(account)
            changed.is_contract = True
            changed.owner_permission, changed.active_permissions = None, ()
            changed.create_time = 0
            self.put(ACCOUNT + full, changed)
        if self.get(CONTRACT + full) is None:
            self.put(CONTRACT + full, Contract(full, b"", 100, 0, 1, keccak(code)))

    def storage(self, address: bytes, key: int) -> int | None:
        found: int | None = self.get(SLOT + PREFIX + address + key.to_bytes(32, "big"))
        return found

    def set_storage(self, address: bytes, key: int, value: int) -> None:
        self.put(SLOT + PREFIX + address + key.to_bytes(32, "big"), value)

    def factor(self, address: bytes) -> int:
        if not params.read(self.get, "getAllowDynamicEnergy"):
            return 0
        known: ContractState | None = self.get(DYNAMIC + PREFIX + address)
        return current_state(self.get, known).factor

    def contract_version(self, address: bytes) -> int:
        contract: Contract | None = self.get(CONTRACT + PREFIX + address)
        return 1 if contract is None else contract.version

    def add_usage(self, address: bytes, energy: int) -> None:
        """Count energy (without penalty) towards the contract's dynamic factor."""
        if not params.read(self.get, "getAllowDynamicEnergy"):
            return
        key = DYNAMIC + PREFIX + address
        state = current_state(self.get, self.get(key))
        self.put(key, msgspec.structs.replace(state, usage=state.usage + energy))

    def question(self, number: int, caller: bytes, data: bytes) -> bytes:
        return natives.question(self.get, number, PREFIX + caller, data)

    def stake(self, action: str, owner: bytes, *arguments: int | bytes) -> int | None:
        return natives.stake(self._overlay, action, PREFIX + owner, arguments)

    def may_end(self, address: bytes) -> bool:
        return natives.may_end(self.get, PREFIX + address)

    def snapshot(self) -> int:
        return self._overlay.snapshot()

    def revert(self, snapshot: int) -> None:
        self._overlay.revert(snapshot)


def current_state(get: Get, state: ContractState | None) -> ContractState:
    """A contract's dynamic state caught up to this cycle (ContractStateCapsule.catchUpToCycle)."""
    cycle = params.read(get, params.CYCLE)
    if state is None:
        return ContractState(cycle)
    if state.cycle == cycle:
        return state
    if state.cycle == 0 or state.cycle > cycle:
        return ContractState(cycle)  # never caught up: java-tron begins anew
    increase = params.read(get, "getDynamicEnergyIncreaseFactor")
    factor, last = state.factor, state.cycle
    if state.usage > params.read(get, "getDynamicEnergyThreshold"):
        last += 1
        grown = int((factor + FACTOR_UNIT) * (1 + increase / FACTOR_UNIT)) - FACTOR_UNIT
        factor = min(params.read(get, "getDynamicEnergyMaxFactor"), grown)
    if (rest := cycle - last) > 0:
        shrink = (1 - increase / DECREASE_DIVISION / FACTOR_UNIT) ** rest
        factor = max(0, int((factor + FACTOR_UNIT) * shrink) - FACTOR_UNIT)
    return ContractState(cycle, 0, factor)


def environment(get: Get, block: Block, txid: bytes) -> tvm.Env:
    return tvm.Env(
        block_number=block.number,
        timestamp_s=block.timestamp_ms // 1000,
        chain_id=block.chain_id,
        coinbase=block.maker[1:],
        energy_price_sun=params.read(get, "getEnergyFee"),
        txid=txid,
        block_hash=block.block_hash,
        cpu_ms=params.read(get, "getMaxCpuTimeOfOneTx"),
    )


def _check_fee_limit(get: Get, fee_limit_sun: int) -> None:
    highest = params.read(get, "getMaxFeeLimit")
    if not 0 <= fee_limit_sun <= highest:
        raise ContractInvalid(f"feeLimit must be >= 0 and <= {highest}")


def _move_value(state: Overlay, sender: bytes, to: bytes, amount_sun: int) -> None:
    """Refuse what MUtil.transfer refuses; the machine itself moves the value."""
    if amount_sun > 0 and state.get(ACCOUNT + sender).balance < amount_sun:
        raise ContractInvalid("Validate InternalTransfer error, balance is not sufficient.")


def execute(state: Overlay, tx: Tx, block: Block, receipt: Receipt) -> None:
    """Run a call or a creation and charge its energy.

    Raises:
        ContractInvalid: Refused before the run; nothing is charged.
        ContractFailed: The bill cannot be paid.
    """
    if tx.kind == CREATE_CONTRACT:
        _create(state, tx, block, receipt)
    else:
        _trigger(state, tx, block, receipt)


def _trigger(state: Overlay, tx: Tx, block: Block, receipt: Receipt) -> None:
    get, message = state.get, tx.message
    address = bytes(message.contract_address)
    contract: Contract | None = get(CONTRACT + address)
    if contract is None:
        raise ContractInvalid("No contract or not a smart contract")
    if message.call_value < 0:
        raise ContractInvalid("callValue must be >= 0")
    if message.call_token_value or message.token_id:
        raise ContractInvalid("TRC-10 tokens are not supported by this node")
    _check_fee_limit(get, tx.raw_message.fee_limit)
    _move_value(state, tx.owner, address, message.call_value)
    payers = bill.payers(get, tx.owner, contract, tx.raw_message.fee_limit, message.call_value)
    receipt.contract_address = address
    outcome = tvm.call(
        TvmState(state),
        environment(get, block, tx.txid),
        origin=tx.owner[1:],
        to=address[1:],
        data=bytes(message.data),
        value=message.call_value,
        energy_limit=payers.limit,
    )
    _record(receipt, outcome)
    bill.pay(state, payers, outcome.energy_used, receipt)


def _create(state: Overlay, tx: Tx, block: Block, receipt: Receipt) -> None:
    get, message = state.get, tx.message
    new = message.new_contract
    address = PREFIX + tvm.contract_address(tx.txid, tx.owner)
    validate_creation(get, message)
    if get(ACCOUNT + address) is not None:
        raise ContractInvalid(
            "Trying to create a contract with existing contract address: " + base58check(address)
        )
    _check_fee_limit(get, tx.raw_message.fee_limit)
    _move_value(state, tx.owner, address, new.call_value)
    left, limit = bill.caller_energy(get, tx.owner, tx.raw_message.fee_limit, new.call_value)
    receipt.contract_address = address
    mark = state.snapshot()
    shown = type(new)()
    shown.CopyFrom(new)
    shown.contract_address = address
    shown.version = 1
    contract = Contract(
        origin=tx.owner,
        message=bytes(shown.SerializeToString()),
        consume_user_percent=new.consume_user_resource_percent,
        origin_energy_limit=new.origin_energy_limit,
        version=1,
        code_hash=b"",
    )
    state.put(CONTRACT + address, contract)
    outcome = tvm.create(
        TvmState(state),
        environment(get, block, tx.txid),
        origin=tx.owner[1:],
        address=address[1:],
        init_code=bytes(new.bytecode),
        value=new.call_value,
        energy_limit=limit,
    )
    if outcome.result == SUCCESS:
        code_hash = keccak(get(CODE + address) or b"")
        state.put(CONTRACT + address, msgspec.structs.replace(contract, code_hash=code_hash))
        account = copy.copy(get(ACCOUNT + address))
        account.name = new.name.encode()
        account.is_contract = True  # even when the constructor returned no code
        account.owner_permission, account.active_permissions = None, ()
        account.create_time = 0
        state.put(ACCOUNT + address, account)
    else:
        state.revert(mark)
    _record(receipt, outcome)
    bill.pay(state, bill.Payers(tx.owner, left, limit, tx.owner), outcome.energy_used, receipt)


def validate_creation(get: Get, message: Message) -> None:
    """What can be said of a creation without running it.

    Raises:
        ContractInvalid: In java-tron's words.
    """
    new = message.new_contract
    if bytes(new.origin_address) != bytes(message.owner_address):
        raise ContractInvalid("OwnerAddress is not equals OriginAddress")
    if len(new.name.encode()) > MAX_NAME:
        raise ContractInvalid("contractName's length cannot be greater than 32")
    if not 0 <= new.consume_user_resource_percent <= 100:
        raise ContractInvalid("percent must be >= 0 and <= 100")
    if new.call_value < 0:
        raise ContractInvalid("callValue must be >= 0")
    if new.origin_energy_limit <= 0:
        raise ContractInvalid("The originEnergyLimit must be > 0")
    if message.call_token_value or message.token_id:
        raise ContractInvalid("TRC-10 tokens are not supported by this node")


def _record(receipt: Receipt, outcome: tvm.Outcome) -> None:
    receipt.result = outcome.result
    receipt.message = outcome.error
    receipt.output = outcome.output
    receipt.energy_total = outcome.energy_used
    receipt.energy_penalty = outcome.energy_penalty
    receipt.logs = tuple(LogRecord(log.address, log.topics, log.data) for log in outcome.logs)
    receipt.internal = tuple(
        InternalRecord(
            i.hash,
            PREFIX + i.caller,
            PREFIX + i.to if i.to else b"",
            i.value,
            i.note,
            i.rejected,
        )
        for i in outcome.internal
    )


def call_constant(
    state: Overlay,
    block: Block,
    *,
    owner: bytes,
    contract: bytes,
    data: bytes,
    value: int,
    energy_limit: int = CONSTANT_ENERGY_LIMIT,
) -> tvm.Outcome:
    """Run a call whose effects the caller throws away. Addresses are 21 bytes.

    Raises:
        ContractInvalid: There is no such contract, or the value is more than the owner has.
    """
    if state.get(CONTRACT + contract) is None:
        raise ContractInvalid("Smart contract is not exist.")
    if value > 0:
        sender: Account | None = state.get(ACCOUNT + owner)
        if sender is None or sender.balance < value:
            raise ContractInvalid("Validate InternalTransfer error, balance is not sufficient.")
    return tvm.call(
        TvmState(state),
        environment(state.get, block, bytes(32)),
        origin=owner[1:],
        to=contract[1:],
        data=data,
        value=value,
        energy_limit=energy_limit,
    )


def create_constant(
    state: Overlay, block: Block, message: Message, energy_limit: int = CONSTANT_ENERGY_LIMIT
) -> tvm.Outcome:
    """Run a creation whose effects the caller throws away; the output is what it returned."""
    owner = bytes(message.owner_address)
    return tvm.create(
        TvmState(state),
        environment(state.get, block, bytes(32)),
        origin=owner[1:],
        address=tvm.contract_address(bytes(32), owner),
        init_code=bytes(message.data),
        value=0,
        energy_limit=energy_limit,
    )

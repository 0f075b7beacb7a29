"""One transaction from checks to effects, the same on arrival and in a block.

Source: Manager.processTransaction of java-tron 4.8.0: TAPOS, size, expiration, bandwidth,
multisig fee, memo fee, execution.
"""

from typing import Final

from tron_payment.devnet import params, resources, vm
from tron_payment.devnet.actuators import ACTUATORS
from tron_payment.devnet.errors import ContractInvalid, Duplicate, TooBig
from tron_payment.devnet.keys import base58check
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.state import ACCOUNT, Get, Overlay
from tron_payment.devnet.transactions import (
    ACCOUNT_CREATE,
    CREATE_CONTRACT,
    TRANSFER,
    TRIGGER_CONTRACT,
    Tx,
)
from tron_payment.devnet.validate import (
    check_common,
    check_contract_count,
    check_signatures,
    check_tapos,
)

_VM_TYPES: Final = frozenset((CREATE_CONTRACT, TRIGGER_CONTRACT))


def creates_account(get: Get, tx: Tx) -> bool:
    """Whether bandwidth is charged as for a new account."""
    if tx.kind == ACCOUNT_CREATE:
        return True
    return tx.kind == TRANSFER and get(ACCOUNT + bytes(tx.message.to_address)) is None


def process(state: Overlay, tx: Tx, block: vm.Block, *, known: bool = False) -> Receipt:
    """Check and execute a transaction; its writes are committed into `state`.

    Args:
        known: The node has this id already; said here because other checks come first.

    Raises:
        Refusal: It cannot be part of this block; `state` is unchanged.
    """
    mark = state.snapshot()
    assert mark == 0, "the transaction before was not finished"
    try:
        receipt = _process(state, tx, block, known)
    except BaseException:
        state.revert(mark)
        raise
    state.commit()
    return receipt


def _process(state: Overlay, tx: Tx, block: vm.Block, known: bool) -> Receipt:
    get = state.get
    check_contract_count(tx)
    check_tapos(get, tx)
    check_common(get, tx)
    if known:
        raise Duplicate()
    check_signatures(get, tx)
    receipt = Receipt()
    _charge_bandwidth(state, tx, receipt)
    if len(tx.signatures) > 1:
        fee_sun = params.read(get, "getMultiSignFee")
        resources.burn(state, tx.owner, fee_sun, "insufficient balance to multiSign")
        receipt.fee += fee_sun
    if tx.raw_message.data and (fee_sun := params.read(get, "getMemoFee")):
        resources.burn(state, tx.owner, fee_sun, "insufficient balance to memo fee")
        receipt.fee += fee_sun
    if tx.kind in _VM_TYPES:
        vm.execute(state, tx, block, receipt)
    else:
        actuator = ACTUATORS[tx.kind]
        actuator.validate(get, tx.message)
        actuator.execute(state, tx.message, receipt)
    return receipt


def _charge_bandwidth(state: Overlay, tx: Tx, receipt: Receipt) -> None:
    get = state.get
    if get(ACCOUNT + tx.owner) is None:
        raise ContractInvalid(f"account [{base58check(tx.owner)}] does not exist")
    creates = creates_account(get, tx)
    if creates and tx.size > (longest := params.read(get, "getMaxCreateAccountTxSize")):
        raise TooBig(
            f"Too big new account transaction, TxId {tx.txid.hex()}, the size is {tx.size} bytes, "
            f"maxTxSize {longest}"
        )
    receipt.net_usage, receipt.net_fee = resources.consume_bandwidth(
        state, tx.owner, tx.size, creates_account=creates
    )
    receipt.fee += receipt.net_fee

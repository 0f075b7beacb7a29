"""What a solidified block moved into, out of and within the holders we keep books for. Pure.

A movement is a fact of the chain; which pocket it is booked from depends on the order that the
transaction belongs to, if any (engine/booking.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tron_payment.chain import (
    CancelAllUnfreezeV2,
    FreezeV2,
    SolidBlock,
    SolidTransaction,
    Transfer,
    TriggerContract,
    UnfreezeV2,
    WithdrawExpireUnfreeze,
    WithdrawReward,
    trc20_transfers,
)
from tron_payment.core.address import Address
from tron_payment.core.money import TRX

INTERNAL: Final = "int"
"""Begins the index of what a contract has moved."""


class MovementKind(StrEnum):
    TRANSFER = "transfer"
    FEE = "fee"
    STAKE = "stake"
    UNSTAKE = "unstake"
    WITHDRAW_UNSTAKED = "withdraw_unstaked"
    CANCEL_UNSTAKE = "cancel_unstake"
    REWARD = "reward"


@dataclass(frozen=True, slots=True)
class Movement:
    """Units of an asset that left `sender` for `recipient` in one transaction.

    None as a side is the world outside (or the network, for fees and rewards); for staking both
    sides are the same holder and the kind tells the pockets.
    """

    kind: MovementKind
    txid: str
    index: str
    """Unique within the transaction: ``log:3``, ``int:0``, ``fee``."""

    asset: str
    units: int
    """Of a token up to 2^256: its contract says so, and the books may have no room for it."""

    sender: Address | None
    recipient: Address | None


def movements(block: SolidBlock, tokens: Mapping[Address, str]) -> Iterator[Movement]:
    """Every movement in the block, of TRX and of the registered tokens (contract -> asset)."""
    for transaction in block.transactions:
        yield from _of_transaction(transaction, tokens)


def _of_transaction(tx: SolidTransaction, tokens: Mapping[Address, str]) -> Iterator[Movement]:
    def trx(
        kind: MovementKind, index: str, units: int, sender: Address | None, to: Address | None
    ) -> Iterator[Movement]:
        if units > 0:
            yield Movement(kind, tx.txid, index, TRX.code, units, sender, to)

    owner = tx.owner
    yield from trx(MovementKind.FEE, "fee", tx.fee_sun, owner, None)
    if not tx.succeeded:
        return
    contract = tx.contract
    match contract:
        case Transfer():
            yield from trx(MovementKind.TRANSFER, "value", contract.amount_sun, owner, contract.to)
        case TriggerContract():
            yield from trx(
                MovementKind.TRANSFER, "value", contract.call_value_sun, owner, contract.contract
            )
        case FreezeV2():
            yield from trx(MovementKind.STAKE, "stake", contract.amount_sun, owner, owner)
        case UnfreezeV2():
            yield from trx(MovementKind.UNSTAKE, "unstake", contract.amount_sun, owner, owner)
            yield from trx(
                MovementKind.WITHDRAW_UNSTAKED, "expired", tx.withdraw_expire_sun, owner, owner
            )
        case WithdrawExpireUnfreeze():
            yield from trx(
                MovementKind.WITHDRAW_UNSTAKED, "expired", tx.withdraw_expire_sun, owner, owner
            )
        case CancelAllUnfreezeV2():
            yield from trx(
                MovementKind.WITHDRAW_UNSTAKED, "expired", tx.withdraw_expire_sun, owner, owner
            )
            yield from trx(
                MovementKind.CANCEL_UNSTAKE,
                "cancel",
                sum(units for _, units in tx.cancel_unfreeze),
                owner,
                owner,
            )
        case WithdrawReward():
            yield from trx(MovementKind.REWARD, "reward", tx.withdraw_amount_sun, None, owner)
        case _:
            pass
    for number, internal in enumerate(tx.internal):
        if not internal.rejected and internal.amount_sun > 0:
            yield Movement(
                MovementKind.TRANSFER,
                tx.txid,
                f"{INTERNAL}:{number}",
                TRX.code,
                internal.amount_sun,
                internal.caller,
                internal.to,
            )
    for transfer in trc20_transfers(tx):
        asset = tokens.get(transfer.token)
        if asset is not None and transfer.units > 0:  # a log may claim any number: see booking.py
            yield Movement(
                MovementKind.TRANSFER,
                tx.txid,
                f"log:{transfer.log_index}",
                asset,
                transfer.units,
                transfer.sender,
                transfer.recipient,
            )

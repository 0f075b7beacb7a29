"""What a block brings to addresses that we watch. Pure.

Only successful transactions count, only exact Transfer events of the contract that they come from,
and never a name or symbol. Zero is nothing.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from tron_payment.chain import (
    MalformedWire,
    OtherContract,
    SolidBlock,
    SolidTransaction,
    last_bytes,
    last_int,
    read_fields,
    trc20_transfers,
)
from tron_payment.core.address import Address, InvalidAddress, address_of
from tron_payment.engine import MovementKind, movements

TRC10_TRANSFER: Final = 2
"""java-tron's TransferAssetContract: asset name 1, owner 2, to 3, amount 4."""

TOKEN_TEXT_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Incoming:
    """Units that arrived at `recipient` in one transaction."""

    txid: str
    index: str
    asset: str | None
    """None for tokens that are not registered; then `token` says which."""

    token: str | None
    units: int
    sender: Address | None
    recipient: Address


def incoming(
    block: SolidBlock, watched: AbstractSet[Address], tokens: Mapping[Address, str]
) -> Iterator[Incoming]:
    """Everything that came to the watched addresses.

    Args:
        block: Perhaps only those of its transactions in which a watched address is a party.
        tokens: The registered contracts and their assets.
    """
    for move in movements(block, tokens):
        if move.kind is MovementKind.TRANSFER and move.recipient in watched:
            assert move.recipient is not None
            yield Incoming(
                move.txid, move.index, move.asset, None, move.units, move.sender, move.recipient
            )
    for transaction in block.transactions:
        yield from _strange(transaction, watched, tokens)


def _strange(
    tx: SolidTransaction, watched: AbstractSet[Address], tokens: Mapping[Address, str]
) -> Iterator[Incoming]:
    """Tokens that we do not know, TRC-10 among them."""
    for transfer in trc20_transfers(tx):
        if transfer.token not in tokens and transfer.units and transfer.recipient in watched:
            yield Incoming(
                tx.txid,
                f"log:{transfer.log_index}",
                None,
                transfer.token,
                transfer.units,
                transfer.sender,
                transfer.recipient,
            )
    contract = tx.contract
    if isinstance(contract, OtherContract) and contract.type_number == TRC10_TRANSFER:
        try:
            fields = read_fields(contract.value)
            recipient = address_of(last_bytes(fields, 3))
            units = last_int(fields, 4)
            name = last_bytes(fields, 1).decode("ascii", "replace")[:TOKEN_TEXT_MAX]
        except (MalformedWire, InvalidAddress):
            return
        if tx.succeeded and units > 0 and recipient in watched:
            token = f"trc10:{name}"
            yield Incoming(tx.txid, "trc10", None, token, units, tx.owner, recipient)

"""What came to wallets and left them: written block by block, shown with the orders behind it.

Every row is a fact of a solidified block. What is on its way is an order's business, not history.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Final

import msgspec
from beanie import Document
from pymongo import ASCENDING, DESCENDING, IndexModel

from tron_payment.chain import SolidBlock
from tron_payment.core.address import Address
from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.core.money import UNITS_MAX
from tron_payment.db.cas import insert_many_once
from tron_payment.db.faults import store_errors
from tron_payment.engine import Movement, MovementKind, Order, Watched, movements
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.wallets.addresses import HdAddress
from tron_payment.wallets.currencies import Currencies
from tron_payment.wallets.documents import Wallet

IN: Final = "in"
OUT: Final = "out"
WITHIN: Final = "within"
"""Stakes and unstakes: the money changes its state, not its owner."""


class WalletMovement(Document):
    """One side of one movement: two rows when money goes from wallet to wallet."""

    id: str  # type: ignore[assignment]  # "<txid>:<index>:<direction>"
    wallet_id: str
    address: str
    direction: str
    kind: MovementKind
    asset: str
    units: int
    counterparty: str | None = None
    txid: str
    block_number: int
    created_at: datetime
    """The block's own time."""

    class Settings:
        name = "wallet_movements"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel(
                [("wallet_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
                name="history",
            )
        ]


class MovementView(msgspec.Struct, frozen=True, kw_only=True):
    """A movement as a person reads it."""

    txid: str
    kind: str
    direction: str
    amount: str
    currency: str
    address: str
    counterparty: str | None
    block_number: int
    block_time: str
    order_id: str | None = None
    order_kind: str | None = None
    subject: str | None = None
    """What the order was for: a payout's, transfer's or stake's id."""


class History:
    """Writes and reads the movements of wallets.

    Args:
        currencies: Of which movements are remembered.
        watched: A wallet's addresses are, before it has them.
    """

    def __init__(self, currencies: Currencies, watched: Watched) -> None:
        self._currencies = currencies
        self._watched = watched

    async def on_block(self, block: SolidBlock) -> None:
        """Remember what the block did to wallets; harmless when repeated."""
        block = await self._watched.part(block)
        found = movements(block, self._currencies.by_contract)
        moves = [each for each in found if each.units <= UNITS_MAX]  # a log may claim any number
        touched = {a for move in moves for a in (move.sender, move.recipient) if a is not None}
        if not touched:
            return
        owners = await _owners(sorted(touched))
        rows = [row for move in moves for row in _rows(move, owners, block)]
        if rows:
            await insert_many_once(rows)

    async def page(self, wallet: Wallet, page: PageRequest) -> Page[MovementView]:
        """A wallet's movements, newest first, with the orders that caused them."""
        found = await fetch_page(
            WalletMovement, {"wallet_id": wallet.id}, page, lambda row: row, newest_first=True
        )
        orders = await _orders_of({row.txid for row in found.data})
        return Page(
            data=[_view(row, orders.get(row.txid), self._currencies) for row in found.data],
            has_more=found.has_more,
            next_cursor=found.next_cursor,
        )


async def _owners(addresses: Sequence[Address]) -> dict[str, str]:
    """Wallet ids by address: wallets' own and those they derived."""
    with store_errors():
        derived = HdAddress.get_pymongo_collection().find(
            {"_id": {"$in": list(addresses)}}, {"wallet_id": 1}
        )
        owners = {row["_id"]: row["wallet_id"] async for row in derived}
        wallets = Wallet.get_pymongo_collection().find(
            {"address": {"$in": list(addresses)}}, {"address": 1}
        )
        return owners | {row["address"]: row["_id"] async for row in wallets}


async def _orders_of(txids: set[str]) -> dict[str, Order]:
    if not txids:
        return {}
    with store_errors():
        orders = await Order.find({"attempts.txid": {"$in": sorted(txids)}}).to_list()
    return {attempt["txid"]: order for order in orders for attempt in order.attempts}


def _rows(move: Movement, owners: Mapping[str, str], block: SolidBlock) -> Iterator[WalletMovement]:
    sides: list[tuple[str, Address | None, Address | None]]
    if move.sender == move.recipient:
        sides = [(WITHIN, move.sender, None)]
    else:
        sides = [(OUT, move.sender, move.recipient), (IN, move.recipient, move.sender)]
    for direction, address, counterparty in sides:
        if address is None or address not in owners:
            continue
        yield WalletMovement(
            id=f"{move.txid}:{move.index}:{direction}",
            wallet_id=owners[address],
            address=address,
            direction=direction,
            kind=move.kind,
            asset=move.asset,
            units=move.units,
            counterparty=counterparty,
            txid=move.txid,
            block_number=block.number,
            created_at=from_ms(block.timestamp_ms),
        )


def _view(row: WalletMovement, order: Order | None, currencies: Currencies) -> MovementView:
    return MovementView(
        txid=row.txid,
        kind=row.kind.value,
        direction=row.direction,
        amount=currencies.text(row.units, row.asset),
        currency=row.asset,
        address=row.address,
        counterparty=row.counterparty,
        block_number=row.block_number,
        block_time=rfc3339(row.created_at),
        order_id=order.id if order else None,
        order_kind=order.kind if order else None,
        subject=order.subject if order else None,
    )

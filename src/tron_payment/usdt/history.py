"""Token movements of our holders, written while blocks are followed, and read in pages."""

from typing import Any

import msgspec

from tron_payment.chain import SolidBlock, trc20_transfers
from tron_payment.core.address import Address
from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.core.money import decimal_text
from tron_payment.db.ledger import Ledger
from tron_payment.engine import Watched
from tron_payment.http.paging import PageRequest, fetch_page
from tron_payment.usdt import documents as store
from tron_payment.usdt.documents import TokenMovement
from tron_payment.usdt.index import TokenIndex
from tron_payment.usdt.tokens import RegisteredToken, TokenRegistry


class MovementView(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One Transfer event in a solidified block; an index does not tell its exact place."""

    txid: str
    log_index: int | None
    block_number: int | None
    block_time: str
    from_: str
    to: str
    direction: str
    """``in`` or ``out``, seen from the address that was asked about."""
    amount: str
    currency: str


class HistoryView(msgspec.Struct, frozen=True, kw_only=True):
    """A page, newest first, and where it comes from."""

    data: list[MovementView]
    has_more: bool
    next_cursor: str | None
    source: str
    """``follower``: our own reading of solid blocks. ``index``: what a node's v1 index tells.
    ``none``: nobody here knows this address."""

    note: str


class History:
    """Writes and reads the movements."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        watched: Watched,
        tokens: TokenRegistry,
        index: TokenIndex | None,
    ) -> None:
        self._ledger = ledger
        self._watched = watched
        self._tokens = tokens
        self._index = index

    async def on_block(self, block: SolidBlock) -> None:
        """Remember what came to or left our holders; harmless when repeated."""
        codes = self._tokens.by_contract
        found = [
            (transaction, transfer)
            for transaction in (await self._watched.part(block)).transactions
            for transfer in trc20_transfers(transaction)
            if transfer.token in codes
        ]
        if not found:
            return
        parties = {each for _, t in found for each in (t.sender, t.recipient)}
        ours = await (await self._ledger.view()).holders(parties)
        rows = []
        for transaction, transfer in found:
            holders = sorted({transfer.sender, transfer.recipient} & ours.keys())
            if holders:
                rows.append(
                    TokenMovement(
                        id=store.movement_id(block.number, transaction.index, transfer.log_index),
                        txid=transaction.txid,
                        log_index=transfer.log_index,
                        block_number=block.number,
                        block_time=from_ms(block.timestamp_ms),
                        currency=codes[transfer.token],
                        token=transfer.token,
                        units=str(transfer.units),
                        sender=transfer.sender,
                        recipient=transfer.recipient,
                        holders=list(holders),
                    )
                )
        await store.remember(rows)

    async def page(self, address: Address, currency: str | None, page: PageRequest) -> HistoryView:
        """Movements of an address, newest first: ours from the store, others' from the index.

        Raises:
            UnknownCurrency, InvalidCursor
            IndexUnavailable: Not our address, and the index does not answer.
        """
        token = None if currency is None else self._tokens.get(currency)
        if await (await self._ledger.view()).holders([address]):
            return await self._followed(address, token, page)
        if self._index is not None:
            return await self._indexed(self._index, address, token, page)
        return HistoryView(
            data=[],
            has_more=False,
            next_cursor=None,
            source="none",
            note="not an address of this service, and no node here has an index",
        )

    async def _followed(
        self, address: Address, token: RegisteredToken | None, page: PageRequest
    ) -> HistoryView:
        where: dict[str, Any] = {"holders": address}
        if token is not None:
            where["currency"] = token.asset.code
        rows = await fetch_page(
            TokenMovement,
            where,
            page,
            lambda row: self._view(row, address),
            field="block_time",
            newest_first=True,
        )
        return HistoryView(
            data=rows.data,
            has_more=rows.has_more,
            next_cursor=rows.next_cursor,
            source="follower",
            note="",
        )

    async def _indexed(
        self,
        index: TokenIndex,
        address: Address,
        token: RegisteredToken | None,
        page: PageRequest,
    ) -> HistoryView:
        """Only registered tokens: a stranger's token may carry any name and amount."""
        contract = None if token is None else token.contract
        rows, following = await index.transfers(address, contract, page.limit, page.cursor)
        codes = self._tokens.by_contract
        data = []
        for row in rows:
            code = codes.get(Address(row.token_info.address))
            if code is None:
                continue
            data.append(
                MovementView(
                    txid=row.transaction_id,
                    log_index=None,
                    block_number=None,
                    block_time=rfc3339(from_ms(row.block_timestamp)),
                    from_=row.from_,
                    to=row.to,
                    direction="in" if row.to == address else "out",
                    amount=decimal_text(int(row.value), self._tokens.asset(code).decimals),
                    currency=code,
                )
            )
        return HistoryView(
            data=data,
            has_more=following is not None,
            next_cursor=following,
            source="index",
            note="what a node's index tells: a hint, no evidence",
        )

    def _view(self, row: TokenMovement, address: Address) -> MovementView:
        decimals = self._tokens.asset(row.currency).decimals
        return MovementView(
            txid=row.txid,
            log_index=row.log_index,
            block_number=row.block_number,
            block_time=rfc3339(row.block_time),
            from_=row.sender,
            to=row.recipient,
            direction="in" if row.recipient == address else "out",
            amount=decimal_text(int(row.units), decimals),
            currency=row.currency,
        )

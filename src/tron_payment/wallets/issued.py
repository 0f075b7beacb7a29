"""What the issued addresses of an HD wallet hold, by our books: all of them, or page by page."""

import asyncio
import re
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from tron_payment.core.address import Address
from tron_payment.db.faults import store_errors
from tron_payment.db.ledger import Pocket, account
from tron_payment.http.paging import InvalidCursor, PageRequest
from tron_payment.wallets.addresses import HdAddress, addresses_of, count_issued
from tron_payment.wallets.balances import Balances
from tron_payment.wallets.documents import Wallet

SUMMED_MAX: Final = 10_000
"""Addresses that one sum covers, the oldest; the pages show the others too."""

SUM_BELIEVED_S: Final = 5.0
SUMS_MAX: Final = 1_000

_CURSOR: Final = re.compile(r"i[0-9]{1,10}")

Pockets = dict[Pocket, int]


class AddressStatus(StrEnum):
    """Addresses that are only prepared are not shown."""

    ISSUED = "issued"


@dataclass(frozen=True, slots=True)
class Sum:
    """Units by currency and pocket of the first `counted` of `issued` addresses."""

    issued: int
    counted: int
    held: Mapping[str, Pockets]


@dataclass(frozen=True, slots=True)
class Row:
    """One issued address and what it holds."""

    address: HdAddress
    held: Mapping[str, Pockets]


class Issued:
    """Reads issued addresses."""

    def __init__(self, balances: Balances, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._balances = balances
        self._monotonic = monotonic
        self._sums: OrderedDict[str, tuple[asyncio.Task[Sum], float]] = OrderedDict()

    async def sum(self, wallet: Wallet) -> Sum:
        """All together, at most `SUM_BELIEVED_S` old; callers at once share one sum."""
        now = self._monotonic()
        found = self._sums.get(wallet.id)
        if found is None or found[1] <= now:
            task = asyncio.create_task(self._sum(wallet.id), name="wallets.sum")
            found = (task, now + SUM_BELIEVED_S)
            self._sums[wallet.id] = found
            self._sums.move_to_end(wallet.id)
            while len(self._sums) > SUMS_MAX:
                self._sums.popitem(last=False)
        try:
            return await asyncio.shield(found[0])
        except Exception:
            if self._sums.get(wallet.id) is found:
                del self._sums[wallet.id]
            raise

    async def page(self, wallet: Wallet, page: PageRequest) -> tuple[list[Row], str | None]:
        """Addresses by index with what each holds, and the next page's cursor.

        Raises:
            InvalidCursor, InvalidFilter
        """
        page.statuses_of(AddressStatus)
        after = 0
        if page.cursor is not None:
            if _CURSOR.fullmatch(page.cursor) is None:
                raise InvalidCursor(param="cursor")
            after = int(page.cursor[1:])
        query: dict[str, Any] = {"wallet_id": wallet.id, "free": False, "index": {"$gt": after}}
        query |= page.times("issued_at", "issued_at")
        with store_errors():
            rows = await HdAddress.find(query).sort("+index").limit(page.limit + 1).to_list()
        shown = rows[: page.limit]
        held = await self._held([Address(row.id) for row in shown])
        following = f"i{shown[-1].index}" if len(rows) > page.limit else None
        return [Row(row, held[Address(row.id)]) for row in shown], following

    async def holds_anything(self, wallet: Wallet) -> bool:
        """Whether any issued address holds anything, however many there are."""
        async for batch in addresses_of(wallet.id):
            held = await self._held(batch)
            if any(units for each in held.values() for p in each.values() for units in p.values()):
                return True
        return False

    async def _sum(self, wallet_id: str) -> Sum:
        totals: dict[str, Pockets] = defaultdict(lambda: defaultdict(int))
        counted = 0
        async for batch in addresses_of(wallet_id):
            for held in (await self._held(batch[: SUMMED_MAX - counted])).values():
                for code, pockets in held.items():
                    for pocket, units in pockets.items():
                        totals[code][pocket] += units
            counted += min(len(batch), SUMMED_MAX - counted)
            if counted >= SUMMED_MAX:
                break
        return Sum(max(await count_issued(wallet_id), counted), counted, totals)

    async def _held(self, holders: Sequence[Address]) -> dict[Address, dict[str, Pockets]]:
        """By holder and currency, every one of both; units by pocket."""
        units = await self._balances.held(holders)
        return {
            holder: {
                code: {pocket: units[(account(holder, pocket), code)] for pocket in Pocket}
                for code in self._balances.codes()
            }
            for holder in holders
        }

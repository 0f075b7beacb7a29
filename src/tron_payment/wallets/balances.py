"""What a wallet has: by our books, and live on the chain as one node shows it now."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tron_payment.chain import AccountResources, Nodes
from tron_payment.core.address import Address, address_bytes
from tron_payment.core.money import TRX, USDT
from tron_payment.db.ledger import Ledger, Pocket, View, account
from tron_payment.module import Deployment
from tron_payment.wallets.currencies import Currencies
from tron_payment.wallets.together import Together

LIVE_BELIEVED_S: Final = 1.0
"""A live reading is shown again for this long: many screens ask, the chain moves every 3 s."""

BOOKS_BELIEVED_S: Final = 0.5
READINGS_MAX: Final = 1_000
BALANCE_OF: Final = bytes.fromhex("70a08231")


@dataclass(frozen=True, slots=True)
class Live:
    """One node's view of an address. Hearsay for screens; no decision about money."""

    block_number: int
    units: dict[str, int]
    resources: AccountResources


@dataclass(frozen=True, slots=True)
class CurrencyBalance:
    """Units; `on_chain` is None for what is not read live."""

    currency: str
    available: int
    reserved: int
    on_chain: int | None
    staked: int = 0
    unfreezing: int = 0


@dataclass(frozen=True, slots=True)
class WalletBalance:
    live: Live
    balances: tuple[CurrencyBalance, ...]


class Balances:
    """Reads balances of addresses."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        nodes: Nodes,
        deployment: Deployment,
        currencies: Currencies,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._nodes = nodes
        self._deployment = deployment
        self._currencies = currencies
        self._monotonic = monotonic
        self._books = Together(self._each)
        self._view: tuple[View, float] | None = None
        self._rolling = asyncio.Lock()
        self._readings: OrderedDict[Address, tuple[asyncio.Task[Live], float]] = OrderedDict()

    async def of(self, address: Address) -> WalletBalance:
        """
        Raises:
            NodesUnavailable: No node answers.
        """
        live, held = await asyncio.gather(self.live(address), self._books.get(address))
        assert held is not None, address
        return WalletBalance(
            live,
            tuple(
                CurrencyBalance(
                    currency=code,
                    available=held[(account(address, Pocket.AVAILABLE), code)],
                    reserved=held[(account(address, Pocket.RESERVED), code)],
                    on_chain=live.units.get(code),
                    staked=held[(account(address, Pocket.STAKED), code)],
                    unfreezing=held[(account(address, Pocket.UNFREEZING), code)],
                )
                for code in self.codes()
            ),
        )

    async def _each(
        self, holders: Sequence[Address]
    ) -> Mapping[Address, Mapping[tuple[str, str], int]]:
        """One reading for all of them; each looks up its own accounts in it."""
        found = await self.held(holders)
        return dict.fromkeys(holders, found)

    async def held(self, holders: Sequence[Address]) -> dict[tuple[str, str], int]:
        """Units by account and currency.

        Whoever writes the journal rolls the balances forward at once; only after its death in
        between somebody else has to, which happens here every `BOOKS_BELIEVED_S`.
        """
        async with self._rolling:
            if self._view is None or self._view[1] <= self._monotonic():
                view = await self._ledger.view()
                self._view = (view, self._monotonic() + BOOKS_BELIEVED_S)
            view = self._view[0]
        codes = self.codes()
        names = [account(holder, pocket) for holder in holders for pocket in Pocket]
        keys = [(name, code) for name in names for code in codes]
        return await view.balances(keys)

    def codes(self) -> tuple[str, ...]:
        """Every currency that is kept books of."""
        others = sorted(set(self._currencies.by_contract.values()) - {USDT.code})
        return (TRX.code, USDT.code, *others)

    async def live(self, address: Address) -> Live:
        """The chain's view, at most `LIVE_BELIEVED_S` old; callers at once share one reading."""
        now = self._monotonic()
        found = self._readings.get(address)
        if found is None or found[1] <= now or _failed(found[0]):
            task = asyncio.create_task(self._read(address), name="wallets.balance")
            found = (task, now + LIVE_BELIEVED_S)
            self._readings[address] = found
            self._readings.move_to_end(address)
            while len(self._readings) > READINGS_MAX:
                self._readings.popitem(last=False)
        return await asyncio.shield(found[0])

    async def _read(self, address: Address) -> Live:
        """All from one node; the block is the node's head before the reads."""
        data = BALANCE_OF + address_bytes(address)[1:].rjust(32, b"\0")
        node = await self._nodes.pick()
        head = await node.head()
        account, resources, usdt = await asyncio.gather(
            node.account(address),
            node.resources(address),
            node.constant_call(address, self._deployment.usdt, data),
        )
        units = {TRX.code: account.balance_sun if account else 0}
        if not usdt.reverted and len(usdt.output) >= 32:
            units[USDT.code] = int.from_bytes(usdt.output[:32])
        return Live(head.number, units, resources)


def _failed(task: asyncio.Task[Live]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)

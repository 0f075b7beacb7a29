"""A month of a busy shop on the devnet: mixed operations, a process that dies, and what is due.

Whoever asks keeps what was asked and its key, and asks again after a death, as clients do. What
the chain must say in the end is counted here, apart from the service.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from tests.conftest import Mongo
from tests.gateway.mortal import Mortality
from tests.gateway.world import Payer, World, again, somebody
from tron_payment.core.address import Address, address_bytes
from tron_payment.core.errors import AppError
from tron_payment.core.money import parse_units

MONTH_S = 30 * 86_400
PAYERS = 8
BLOCKS_PER_ROUND = 5
ASKED_AT_ONCE = 50
DEATH_SHARE = 0.6
WRITES_PER_OPERATION = 8
SELDOM = frozenset({
    "gateway.sweep", "gateway.track", "gateway.refunds", "gateway.export", "gateway.hints",
    "payouts.sweep", "payouts.batches", "payouts.schedules", "usdt.sweep", "staking.sweep",
})  # fmt: skip
"""Loops that look at everything under way: once after each round is enough of them."""

FINAL_AFTER_ROUNDS = 5
"""By then what was paid in a round is solidified."""

TRIES_MAX = 12
CENT = 10_000


@dataclass
class Wish:
    """Something asked over HTTP, again and again until it is answered."""

    what: str
    path: str
    body: dict[str, Any]
    key: str
    role: str = "operator"
    sub: str = "op-1"
    then: Callable[[Any], None] = lambda _: None
    answer: httpx.Response | None = None


@dataclass
class Shop:
    """Everything that the month has asked for, and what it must lead to."""

    world: World
    mongo: Mongo
    random: Random
    mortality: Mortality
    stack: AsyncExitStack
    payers: list[Payer] = field(default_factory=lambda: [Payer(0xA000 + n) for n in range(PAYERS)])
    invoices: list[dict[str, Any]] = field(default_factory=list)
    unpaid: list[dict[str, Any]] = field(default_factory=list)
    received: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """USDT units that payers have sent to each invoice's address."""

    final: list[list[dict[str, Any]]] = field(default_factory=list)
    """Invoices paid in each round that no refund has been asked for yet."""

    sent: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Strangers' addresses, and what is to arrive there, once."""

    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    number: int = 0

    # ---- one round -----------------------------------------------------------------------------

    async def round(self, operations: int, passes_s: int) -> None:
        """So many operations, then this much time."""
        paid = min(len(self.unpaid), operations * 4 // 10)
        wishes = [self._wish() for _ in range(operations - paid)]
        chosen = [self.unpaid.pop(self.random.randrange(len(self.unpaid))) for _ in range(paid)]
        credited = [each for each in chosen if await self._pay(each)]
        self.final.append(credited)
        if self.random.random() < DEATH_SHARE:
            self.mortality.arm(operations * WRITES_PER_OPERATION)
        await self.survive(lambda: self._ask(wishes))
        await self.survive(lambda: self.world.tick(BLOCKS_PER_ROUND))
        await self.survive(self.seldom)
        self.mortality.disarm()
        await self.world.devnet.mine(skip_ms=passes_s * 1000)
        for wish in wishes:
            assert wish.answer is not None
            if wish.answer.status_code < 300:
                self.done[wish.what] += 1
                wish.then(wish.answer.json())
            else:
                assert wish.answer.status_code < 500, wish.answer.text
                self.refused[f"{wish.what}: {wish.answer.json()['code']}"] += 1

    async def survive(self, life: Callable[[], Awaitable[None]]) -> None:
        """Do it, dying and starting again as often as it takes."""
        for _ in range(TRIES_MAX):

            async def once() -> None:
                await life()

            if await self.mortality.live(once()):
                return
            await self.restart()
        raise AssertionError("it dies again and again")

    async def seldom(self) -> None:
        """One look of each loop that is left alone otherwise, and what follows from it."""
        for loop in self.world.assembly.loops.all:
            if loop.name in SELDOM:
                await loop.step()
        await self.world.tick()

    async def restart(self) -> None:
        """A new process on the same store and chain."""
        before = self.world
        await self.stack.aclose()
        self.mortality.born_again()
        self.world = await self.stack.enter_async_context(again(self.mongo, before))
        while len(self.mongo.stores) > 2:
            await self.mongo.stores.pop(0).close()

    async def _ask(self, wishes: list[Wish]) -> None:
        for start in range(0, len(wishes), ASKED_AT_ONCE):
            part = wishes[start : start + ASKED_AT_ONCE]
            await asyncio.gather(*(self._one(wish) for wish in part))

    async def _one(self, wish: Wish) -> None:
        for _ in range(TRIES_MAX):
            if wish.answer is not None and wish.answer.status_code < 500:
                return
            wish.answer = await self.world.post(
                wish.path, wish.body, role=wish.role, sub=wish.sub, key=wish.key
            )

    # ---- what people do ------------------------------------------------------------------------

    def _wish(self) -> Wish:
        self.number += 1
        kinds: list[tuple[int, Callable[[], Wish | None]]] = [
            (52, self._invoice),
            (12, self._refund),
            (12, self._transfer),
            (8, self._trx),
            (4, self._fee),
            (4, self._stake),
            (4, self._cancel),
            (4, self._payout),
        ]
        weights = [weight for weight, _ in kinds]
        while True:
            ((_, make),) = self.random.choices(kinds, weights)
            if (made := make()) is not None:
                return made

    def _process(self, what: str, **body: Any) -> Wish:
        return Wish(what, "/payments/process", body, self._key())

    def _key(self) -> str:
        return f"month-{self.number:012d}"

    def _invoice(self) -> Wish:
        units = self.random.randint(100, 2_600) * CENT
        body = {"amount": _text(units), "currency": "USDT", "expires_in_s": 2 * 86_400}

        def keep(made: Any) -> None:
            self.invoices.append(made)
            self.unpaid.append(made)

        wish = self._process("invoice", kind="invoice", **body)
        wish.role, wish.sub, wish.then = "merchant", "shop-1", keep
        return wish

    def _refund(self) -> Wish | None:
        ready = [each for each in self.final[:-FINAL_AFTER_ROUNDS] if each]
        if not ready:
            return None
        invoice = ready[0].pop()
        units = self.random.randint(1, self.received[invoice["address"]] // CENT) * CENT
        to = self._stranger()
        body = {"payment_id": invoice["payment_id"], "amount": _text(units), "to_address": to}
        wish = Wish("refund", "/payments/refund", body, self._key(), "merchant", "shop-1")
        wish.then = lambda _: self._expect(to, "USDT", units)
        return wish

    def _transfer(self) -> Wish:
        return self._send("usdt", "USDT", self.random.randint(1, 400) * CENT)

    def _trx(self) -> Wish:
        return self._send("trx", "TRX", self.random.randint(1_000, 1_400) * CENT)

    def _send(self, kind: str, currency: str, units: int) -> Wish:
        to = self._stranger()
        wish = self._process(kind, kind=kind, to_address=to, amount=_text(units))
        wish.then = lambda _: self._expect(to, currency, units)
        return wish

    def _payout(self) -> Wish:
        to, units = self._stranger(), self.random.randint(1_000, 1_400) * CENT
        body = {
            "user_id": f"user-{self.number}",
            "recipient_address": to,
            "amount": _text(units),
            "currency": "USDT",
        }
        wish = Wish("payout", "/payouts/direct", body, self._key())
        wish.then = lambda _: self._expect(to, "USDT", units)
        return wish

    def _fee(self) -> Wish | None:
        if not self.invoices:
            return None
        address = self.random.choice(self.invoices)["address"]
        return self._process("fee", kind="fee", to_address=address, amount="1.5")

    def _stake(self) -> Wish:
        operation = self.random.choice(("stake", "stake", "unstake"))
        return self._process(operation, kind="staking", amount="10", operation=operation)

    def _cancel(self) -> Wish | None:
        if not self.unpaid:
            return None
        path = f"/payments/{self.random.choice(self.unpaid)['payment_id']}/cancel"
        return Wish("cancel", path, {}, self._key(), "merchant", "shop-1")

    async def _pay(self, invoice: dict[str, Any]) -> bool:
        """Exactly, in part, too much, twice, or in the wrong currency, which is not credited."""
        payer = self.random.choice(self.payers)
        units = parse_units(6, invoice["amount"])
        how = self.random.choices(
            ("exactly", "in part", "too much", "twice", "wrong currency"), (70, 10, 8, 6, 6)
        )[0]
        self.done[f"paid {how}"] += 1
        if how == "wrong currency":
            await self.world.pay(payer, invoice["address"], "3", "TRX")
            return False
        if how == "in part":
            units = max(CENT, units // 2)
        if how == "too much":
            units += CENT
        for _ in range(2 if how == "twice" else 1):
            await self.world.pay(payer, invoice["address"], _text(units))
            self.received[invoice["address"]] += units
        return True

    def _stranger(self) -> Address:
        return somebody(0x5000_0000 + self.number)

    def _expect(self, address: str, currency: str, units: int) -> None:
        self.sent[address] = (currency, units)

    # ---- what must be true in the end ----------------------------------------------------------

    async def rest(self) -> None:
        """Until nothing that was asked for is under way any more; sweeps may be."""
        for _ in range(5):
            await self.seldom()
            await self.world.solidify()

    async def wrong(self) -> list[str]:
        """What the chain or the service says otherwise than what was asked for."""
        faults = []
        for address, (currency, units) in self.sent.items():
            held = await self._held(address, currency)
            if held != units:
                faults.append(f"{address} has {held}, not {units} {currency}")
        for invoice in self.invoices:
            shown = await self.world.payment(invoice["payment_id"])
            if parse_units(6, shown["received"]) != self.received[invoice["address"]]:
                faults.append(f"{invoice['payment_id']} received {shown['received']}")
        return faults

    async def _held(self, address: str, currency: str) -> int:
        node = self.world.nodes.members[0].client
        try:
            if currency == "TRX":
                account = await node.account(Address(address), solid=True)
                return account.balance_sun if account else 0
            data = bytes.fromhex("70a08231" + _word(address))
            answer = await node.constant_call(Address(address), self.world.usdt, data, solid=True)
        except AppError as problem:
            raise AssertionError(address) from problem
        return int.from_bytes(answer.output[:32], "big")


async def open_shop(mongo: Mongo, first: World, seed: int) -> Shop:
    """The shop on its first day; payers and treasury have money for the month."""
    random = Random(seed)
    shop = Shop(first, mongo, random, Mortality(random), AsyncExitStack())
    await first.fund(first.treasury, "500000")
    await first.fund(first.treasury, "100000", "USDT")
    for payer in shop.payers:
        await first.fund(payer.address, "100000")
        await first.fund(payer.address, "100000", "USDT")
    await first.solidify()
    first.quiet, first.unused = SELDOM, frozenset()
    return shop


def _text(units: int) -> str:
    return f"{units // 10**6}.{units % 10**6:06d}".rstrip("0").rstrip(".")


def _word(address: str) -> str:
    return address_bytes(Address(address))[1:].rjust(32, b"\0").hex()

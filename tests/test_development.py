"""A start in development: trouble on the way is told and tried again."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tron_payment import development
from tron_payment.chain import NodesUnavailable
from tron_payment.core.address import Address, address_of
from tron_payment.db.faults import StoreUnavailable
from tron_payment.development import NotPrepared, Preparation


class Stumbling(Preparation):
    """Prepares nothing, and does it only at the fourth try."""

    troubles: tuple[Exception, ...] = (
        NodesUnavailable("no node answers"),
        StoreUnavailable(),
        RuntimeError("something new"),
    )

    async def _prepare(self) -> None:
        self.seen.append(await self.trouble())
        if len(self.seen) <= len(self.troubles):
            raise self.troubles[len(self.seen) - 1]
        self._done.set()

    seen: list[str]

    async def trouble(self) -> str:
        try:
            await self.check()
        except NotPrepared as told:
            return str(told)
        return "ready"


class Nothing:
    house: Any = None
    devnet_url: str | None = None
    preparations: Any = ()


async def test_whatever_goes_wrong_the_start_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(development, "RETRY_S", 0.0)
    start: Any = Stumbling
    preparation = start(Nothing(), Nothing())
    preparation.seen = []
    await preparation.repeat()
    assert await preparation.trouble() == "ready"
    assert [each.partition(": ")[2].partition(":")[0] for each in preparation.seen] == [
        "",
        "NodesUnavailable",
        "StoreUnavailable",
        "RuntimeError",
    ]


class Funding(Preparation):
    """What it funds first goes wrong at once, while the others take their time."""

    under_way: list[tuple[str, str]]
    twice: list[tuple[str, str]]
    tries: int

    async def _fund(self, address: Address, asset: str, units: int) -> None:
        what = (address, asset)
        if what in self.under_way:
            self.twice.append(what)
        self.under_way.append(what)
        try:
            self.tries += 1
            if self.tries == 1:
                raise NodesUnavailable("no node answers")
            for _ in range(100):
                await asyncio.sleep(0)
        finally:
            self.under_way.remove(what)

    async def _routers(self, wallet_id: str, owner: Address, operator: Address) -> None:
        return


class TwoWallets:
    default_address: Address | None = None

    async def ensure(self, _: Any, name: str, **__: Any) -> Any:
        return SimpleNamespace(id=name, address=address_of(name.encode().ljust(20)))


class House:
    def use(self, _: Any) -> TwoWallets:
        return TwoWallets()


async def test_nothing_of_a_failed_try_goes_on_beside_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(development, "RETRY_S", 0.0)
    start: Any = Funding
    assembly, children = Nothing(), Nothing()
    assembly.house, children.devnet_url = House(), "http://devnet"
    preparation = start(assembly, children)
    preparation.under_way, preparation.twice, preparation.tries = [], [], 0
    await preparation.repeat()
    assert (preparation.tries, preparation.twice) == (6, [])

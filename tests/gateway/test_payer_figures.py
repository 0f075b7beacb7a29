"""Alerts for little TRX and energy look at the wallet that would pay, however it came to that."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.gateway.world import Payer, World
from tron_payment.core.address import Address
from tron_payment.db.audit import AuditEntry
from tron_payment.measuring import HOT, Measuring
from tron_payment.metrics import Figures
from tron_payment.wallets import Wallets, WalletStatus


class Look:
    """What Prometheus would see."""

    def __init__(self, world: World) -> None:
        self.figures = Figures()
        assembly: Any = SimpleNamespace(house=world.house, modules=())
        self.measuring = Measuring(assembly, self.figures, "test")

    async def __call__(self) -> tuple[float | None, float | None]:
        """The payer's TRX in sun, and its energy; None: no sample."""
        await self.measuring.look()
        return (
            self.figures.get("funds_units", HOT, "TRX", "available"),
            self.figures.get("energy_available", HOT),
        )


@pytest.fixture
def unnamed(gateway: World) -> Wallets:
    """No setting says who pays."""
    wallets: Wallets = gateway.house.use(Wallets)
    wallets.default_address = None
    return wallets


async def balance(world: World, address: Address) -> int:
    held = await world.house.ledger.holdings(address)
    return int(next(n for pocket, n in held["TRX"].items() if pocket == "available"))


async def test_the_only_funded_hot_wallet_is_looked_at(gateway: World, unnamed: Wallets) -> None:
    look = Look(gateway)
    other = await unnamed.ensure(None, "empty")
    sun, energy = await look()
    assert sun == await balance(gateway, gateway.treasury) > 0 and energy == 0
    await gateway.fund(other.address, "1")
    await gateway.solidify()
    assert await look() == (None, None), "several: nobody pays unless named, and that is told"
    unnamed.default_address = Address(other.address)
    assert await look() == (1_000_000, 0)


async def test_one_that_was_emptied_stays_in_sight(gateway: World, unnamed: Wallets) -> None:
    """The others are frozen, so that it alone can pay, until somebody takes all it has."""
    look, payer = Look(gateway), Payer(0xF00D)
    frozen = {"$set": {"status": WalletStatus.FROZEN.value}}
    await gateway.store.database["wallets"].update_many({}, frozen)
    await unnamed.ensure(payer.key.hex(), "payer")
    assert await look() == (None, None), "and it has nothing yet"
    await gateway.work()
    await gateway.fund(payer.address, "5")
    await gateway.solidify()
    assert await look() == (5_000_000, 0)
    await gateway.pay(payer, gateway.treasury, "5", "TRX")
    await gateway.solidify()
    assert await look() == (0, 0)


async def test_an_audit_log_that_is_gone_is_no_sound_one(gateway: World) -> None:
    look = Look(gateway)
    await look()
    assert look.figures.get("audit_chain_ok") == 1
    assert (await AuditEntry.get_pymongo_collection().delete_many({})).deleted_count
    await look()
    assert look.figures.get("audit_chain_ok") == 0
    look = Look(gateway)
    await look()
    assert look.figures.get("audit_chain_ok") == 1, "a new one is empty"

"""Direct mode: the service's own loop takes what waits to a device that it has itself."""

from collections.abc import Iterator
from typing import Any

import pytest
from emulated_ledger import EmulatedLedger
from keys_of_words import Words
from test_agent import RECORDED, asked, usdt
from wallet_world import World, build_world

from tron_payment.configuration import load
from tron_payment.devices import DirectSigner, LedgerWallet, TcpTransport, direct_loops
from tron_payment.settings import ConfigurationError, Settings
from tron_payment.wallets import RequestStatus, SigningRequest, SigningRequests, WalletKind


@pytest.fixture
async def world(mongo: Any) -> World:
    return await build_world(mongo)


@pytest.fixture
def ledger() -> Iterator[EmulatedLedger]:
    emulated = EmulatedLedger(Words(RECORDED["mnemonic"]))
    yield emulated
    emulated.close()


class Hands:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def direct(world: World, ledger: EmulatedLedger, clock: Hands) -> DirectSigner:
    device = LedgerWallet(lambda: TcpTransport("127.0.0.1", ledger.port))
    signing = world.house.use(SigningRequests)
    return DirectSigner(signing, WalletKind.LEDGER, device, monotonic=clock, timeout_s=10)


async def statuses() -> list[RequestStatus]:
    return [each.status for each in await SigningRequest.find().sort("+created_at").to_list()]


async def test_what_waits_is_signed_one_after_the_other(
    world: World, ledger: EmulatedLedger
) -> None:
    first, second = await asked(world, 1), await asked(world, 2)
    signer = direct(world, ledger, Hands())
    assert await signer.step() and await signer.step()
    assert not await signer.step(), "nothing waits any more"
    assert await statuses() == [RequestStatus.COMPLETE] * 2
    taken = world.house.engine.taken  # type: ignore[attr-defined]
    assert sorted(each[1] for each in taken) == sorted([first.txid, second.txid])
    assert ledger.shown == ["transaction"] * 2


async def test_a_refusal_is_not_asked_again_and_a_trouble_is(
    world: World, ledger: EmulatedLedger
) -> None:
    await asked(world)
    clock = Hands()
    signer = direct(world, ledger, clock)
    ledger.locked = True
    assert not await signer.step()
    ledger.locked, ledger.person = False, "refuse"
    assert not await signer.step() and ledger.shown == [], "not before its time"
    clock.now_s = 31
    assert not await signer.step() and len(ledger.shown) == 1
    ledger.person = "approve"
    clock.now_s = 3_000
    assert not await signer.step() and len(ledger.shown) == 1, "a person has said no"
    clock.now_s = 3_700
    assert await signer.step()
    assert await statuses() == [RequestStatus.COMPLETE]


async def test_what_the_device_cannot_show_is_left_to_the_agent(
    world: World, ledger: EmulatedLedger
) -> None:
    from dataclasses import replace

    await asked(world, contract=replace(usdt(5), data=bytes.fromhex("12345678")))
    assert not await direct(world, ledger, Hands()).step()
    assert ledger.shown == [] and await statuses() == [RequestStatus.OPEN]


async def test_another_device_signs_nothing(world: World, ledger: EmulatedLedger) -> None:
    await asked(world)
    other = EmulatedLedger(Words("legal winner " * 5 + "thank yellow"))
    try:
        assert not await direct(world, other, Hands()).step()
    finally:
        other.close()
    assert other.shown == [] and await statuses() == [RequestStatus.OPEN]


async def test_only_enabled_devices_have_a_loop(world: World) -> None:
    signing = world.house.use(SigningRequests)

    def names(**values: Any) -> list[str]:
        settings = Settings(lucid_env="development", **values)
        return [loop.name for loop in direct_loops(settings, signing)]

    assert names() == []
    assert names(ledger_enabled=True, trezor_enabled=True) == []
    assert names(hardware_wallet_enabled=True) == []
    assert names(hardware_wallet_enabled=True, ledger_enabled=True) == ["devices.ledger"]
    both = {"ledger_enabled": True, "trezor_enabled": True, "hardware_wallet_enabled": True}
    assert names(**both) == ["devices.ledger", "devices.trezor"]


@pytest.mark.parametrize("where", ["10.0.0.1:9999", "localhost:1", "127.0.0.1", "x"])
def test_an_emulated_device_is_on_this_computer(where: str, tmp_path: Any) -> None:
    with pytest.raises(ConfigurationError, match="LEDGER_EMULATOR"):
        load({"LUCID_ENV": "development", "LEDGER_EMULATOR": where}, secrets_dir=tmp_path)

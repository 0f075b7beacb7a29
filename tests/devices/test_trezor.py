"""The Trezor's signatures byte for byte as recorded, and everything that goes wrong with one."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emulated_trezor import EmulatedTrezor
from keys_of_words import Words

from tron_payment import chain
from tron_payment.core.address import Address
from tron_payment.devices import Clarity, TrezorWallet, errors

RECORDED = json.loads((Path(__file__).parent / "recorded_trezor.json").read_text())
SIGNED = {each["name"]: each for each in RECORDED["signed"]}
PATH = "m/44'/195'/0'/0/0"
ME = Address("TY72iA3SBtrds3QLYsS7LwYfkzXwAXCRWT")
RAW = bytes.fromhex(SIGNED["TransferContract"]["raw"])
USDT = bytes.fromhex(SIGNED["TriggerSmartContract_USDT_transfer"]["raw"])


@pytest.fixture(scope="module")
def words() -> Words:
    return Words(RECORDED["mnemonic"])


@pytest.fixture
def trezor(words: Words) -> Iterator[EmulatedTrezor]:
    emulated = EmulatedTrezor(words)
    yield emulated
    emulated.close()


def wallet_of(trezor: EmulatedTrezor, *allow: Clarity) -> TrezorWallet:
    return TrezorWallet(trezor.where, allow)


@pytest.mark.parametrize("each", RECORDED["signed"], ids=lambda each: each["name"])
async def test_signatures_are_as_recorded(trezor: EmulatedTrezor, each: dict[str, Any]) -> None:
    wallet = wallet_of(trezor, Clarity.BLIND)
    raw, expect = bytes.fromhex(each["raw"]), Address(each["address"])
    signature = await wallet.sign(each["path"], raw, expect=expect)
    recorded = bytes.fromhex(each["signature"])
    assert signature == recorded[:64] + bytes((recorded[64] - 27,))
    await wallet.close()


async def test_it_tells_what_it_is(trezor: EmulatedTrezor) -> None:
    info = await wallet_of(trezor).info()
    assert (info.kind, info.model, info.version) == ("trezor", "Trezor T3T1", "2.12.2")


async def test_slow_packets_are_one_message(trezor: EmulatedTrezor) -> None:
    trezor.slow_s = 0.15  # longer than one read of the library
    assert len(await wallet_of(trezor).sign(PATH, RAW, expect=ME)) == 65


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ({"person": "refuse"}, errors.UserRefused),
        ({"locked": True, "person": "refuse"}, errors.UserRefused),
        ({"version": (2, 10, 9)}, errors.FirmwareTooOld),
        ({"tron": False}, errors.UnsupportedTransaction),
        ({"initialized": False}, errors.DeviceFault),
        ({"wrong_signature": True}, errors.SignatureMismatch),
    ],
)
async def test_each_trouble_is_its_own_error(
    trezor: EmulatedTrezor, state: dict[str, Any], error: type[errors.DeviceError]
) -> None:
    for key, value in state.items():
        setattr(trezor, key, value)
    with pytest.raises(error) as caught:
        await wallet_of(trezor).sign(PATH, RAW, expect=ME)
    assert len(caught.value.detail) > 30


async def test_firmware_must_know_rewards(trezor: EmulatedTrezor) -> None:
    raw = _with(RAW, contract=chain.WithdrawReward(ME))
    trezor.version = (2, 11, 1)
    with pytest.raises(errors.FirmwareTooOld):
        await wallet_of(trezor).sign(PATH, raw, expect=ME)
    trezor.version = (2, 12, 2)
    assert len(await wallet_of(trezor).sign(PATH, raw, expect=ME)) == 65


async def test_a_prompt_that_nobody_answers_is_taken_back(trezor: EmulatedTrezor) -> None:
    trezor.person = "away"
    wallet = wallet_of(trezor)
    with pytest.raises(errors.DeviceTimeout):
        await wallet.sign(PATH, RAW, expect=ME, timeout_s=0.3)
    assert not wallet.pending
    trezor.person = "approve"
    assert len(await wallet.sign(PATH, RAW, expect=ME)) == 65


async def test_another_devices_key_is_never_asked_to_sign(trezor: EmulatedTrezor) -> None:
    with pytest.raises(errors.AddressMismatch):
        await wallet_of(trezor).sign("m/44'/195'/1'/0/0", RAW, expect=ME)
    assert trezor.shown == []


def _with(raw: bytes, **changes: Any) -> bytes:
    return chain.encode(replace(chain.decode(raw), **changes))


def _called(raw: bytes, **changes: Any) -> bytes:
    said = chain.decode(raw)
    return chain.encode(replace(said, contract=replace(said.contract, **changes)))


@pytest.mark.parametrize(
    "raw",
    [
        _with(RAW, permission_id=2),
        _with(RAW, fee_limit_sun=15_000_000_001),
        _with(RAW, memo=b"m" * 257),
        _called(USDT, call_value_sun=5),
        _with(RAW, contract=chain.Delegate(ME, ME, 1_000_000, chain.Resource.ENERGY)),
        _with(RAW, contract=chain.CreateAccount(ME, ME)),
        _with(RAW, contract=chain.CancelAllUnfreezeV2(ME)),
        _with(RAW, contract=chain.Vote(ME, ((ME, 1),) * 10)),
        RAW + b"\x00",
        b"",
    ],
)
async def test_what_it_cannot_sign_is_refused_before_the_prompt(
    trezor: EmulatedTrezor, raw: bytes
) -> None:
    with pytest.raises(errors.UnsupportedTransaction):
        await wallet_of(trezor, Clarity.BLIND).sign(PATH, raw, expect=ME)
    assert trezor.shown == []


async def test_a_dropped_field_is_found_by_encoding_again(
    trezor: EmulatedTrezor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if our own rules missed it."""
    from tron_payment.devices import trezor as module
    from tron_payment.devices.plan import SignPlan

    monkeypatch.setattr(module, "_plan", lambda said: SignPlan(Clarity.CLEAR))
    for raw in (_with(RAW, permission_id=2), _called(USDT, call_value_sun=5)):
        with pytest.raises(errors.UnsupportedTransaction, match="drops"):
            await wallet_of(trezor).sign(PATH, raw, expect=ME)
    assert trezor.shown == []


async def test_short_paths_are_refused(trezor: EmulatedTrezor) -> None:
    with pytest.raises(errors.PathRefused):
        await wallet_of(trezor).address("m/44'/195'/0'")


async def test_nobody_there_is_no_device() -> None:
    with pytest.raises(errors.DeviceNotFound):
        await asyncio.wait_for(TrezorWallet("udp:127.0.0.1:1").info(), 10)


async def test_an_address_is_shown_and_may_be_refused(trezor: EmulatedTrezor) -> None:
    wallet = wallet_of(trezor)
    assert await wallet.address(PATH, display=True) == ME
    trezor.person = "refuse"
    with pytest.raises(errors.UserRefused):
        await wallet.address(PATH, display=True)
    assert trezor.shown == [f"address {ME}"] * 2

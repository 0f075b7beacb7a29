"""The Ledger's exchanges byte for byte as recorded, and everything that goes wrong with one."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from emulated_ledger import EmulatedLedger
from keys_of_words import Words

from tron_payment.core.address import Address
from tron_payment.devices import Clarity, LedgerWallet, TcpTransport, errors, ledger_apdu
from tron_payment.devices.paths import parse_path

RECORDED = json.loads((Path(__file__).parent / "recorded_ledger.json").read_text())
ME = Address("TUEZSdKsoDHQMeZwihtdoBiN46zxhGWYdH")
PATH = "m/44'/195'/0'/0/0"
ALL = frozenset({"data", "custom_contracts", "sign_by_hash"})
EVERYTHING = (Clarity.BLIND, Clarity.BY_HASH)
RAW = {each["name"]: bytes.fromhex(each["raw"]) for each in RECORDED["signed"]}
READABLE = [
    each for each in RECORDED["signed"] if each["name"] not in ("trc10_noname", "account_update")
]


@pytest.fixture(scope="module")
def words() -> Words:
    return Words(RECORDED["mnemonic"])


@pytest.fixture
def ledger(words: Words) -> Iterator[EmulatedLedger]:
    emulated = EmulatedLedger(words, ALL)
    yield emulated
    emulated.close()


def wallet_of(ledger: EmulatedLedger, allow: Any = EVERYTHING) -> LedgerWallet:
    return LedgerWallet(lambda: TcpTransport("127.0.0.1", ledger.port), allow)


@pytest.mark.parametrize("each", RECORDED["signed"], ids=lambda each: each["name"])
def test_chunks_are_as_recorded(each: dict[str, Any]) -> None:
    asked = ledger_apdu.ask_signature(parse_path(each["path"]), bytes.fromhex(each["raw"]))
    assert [apdu.hex() for apdu in asked] == each["apdus"]


@pytest.mark.parametrize("each", RECORDED["addresses"], ids=lambda each: each["path"])
async def test_addresses_are_as_recorded(ledger: EmulatedLedger, each: dict[str, Any]) -> None:
    assert await wallet_of(ledger).address(each["path"]) == each["address"]
    head, told = bytes.fromhex(each["apdu"]), ledger.heard[-1]
    assert told == head[:3] + b"\x00" + head[4:], "the same question, without the chain code"
    assert ledger_apdu.read_address(bytes.fromhex(each["answer"])) == each["address"]


@pytest.mark.parametrize("each", READABLE, ids=lambda each: each["name"])
async def test_signatures_are_as_recorded(ledger: EmulatedLedger, each: dict[str, Any]) -> None:
    wallet = wallet_of(ledger)
    raw = bytes.fromhex(each["raw"])
    expect = await wallet.address(each["path"])
    signature = await wallet.sign(each["path"], raw, expect=expect)
    assert signature.hex() == each["signature"]
    if not wallet.check(raw).as_hash:
        sent = [apdu.hex() for apdu in ledger.heard if apdu[1] == 0x04]
        assert sent == each["apdus"]
    assert ledger.heard[0] == ledger_apdu.WHICH_APP


async def test_a_hash_is_signed_as_recorded(ledger: EmulatedLedger) -> None:
    (each,) = RECORDED["hash"]
    asked = ledger_apdu.ask_hash_signature(parse_path(each["path"]), bytes.fromhex(each["hash"]))
    transport = TcpTransport("127.0.0.1", ledger.port)
    assert await asyncio.to_thread(transport.exchange, asked, 5) == (
        bytes.fromhex(each["signature"]),
        0x9000,
    )
    transport.close()


@pytest.mark.parametrize("each", RECORDED["status"], ids=lambda each: each["case"])
def test_the_emulator_refuses_as_the_app_does(ledger: EmulatedLedger, each: dict[str, Any]) -> None:
    transport = TcpTransport("127.0.0.1", ledger.port)
    assert transport.exchange(bytes.fromhex(each["apdu"]), 5) == (b"", int(each["status"], 16))
    transport.close()


@pytest.mark.parametrize("pieces", [1, 2, 7])
async def test_an_answer_in_pieces_is_one_answer(ledger: EmulatedLedger, pieces: int) -> None:
    ledger.pieces = pieces
    signature = await wallet_of(ledger).sign(PATH, RAW["usdt_transfer"], expect=ME)
    assert signature.hex() == next(
        each["signature"] for each in RECORDED["signed"] if each["name"] == "usdt_transfer"
    )


@pytest.mark.parametrize(
    ("state", "name", "error"),
    [
        ({"locked": True}, "trx_transfer", errors.DeviceLocked),
        ({"app": "Ethereum"}, "trx_transfer", errors.WrongApp),
        ({"app": "BOLOS"}, "trx_transfer", errors.WrongApp),
        ({"version": "0.6.9"}, "trx_transfer", errors.FirmwareTooOld),
        ({"person": "refuse"}, "trx_transfer", errors.UserRefused),
        ({"settings": ALL - {"data"}}, "trx_transfer_memo", errors.DataSettingRequired),
        (
            {"settings": ALL - {"custom_contracts"}},
            "unknown_trc20_transfer",
            errors.CustomContractsRequired,
        ),
        (
            {"settings": ALL - {"sign_by_hash"}},
            "account_permission_update",
            errors.SignByHashRequired,
        ),
        ({"wrong_signature": True}, "trx_transfer", errors.SignatureMismatch),
        ({"cut_after": 3}, "trx_transfer", errors.DeviceDisconnected),
    ],
)
async def test_each_trouble_is_its_own_error(
    ledger: EmulatedLedger, state: dict[str, Any], name: str, error: type[errors.DeviceError]
) -> None:
    for key, value in state.items():
        setattr(ledger, key, value)
    with pytest.raises(error) as caught:
        await wallet_of(ledger).sign(PATH, RAW[name], expect=ME)
    assert len(caught.value.detail) > 30, "a sentence that says what to do"


async def test_another_devices_key_is_never_asked_to_sign(ledger: EmulatedLedger) -> None:
    with pytest.raises(errors.AddressMismatch):
        await wallet_of(ledger).sign("m/44'/195'/1'/0/0", RAW["trx_transfer"], expect=ME)
    assert ledger.shown == []


@pytest.mark.parametrize(
    "name", ["unknown_trc20_transfer", "account_permission_update", "custom_call_value"]
)
async def test_what_is_not_shown_in_clear_needs_leave(ledger: EmulatedLedger, name: str) -> None:
    with pytest.raises(errors.NotAllowedByPolicy):
        await wallet_of(ledger, ()).sign(PATH, RAW[name], expect=ME)
    assert ledger.heard == []


async def test_a_late_answer_reaches_nobody(ledger: EmulatedLedger) -> None:
    ledger.person = late = threading.Event()
    wallet = wallet_of(ledger)
    with pytest.raises(errors.DeviceTimeout):
        await wallet.sign(PATH, RAW["trx_transfer"], expect=ME, timeout_s=0.2)
    assert wallet.pending
    with pytest.raises(errors.PromptPending):
        await wallet.address(PATH)
    late.set()
    while wallet.pending:
        await asyncio.sleep(0.01)
    ledger.person = "approve"
    assert await wallet.address(PATH) == ME, "not the late signature"
    assert (await wallet.sign(PATH, RAW["usdt_transfer"], expect=ME))[64] in (0, 1)


async def test_two_questions_at_once_are_refused(ledger: EmulatedLedger) -> None:
    ledger.person = gate = threading.Event()
    wallet = wallet_of(ledger)
    first = asyncio.create_task(wallet.sign(PATH, RAW["trx_transfer"], expect=ME))
    while not ledger.shown:
        await asyncio.sleep(0.01)
    with pytest.raises(errors.DeviceBusy):
        await wallet.info()
    gate.set()
    assert len(await first) == 65


async def test_another_programs_answer_is_not_taken_for_ours() -> None:
    with pytest.raises(errors.PromptPending):
        ledger_apdu.read_app(bytes(65))


async def test_it_comes_back_after_a_disconnection(ledger: EmulatedLedger) -> None:
    ledger.cut_after = 1
    wallet = wallet_of(ledger)
    with pytest.raises(errors.DeviceDisconnected):
        await wallet.info()
    ledger.cut_after = 1_000
    info = await wallet.info()
    assert (info.version, info.settings) == ("0.7.1", ALL)


async def test_nobody_there_is_no_device() -> None:
    with pytest.raises(errors.DeviceNotFound):
        await LedgerWallet(lambda: TcpTransport("127.0.0.1", 1)).info()


@pytest.mark.parametrize(
    "path", ["m/44'/60'/0'/0/0", "44/195/0/0/0", "m/44'", "x", "m/44'/195'/9999999999"]
)
async def test_paths_of_other_coins_are_refused(ledger: EmulatedLedger, path: str) -> None:
    with pytest.raises(errors.PathRefused):
        await wallet_of(ledger).address(path)
    assert ledger.heard == []


def test_every_status_word_is_a_clear_error() -> None:
    ours = {0x6985, 0x5501, 0x5515, 0x6982, 0x6A8A, 0x6A80, 0x6A8B, 0x6A8C, 0x6A8D, 0x6D00, 0x6E00}
    kinds = {word: type(ledger_apdu.refusal(word)) for word in ours | {0x6E01, 0x6511}}
    assert errors.DeviceFault not in kinds.values()
    assert kinds[0x5501] is errors.UserRefused and kinds[0x6511] is errors.WrongApp
    for word in (0x6A87, 0x6B00, 0x6F00):
        refusal = ledger_apdu.refusal(word)
        assert isinstance(refusal, errors.DeviceFault) and f"{word:04X}" in refusal.detail


async def test_the_real_ledgerblue_over_hid_is_wrapped(
    ledger: EmulatedLedger, monkeypatch: pytest.MonkeyPatch, words: Words
) -> None:
    import hid
    from emulated_hid import HidOver

    from tron_payment.devices import HidTransport

    monkeypatch.setenv("LEDGER_PROXY_ADDRESS", "10.0.0.1")
    monkeypatch.setenv("LEDGER_PROXY_PORT", "9")
    plugged = HidOver(ledger)
    monkeypatch.setattr(hid, "enumerate", lambda *_: [plugged.described])
    monkeypatch.setattr(hid, "device", lambda: plugged)
    wallet = LedgerWallet(HidTransport, EVERYTHING)
    for each in READABLE[:6]:
        expect = await wallet.address(each["path"])
        got = await wallet.sign(each["path"], bytes.fromhex(each["raw"]), expect=expect)
        assert got.hex() == each["signature"]
    ledger.person = "refuse"
    with pytest.raises(errors.UserRefused):
        await wallet.sign(PATH, RAW["trx_transfer"], expect=ME)
    ledger.locked = True
    with pytest.raises(errors.DeviceLocked):
        await wallet.info()
    plugged.broken = True
    with pytest.raises(errors.DeviceDisconnected):
        await wallet.info()
    monkeypatch.setattr(hid, "enumerate", lambda *_: [])
    with pytest.raises(errors.DeviceNotFound):
        await wallet.info()

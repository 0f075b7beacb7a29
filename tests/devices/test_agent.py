"""`tron-payment sign` against the real routes: it trusts nothing that it did not recompute."""

import json
from argparse import Namespace
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from emulated_ledger import EmulatedLedger
from keys_of_words import Words
from wallet_world import BOB, NOW, TEST_USDT, World, bearer, build_world, order, raw_of, served

from tron_payment import chain
from tron_payment.chain import Transfer, TriggerContract
from tron_payment.core.address import Address, address_bytes
from tron_payment.core.clock import to_ms
from tron_payment.core.errors import AppError, Refused
from tron_payment.db.cas import insert_once
from tron_payment.devices import (
    Agent,
    LedgerWallet,
    Outcome,
    ServiceClient,
    TcpTransport,
    Tokens,
    command,
    errors,
)
from tron_payment.devices.agent import parse_token
from tron_payment.devices.service_client import UrlUnsafe
from tron_payment.engine import OrderStatus
from tron_payment.engine.documents import contract_document, stored
from tron_payment.engine.domain import Attempt
from tron_payment.wallets import OURSELVES, RequestStatus, SigningRequest, SigningRequests
from tron_payment.wallets.domain import WalletKind

RECORDED = json.loads((Path(__file__).parent / "recorded_ledger.json").read_text())
ME = Address("TUEZSdKsoDHQMeZwihtdoBiN46zxhGWYdH")
TOKEN = bearer("treasurer", "tre-1")["Authorization"].removeprefix("Bearer ")


@pytest.fixture
async def world(mongo: Any) -> World:
    return await build_world(mongo)


@pytest.fixture
def ledger() -> Iterator[EmulatedLedger]:
    emulated = EmulatedLedger(Words(RECORDED["mnemonic"]))
    yield emulated
    emulated.close()


def usdt(units: int) -> TriggerContract:
    data = bytes.fromhex("a9059cbb") + bytes(12) + address_bytes(BOB)[1:] + units.to_bytes(32)
    return TriggerContract(ME, TEST_USDT, data)


async def asked(world: World, number: int = 1, contract: Any = None) -> SigningRequest:
    """An order of the Ledger's wallet that waits, and its request."""
    wallet = await world.wallets.find_by_address(ME)
    if wallet is None:
        wallet = await world.wallets.watch(
            OURSELVES, label="ledger", address=ME, kind=WalletKind.LEDGER
        )
    it = order(
        wallet,
        f"ord_{number}",
        detached=True,
        status=OrderStatus.AWAITING_SIGNATURE,
        contract=contract_document(contract or Transfer(ME, BOB, 12_500_000)),
    )
    raw = raw_of(it, timestamp_ms=number, expiration_ms=to_ms(NOW) + 3_600_000)
    attempt = Attempt(1, chain.txid(raw), raw, (), 0, number, to_ms(NOW) + 3_600_000, 1, NOW)
    it.attempts, it.live_txid = [stored(attempt)], attempt.txid
    await insert_once(it)
    return await world.house.use(SigningRequests).ask(it)


class Lying(httpx.AsyncBaseTransport):
    """The service with another word in its answers."""

    def __init__(self, inner: httpx.AsyncBaseTransport, changes: dict[str, Any]) -> None:
        self._inner, self._changes = inner, changes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        body = json.loads(await response.aread())
        return httpx.Response(response.status_code, json=body | self._changes)


@asynccontextmanager
async def agent_of(
    world: World, ledger: EmulatedLedger, lies: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Agent, list[str]]]:
    told: list[str] = []
    async with served(world) as client:
        transport: Any = client._transport
        if lies is not None:
            transport = Lying(transport, lies)
        async with ServiceClient("http://127.0.0.1", TOKEN, transport) as service:
            device = LedgerWallet(lambda: TcpTransport("127.0.0.1", ledger.port))
            settings = {"timeout_s": 10.0, **options}
            yield Agent(service, device, Tokens(), show=told.append, **settings), told


async def test_all_open_requests_are_shown_signed_and_taken(
    world: World, ledger: EmulatedLedger
) -> None:
    first, second = await asked(world, 1), await asked(world, 2, usdt(1_500_000))
    async with agent_of(world, ledger) as (agent, told):
        outcomes = await agent.run()
    assert [(each.request_id, each.status) for each in outcomes] == [
        (first.id, "complete"),
        (second.id, "complete"),
    ]
    text = "\n".join(told)
    assert "send 12.5 TRX" in text and "send 1.5 USDT" in text and BOB in text
    assert first.txid in text and "fee limit" in text
    taken = world.house.engine.taken  # type: ignore[attr-defined]
    assert [each[:2] for each in taken] == [("ord_1", first.txid), ("ord_2", second.txid)]


@pytest.mark.parametrize(
    "lies",
    [
        {"txid": "00" * 32},
        {"address": BOB},
        {"raw_data_hex": "0a02"},
        {"raw_data_hex": 5},
        {"missing": [{"address": "nobody"}]},
        {"status": "complete"},
    ],
)
async def test_a_service_that_contradicts_the_bytes_gets_nothing(
    world: World, ledger: EmulatedLedger, lies: dict[str, Any]
) -> None:
    request = await asked(world)
    async with agent_of(world, ledger, lies) as (agent, _):
        (outcome,) = await agent.run(request.id)
    assert outcome.error is not None
    assert ledger.heard == []


ESCAPES = "open\r\x1b[2Ksgn_b\r\n  to          T...the-right-one\x1b[8m"


@pytest.mark.parametrize(
    "lies",
    [
        {"status": ESCAPES},
        {"txid": ESCAPES},
        {"signing_request_id": ESCAPES},
        {"signing_request_id": "../wallets"},
        {"raw_data_hex": ESCAPES},
        {"missing": [{"address": ESCAPES}]},
        {"path": ESCAPES},
        {"path": 5},
    ],
)
async def test_a_service_draws_nothing_on_the_terminal(
    world: World, ledger: EmulatedLedger, lies: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    request = await asked(world)
    async with agent_of(world, ledger, lies) as (agent, told):
        outcomes = await agent.run(request.id)
    assert outcomes[0].error is not None and ledger.shown == []
    assert told and all(line.isprintable() for line in told), told
    assert command._report(outcomes, as_json=False) == command.EXIT_FAILED
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and shown.rstrip("\n").isprintable()


async def test_a_refusal_in_the_services_words_is_one_short_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def hostile(_: httpx.Request) -> httpx.Response:
        return httpx.Response(409, json={"detail": ESCAPES + "x" * 9_999})

    transport = httpx.MockTransport(hostile)
    async with ServiceClient("https://pay.example/api/v1", "t", transport) as service:
        with pytest.raises(AppError) as refused:
            await service.open_requests()
    assert refused.value.detail.isprintable() and len(refused.value.detail) < 300
    command._failed(Namespace(json=False), "x", f"of\x1b[8m {ESCAPES}")
    assert capsys.readouterr().err.rstrip("\n").isprintable()


async def test_the_words_come_from_the_bytes_and_not_from_the_service(
    world: World, ledger: EmulatedLedger
) -> None:
    request = await asked(world)
    lie = {"manifest": {"what": "send 1 TRX", "to_address": ME}}
    async with agent_of(world, ledger, lie) as (agent, told):
        await agent.run(request.id)
    assert any("send 12.5 TRX" in line for line in told)
    assert not any("send 1 TRX" in line for line in told)


async def test_another_devices_keys_sign_nothing(world: World, ledger: EmulatedLedger) -> None:
    request = await asked(world)
    async with agent_of(world, ledger, path="m/44'/195'/1'/0/0") as (agent, _):
        (outcome,) = await agent.run(request.id)
    assert isinstance(outcome.error, errors.AddressMismatch)
    assert ledger.shown == []


async def test_a_refusal_changes_nothing_and_the_next_one_is_asked(
    world: World, ledger: EmulatedLedger
) -> None:
    await asked(world, 1)
    await asked(world, 2)
    ledger.person = "refuse"
    async with agent_of(world, ledger) as (agent, _):
        outcomes = await agent.run()
    assert [type(each.error) for each in outcomes] == [errors.UserRefused] * 2
    assert await SigningRequest.find({"status": RequestStatus.OPEN.value}).count() == 2


async def test_no_at_the_keyboard_asks_no_device(world: World, ledger: EmulatedLedger) -> None:
    await asked(world)
    async with agent_of(world, ledger, agree=lambda _: False) as (agent, _):
        outcomes = await agent.run()
    assert [each.status for each in outcomes] == ["skipped"]
    assert ledger.heard == []


async def test_a_signature_given_twice_is_told(world: World, ledger: EmulatedLedger) -> None:
    request = await asked(world)
    async with agent_of(world, ledger) as (agent, _):
        await agent.run(request.id)
        outcomes: list[Outcome] = await agent.run(request.id)
    assert outcomes[0].error is not None and "complete" in outcomes[0].error.detail


@pytest.mark.parametrize(
    "url", ["http://pay.example", "ftp://127.0.0.1", "http://127.0.0.1.evil.io"]
)
def test_tokens_go_over_https_or_stay_here(url: str) -> None:
    with pytest.raises(UrlUnsafe):
        ServiceClient(url, TOKEN)


def test_tokens_are_named_by_the_person() -> None:
    contract, asset = parse_token(f"{BOB}=ABC:18")
    assert (contract, asset.code, asset.decimals) == (BOB, "ABC", 18)
    for text in ("x", f"{BOB}=ABC", f"{BOB}=:6", f"{BOB}=A:99", "T1=ABC:6"):
        with pytest.raises(Refused):
            parse_token(text)


def test_the_command_shows_the_devices_address(
    ledger: EmulatedLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--ledger", "--emulator", f"127.0.0.1:{ledger.port}", "--show-address"]
    assert command.main(arguments) == 0
    assert ME in capsys.readouterr().out and ledger.shown == [f"address {ME}"]


def test_the_command_says_what_is_missing(
    ledger: EmulatedLedger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = ["--ledger", "--emulator", f"127.0.0.1:{ledger.port}"]
    monkeypatch.delenv("TOKEN", raising=False)
    assert command.main(here) == command.EXIT_USAGE
    told = capsys.readouterr().err
    assert "--token-file" in told and "export TOKEN" in told
    assert command.main([*here, "--token-file", "/nowhere"]) == command.EXIT_USAGE
    assert command.main(["--ledger", "--emulator", "10.0.0.1:1"]) == command.EXIT_USAGE
    ledger.locked = True
    assert command.main([*here, "--show-address"]) == command.EXIT_FAILED
    assert "PIN" in capsys.readouterr().err


def test_programs_read_one_object_and_words_go_elsewhere(
    ledger: EmulatedLedger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    arguments = ["--ledger", "--emulator", f"127.0.0.1:{ledger.port}", "--show-address", "--json"]
    assert command.main(arguments) == command.EXIT_OK
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert answer["ok"] is True and answer["address"] == ME and "compare" in printed.err
    without_token = ["--ledger", "--emulator", "127.0.0.1:1", "--json"]
    assert command.main(without_token) == command.EXIT_USAGE
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False and "--token-file" in answer["error"]["detail"]


def test_the_command_takes_the_variable_that_the_others_take(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[tuple[str, str]] = []

    class Noted(ServiceClient):
        def __init__(self, url: str, token: str) -> None:
            seen.append((url, token))
            super().__init__(url, token, httpx.MockTransport(nothing_open))

    def nothing_open(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": [], "has_more": False})

    monkeypatch.setattr(command, "ServiceClient", Noted)
    monkeypatch.setenv("TOKEN", f"Bearer {TOKEN}")
    here = ["--ledger", "--emulator", "127.0.0.1:1"]
    api = "http://127.0.0.1:8090/api/v1"
    assert command.main(here) == command.EXIT_OK and seen.pop() == (api, TOKEN)
    file = tmp_path / "token"
    file.write_text("another\n")
    named = [*here, "--token-file", str(file), "--url", "https://pay.example/own/way"]
    assert command.main(named) == command.EXIT_OK
    assert seen.pop() == ("https://pay.example/own/way", "another"), "the file goes first"
    monkeypatch.setenv("TOKEN", "s3cret\tx")
    assert command.main(here) == command.EXIT_USAGE
    told = capsys.readouterr().err
    assert "no token" in told and "s3cret" not in told


def test_what_became_of_each_request_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [
        Outcome("sgn_1", "ab" * 32, status="complete"),
        Outcome("sgn_2", error=errors.AddressMismatch("another device")),
    ]
    assert command._report(outcomes, as_json=True) == command.EXIT_FAILED
    answer = json.loads(capsys.readouterr().out)
    assert [each["status"] for each in answer["requests"]] == ["complete", None]
    assert answer["ok"] is False and answer["requests"][1]["error"]["detail"] == "another device"
    assert command._report(outcomes[:1], as_json=True) == command.EXIT_OK
    assert json.loads(capsys.readouterr().out)["requests"][0]["error"] is None

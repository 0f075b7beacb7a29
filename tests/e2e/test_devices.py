"""A person pays with a device: `tron-payment sign` in a process of its own, with the makers' own
libraries and the versions that they ask for, and an emulated Ledger or Trezor in another one.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.addresses import fresh_address
from tests.e2e.service import SETTLE_S, Service, new_key, settled, transfers_to, trx_of

ROOT: Final = Path(__file__).parents[2]
EMULATORS: Final = ROOT / "tests" / "devices"
LIBRARIES: Final = Path(os.environ.get("DEVICE_LIBRARIES", ROOT / ".venv-devices"))
START_S: Final = 120.0
SIGN_S: Final = 120.0
WORDS: Final = {
    "ledger": "legal winner thank year wave sausage worth useful legal winner thank yellow",
    "trezor": "letter advice cage absurd amount doctor acoustic avoid letter advice cage above",
}


def paths(*first: Path) -> dict[str, str]:
    """The path of a process that has the makers' libraries before the service's."""
    return {"PYTHONPATH": os.pathsep.join(map(str, (*first, LIBRARIES, EMULATORS)))}


@contextlib.asynccontextmanager
async def emulated(kind: str) -> AsyncIterator[dict[str, Any]]:
    """Port and address of an emulated device."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EMULATORS / "emulator.py"),
        kind,
        WORDS[kind],
        env={**os.environ, **paths()},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_S):
            line = await process.stdout.readline()
        yield json.loads(line)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def signed(service: Service, kind: str, port: int, token_file: Path, *more: str) -> str:
    """What `tron-payment sign` prints; the Ledger is on its USB, the Trezor reached by UDP."""
    environment = {**os.environ, **paths()}
    where: tuple[str, ...] = ("--trezor", "--emulator", f"127.0.0.1:{port}")
    if kind == "ledger":
        environment |= paths(EMULATORS / "usb") | {"EMULATED_LEDGER": f"127.0.0.1:{port}"}
        where = ("--ledger",)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tron_payment.cli", "sign", *where, "--url", service.url),
        *("--token-file", str(token_file), "--yes", "--allow-blind", *more),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SIGN_S):
            said, _ = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def versions(*names: str) -> list[str]:
    """Of packages as the command's process sees them."""
    code = f"import importlib.metadata as m; print(*map(m.version, {names!r}))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env={**os.environ, **paths()}, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return said.decode().split()


async def test_the_command_has_the_makers_libraries_as_they_want_them() -> None:
    ledgerblue, trezor, protobuf = await versions("ledgerblue", "trezor", "protobuf")
    pinned = (ROOT / "pyproject.toml").read_text()
    assert f'devices = ["ledgerblue=={ledgerblue}", "trezor=={trezor}"]' in pinned
    assert protobuf.startswith("5."), "ledgerblue asks for one before 6"


@pytest.mark.parametrize("kind", ["ledger", "trezor"])
async def test_payouts_of_a_device_wait_are_signed_on_it_and_settle(
    service: Service, kind: str, tmp_path: Path
) -> None:
    async with emulated(kind) as device, service.client() as api, service.devnet() as devnet:
        token = (await devnet.get("/devnet/info")).json()["usdt_contract"]
        for currency, amount in (("TRX", "1000"), ("USDT", "100")):
            body = {"address": device["address"], "amount": amount, "currency": currency}
            (await devnet.post("/devnet/faucet", json=body)).raise_for_status()
        body = {"label": f"a {kind}", "kind": kind, "address": device["address"]}
        made = await api.post("/api/v1/wallets", json=body)
        assert made.status_code == 201, made.text
        recipients = {"TRX": fresh_address(), "USDT": fresh_address()}
        ids = []
        for currency, recipient in recipients.items():
            answer = await api.post(
                "/api/v1/payouts/direct",
                json={
                    "user_id": "alice",
                    "recipient_address": recipient,
                    "amount": "12.5",
                    "currency": currency,
                    "wallet_id": made.json()["wallet_id"],
                },
                headers={"Idempotency-Key": new_key()},
            )
            assert answer.status_code == 202, answer.text
            ids.append(answer.json()["payout_id"])
        await waiting(service, 2)
        token_file = tmp_path / "token"
        token_file.write_text(service.token("treasurer", "at-the-device"))
        said = await signed(service, kind, device["port"], token_file, "--token", f"{token}=USDT:6")
        assert "send 12.5 TRX" in said and "send 12.5 USDT" in said
        assert said.count(f"signed by {device['address']}; the request is complete") == 2
        paid = await settled(api, ids)
    assert [each["status"] for each in paid] == ["settled", "settled"]
    assert await trx_of(service, recipients["TRX"]) == 12_500_000
    assert await transfers_to(service, {recipients["USDT"]}) == {recipients["USDT"]: [12_500_000]}


async def waiting(service: Service, count: int) -> None:
    """Until so many requests are open."""
    async with service.client("treasurer", "looks") as api, asyncio.timeout(SETTLE_S):
        while True:
            answer = await api.get("/api/v1/signing-requests", params={"status": "open"})
            if len(answer.json()["data"]) >= count:
                return
            await asyncio.sleep(0.2)

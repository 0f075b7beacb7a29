"""A devnet process that is killed goes on with the chain it served."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests import plain
from tests.devnet.client import ALICE, Client
from tests.ports import free_port
from tron_payment.devnet import Devnet, DevnetConfig

START_S = 60.0


class Process:
    """A devnet of its own process, with fast blocks."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        arguments = ("--port", str(port), "--block-ms", "100", "--data", str(folder))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tron_payment.devnet", *arguments],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert b"devnet:" in self._process.stdout.readline()

    def get(self) -> dict[str, Any]:
        return dict(plain.get(self.url + "/devnet/info").json())

    def end(self, number: int) -> int:
        os.kill(self._process.pid, number)
        return self._process.wait(timeout=10)


def test_a_killed_devnet_still_has_every_block_it_showed(tmp_path: Path) -> None:
    process = Process(tmp_path, free_port())
    info = process.get()
    assert info["usdt_contract"]
    answer = plain.post(
        process.url + "/devnet/faucet",
        json={"address": ALICE.text, "amount": "12.5", "currency": "TRX"},
    ).json()
    deadline = time.monotonic() + START_S
    receipt: dict[str, Any] = {}
    while not receipt and time.monotonic() < deadline:
        url = process.url + "/wallet/gettransactioninfobyid"
        receipt = plain.post(url, json={"value": answer["txid"]}).json()
    head = plain.post(process.url + "/wallet/getnowblock").json()
    assert process.end(signal.SIGKILL) == -signal.SIGKILL

    again = Process(tmp_path, free_port())
    later = again.get()
    for name in ("genesis_id", "chain_id", "usdt_contract", "faucet_address"):
        assert later[name] == info[name]
    url = again.url + "/wallet/gettransactioninfobyid"
    assert plain.post(url, json={"value": answer["txid"]}).json() == receipt
    number = head["block_header"]["raw_data"]["number"]
    same = plain.post(again.url + "/wallet/getblockbynum", json={"num": number}).json()
    assert same["blockID"] == head["blockID"]
    assert later["head"] >= number
    assert again.end(signal.SIGTERM) == 0


async def test_the_solid_state_survives_a_restart(tmp_path: Path) -> None:
    config = DevnetConfig(block_ms=0, data=tmp_path)
    devnet = Devnet(config)
    await devnet.start()
    async with Client(devnet) as client:
        await client.fund(ALICE, "1000")
        await devnet.mine(30)
        await client.fund(ALICE, "1")
        solid = await client.solid("getaccount", address=ALICE.hex)
        assert solid["balance"] == 1_000_000_000
    await devnet.stop()

    devnet = Devnet(config)
    await devnet.start()
    async with Client(devnet) as client:
        assert await client.solid("getaccount", address=ALICE.hex) == solid
        full = await client.wallet("getaccount", address=ALICE.hex)
        assert full["balance"] == 1_001_000_000
    await devnet.stop()


async def test_a_seed_decides_the_chain() -> None:
    ids = set()
    for seed in ("a", "a", "b"):
        devnet = Devnet(DevnetConfig(block_ms=0, seed=seed, usdt=False))
        ids.add(devnet.chain.genesis_id)
        await devnet.stop()
    assert len(ids) == 2

"""``tron-payment devnet CONTROL``, and the five lines of the documentation."""

import asyncio
import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.devnet.client import ALICE, BOB
from tests.ports import free_port
from tron_payment.devnet import Devnet, DevnetConfig, command, main, serving
from tron_payment.devnet.api.controls import ROUTES

DOCUMENT = Path(__file__).parents[2] / "docs" / "devnet.md"
FIVE_LINES_S = 120


class Shell:
    """Commands against one running devnet, in a thread beside it."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self._capsys = capsys

    async def run(self, *argv: str, status: int = 0) -> Any:
        """The JSON that a command prints."""
        assert await asyncio.to_thread(command.run, [*argv, "--url", self.url]) == status
        printed = self._capsys.readouterr()
        return json.loads(printed.err if status else printed.out)


@pytest.fixture
async def devnet() -> AsyncIterator[Devnet]:
    node = Devnet(DevnetConfig(port=0, block_ms=600_000, seed="shell"))
    await node.start()
    yield node
    await node.stop()


@pytest.fixture
async def shell(devnet: Devnet, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Shell]:
    async with serving(devnet) as (port, _):
        yield Shell(f"http://127.0.0.1:{port}", capsys)


async def test_money_blocks_and_time(shell: Shell, devnet: Devnet) -> None:
    await shell.run("faucet", ALICE.text, "12.5")
    sent = await shell.run("faucet", ALICE.text, "7", "USDT")
    mined = await shell.run("mine", "3", "--skip-ms", "1200000")
    assert mined["head"] == devnet.chain.head.number
    found = devnet.chain.find(bytes.fromhex(sent["txid"]))
    assert found is not None and found[0].receipts[found[1]].result == "SUCCESS"
    before = devnet.chain.head.timestamp_ms
    await shell.run("time", "86400000")
    assert devnet.chain.head.timestamp_ms >= before + 86_400_000 - 600_000
    assert (await shell.run("pace", "0"))["block_ms"] == 0
    assert (await shell.run("info"))["head"] == devnet.chain.head.number


async def test_history(shell: Shell, devnet: Devnet) -> None:
    await shell.run("mine", "25")
    await shell.run("snapshot", "before")
    txid = (await shell.run("faucet", BOB.text, "1"))["txid"]
    await shell.run("mine")
    assert (await shell.run("fork", "1", "--drop", txid))["taken_back"] == [txid]
    assert devnet.chain.find(bytes.fromhex(txid)) is None
    head = (await shell.run("restore", "before"))["head"]
    assert head == devnet.chain.head.number
    assert "error" in await shell.run("restore", "never", status=1)


async def test_parameters_token_and_faults(shell: Shell, devnet: Devnet) -> None:
    await shell.run("parameters", "getEnergyFee=210", "getMemoFee=0")
    await shell.run("usdt", "setParams", "10", "49")
    await shell.run("mine", "2")
    rule = await shell.run("fault", "status", "--path", "/wallet/*", "--status", "503")
    assert (rule["path"], rule["status"]) == ("/wallet/*", 503)
    lie = await shell.run("fault", "lie", "--answer", '{"a": 1}', "--times", "2")
    assert [each["id"] for each in (await shell.run("faults"))["faults"]] == [rule["id"], lie["id"]]
    assert await shell.run("clear", str(lie["id"])) == {"removed": 1}
    assert await shell.run("clear") == {"removed": 1}
    assert "error" in await shell.run("fault", "nonsense", status=1)


def test_every_control_has_its_command_and_its_line() -> None:
    """In the program, in its help and in the document."""
    requests = {
        (each.method, f"/devnet/{each.path or name}") for name, each in command.CONTROLS.items()
    }
    assert requests == set(ROUTES)
    text = DOCUMENT.read_text()
    for name, control in command.CONTROLS.items():
        assert f"  {name} " in command.listing()
        assert f"`{name}" in text, name
        assert f"/devnet/{control.path or name}" in text, name


@pytest.mark.parametrize("argv", [["--help"], ["faucet", "--help"], ["fault", "--help"]])
def test_help_is_there(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 0
    assert "tron-payment devnet" in capsys.readouterr().out


def test_a_start_that_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--block-ms", "-1"], ["--block-ms", "600001"], ["--max-pending", "0"], ["huh"]):
        with pytest.raises(SystemExit) as ended:
            main(argv)
        assert ended.value.code == 2
    assert "--block-ms is 0 to 600000" in capsys.readouterr().err


def test_nobody_there_is_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert main(["info", "--url", f"http://127.0.0.1:{port}"]) == 1
    assert "nothing at" in capsys.readouterr().err


def test_the_five_lines_of_the_document_run(tmp_path: Path) -> None:
    """As written, but for the installation, the port, and the merchant's own tests."""
    block = re.search(r"## In your CI, five lines\n\n```sh\n(.*?)```", DOCUMENT.read_text(), re.S)
    assert block is not None
    lines = block.group(1).splitlines()
    assert len(lines) == 5 and lines[0].startswith("pip install ")
    port = free_port()
    script = "\n".join(lines[1:]).replace("9090", str(port))
    script = script.replace("devnet --block-ms", f"devnet --port {port} --block-ms")
    script = script.replace("devnet faucet", f"devnet faucet --url http://localhost:{port}")
    for name, text in (
        ("tron-payment", f'exec {sys.executable} -m tron_payment.cli "$@"'),
        ("npm", 'curl -sf "$TRON_NODE_URL/wallet/getpendingsize" && echo " in $1"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(stat.S_IRWXU)
    process = subprocess.Popen(
        ["bash", "-euc", f"{script}\nkill %1"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "MY_ADDRESS": ALICE.text},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=FIVE_LINES_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == 0, printed
    assert '"txid"' in printed and "pendingSize" in printed and "in test" in printed

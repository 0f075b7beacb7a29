"""A port that is taken is said in words, before anything is started."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import HOST, free_port
from tron_payment import ports

ENDED_WITHIN_S = 120


async def test_a_free_port_is_free_again_afterwards() -> None:
    port = free_port()
    for _ in range(2):
        await ports.free(HOST, port, "PORT")


async def test_a_taken_port_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "EARLIER_S", 0.0)
    with socket.create_server((HOST, free_port())) as other:
        port = other.getsockname()[1]
        with pytest.raises(ports.PortInUse, match=f"port {port} of {HOST}: .*in use; set PORT"):
            await ports.free(HOST, port, "PORT")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
async def test_the_other_family_takes_nothing_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio listens on `::` for IPv6 alone, so an IPv4 server of the same port is no obstacle."""
    monkeypatch.setattr(ports, "EARLIER_S", 0.0)
    with socket.create_server(("0.0.0.0", free_port())) as other:
        port = other.getsockname()[1]
        await ports.free("::", port, "PORT")
        server = await asyncio.start_server(lambda *_: None, "::", port)
        with pytest.raises(ports.PortInUse):
            await ports.free("::", port, "PORT")
        server.close()
        await server.wait_closed()


async def test_an_earlier_process_is_waited_for() -> None:
    other = socket.create_server((HOST, free_port()))
    waiting = asyncio.create_task(ports.free(HOST, other.getsockname()[1], "PORT"))
    await asyncio.sleep(0)
    assert not waiting.done()
    other.close()
    await waiting


@pytest.mark.parametrize("setting", ["PORT", "DEVNET_PORT"])
def test_a_start_on_a_taken_port_ends_in_words(tmp_path: Path, setting: str) -> None:
    with socket.create_server((HOST, free_port())) as other:
        taken = str(other.getsockname()[1])
        environment = {
            **os.environ,
            "LUCID_ENV": "development",
            "TRON_NETWORK": "devnet",
            "VAR_DIR": str(tmp_path),
            "PORT": str(free_port()),
            "DEVNET_PORT": str(free_port()),
            setting: taken,
        }
        ended = subprocess.run(
            [sys.executable, "-m", "tron_payment"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=ENDED_WITHIN_S,
            check=False,
        )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said
    assert f"port {taken} of {HOST}" in said and f"set {setting}" in said
    assert "Traceback" not in said

"""Commands of a terminal beside `make run` see what the service there does, and speak plainly."""

import asyncio
import json
import sys
from typing import Any

from tests.e2e.service import Service

WITHIN_S = 120.0


async def command(service: Service, *words: str) -> tuple[int, str, str]:
    """Exit code, output, errors."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tron_payment.cli", *words),
        env=service.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            out, err = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode is not None
    return child.returncode, out.decode(), err.decode()


async def test_the_plan_is_that_of_the_wallet_that_pays_here(service: Service) -> None:
    """Two hot wallets have money: the one that the service pays from is meant."""
    code, out, err = await command(service, "energy", "plan", "--json")
    assert code == 0, out + err
    async with service.client("operator") as http:
        said: dict[str, Any] = (await http.get("/api/v1/staking/plan")).json()
    assert json.loads(out)["address"] == said["address"]
    code, out, _ = await command(service, "energy", "plan")
    assert code == 0 and "about ten on a public network" in out, "a devnet's figure is explained"


async def test_no_command_begins_with_warnings_of_libraries(service: Service) -> None:
    code, out, err = await command(service, "doctor")
    assert code == 0 and "0 failed" in out, out + err
    assert err == ""

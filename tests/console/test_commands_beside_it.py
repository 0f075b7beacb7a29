"""Commands of a terminal beside `make run` see what the service there does, and speak plainly."""

import json
from typing import Any

from tests.e2e.processes import command
from tests.e2e.service import Service


async def test_the_plan_is_that_of_the_wallet_that_pays_here(service: Service) -> None:
    """Two hot wallets have money: the one that the service pays from is meant."""
    code, out, err = await command("energy", "plan", "--json", env=service.environment)
    assert code == 0, out + err
    async with service.client("operator") as http:
        said: dict[str, Any] = (await http.get("/api/v1/staking/plan")).json()
    assert json.loads(out)["address"] == said["address"]
    code, out, _ = await command("energy", "plan", env=service.environment)
    assert code == 0 and "about ten on a public network" in out, "a devnet's figure is explained"


async def test_no_command_begins_with_warnings_of_libraries(service: Service) -> None:
    code, out, err = await command("doctor", env=service.environment)
    assert code == 0 and "0 failed" in out, out + err
    assert err == ""

"""`tron-payment energy plan` says what the API says, in numbers, bars and advice."""

import pytest

from tests.ops.live import Live
from tron_payment.operator.report import Exit

ANNOUNCED = ("--payouts-per-day", "100", "--days", "31", "--rent-sun-per-energy", "60")
QUERY = "payouts_per_day=100&days=31&rent_sun_per_energy=60"


def test_the_command_and_the_api_answer_the_same(live: Live) -> None:
    code, data = live.command_json("energy", "plan", *ANNOUNCED)
    assert code == Exit.OK and data.pop("ok"), data
    said = live.call("GET", f"/api/v1/staking/plan?{QUERY}").json()
    for moving in ("energy_limit", "bandwidth_limit", "spare_trx"):
        assert (moving in data) and (moving in said)
    assert data["costs"] == said["costs"] and data["cheapest"] == said["cheapest"]
    assert data["energy_per_day"] == said["energy_per_day"] > 0
    assert {each["way"] for each in data["costs"]} == {"burn", "as_now", "stake", "rent"}

    code, out, _ = live.command("energy", "plan", *ANNOUNCED)
    assert code == Exit.OK
    for word in ("burn everything", "stake more", "rent", "█", "cheapest: ", "31 days"):
        assert word in out, out


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("--days", "0"), Exit.USAGE, "usage"),
        (("--payouts-per-day", "-1"), Exit.USAGE, "usage"),
        (("--address", "nonsense"), Exit.FAILED, "invalid_address"),
        (("--keep-trx", "a lot"), Exit.FAILED, "invalid_amount"),
        (("--wallet", "wal_nobody"), Exit.FAILED, "wallet_not_found"),
    ],
)
def test_bad_questions_are_refused(
    live: Live, arguments: tuple[str, ...], exit_code: Exit, code: str
) -> None:
    found, data = live.command_json("energy", "plan", *arguments)
    assert (found, data["error"]["code"]) == (exit_code, code), data

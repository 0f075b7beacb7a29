"""Energy used and regained: the receipts' own figures, each block once, back within 24 hours."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.staking.raw_node import RawNode
from tests.staking.test_staking import DAY_MS, done
from tests.usdt.world import ALICE, World
from tron_payment.core.money import parse_units
from tron_payment.staking.energy_domain import Spent, by_day

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def spent(hour: datetime, staked: int, *, burned: int = 0, after_s: int = 0) -> Spent:
    return Spent(
        hour=hour,
        transactions=1,
        energy=staked + burned,
        staked=staked,
        creator=0,
        burned_sun=burned * 100,
        staked_seconds=staked * after_s,
    )


def test_what_was_used_comes_back_evenly_over_24_hours() -> None:
    def back(after: timedelta, *, after_s: int = 0) -> int:
        days = by_day([spent(NOON, 2_400, after_s=after_s)], NOON.date(), NOON + after)
        return sum(each.regained for each in days)

    assert back(timedelta(0)) == 0
    assert back(timedelta(hours=1)) == 100
    assert back(timedelta(hours=1), after_s=1_800) == 50
    assert back(DAY) == back(5 * DAY) == 2_400


def test_days_show_what_each_used_and_regained() -> None:
    hours = [spent(NOON, 2_400, burned=7), spent(NOON + DAY, 240)]
    days = by_day(hours, date(2026, 11, 20), NOON + DAY + timedelta(hours=1))
    assert [(each.energy, each.staked, each.burned) for each in days] == [
        (2_407, 2_400, 7),
        (240, 240, 0),
    ]
    assert [each.regained for each in days] == [1_200, 1_200 + 10], "until now, not to midnight"
    assert by_day([], date(2026, 11, 20), NOON) == []


def test_all_that_was_used_from_stakes_is_regained_once() -> None:
    hours = [spent(NOON + timedelta(hours=n), 1_000 + n, after_s=61 * n % 3_600) for n in range(30)]
    days = by_day(hours, NOON.date(), NOON + 10 * DAY)
    lost = sum(each.staked for each in hours) - sum(each.regained for each in days)
    assert 0 <= lost <= len(days), "less than one energy a day by rounding"


async def transfer(world: World) -> dict[str, Any]:
    """A transfer of USDT, settled: what a raw node says of it."""
    wish = {"wallet_id": await world.wallet_id(), "to_address": ALICE, "amount": "12.5"}
    sent = (await world.post("/usdt/transfer", wish)).json()
    await world.settle()
    seen = (await world.get(f"/usdt/transfers/{sent['transfer_id']}")).json()
    found: dict[str, Any] = await RawNode(world).ask("gettransactioninfobyid", value=seen["txid"])
    return found


async def test_transfers_count_as_their_receipts_say_and_once(world: World) -> None:
    assert (await world.get("/staking/energy")).json() == {"data": []}
    await world.fund(world.hot, usdt_units=50_000_000)
    await world.settle()
    burned = (await transfer(world))["receipt"]
    await done(world, "stake", amount="100", resource="ENERGY")
    info = await transfer(world)
    staked = info["receipt"]
    (day,) = (await world.get("/staking/energy")).json()["data"]
    assert day["transactions"] == 2, "stakes use no energy"
    assert day["energy_staked"] == staked["energy_usage"] == staked["energy_usage_total"] > 0
    assert day["energy_burned"] == burned["energy_usage_total"] > 0
    assert day["energy_used"] == day["energy_staked"] + day["energy_burned"]
    assert parse_units(6, day["burned_trx"]) == burned["energy_fee"]

    block = await world.house.nodes.solid_block(info["blockNumber"])
    (staking,) = [each for each in world.modules if each.name == "staking"]
    assert staking.on_block is not None
    await staking.on_block(block)
    (again,) = (await world.get("/staking/energy")).json()["data"]
    assert again == day, "a block that comes again changes nothing"

    await world.mine(1, skip_ms=DAY_MS)
    days = (await world.get("/staking/energy")).json()["data"]
    back = sum(each["energy_regained"] for each in days)
    assert staked["energy_usage"] - len(days) <= back <= staked["energy_usage"]
    assert (await world.get("/staking/energy", days=0)).status_code == 422

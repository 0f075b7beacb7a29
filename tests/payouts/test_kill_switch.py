"""A switch that is on stops its wallet, by whatever name; one that would stop nothing says so."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.payouts.world import Pay, person
from tron_payment.engine import Order
from tron_payment.payouts import PolicyDesk
from tron_payment.payouts.policy_desk import KillSwitch
from tron_payment.wallets import Wallet

PATH = "/policy/kill-switch"
DUE_AGAIN = timedelta(seconds=10)
BEFORE = "wal_before_the_restore"


@pytest.fixture(autouse=True)
async def apart(pay: Pay) -> AsyncIterator[None]:
    """The installation is shared by the tests of this folder."""
    await KillSwitch.get_pymongo_collection().delete_many({})
    yield
    await KillSwitch.get_pymongo_collection().delete_many({})
    await Wallet.get_pymongo_collection().update_many({}, {"$unset": {"former_ids": ""}})


async def switched(pay: Pay, role: str = "operator", **body: Any) -> tuple[int, str]:
    answer = await pay.post(PATH, {"on": True, "reason": "stolen"} | body, role=role)
    told = answer.json()
    return answer.status_code, told.get("scope") or told["code"]


async def renamed(wallet_id: str) -> None:
    """As a restore onto a wallet that was made again since leaves it."""
    await Wallet.get_pymongo_collection().update_one(
        {"_id": wallet_id}, {"$set": {"former_ids": [BEFORE]}}
    )


async def test_by_a_former_id_it_stops_the_wallet(pay: Pay) -> None:
    alice = person()
    wallet_id = (await pay.pay(recipient_address=alice))["wallet_id"]
    await renamed(wallet_id)
    for role in ("compliance", "admin", "operator"):  # also those who do not see all wallets
        assert await switched(pay, role, wallet_id=BEFORE) == (200, wallet_id)
    await pay.settle()
    assert await pay.held(alice) == 0
    assert await switched(pay, "treasurer", on=False, wallet_id=BEFORE) == (200, wallet_id)
    pay.world.clock.skew += DUE_AGAIN
    await pay.settle()
    pay.world.clock.skew -= DUE_AGAIN
    assert await pay.held(alice) == 12_500_000


async def test_an_order_or_a_switch_of_the_former_id_is_held(pay: Pay) -> None:
    alice = person()
    made = await pay.pay(recipient_address=alice)
    await renamed(made["wallet_id"])
    order = await Order.find_one({"wallet_id": made["wallet_id"]})
    assert order is not None
    desk = pay.house.use(PolicyDesk)
    assert await desk.gate([order]) == {}
    for carried in (made["wallet_id"], BEFORE):
        order.wallet_id = carried
        for scope in (made["wallet_id"], BEFORE):  # the latter as an older release stored it
            rows = KillSwitch.get_pymongo_collection()
            row = {"_id": scope, "on": True, "by": "op-1", "at": pay.world.clock.now()}
            await rows.insert_one(row)
            assert await desk.gate([order]) == {order.id: "kill_switch"}, (carried, scope)
            assert await switched(pay, "treasurer", on=False, wallet_id=scope) == (200, scope)
            assert await desk.gate([order]) == {}
            await rows.delete_many({})


async def test_one_that_would_stop_nothing_is_refused(pay: Pay) -> None:
    wallet_id = (await pay.pay(recipient_address=person()))["wallet_id"]
    wallet = await Wallet.get(wallet_id)
    assert wallet is not None
    for name in (wallet_id + " ", " " + wallet_id, wallet.address, "global", "wal_none", "a" * 128):
        for on in (True, False):
            told = await switched(pay, "treasurer", on=on, wallet_id=name)
            assert told == (404, "wallet_not_found"), name
    for name in ("", "a" * 129):
        for on in (True, False):
            assert (await switched(pay, "treasurer", on=on, wallet_id=name))[0] in (400, 422)
    assert await KillSwitch.count() == 0


@pytest.mark.parametrize("body", [{}, {"wallet_id": None}])
async def test_without_a_wallet_it_is_of_everything(pay: Pay, body: dict[str, Any]) -> None:
    assert await switched(pay, **body) == (200, "global")

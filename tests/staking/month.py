"""The demo's payouts, day after day on the devnet, and what they really cost there."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.gateway.world import SOLID_LAG
from tests.payouts.world import Pay, person
from tron_payment.core.money import parse_units
from tron_payment.devnet import params
from tron_payment.engine import Order

CSV_FILE: Final = Path(__file__).parents[2] / "examples" / "payouts.csv"
NEWCOMERS: Final = "node-"
REGULARS: Final = ("operator-", "partner-")
DAY_MS: Final = 24 * 3600 * 1000
MAIN_NET_WEIGHTS: Final = {
    params.TOTAL_ENERGY_WEIGHT: 17_000_000_000,
    params.TOTAL_NET_WEIGHT: 26_000_000_000,
}
TREASURY_TRX: Final = "3000000"
TREASURY_USDT: Final = "3000000"
ROUTER_USDT: Final = "1000000"


def demo_rows() -> list[dict[str, str]]:
    """The rows of the demo that are paid; the others are wrong on purpose."""
    with CSV_FILE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row for row in rows if row["user_id"].startswith((NEWCOMERS, *REGULARS))]


@dataclass
class Month:
    """One installation that pays the demo's list every day.

    Newcomers have a new address each day; operators and partners keep theirs and hold USDT.
    """

    pay: Pay
    rows: Sequence[dict[str, str]]
    parts: int
    """A day's payouts are asked for in so many parts, at equal distances."""

    day: int = 0
    paid_sun: int = field(default=0)
    """TRX that recipients got: not a cost."""

    @property
    def treasury(self) -> str:
        return str(self.pay.world.treasury)

    async def prepare(self) -> None:
        """Main net's weights, money, and regulars that were paid before."""
        world = self.pay.world
        world.devnet.chain.change_parameters(dict(MAIN_NET_WEIGHTS))
        await world.fund(self.treasury, TREASURY_TRX)
        await world.fund(self.treasury, TREASURY_USDT, "USDT")
        for router in (self.pay.v0, self.pay.kyc):
            await world.fund(router, ROUTER_USDT, "USDT")
        for row in self.rows:
            if row["user_id"].startswith(REGULARS):
                await world.fund(row["recipient_address"], "1", row["currency"])
        await self.settle()

    async def run(self, days: int) -> None:
        """Pay the list on each of so many days, spread over the day."""
        for _ in range(days):
            self.day += 1
            for part in range(self.parts):
                await self.pay.world.devnet.mine(skip_ms=DAY_MS // self.parts)
                await self.follow()
                for row in self.rows[part :: self.parts]:
                    await self._ask(row)
                await self.settle()

    async def settle(self) -> None:
        """What is due is sent, becomes final, and everybody hears of it."""
        await self.pay.world.work()
        await self.follow()
        await self.pay.world.work()

    async def follow(self) -> None:
        """The newest blocks become final and are followed in one go: with all loops between each
        two it takes minutes."""
        await self.pay.world.devnet.mine(SOLID_LAG + 2)
        while await self.pay.world.assembly.follower.step():
            pass

    async def balance_sun(self) -> int:
        """What the chain says that the treasury has."""
        account = await self.pay.house.nodes.account(self.pay.world.treasury, solid=True)
        assert account is not None
        return int(account.balance_sun)

    async def plan(self, **asked: Any) -> dict[str, Any]:
        query = "&".join(f"{name}={value}" for name, value in asked.items())
        answer = await self.pay.get(f"/staking/plan?{query}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def stake(self, what: str, amount: str) -> None:
        """Stake from the treasury for ``ENERGY`` or ``BANDWIDTH``, solidified afterwards."""
        wallet_id = (await Order.find_one({"module": "payouts"})).wallet_id
        body = {"wallet_id": wallet_id, "amount": amount, "resource": what}
        answer = await self.pay.post("/staking/stake", body, role="treasurer")
        assert answer.status_code == 202, answer.text
        await self.settle()
        seen = await self.pay.get(f"/staking/operations/{answer.json()['stake_id']}")
        assert seen.json()["status"] == "settled", seen.text

    async def _ask(self, row: dict[str, str]) -> None:
        newcomer = row["user_id"].startswith(NEWCOMERS)
        recipient = person() if newcomer else row["recipient_address"]
        body = {
            "user_id": row["user_id"],
            "recipient_address": recipient,
            "amount": row["amount"],
            "currency": row["currency"],
            "merchant_reference": f"{row['merchant_reference']}/{self.day}",
        }
        answer = await self.pay.post(f"/payouts/{row['route']}", body, kyc=True)
        assert answer.status_code == 202, answer.text
        if row["currency"] == "TRX":
            self.paid_sun += parse_units(6, row["amount"])


async def all_settled(payouts: int) -> None:
    """Every payout that was asked for has an order that is settled on a solidified block."""
    orders = await Order.find({"module": "payouts"}).to_list()
    assert len(orders) == payouts, (len(orders), payouts)
    late = [(each.kind, each.status.value, each.waiting_for, each.reason) for each in orders]
    assert [each for each in late if each[1] != "settled"] == []


def cost_of(view: dict[str, Any], way: str) -> dict[str, Any]:
    (found,) = [each for each in view["costs"] if each["way"] == way]
    return dict(found)

"""Many who ask for payouts at once: few queries, and nobody sees another's."""

import asyncio

from tests.payouts.world import Pay
from tron_payment.http.principals import Principal, Role
from tron_payment.payouts import Payouts
from tron_payment.payouts.domain import PayoutNotFound
from tron_payment.payouts.views import PayoutView


async def test_each_caller_of_one_moment_sees_what_it_would_see_alone(pay: Pay) -> None:
    shops = ("shop-1", "shop-2")
    ids = {}
    for shop in shops:
        answer = await pay.pay("v0", sub=shop, user_id=shop)
        ids[shop] = answer["payout_id"]
    callers = [("merchant", shop) for shop in shops] + [("operator", "op-1")]
    asked = [(role, sub, shop) for _ in range(4) for role, sub in callers for shop in (*shops, "")]
    answers = await asyncio.gather(
        *(
            pay.get(f"/payouts/{ids.get(shop, 'pay_nobody')}", role=role, sub=sub)
            for role, sub, shop in asked
        )
    )
    for (role, sub, shop), answer in zip(asked, answers, strict=True):
        seen = bool(shop) and (role == "operator" or sub == shop)
        assert answer.status_code == (200 if seen else 404), (role, sub, shop)
        if seen:
            assert answer.json()["payout_id"] == ids[shop]


async def test_what_was_written_before_one_asks_is_in_the_answer(pay: Pay) -> None:
    made = await pay.pay("v0", sub="shop-1")
    path = f"/payouts/{made['payout_id']}"

    async def look() -> str:
        status: str = (await pay.get(path)).json()["status"]
        return status

    others = [asyncio.create_task(look()) for _ in range(20)]
    answer = await pay.post(f"{path}/cancel", sub="shop-1")
    assert answer.status_code == 200, answer.text
    assert await asyncio.gather(*(look() for _ in range(20))) == [answer.json()["status"]] * 20
    await asyncio.gather(*others)


async def test_callers_of_one_payout_have_each_their_own(pay: Pay) -> None:
    made = await pay.pay("v0")
    payouts = pay.house.use(Payouts)
    someone = Principal(id="op-1", role=Role.OPERATOR, permissions=frozenset())
    one, other = await asyncio.gather(*(payouts.get(someone, made["payout_id"]) for _ in "12"))
    assert one is not other and one.flags is not other.flags
    one.flags.append("seen")
    one.metadata["note"] = "seen"
    assert PayoutView.of(other) == PayoutView.of(await payouts.get(someone, made["payout_id"]))
    stranger = Principal(id="shop-9", role=Role.MERCHANT, permissions=frozenset())
    answers = await asyncio.gather(
        *(payouts.get(who, made["payout_id"]) for who in (stranger, someone)),
        return_exceptions=True,
    )
    assert isinstance(answers[0], PayoutNotFound) and not isinstance(answers[1], BaseException)

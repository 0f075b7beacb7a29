"""`payouts cancel` and `payouts retry` as a terminal does them, by the whole service's API."""

from argparse import Namespace
from typing import Any

import httpx
import pytest

from tests.payouts.world import Pay, person
from tron_payment.operator import single
from tron_payment.operator.calling import ApiRefusal, connected
from tron_payment.operator.report import Exit
from tron_payment.payouts import Decisions


def terminal(pay: Pay) -> httpx.AsyncClient:
    """The client that a command makes, without a network."""
    headers = pay.world.bearer("operator", "op-1")
    transport = pay.world.http._transport
    return httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers)


def options(payout_id: Any, *, yes: bool = True) -> Namespace:
    return Namespace(payout_id=payout_id, yes=yes)


async def test_a_payout_is_shown_and_called_back_after_a_yes(
    pay: Pay, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await pay.pay(recipient_address=person(), max_fee_trx="0.1")
    name = made["payout_id"]
    await pay.world.work()
    async with terminal(pay) as http:
        asked = await single.cancel(http, options(name, yes=False))
        assert (asked.exit, asked.lines) == (Exit.FAILED, ("Nothing was done.",))
        assert "It waits for a lower fee" in capsys.readouterr().err
        assert (await pay.payout(name))["status"] == "queued"
        done = await single.cancel(http, options(name))
        assert (done.exit, done.lines) == (Exit.OK, (f"{name}: canceled",))
        again = await single.retry(http, options(name))
        assert again.exit is Exit.FAILED and "only what has failed" in again.lines[0]
        for nobody in (None, "pay_x/approve", "bat_1"):
            assert (await single.cancel(http, options(nobody))).exit is Exit.USAGE
        with pytest.raises(ApiRefusal) as refusal:
            await single.cancel(http, options("pay_nobody"))
        assert refusal.value.code.endswith("not_found")


async def test_what_has_failed_is_priced_and_paid_anew_once(
    pay: Pay, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = person()
    failed = (await pay.pay(recipient_address=alice))["payout_id"]
    screen = pay.house.use(Decisions)._outcomes._screen
    now_ms = round(pay.world.clock.now().timestamp() * 1000)
    screen._verdicts[alice] = ("recipient_blacklisted", now_ms)
    await pay.settle(2)
    assert (await pay.payout(failed))["status"] == "failed"
    screen._verdicts.clear()
    async with terminal(pay) as http:
        asked = await single.retry(http, options(failed, yes=False))
        told = capsys.readouterr().err
        assert asked.exit is Exit.FAILED and "blacklisted" in told and "TRX at most" in told
        first = await single.retry(http, options(failed))
        again = await single.retry(http, options(failed))
    assert first.exit is Exit.OK and first.data["payout_id"] == again.data["payout_id"]
    assert first.data["retry_of"] == failed
    await pay.settle(2)
    assert await pay.held(alice) == 12_500_000, "once, however often it is asked"


async def test_the_service_s_address_may_have_the_api_s_path() -> None:
    for url in ("https://pay.example", "https://pay.example/", "https://pay.example/api/v1/"):
        async with connected(url, "t") as http:
            assert http.base_url == "https://pay.example"

"""A payout's key repeated in other processes long after the first has counted it, near a limit."""

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.gateway.test_doors import UNIT, enforce
from tests.payouts.test_batch_promises import another_process
from tests.payouts.world import Pay, person, wish
from tron_payment.chain import TriggerContract
from tron_payment.core.address import parse_address
from tron_payment.http.idempotency import InFlight, StoredAnswer
from tron_payment.http.permissions import permissions_of
from tron_payment.http.principals import Principal, Role
from tron_payment.http.twins import COUNTED_GOOD_FOR, UNDER_WAY_MAX
from tron_payment.payouts import Payouts
from tron_payment.payouts.counting import Counting
from tron_payment.payouts.doors import Doors
from tron_payment.payouts.limits import Ceiling, RollingLimits, Window
from tron_payment.payouts.policy_desk import PolicyDesk
from tron_payment.payouts.views import PayoutRequest
from tron_payment.usdt import Outgoing

OPERATOR = Principal(id="op-1", role=Role.OPERATOR, permissions=permissions_of(Role.OPERATOR))
BOUND_S = 30


@pytest.fixture(autouse=True)
async def limited(pay: Pay) -> AsyncIterator[None]:
    daily = Ceiling("recipient", Window.DAY, "USDT", 20 * UNIT)
    await enforce(pay.world, ceilings=(daily,))
    yield
    pay.world.clock.skew = timedelta()
    await enforce(pay.world)


def process(pay: Pay) -> Payouts:
    """One that knows only what is stored."""
    clock = pay.world.clock
    other: Payouts = copy.copy(pay.house.use(Payouts))
    other._idempotency = another_process(pay)
    other._counting = Counting(clock, pay.world.service(PolicyDesk), RollingLimits(clock))
    return other


def paused(payouts: Payouts, wait: Callable[[], Awaitable[Any]]) -> Payouts:
    """It waits, or dies, between counting and accepting."""
    idempotency: Any = payouts._idempotency
    run = idempotency.run

    async def slow(**asked: Any) -> StoredAnswer:
        await wait()
        answer: StoredAnswer = await run(**asked)
        return answer

    idempotency.run = slow
    return payouts


async def killed() -> None:
    raise RuntimeError("killed before the acceptance")


async def ask(payouts: Payouts, who: str, key: str) -> StoredAnswer:
    data = msgspec.convert(wish(recipient_address=who), PayoutRequest)
    return await payouts.request(
        OPERATOR,
        key,
        data.wish(None),
        operation="payouts.initiate",
        content=who.encode(),
        answer=lambda payout: payout.id.encode(),
    )


async def used(pay: Pay, who: str) -> int:
    return await RollingLimits(pay.world.clock).used(Window.DAY, f"recipient:{who}", "USDT")


async def test_two_repeats_of_what_a_dead_process_has_counted_are_both_answered(pay: Pay) -> None:
    for number in range(3):
        who, key = person(), f"died-and-repeated-twice-{number}"
        with pytest.raises(RuntimeError, match="killed"):
            await ask(paused(process(pay), killed), who, key)
        assert await used(pay, who) == 12_500_000
        pay.world.clock.skew += UNDER_WAY_MAX + timedelta(seconds=1)
        twins = (ask(process(pay), who, key) for _ in range(2))
        answers = await asyncio.wait_for(asyncio.gather(*twins, return_exceptions=True), BOUND_S)
        for answer in answers:
            assert isinstance(answer, InFlight) or getattr(answer, "status", 0) == 202, answer
        assert (await ask(process(pay), who, key)).status == 202
        assert await used(pay, who) == 12_500_000
    await pay.settle(4)


async def test_what_was_left_behind_and_released_in_between_refuses_nobody(pay: Pay) -> None:
    """The other repeat has released it, and not counted anew yet."""
    who, clock, desk = person(), pay.world.clock, pay.world.service(PolicyDesk)
    with pytest.raises(RuntimeError, match="killed"):
        await ask(paused(process(pay), killed), who, "left-behind-and-released")
    clock.skew += UNDER_WAY_MAX + timedelta(seconds=1)
    late = process(pay)
    counting: Any = Counting(clock, desk, RollingLimits(clock))
    late._counting = counting
    look = counting._left_behind

    async def released_by_the_other(payouts: Any) -> list[str]:
        await RollingLimits(clock).release(await look(payouts))
        found: list[str] = await look(payouts)
        return found

    counting._left_behind = released_by_the_other
    assert (await ask(late, who, "left-behind-and-released")).status == 202
    assert await used(pay, who) == 12_500_000
    await pay.settle(2)


@pytest.mark.parametrize("late", [COUNTED_GOOD_FOR, UNDER_WAY_MAX + timedelta(seconds=1)])
async def test_who_was_paused_since_it_counted_accepts_nothing(pay: Pay, late: timedelta) -> None:
    who, key = person(), f"paused-since-it-counted-{late.seconds}"
    reached, go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await go.wait()

    one = asyncio.create_task(ask(paused(process(pay), wait), who, key))
    try:
        await asyncio.wait_for(reached.wait(), BOUND_S)
        pay.world.clock.skew += late
        go.set()
        with pytest.raises(InFlight):
            await asyncio.wait_for(one, BOUND_S)
    finally:
        one.cancel()
    assert await used(pay, who) == 0, "it counts for nobody"
    assert (await ask(process(pay), who, key)).status == 202
    assert await used(pay, who) == 12_500_000
    assert (await pay.post("/payouts/initiate", wish(recipient_address=who))).status_code == 422
    await pay.settle(2)
    assert await pay.held(who) == 12_500_000


def leaving(who: str) -> Outgoing:
    """A transfer by another door."""
    return Outgoing(
        object_id=f"trf_{who}",
        order_id=f"ord_{who}",
        principal="op-1",
        wallet_id="wal_1",
        recipient=who,
        currency="USDT",
        units=12_500_000,
        contract=TriggerContract(parse_address(who), parse_address(who), b""),
    )


def doors(pay: Pay) -> Doors:
    """Of another process."""
    other: Doors = copy.copy(pay.house.use(Doors))
    other._rolling = RollingLimits(pay.world.clock)
    return other


async def test_doors_give_way_and_count_once(pay: Pay) -> None:
    clock, who = pay.world.clock, person()
    going = leaving(who)

    async def dies() -> StoredAnswer:
        raise RuntimeError("killed before the acceptance")

    async def replays() -> StoredAnswer:
        return StoredAnswer(202, b"", replayed=True)

    with pytest.raises(RuntimeError, match="killed"):
        await doors(pay).admit(going, dies)
    clock.skew += UNDER_WAY_MAX + timedelta(seconds=1)
    twins = (doors(pay).admit(going, replays) for _ in range(2))
    answers = await asyncio.wait_for(asyncio.gather(*twins, return_exceptions=True), BOUND_S)
    for answer in answers:
        assert isinstance(answer, InFlight | StoredAnswer), answer
    assert await used(pay, who) == 12_500_000


@pytest.mark.parametrize("is_first", [True, False])
async def test_who_was_late_at_a_door_leaves_its_count_to_the_twin_that_went_through(
    pay: Pay, is_first: bool
) -> None:
    """The twin counts by the earliest hold; if that was ours, nothing else would count."""
    daily = Ceiling("recipient", Window.DAY, "USDT", 40 * UNIT)
    await enforce(pay.world, ceilings=(daily,))
    clock, who = pay.world.clock, person()
    going, made = leaving(who), list[str]()
    inserted, go = asyncio.Event(), asyncio.Event()

    async def killed_here() -> StoredAnswer:
        raise RuntimeError("killed before the acceptance")

    async def make() -> None:
        made.append(who)

    def accepting(idempotency: Any) -> Callable[[], Awaitable[StoredAnswer]]:
        async def accept() -> StoredAnswer:
            answer: StoredAnswer = await idempotency.run(
                principal_id="op-1",
                key=f"late-at-a-door-{is_first}",
                operation="usdt.transfer",
                content=b"x",
                answer=(202, b"{}"),
                effect=make,
                object_ids=[going.object_id],
            )
            return answer

        return accept

    slow: Any = another_process(pay)
    insert = slow._inserts.insert

    async def answers_late(document: Any) -> bool:
        done: bool = await insert(document)
        inserted.set()
        await go.wait()
        return done

    slow._inserts.insert = answers_late
    if not is_first:
        with pytest.raises(RuntimeError, match="killed"):
            await doors(pay).admit(going, killed_here)
        clock.skew += timedelta(seconds=1)
    one = asyncio.create_task(doors(pay).admit(going, accepting(slow)))
    try:
        await asyncio.wait_for(inserted.wait(), BOUND_S)
        clock.skew += COUNTED_GOOD_FOR
        two = await doors(pay).admit(going, accepting(another_process(pay)))
        assert two.replayed and made == [who]
        go.set()
        with pytest.raises(InFlight):
            await asyncio.wait_for(one, BOUND_S)
    finally:
        one.cancel()
    assert await used(pay, who) == 12_500_000

"""Loops call their step again while it works, survive its failures, and stop when told to."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tron_payment.logs import request_id
from tron_payment.loops import (
    BACKOFF_FIRST_S,
    QUIET_AFTER_S,
    QUIET_PAUSE_S,
    Loop,
    Loops,
)

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
LONG_S = 3_600.0


class Step:
    """Works `busy` times in a row, then has nothing to do; fails when told to."""

    def __init__(self, busy: int = 0) -> None:
        self.busy = busy
        self.calls = 0
        self.failure: Exception | None = None
        self.ended: list[str] = []

    async def __call__(self) -> bool:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        self.busy -= 1
        return self.busy >= 0


@pytest.fixture
async def loops() -> AsyncIterator[Loops]:
    found = Loops()
    yield found
    await found.stop()


def loop_of(step: Step, name: str = "test", idle_s: float = LONG_S, service: str = "") -> Loop:
    return Loop(name, step, idle_s, service)


async def test_a_busy_step_is_called_again_at_once(loops: Loops, eventually: Eventually) -> None:
    step = Step(busy=100)
    loops.add(loop_of(step))
    loops.start()

    async def idle() -> bool:
        return step.calls == 101

    await eventually(idle)
    await asyncio.sleep(0.02)
    assert step.calls == 101, "and then it rests"


async def test_who_has_no_more_rests_after_work_as_well(
    loops: Loops, eventually: Eventually
) -> None:
    step, told = Step(busy=100), 3
    loops.add(loop_of(step))
    loops.all[0].more = lambda: step.calls < told
    loops.start()

    async def rests() -> bool:
        return step.calls == told

    await eventually(rests)
    await asyncio.sleep(0.02)
    assert await rests()


async def test_a_wake_ends_the_rest(loops: Loops, eventually: Eventually) -> None:
    step = Step()
    loop = loop_of(step)
    loops.add(loop)
    loops.start()

    calls: list[int] = []

    async def called() -> bool:
        return step.calls == len(calls) + 1

    while len(calls) < 3:
        await eventually(called)
        calls.append(step.calls)
        loop.wake.set()
    assert calls == [1, 2, 3]


async def test_a_wake_during_the_step_is_not_lost(loops: Loops, eventually: Eventually) -> None:
    step = Step()
    loop = loop_of(step)
    plain = step.__call__

    async def woken_meanwhile() -> bool:
        if step.calls == 0:
            loop.wake.set()
        return await plain()

    loop.step = woken_meanwhile
    loops.add(loop)
    loops.start()

    async def again() -> bool:
        return step.calls == 2

    await eventually(again)


async def test_a_failing_step_is_counted_and_tried_again(
    loops: Loops, eventually: Eventually
) -> None:
    step = Step()
    step.failure = ValueError("no")
    loop = loop_of(step)
    loops.add(loop)
    loops.start()

    async def failed_twice() -> bool:
        return loop.failures >= 2

    await eventually(failed_twice)
    assert loop.last_error == "ValueError"
    assert loop.steps == 0
    step.failure = None

    async def recovered() -> bool:
        return loop.steps >= 1

    await eventually(recovered)
    assert loop.last_error == ""


@pytest.mark.parametrize("sick", [True, False])
async def test_a_log_that_fails_ends_no_loop(
    loops: Loops, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, sick: bool
) -> None:
    """The line about the failure may not get out either, and its own text may not be had."""

    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def no_room(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if sick:
        monkeypatch.setattr("tron_payment.loops.log.warning", no_room)
    step = Step()
    step.failure = OSError("away") if sick else Unspeakable()
    loop = loop_of(step, idle_s=0.0)
    loops.add(loop)
    loops.start()

    async def twice() -> bool:
        return loop.failures_in_a_row >= 2

    await eventually(twice)
    step.failure = None

    async def over() -> bool:
        return loop.steps >= 1 and loop.failures_in_a_row == 0

    await eventually(over)


async def test_what_a_step_waits_for_may_be_canceled(loops: Loops, eventually: Eventually) -> None:
    calls = 0

    async def step() -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            gone: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            gone.cancel()
            return await gone
        return False

    loop = Loop("shared connection", step, LONG_S)
    loops.add(loop)
    loops.start()

    async def again() -> bool:
        return loop.steps == 1

    await eventually(again)
    assert loop.failures == 1


async def test_failures_come_slower_and_slower(loops: Loops) -> None:
    step = Step()
    step.failure = OSError("away")
    loops.add(loop_of(step, idle_s=0.0))
    loops.start()
    await asyncio.sleep(BACKOFF_FIRST_S * 3.5)
    assert step.calls <= 3, "0.2 s, then 0.4 s, then 0.8 s"


async def test_one_failing_loop_does_not_hurt_the_others(
    loops: Loops, eventually: Eventually
) -> None:
    bad, good = Step(), Step(busy=50)
    bad.failure = RuntimeError("mine")
    loops.add(loop_of(bad, "bad"), loop_of(good, "good"))
    loops.start()

    async def done() -> bool:
        return good.calls > 50 and bad.calls >= 1

    await eventually(done)


async def test_two_loops_of_one_name_are_our_mistake(loops: Loops) -> None:
    loops.add(loop_of(Step(), "twice"))
    with pytest.raises(AssertionError):
        loops.add(loop_of(Step(), "twice"))


async def test_a_restart_touches_one_service_only(loops: Loops, eventually: Eventually) -> None:
    first, second, other = Step(), Step(), Step()
    loops.add(
        loop_of(first, "first", service="a"),
        loop_of(second, "second", service="a"),
        loop_of(other, "other", service="b"),
    )
    loops.start()

    async def all_rest() -> bool:
        return (first.calls, second.calls, other.calls) == wanted

    wanted = (1, 1, 1)
    await eventually(all_rest)
    assert await loops.restart("a") == ["first", "second"]
    wanted = (2, 2, 1)
    await eventually(all_rest)
    assert await loops.restart("nobody") == []


async def test_a_loop_that_a_request_starts_anew_is_not_of_that_request(
    loops: Loops, eventually: Eventually
) -> None:
    seen: list[str] = []

    async def step() -> bool:
        seen.append(request_id.get())
        return False

    loops.add(Loop("a", step, 0.01, "some"))
    loops.start()
    token = request_id.set("req_of_an_admin")
    await loops.restart("some")
    seen.clear()
    request_id.reset(token)

    async def stepped() -> bool:
        return bool(seen)

    await eventually(stepped)
    assert set(seen) == {""}


async def test_a_stop_lets_the_running_step_finish() -> None:
    finished: list[bool] = []
    started = asyncio.Event()

    async def slow() -> bool:
        started.set()
        await asyncio.sleep(0.1)
        finished.append(True)
        return True

    loops = Loops()
    loops.add(Loop("slow", slow, LONG_S))
    loops.start()
    await started.wait()
    await loops.stop()
    assert finished == [True]


async def test_a_stop_cancels_what_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tron_payment.loops.STOP_DEADLINE_S", 0.05)
    canceled: list[bool] = []

    async def stuck() -> bool:
        try:
            await asyncio.sleep(LONG_S)
        except asyncio.CancelledError:
            canceled.append(True)
            raise
        return True

    loops = Loops()
    loops.add(Loop("stuck", stuck, LONG_S))
    loops.start()
    await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await loops.stop()
    assert canceled == [True]


async def test_shared_work_is_done_by_whose_turn_it_is(
    loops: Loops, eventually: Eventually
) -> None:
    shared, own, looks, mine = Step(), Step(), Step(), False
    work = loop_of(shared, "shared")
    work.standby = looks
    loops.add(work, loop_of(own, "own"))
    loops.share(["shared"], lambda: mine)
    loops.start()

    async def others_work() -> bool:
        return (shared.calls, own.calls, looks.calls) == (0, 1, 1)

    await eventually(others_work)
    mine = True
    loops.wake_all()

    async def ours() -> bool:
        return (shared.calls, own.calls, looks.calls) == (1, 2, 1)

    await eventually(ours)
    assert work.steps == 1, "a look is no step"


async def test_failures_in_a_row_are_counted(loops: Loops, eventually: Eventually) -> None:
    step = Step()
    step.failure = OSError("away")
    loop = loop_of(step, idle_s=0.0)
    loops.add(loop)
    loops.start()

    async def twice() -> bool:
        return loop.failures_in_a_row >= 2

    await eventually(twice)
    step.failure = None

    async def over() -> bool:
        return loop.failures_in_a_row == 0

    await eventually(over)
    assert loop.failures >= 2


async def test_loops_look_less_often_when_nobody_has_work(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    pauses: dict[asyncio.Event, list[float]] = {}

    async def wait(event: asyncio.Event, seconds: float) -> None:
        pauses.setdefault(event, []).append(seconds)
        await event.wait()

    monkeypatch.setattr("tron_payment.loops._wait", wait)
    now_s = 0.0
    loops = Loops(lambda: now_s)
    plain, beat, slow = Step(), Step(), Step()
    one, two = loop_of(plain, "plain", idle_s=1.0), loop_of(slow, "slow", idle_s=10.0)
    pulse = loop_of(beat, "pulse", idle_s=1.0)
    pulse.pulse = True
    every = (one, two, pulse)
    loops.add(*every)
    loops.start()

    async def rested() -> bool:
        return [len(pauses.get(loop.wake, [])) for loop in every] == wanted

    wanted = [1, 1, 1]
    await eventually(rested)
    now_s, beat.busy = QUIET_AFTER_S + 1, 1
    loops.wake_all()
    wanted = [2, 2, 2]
    await eventually(rested)
    assert [pauses[loop.wake][-1] for loop in every] == [QUIET_PAUSE_S, QUIET_PAUSE_S, 1.0]
    plain.busy = 1
    one.wake.set()
    wanted = [3, 3, 3]
    await eventually(rested)
    assert [pauses[loop.wake][-1] for loop in every] == [1.0, 10.0, 1.0], "all are awake again"
    pulse.more, beat.busy = lambda: False, 1
    pulse.wake.set()
    wanted = [3, 3, 4]
    await eventually(rested)
    assert pauses[pulse.wake][-1] == 1.0
    now_s, beat.busy = now_s + QUIET_AFTER_S + 1, 1
    pulse.wake.set()
    wanted = [3, 3, 5]
    await eventually(rested)
    assert pauses[pulse.wake][-1] == 2.0, "what it waits for concerns nobody"
    await loops.stop()


async def test_a_loop_that_swallows_its_cancellation_is_ended_all_the_same(
    loops: Loops, eventually: Eventually
) -> None:
    """As `asyncio.wait_for` of Python 3.11 does, and pymongo uses it for each command."""
    swallowed = 0
    released = asyncio.Event()

    async def step() -> bool:
        nonlocal swallowed
        try:
            await released.wait()
        except asyncio.CancelledError:
            swallowed += 1
            if swallowed == 2:
                raise
        return True

    loops.add(Loop("deaf", step, LONG_S, "service"))
    loops.start()

    async def under_way() -> bool:
        return loops.all[0].began_at is not None

    await eventually(under_way)
    assert await loops.restart("service") == ["deaf"]
    assert swallowed == 2
    released.set()


async def test_work_elsewhere_ends_the_quiet_at_once(
    loops: Loops, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that concerns us is work that no loop has found."""
    monkeypatch.setattr("tron_payment.loops.QUIET_AFTER_S", -1.0)
    step = Step()
    loop = loop_of(step, idle_s=3600.0)
    loops.add(loop)
    loops.start()

    async def rests() -> bool:
        return loop.steps == 1

    async def again() -> bool:
        return loop.steps == 2

    await eventually(rests)
    loops.worked()
    await eventually(again)

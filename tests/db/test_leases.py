"""A lease has one holder, passes on when nobody hears of it, and is given up by who does poorly."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from tron_payment.db.leases import (
    STAND_BACK_S,
    TTL_S,
    VITAL_FAILURES_MAX,
    VITAL_STEP_MAX_S,
    Lease,
    Leases,
    Turn,
)
from tron_payment.db.migrations import MIGRATIONS, floor_of
from tron_payment.loops import Loop


@dataclass
class Watch:
    """A monotonic clock that is moved by hand."""

    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def watch(mongo: Any) -> Watch:
    await mongo.connect([Lease])
    return Watch()


def of(owner: str, watch: Watch) -> Leases:
    return Leases(owner, monotonic=watch)


async def test_a_lease_has_one_holder(watch: Watch) -> None:
    them = [of(name, watch) for name in ("one", "two", "three")]
    taken = await asyncio.gather(*(each.acquire("job") for each in them))
    (held,) = [each for each in taken if each]
    (holder,) = [each for each in them if each.owner == held.owner]
    again = await holder.acquire("job")
    assert again is not None and (again.epoch, again.beat) == (1, 2)


async def test_a_silent_holder_loses_it_and_a_living_one_does_not(watch: Watch) -> None:
    one, two = of("one", watch), of("two", watch)
    held = await one.acquire("job")
    assert held is not None
    for _ in range(5):
        assert await two.acquire("job") is None
        watch.now_s += TTL_S * 0.9
        assert await one.acquire("job") is not None, "heard of in time"
    assert await two.acquire("job") is None
    watch.now_s += TTL_S
    taken = await two.acquire("job")
    assert taken is not None and taken.epoch == held.epoch + 1
    assert await one.acquire("job") is None
    await one.release(held)
    assert await one.acquire("job") is None, "an old holder takes nothing away"


async def test_no_wall_clock_takes_part(watch: Watch) -> None:
    """Whoever looks for the first time waits for the whole time, whatever the clocks say."""
    await of("one", watch).acquire("job")
    late = Watch(now_s=watch.now_s + 86_400)
    two = of("two", late)
    assert await two.acquire("job") is None
    late.now_s += TTL_S
    assert await two.acquire("job") is not None


async def test_a_lease_that_is_made_anew_asks_for_as_much_as_the_installation(watch: Watch) -> None:
    """Somebody dropped the collection: what older processes may not take, they do not."""
    held = await of("one", watch).acquire("job")
    assert held is not None and held.floor == floor_of(MIGRATIONS)


async def test_what_is_given_back_is_free_at_once(watch: Watch) -> None:
    one, two = of("one", watch), of("two", watch)
    held = await one.acquire("job")
    assert held is not None
    await one.release(held)
    assert await two.acquire("job") is not None


async def test_a_process_goes_on_at_once_after_a_kill(watch: Watch) -> None:
    await of("host:8090", watch).acquire("job")
    again = await of("host:8090", watch).acquire("job")
    assert again is not None and again.epoch == 1


def turn_of(owner: str, watch: Watch, *vital: Loop) -> tuple[Turn, list[str]]:
    won: list[str] = []
    turn = Turn(of(owner, watch), "job", vital, lambda: won.append(owner), monotonic=watch)
    return turn, won


async def nothing() -> bool:
    return False


async def test_whoever_does_poorly_stands_back_and_another_takes_it(watch: Watch) -> None:
    follow = Loop("follow", nothing, 1.0)
    (one, won_by_one), (two, won_by_two) = turn_of("one", watch, follow), turn_of("two", watch)
    await one.step()
    await two.step()
    assert one.mine and not two.mine and (won_by_one, won_by_two) == (["one"], [])
    follow.failures_in_a_row = VITAL_FAILURES_MAX
    await one.step()
    assert not one.mine
    await two.step()
    assert two.mine and won_by_two == ["two"]
    watch.now_s += STAND_BACK_S
    await one.step()
    assert not one.mine, "the other does well"


async def test_who_is_alone_takes_it_again(watch: Watch) -> None:
    follow = Loop("follow", nothing, 1.0)
    turn, won = turn_of("one", watch, follow)
    await turn.step()
    follow.failures_in_a_row = VITAL_FAILURES_MAX
    await turn.step()
    await turn.step()
    assert not turn.mine
    watch.now_s += STAND_BACK_S
    await turn.step()
    assert turn.mine and won == ["one", "one"]
    await turn.step()
    assert turn.mine, "the failures before do not count"


async def test_a_step_that_hangs_gives_the_lease_up(watch: Watch) -> None:
    follow = Loop("follow", nothing, 1.0)
    turn, _ = turn_of("one", watch, follow)
    await turn.step()
    follow.began_at = watch.now_s
    watch.now_s += VITAL_STEP_MAX_S
    await turn.step()
    assert turn.mine
    watch.now_s += 1
    await turn.step()
    assert not turn.mine


async def test_who_ends_takes_nothing_any_more(watch: Watch) -> None:
    (one, _), (two, _) = turn_of("one", watch), turn_of("two", watch)
    await one.step()
    await one.close()
    await one.step()
    assert not one.mine
    await two.step()
    assert two.mine


def watched(owner: str, watch: Watch, *vital: Loop) -> tuple[Turn, list[str]]:
    """A turn, and how often it had to look whether others have done the work."""
    looks: list[str] = []
    made = Turn(
        of(owner, watch),
        "job",
        vital,
        lambda: None,
        monotonic=watch,
        anew=lambda: looks.append(owner),
    )
    return made, looks


async def test_who_gives_it_up_and_takes_it_again_alone_has_not_been_away(watch: Watch) -> None:
    follow = Loop("follow", nothing, 1.0)
    one, looks = watched("one", watch, follow)
    await one.step()
    for _ in range(3):
        follow.failures_in_a_row = VITAL_FAILURES_MAX
        await one.step()
        assert not one.mine
        watch.now_s += STAND_BACK_S
        await one.step()
        assert one.mine
    assert looks == ["one"], "at its start"
    follow.failures_in_a_row = VITAL_FAILURES_MAX
    await one.step()
    watch.now_s += TTL_S + STAND_BACK_S + 1
    await one.step()
    assert one.mine and looks == ["one", "one"], "a store could have been put back meanwhile"


async def test_who_takes_it_after_another_looks_anew(watch: Watch) -> None:
    follow = Loop("follow", nothing, 1.0)
    (one, looks), (two, _) = watched("one", watch, follow), watched("two", watch)
    await one.step()
    follow.failures_in_a_row = VITAL_FAILURES_MAX
    await one.step()
    await two.step()
    assert two.mine
    await two.close()
    watch.now_s += STAND_BACK_S
    await one.step()
    assert one.mine and looks == ["one", "one"]


async def test_a_holder_that_was_paused_looks_anew_though_a_restored_store_names_it(
    watch: Watch,
) -> None:
    (one, looks), (two, _) = watched("one", watch), watched("two", watch)
    await one.step()
    backup = await Lease.get("job")
    await two.step()
    watch.now_s += TTL_S
    await two.step()
    assert two.mine
    watch.now_s += 1
    assert backup is not None
    await backup.replace()
    assert not one.mine, "nobody has heard of it for long"
    await one.step()
    assert one.mine and looks == ["one", "one"]
    watch.now_s += TTL_S
    await one.step()
    assert one.mine and looks == ["one", "one"], "renewed in time"


@pytest.mark.parametrize("waits_s", [TTL_S, TTL_S + 1], ids=["slow_store", "paused"])
async def test_an_answer_that_comes_late_is_a_pause_like_any_other(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, waits_s: float
) -> None:
    """The store had renewed it in time; what others did before we heard so may be forgotten."""
    (one, looks), two = watched("one", watch), of("two", watch)
    await one.step()
    watch.now_s += TTL_S / 2
    acquire = one._leases.acquire

    async def late(name: str) -> Lease | None:
        held = await acquire(name)
        assert await two.acquire(name) is None
        watch.now_s += waits_s
        if waits_s > TTL_S:
            assert await two.acquire(name), "by right: nobody was heard of"
            assert held is not None
            await held.replace()  # and the store is put back to what it was before
        return held

    with monkeypatch.context() as patch:
        patch.setattr(one._leases, "acquire", late)
        await one.step()
    assert one.mine and looks == ["one"] * (2 if waits_s > TTL_S else 1)
    watch.now_s += TTL_S / 2
    await one.step()
    assert one.mine and looks == ["one"] * (2 if waits_s > TTL_S else 1), "in time again"

"""Computations of many callers share a thread; each has its own answer or error."""

import asyncio
import threading

import pytest

from tron_payment.wallets.aside import Aside


async def test_each_caller_has_its_own_answer_and_the_loop_computes_nothing() -> None:
    aside, threads = Aside(), set()

    def work(number: int) -> int:
        threads.add(threading.get_ident())
        return number * number

    found = await asyncio.gather(*(aside.do(lambda n=n: work(n)) for n in range(50)))
    assert found == [n * n for n in range(50)]
    assert threads and threading.get_ident() not in threads


async def test_one_that_fails_hurts_no_other() -> None:
    aside = Aside()

    def work(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    outcomes = await asyncio.gather(
        *(aside.do(lambda n=n: work(n)) for n in range(4)), return_exceptions=True
    )
    assert [repr(each) for each in outcomes] == ["0", "1", "ValueError('two')", "3"]
    with pytest.raises(ValueError, match="two"):
        await aside.do(lambda: work(2))


async def test_a_caller_that_goes_leaves_the_others_their_answers() -> None:
    aside = Aside()
    gone = asyncio.create_task(aside.do(lambda: 1))
    stays = asyncio.create_task(aside.do(lambda: 2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 2
    with pytest.raises(asyncio.CancelledError):
        await gone

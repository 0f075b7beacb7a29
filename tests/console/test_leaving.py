"""Whoever leaves a live page at a bad moment takes nothing with them."""

import asyncio
import random
from contextlib import suppress

import httpx

from tests.console.conftest import SignIn

ROUNDS = 5
WATCHERS = 8
"""Of one person; each looks at nine things at once."""

ROLES = ("operator", "viewer", "approver", "treasurer", "auditor")
STAYS_S = (0.005, 0.5)


async def watch_and_leave(browser: httpx.AsyncClient, stays_s: float) -> None:
    """As a browser that goes to the next page: the connection is closed, whatever is under way."""
    with suppress(TimeoutError):
        async with (
            asyncio.timeout(stays_s),
            browser.stream("GET", "/console/live", params={"page": "/console"}) as answer,
        ):
            async for _ in answer.aiter_lines():
                pass


async def test_the_pages_answer_after_watchers_left_in_the_middle_of_a_look(
    sign_in: SignIn,
) -> None:
    """Their looks are canceled again and again while they wait for connections to the database."""
    browsers = [await sign_in(role) for role in ROLES]
    chance = random.Random(3)
    for _ in range(ROUNDS):
        stays = [(browser, chance.uniform(*STAYS_S)) for browser in browsers * WATCHERS]
        await asyncio.gather(*(watch_and_leave(*each) for each in stays))
        assert (await browsers[0].get("/console")).status_code == 200

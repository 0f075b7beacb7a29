"""What is given to a handler without asking: the same objects, checked, and there for providers."""

from typing import Any

from http_world import bearer, serve
from litestar import get
from litestar.di import NamedDependency, Provide

from tron_payment.http.given import always
from tron_payment.http.principals import Principal


class House:
    """Something that is there from start to end."""

    asked = 0


HOUSE = House()
READ: dict[str, Any] = {"permission": "payout:read"}


async def provide_greeting(
    principal: NamedDependency[Principal],
    house: NamedDependency[House],
    request_id: NamedDependency[str],
) -> str:
    house.asked += 1
    return f"{principal.id} {request_id}"


@get("/greeting", opt=READ)
async def greet(house: NamedDependency[House], greeting: NamedDependency[str]) -> str:
    """Say hello."""
    assert house is HOUSE
    return greeting


@get("/wrong", opt=READ)
async def wrong(other: NamedDependency[House]) -> str:
    """Never called."""
    raise AssertionError("what was given is no house")


@get("/open", opt={"open": True})
async def nobody(principal: NamedDependency[Principal]) -> str:
    """Never called: nobody is known here."""
    raise AssertionError("there is no principal")


OFFERED = {
    "house": always(HOUSE),
    "other": always("no house"),
    "greeting": Provide(provide_greeting),
}


async def test_a_provider_may_ask_for_what_is_given() -> None:
    before = HOUSE.asked
    async with serve([greet], dependencies=OFFERED) as world:
        for name in ("request-a", "request-b"):
            asked = {**bearer(), "X-Request-Id": name}
            answer = await world.client.get("/greeting", headers=asked)
            assert (answer.status_code, answer.text) == (200, f"user-1 {name}")
    assert HOUSE.asked == before + 2


async def test_what_is_given_is_checked_like_any_dependency() -> None:
    async with serve([wrong, nobody], dependencies=OFFERED) as world:
        for path in ("/wrong", "/open"):
            answer = await world.client.get(path, headers=bearer())
            assert (answer.status_code, answer.json()["code"]) == (500, "internal")

"""What handlers ask for and is there already: parts of the house, and who calls.

Litestar resolves each dependency of each request by itself: it makes the provider's arguments,
validates them, waits for it and keeps a group for what has to be cleaned up. For what is only
looked up that was 8 of the 120 microseconds of a small read, the store apart. So here it becomes
one more extractor, like the one that reads the path. Handlers ask for it as for any dependency,
and its type is checked as there.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.routes import BaseRoute, HTTPRoute

Look = Callable[[Any], Any]
"""Reads a value out of the ASGI scope; waits for nothing and has nothing to clean up."""

Extractor = Callable[[dict[str, Any], ASGIConnection[Any, Any, Any, Any]], Awaitable[None]]


class Given(Provide):
    """A dependency that is looked up in the scope of the request."""

    def __init__(self, look: Look) -> None:
        def unasked() -> Any:
            raise AssertionError("this application was made without `give`")

        super().__init__(unasked, sync_to_thread=False)
        self.look = look

    __eq__ = object.__eq__
    """Litestar compares those of each handler with one another at the start: 184,000 times."""

    __hash__ = object.__hash__


def always(value: Any) -> Given:
    """The same object for every request."""
    return Given(lambda _: value)


def give(routes: Iterable[BaseRoute]) -> None:
    """Look up what is `Given`; call the other providers one after another. Once, at start.

    Litestar gathers providers that do not need each other in a task group, with a task each: a
    tenth of a small read. At most one of ours waits for anything, so nothing is gained by that.
    """
    for route in routes:
        handled = route.route_handler_map.values() if isinstance(route, HTTPRoute) else ()
        for _, model in handled:
            asked = [one for batch in model.dependency_batches for one in batch]
            looks = {one.key: one.provide.look for one in asked if isinstance(one.provide, Given)}
            model.dependency_batches = [{one} for one in asked if one.key not in looks]
            if looks:
                model.extractors.append(_extractor(looks))


def _extractor(looks: Mapping[str, Look]) -> Extractor:
    pairs = tuple(looks.items())

    async def extract(
        values: dict[str, Any], connection: ASGIConnection[Any, Any, Any, Any]
    ) -> None:
        scope = connection.scope
        for key, look in pairs:
            values[key] = look(scope)

    return extract

"""The same handlers at further paths: registered once, reached by several routes.

Litestar would copy each handler for every path, read its signature again and build its models
again; that was a third of what a start costs.
"""

from collections.abc import Sequence

from litestar import Litestar, Router
from litestar.routes import HTTPRoute
from litestar.utils import join_paths


class FurtherRoute(HTTPRoute):
    """Another path to the handlers of a route that is registered already."""

    def __init__(self, path: str, route: HTTPRoute) -> None:
        super().__init__(path=path, route_handlers=route.route_handlers)
        self.route_handler_map = route.route_handler_map


def add_paths(app: Litestar, mounts: Sequence[tuple[Router, Sequence[str]]]) -> None:
    """Let the handlers of each router be reached under further prefixes, too.

    Args:
        app: Each router is registered with it, as itself and not as a copy.
        mounts: Routers, and the prefixes that each has besides its own path.
    """
    routes = {route.path: route for route in app.routes if isinstance(route, HTTPRoute)}
    for router, prefixes in mounts:
        own = router.path.rstrip("/")
        for path in [route.path for route in router.routes]:
            for prefix in prefixes:
                other = join_paths([prefix, path.removeprefix(own)])
                assert other not in routes, f"{other} is registered already"
                routes[other] = FurtherRoute(other, routes[path])
                app.routes.append(routes[other])
    app.asgi_router.construct_routing_trie()

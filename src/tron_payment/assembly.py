"""The service, built but not yet running: what `app.assemble` answers and others are given."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tron_payment.chain import Follower
from tron_payment.db.connect import Store
from tron_payment.deployments import Deployments
from tron_payment.loops import Loops
from tron_payment.module import House, Module


@dataclass(slots=True)
class Assembly:
    """Every floor and module, and what runs them."""

    house: House
    modules: tuple[Module, ...]
    loops: Loops
    follower: Follower
    store: Store
    deployments: Deployments
    preparations: tuple[Callable[[], Awaitable[None]], ...]
    """What modules do once in development before the service is called ready."""

"""Who asks for money to move, and under which key: what every such route takes."""

from dataclasses import dataclass

from litestar.di import NamedDependency

from tron_payment.http.idempotency import MaybeIdempotencyKey
from tron_payment.http.principals import Principal


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal and the idempotency key of one request; a dry run needs no key."""

    principal: Principal
    key: str | None


def provide_caller(
    principal: NamedDependency[Principal], idempotency_key: MaybeIdempotencyKey = None
) -> Caller:
    """The dependency `caller` of routes that have a dry run."""
    return Caller(principal, idempotency_key)

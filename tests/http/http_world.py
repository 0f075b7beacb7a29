"""A small application behind the real HTTP floor, its gateway's keys, and a client."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import jwt
import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from tron_payment.core.clock import ManualClock
from tron_payment.core.errors import Conflict
from tron_payment.core.money import USDT, Amount
from tron_payment.http.app import create_http
from tron_payment.http.authentication import Authenticator
from tron_payment.http.fields import MoneyText
from tron_payment.http.principals import Principal
from tron_payment.http.tokens import TrustAnchor

SECRET = b"a-secret-of-the-gateway-that-is-long-enough-for-every-algorithm!"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
EMPTY: dict[str, Any] = {}


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims of a merchant; None removes one."""
    good = {
        "sub": "user-1",
        "role": "merchant",
        "iss": "api-gateway",
        "aud": "tron-payment",
        "exp": NOW_S + 300,
        "iat": NOW_S,
    } | changes
    return {name: value for name, value in good.items() if value is not None}


def token(
    *,
    key: Any = SECRET,
    alg: str = "HS256",
    headers: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    return jwt.encode(claims(**changes), key, algorithm=alg, headers=headers)


def b64(raw: bytes | dict[str, Any]) -> str:
    if isinstance(raw, dict):
        raw = json.dumps(raw).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def bearer(**changes: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(**changes)}"}


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    to: str
    amount: MoneyText
    max_fee_trx: MoneyText | None = None
    urgent: bool = False
    count: int = 1


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    payouts: list[Order]


class View(msgspec.Struct):
    principal: str
    amount: str


class AlreadyThere(Conflict, code="already_there"):
    """It exists."""


@post("/orders", status_code=202, opt={"permission": "payout:create", "rate": "payout"})
async def make_order(data: JSONBody[Order], principal: NamedDependency[Principal]) -> View:
    """Make an order."""
    return View(principal=principal.id, amount=str(Amount.parse(USDT, data.amount)))


@post("/batches", status_code=202, opt={"permission": "payout:batch", "body": "batch"})
async def make_batch(data: JSONBody[Batch]) -> dict[str, int]:
    """Make many."""
    return {"rows": len(data.payouts)}


@get("/orders/{number:int}", opt={"permission": "payout:read"})
async def show_order(
    number: FromPath[int],
    principal: NamedDependency[Principal],
    limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
) -> View:
    """Show one."""
    if number == 7:
        raise AlreadyThere("seven is taken", param="number", extra={"payout_id": "pay_x"})
    if number == 500:
        raise RuntimeError("secret detail")
    return View(principal=principal.id, amount=str(limit))


@get("/config", opt={"permission": "config:read"})
async def show_config() -> dict[str, str]:
    """Show the configuration."""
    return {}


@get("/health", opt={"open": True})
async def health() -> dict[str, str]:
    """Say hello."""
    return {"status": "ok"}


HANDLERS = [make_order, make_batch, show_order, show_config, health]


@dataclass
class World:
    client: httpx.AsyncClient
    clock: ManualClock


@asynccontextmanager
async def serve(
    handlers: Sequence[Any] = HANDLERS, clock: ManualClock | None = None, **options: Any
) -> AsyncIterator[World]:
    clock = clock or ManualClock(NOW)
    options.setdefault("authenticator", Authenticator(anchor(clock)))
    app = create_http(handlers, **options)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield World(client, clock)


def anchor(clock: ManualClock, **options: Any) -> TrustAnchor:
    options.setdefault("secret", SECRET)
    return TrustAnchor(issuer="api-gateway", audience="tron-payment", clock=clock, **options)

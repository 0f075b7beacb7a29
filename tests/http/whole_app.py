"""The whole application with every module on a real store, before any chain is reached.

Enough to ask who may do what: the gate decides before a handler is called.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from http_world import NOW, anchor
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from tests.client_pool import ClientPool

from tron_payment.app import assemble, create_app
from tron_payment.chain import MongoCursors, NodeClient, Nodes
from tron_payment.configuration import load
from tron_payment.core.address import Address
from tron_payment.core.clock import ManualClock
from tron_payment.db.connect import Store
from tron_payment.http.api_keys import ApiKeys
from tron_payment.http.app import HttpApp
from tron_payment.http.authentication import Authenticator
from tron_payment.http.journal import Journal
from tron_payment.http.rate_limits import Rate, RateClass, RateLimiter
from tron_payment.module import Deployment
from tron_payment.settings import Settings

NOWHERE = "http://127.0.0.1:9"
"""Nobody listens at the port of the discard service."""

ENVIRONMENT = {"LUCID_ENV": "development", "TRON_NETWORK": "devnet"}
SECRETS = {
    "wallet_encryption_key": "ab" * 32,
    "audit_signing_key": "cd" * 32,
    "payment_webhook_secret": "ef" * 32,
    "kyc_attestation_private_key": "12" * 32,
}


@dataclass
class Whole:
    """The application, and a client of it."""

    app: HttpApp
    client: httpx.AsyncClient
    clock: ManualClock
    journal: Journal


def options(tmp_path: Any, **changes: str) -> Settings:
    """A configuration in development, or in production with ``LUCID_ENV="production"``."""
    for name, value in SECRETS.items():
        path = tmp_path / name
        path.write_text(value)
        path.chmod(0o600)
    return load(ENVIRONMENT | changes, secrets_dir=tmp_path)


@asynccontextmanager
async def whole(store: Store, settings: Settings, rate: int = 1_000_000) -> AsyncIterator[Whole]:
    """Everything mounted as the service mounts it; background loops stand still.

    Args:
        store: Bound to every document of the service; several applications may share it.
    """
    clock = ManualClock(NOW)
    async with AsyncExitStack() as stack:
        chain = await stack.enter_async_context(httpx.AsyncClient(verify=False, trust_env=False))
        nodes = Nodes([NodeClient("node-1", NOWHERE, NOWHERE, ClientPool(chain), SecretStr(""), 1)])
        assembly = await assemble(
            settings,
            clock=clock,
            secret=b"s" * 32,
            nodes=nodes,
            cursors=MongoCursors(),
            deployment=Deployment(
                genesis_id="00" * 32, usdt=Address("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")
            ),
            store=store,
        )
        stack.callback(assembly.follower.close)
        keys = ApiKeys(clock, assembly.house.audit)
        app = create_app(
            assembly,
            authenticator=Authenticator(anchor(clock), keys=keys),
            keys=keys,
            checks={},
            registry=CollectorRegistry(),
            limiter=RateLimiter(dict.fromkeys(RateClass, Rate(rate, rate * 5))),
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://service")
        )
        yield Whole(app, client, clock, assembly.journal)

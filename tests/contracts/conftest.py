"""Fixtures of the contract tests: every test has a chain of its own."""

import pytest

from .world import Chain, Contract, Router, deploy_usdt, funded_router, hostile_router

ROUTERS = ("PayoutRouterV0", "PayoutRouterKYC")


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
def usdt(chain: Chain) -> Contract:
    return deploy_usdt(chain, 1_000_000_000)


@pytest.fixture(params=ROUTERS)
def router(request: pytest.FixtureRequest) -> Router:
    """Each router in turn, with a million USDT."""
    return funded_router(request.param)


@pytest.fixture(params=ROUTERS)
def hostile(request: pytest.FixtureRequest) -> Router:
    """Each router in turn, with a token that misbehaves as told."""
    return hostile_router(request.param)

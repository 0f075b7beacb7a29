"""Whose an address is: the router contracts and wallets that pages name beside their addresses."""

from collections.abc import Mapping
from typing import Any, Final

from tron_payment.console.api import Api, at

INFO: Final = "/api/v1/tron/network/info"
ROUTES: Final = {"v0": "for recipients without KYC", "kyc": "for verified recipients"}
"""Which routes have a router contract, and for whom it is."""


async def routers(api: Api) -> dict[str, str]:
    """The routers' addresses by route; no node is asked."""
    found = await api.maybe(INFO)
    return {route: found["routers"][route] for route in ROUTES if found and found["routers"][route]}


def balance_paths(addresses: Mapping[str, str]) -> list[str]:
    """Where the API says how much USDT each router holds."""
    return [at("/api/v1/usdt/balance/{address}", address=each) for each in addresses.values()]


def names(addresses: Mapping[str, str], *wallets: Mapping[str, Any] | None) -> dict[str, str]:
    """What our own accounts are called, by address."""
    called = {address: f"router {route}" for route, address in addresses.items()}
    return called | {wallet["address"]: wallet["label"] for wallet in wallets if wallet}

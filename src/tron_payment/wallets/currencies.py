"""Amounts of registered currencies as text.

The registry of tokens belongs to a module that is built after this one, but the object stands in
the house before any module does; so it is described here by what we need of it.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from tron_payment.core.address import Address
from tron_payment.core.errors import AppError
from tron_payment.core.money import TRX, USDT, Asset, decimal_text
from tron_payment.module import House


@runtime_checkable
class Registry(Protocol):
    """The tokens that books are kept for."""

    @property
    def by_contract(self) -> Mapping[Address, str]:
        """Currency code by contract."""
        ...

    def asset(self, code: str) -> Asset:
        """
        Raises:
            AppError: No such currency.
        """
        ...


class JustUsdt:
    """The registry of a house without one: TRX and USDT."""

    def __init__(self, usdt: Address) -> None:
        self.by_contract: Mapping[Address, str] = {usdt: USDT.code}

    def asset(self, code: str) -> Asset:
        return {TRX.code: TRX, USDT.code: USDT}.get(code, Asset(code))


class Currencies:
    """Reads the registry as it is at the moment."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def by_contract(self) -> Mapping[Address, str]:
        return self._registry.by_contract

    def text(self, units: int, code: str) -> str:
        """A decimal; of a currency that is registered no more, whole smallest units."""
        try:
            decimals = TRX.decimals if code == TRX.code else self._registry.asset(code).decimals
        except AppError:
            decimals = 0
        return decimal_text(units, decimals)


def currencies_of(house: House) -> Currencies:
    """The currencies of this house."""
    for service in house.services.values():
        if isinstance(service, Registry):
            return Currencies(service)
    return Currencies(JustUsdt(house.deployment.usdt))

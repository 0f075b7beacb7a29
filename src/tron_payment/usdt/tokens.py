"""Which TRC-20 tokens this installation keeps books for: USDT always, others by registration.

The registry is made before the engine, which reads `by_contract` for every block, and filled from
the store when the module starts. A registered token is never taken out again: its past is booked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tron_payment.core.address import Address
from tron_payment.core.errors import Refused
from tron_payment.core.money import TRX, USDT, Asset
from tron_payment.settings import Settings
from tron_payment.usdt import documents as store


class UnknownCurrency(Refused, code="unknown_currency"):
    """This currency is not a registered token."""


@dataclass(frozen=True, slots=True)
class RegisteredToken:
    """A token: its asset and where it lives."""

    asset: Asset
    contract: Address
    name: str


class TokenRegistry:
    """The tokens by code and by contract. Implements the engine's `Tokens`."""

    def __init__(self, usdt_contract: Address) -> None:
        self.usdt = RegisteredToken(USDT, usdt_contract, "Tether USD")
        self._by_code: dict[str, RegisteredToken] = {}
        self._codes: dict[Address, str] = {}
        self._add(self.usdt)

    @property
    def by_contract(self) -> Mapping[Address, str]:
        """Asset code by contract."""
        return MappingProxyType(self._codes)

    @property
    def all(self) -> tuple[RegisteredToken, ...]:
        """USDT first, then in the order of registration."""
        return tuple(self._by_code.values())

    def get(self, code: str, *, param: str = "currency") -> RegisteredToken:
        """The token of a currency code.

        Raises:
            UnknownCurrency: Not registered; TRX is no token.
        """
        token = self._by_code.get(code)
        if token is None:
            hint = "TRX is not a token" if code == TRX.code else "register it at /usdt/tokens"
            raise UnknownCurrency(hint, param=param)
        return token

    def asset(self, code: str) -> Asset:
        """The asset of a code, TRX included.

        Raises:
            UnknownCurrency: Not registered.
        """
        return TRX if code == TRX.code else self.get(code).asset

    async def load(self) -> None:
        """Take in what is registered in the store; harmless to repeat."""
        for row in await store.tokens():
            self.add(row)

    def add(self, row: store.Token) -> None:
        """Take in one registered token."""
        contract = Address(row.id)
        if contract not in self._codes:
            self._add(RegisteredToken(Asset(row.symbol, row.decimals), contract, row.name))

    def _add(self, token: RegisteredToken) -> None:
        assert token.asset.code not in self._by_code, token
        self._by_code[token.asset.code] = token
        self._codes[token.contract] = token.asset.code


def build_tokens(settings: Settings, usdt_contract: Address) -> TokenRegistry:
    """The registry with USDT alone; the module loads the others when it starts.

    Raises:
        ValueError: The settings name another contract than the deployment.
    """
    configured = settings.usdt_contract
    if configured is not None and configured != usdt_contract:
        raise ValueError(f"USDT is {usdt_contract} here, but the settings say {configured}")
    return TokenRegistry(usdt_contract)

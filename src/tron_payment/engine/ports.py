"""What the engine needs from the floors above it, as protocols, which app.py plugs in; and an order
as they ask for it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tron_payment.chain import Contract
from tron_payment.core.address import Address
from tron_payment.core.errors import AppError
from tron_payment.engine.documents import Order
from tron_payment.engine.domain import Expect, Spend


class CannotSign(AppError, code="cannot_sign"):
    """The signer refuses this order for now; the detail says why. Nothing was signed."""

    status = 409


class Signer(Protocol):
    """Holds the keys. It takes orders, never hashes: it reads the bytes itself."""

    async def sign_many(self, requests: Sequence[tuple[Order, bytes]]) -> list[bytes | CannotSign]:
        """For each order and its bytes, 65 bytes r, s, v over sha256 of the bytes.

        Each is given only after checking that the bytes say what the order wants; a `CannotSign`
        (as a value) says why not: frozen wallet, no key here, bytes that say something else.
        """
        ...


class SigningDesk(Protocol):
    """Shows bytes to people and devices whose keys are elsewhere."""

    async def ask(self, order: Order) -> object:
        """Ask for the signatures of an order's live attempt. Safe to repeat.

        Raises:
            CannotSign: Nobody could sign these bytes.
        """
        ...

    async def permission(self, wallet_id: str, contract: Contract) -> int:
        """The account permission by which a wallet signs such contracts: 0 owner, 2 to 9 active."""
        ...

    async def signatures_max(self, order: Order) -> int:
        """How many signatures the order's transaction may carry at most.

        Raises:
            CannotSign: Nobody could sign it, or the chain cannot be asked who may.
        """
        ...


class Gate(Protocol):
    """Holds orders back before their funds are set aside and again before they are signed."""

    async def __call__(self, orders: Sequence[Order]) -> Mapping[str, str]:
        """By order id, what the order has to wait for (``kill_switch``, ``recipient_...``)."""
        ...


OrderHandler = Callable[[Sequence[Order]], Awaitable[None]]
"""A module hears of its orders; called again with the same ones after a crash."""

Alarm = Callable[[str, Mapping[str, object]], Awaitable[None]]
"""Somebody must look: the event's name and its facts."""


class Tokens(Protocol):
    """The TRC-20 contracts that we keep books for."""

    @property
    def by_contract(self) -> Mapping[Address, str]:
        """Asset code by contract."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An order as a module asks for it."""

    order_id: str
    module: str
    kind: str
    subject: str
    wallet_id: str
    signer: Address
    contract: Contract
    max_fee_sun: int
    expects: tuple[Expect, ...] = ()
    spends: tuple[Spend, ...] = ()
    permission_id: int = 0
    priority: str = "normal"
    detached: bool = False
    lifetime_s: int = 0

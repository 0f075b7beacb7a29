"""Money that leaves by another door than a payout, and the rules that it shares with payouts.

The rules live in the payouts module, which is built later and plugs them in. Without them (a
module built alone) nothing is held back.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from tron_payment.chain import Contract
from tron_payment.http.idempotency import StoredAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What is about to leave: units of a currency, from a wallet to a recipient."""

    object_id: str
    order_id: str
    """Of the order that will carry it: people approve that order, and nothing else."""

    principal: str
    wallet_id: str
    recipient: str
    currency: str
    units: int
    contract: Contract
    """What the order's transaction will say; an approval is good for nothing else."""

    stranger: bool = False
    """A call of a contract that is not known here: no amount says what it moves."""

    back_to_payer: bool = False
    """A refund of what the recipient itself has paid: it needs to stand on no allow-list."""


class Rules(Protocol):
    """The policy in force, for everything that is no payout."""

    async def check(self, going: Outgoing) -> None:
        """
        Raises:
            Refused: A cap or the allow-list.
        """
        ...

    async def admit(
        self, going: Outgoing, accept: Callable[[], Awaitable[StoredAnswer]]
    ) -> StoredAnswer:
        """Count it against the rolling limits, accept it, and count it no more if it was refused.

        An amount that people have to approve is accepted, and its order waits for them.

        Raises:
            Refused: It would break a limit; nothing was accepted.
        """
        ...


class NoRules:
    """Of a module that was built without the payouts."""

    async def check(self, going: Outgoing) -> None:
        """Nothing is held back."""

    async def admit(
        self, going: Outgoing, accept: Callable[[], Awaitable[StoredAnswer]]
    ) -> StoredAnswer:
        """Accept it."""
        return await accept()

"""Who may be paid: asked when a payout is accepted, and again before its bytes are signed.

Acceptance of one payout or of a small batch asks the chain at once. The rows of a large batch are
asked later, by the engine's gate: ten thousand questions would keep the caller waiting for a
minute, and the answer would be old when the money moves.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tron_payment.chain import NOBODY, both
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock, to_ms
from tron_payment.core.errors import AppError, Unavailable
from tron_payment.db.ledger import Ledger
from tron_payment.module import Deployment
from tron_payment.payouts.domain import (
    RecipientBlacklisted,
    RecipientIsContract,
    RecipientIsOwn,
    RecipientRefused,
)
from tron_payment.usdt import Screening
from tron_payment.wallets import Wallet

QUESTIONS_AT_ONCE: Final = 32
"""Addresses asked of the nodes at the same time."""

ROWS_AT_ACCEPTANCE_MAX: Final = 200
"""A batch of more rows is screened before signing instead."""

VERDICT_MAX_AGE_MS: Final = 60_000
"""How old an answer may be when money is signed away. Whoever asks for payouts, or what would
become of them, gets the chain's answers of `usdt.screening.ANSWER_MAX_AGE_MS`."""

VERDICTS_MAX: Final = 50_000
WANTED_MAX: Final = 500
"""Addresses that the background loop asks for in one step."""

REFUSALS: Final[Mapping[str, type[RecipientRefused]]] = {
    kind.code: kind
    for kind in (RecipientRefused, RecipientIsOwn, RecipientIsContract, RecipientBlacklisted)
}


class ScreeningAway(Unavailable, code="screening_unavailable"):
    """The chain cannot be asked about this recipient now; nothing was changed."""


async def own_addresses(addresses: Sequence[Address]) -> set[str]:
    """Of these addresses the ones of our wallets."""
    rows = Wallet.get_pymongo_collection().find(
        {"address": {"$in": list(addresses)}}, {"address": 1}
    )
    return {row["address"] async for row in rows}


class Screen:
    """Asks our books and the chain about recipients."""

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: Ledger,
        screening: Screening,
        deployment: Deployment,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._screening = screening
        self._deployment = deployment
        self._verdicts: dict[Address, tuple[str | None, int]] = {}
        self._wanted: dict[Address, None] = {}

    async def local_many(self, recipients: Sequence[Address]) -> dict[Address, str | None]:
        """What our own books say, without the chain: a refusal's code or nothing for each."""
        view = await self._ledger.view()
        holders = await view.holders(recipients)
        wallets = await own_addresses(recipients)
        routers = (self._deployment.router_v0, self._deployment.router_kyc)
        found: dict[Address, str | None] = {}
        for address in recipients:
            code = None
            if address == NOBODY:
                code = RecipientRefused.code
            elif address == self._deployment.usdt:
                code = RecipientIsContract.code
            elif address in holders or address in wallets or address in routers:
                code = RecipientIsOwn.code
            found[address] = code
        return found

    async def verdicts(
        self,
        recipients: Iterable[Address],
        *,
        young: bool = True,
        local: Mapping[Address, str | None] | None = None,
    ) -> dict[Address, str | None]:
        """A refusal's code or nothing for each; the unanswered are left out.

        A node that is away leaves a recipient out: whoever pays waits, it is not refused.

        Args:
            young: Answers that are young enough will do; else everybody is asked now.
            local: What `local_many` has just said about all of them; None asks it here.
        """
        wanted = set(recipients)
        found = self.known(wanted) if young else {}
        if local is None:
            local = await self.local_many(sorted(wanted - found.keys()))
        found |= {a: code for a in wanted if (code := local.get(a)) is not None}
        await self._screening.look(sorted(wanted - found.keys()))
        gate = asyncio.Semaphore(QUESTIONS_AT_ONCE)

        async def ask(address: Address) -> None:
            async with gate:
                try:
                    found[address] = await self._ask(address)
                except AppError as away:
                    if away.status != 503:
                        raise

        await asyncio.gather(*(ask(address) for address in wanted - found.keys()))
        return found

    def known(self, recipients: Iterable[Address]) -> dict[Address, str | None]:
        """The answers that are young enough, without asking."""
        now = to_ms(self._clock.now())
        return {
            address: verdict[0]
            for address in recipients
            if (verdict := self._verdicts.get(address)) is not None
            and 0 <= now - verdict[1] <= VERDICT_MAX_AGE_MS
        }

    def want(self, recipients: Iterable[Address]) -> None:
        """Have the background loop ask for these."""
        self._wanted |= dict.fromkeys(recipients)

    async def step(self) -> bool:
        """Ask for some of the wanted addresses; False when there was none."""
        some = list(self._wanted)[:WANTED_MAX]
        for address in some:
            del self._wanted[address]
        await self.verdicts(some)
        return bool(some)

    async def _ask(self, recipient: Address) -> str | None:
        contract, blacklisted = await both(
            self._screening.is_contract(recipient), self._screening.blacklisted(recipient)
        )
        code = None
        if contract:
            code = RecipientIsContract.code
        elif blacklisted:
            code = RecipientBlacklisted.code
        if len(self._verdicts) >= VERDICTS_MAX:
            self._verdicts.clear()
        self._verdicts[recipient] = (code, to_ms(self._clock.now()))
        return code

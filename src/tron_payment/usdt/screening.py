"""Who must not be paid: blacklisted addresses and contracts, asked of the chain and remembered."""

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tron_payment.chain import NOBODY, CallResult, NodeRefused, Nodes, both
from tron_payment.contracts import artifact
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock, to_ms
from tron_payment.core.errors import Unavailable
from tron_payment.usdt import trc20
from tron_payment.usdt.domain import ScreeningUnavailable
from tron_payment.usdt.trc20 import BASIS_POINTS_RATE, DEPRECATED, MAXIMUM_FEE, PAUSED, Token

ANSWER_MAX_AGE_MS: Final = 5_000
"""About two blocks. Who is blacklisted within them is held back before signing, or it is too late:
the transaction could as well have been in a block already."""

ANSWERS_MAX: Final = 50_000
AT_ONCE_MAX: Final = 100
"""Addresses in one question: some 0.2 million energy; nodes allow a constant call 100 million."""

QUESTIONS_AT_ONCE: Final = 8
SINGLY_FOR_MS: Final = 600_000
"""For so long they are asked one by one after a node could not answer for many together."""

IS_CONTRACT, IS_BLACKLISTED, NOT_TOLD = 1, 2, 4
"""The answers of contracts/RecipientScreen.sol."""


@dataclass(frozen=True, slots=True)
class TokenState:
    """What the issuer has set. A fee is `basis_points` ten-thousandths, at most `maximum_fee`."""

    paused: bool
    basis_points: int
    maximum_fee: int
    deprecated: bool
    """It hands its calls to another contract, of which nothing is known: not what it takes, nor
    what its events say."""


class Screening:
    """Questions about an address before money goes to it."""

    def __init__(self, *, nodes: Nodes, clock: Clock, usdt: Address) -> None:
        self._nodes = nodes
        self._clock = clock
        self._usdt = usdt
        self._state: tuple[TokenState, int] | None = None
        self._answers: dict[tuple[str, Hashable], tuple[bool, int]] = {}
        self._singly_until_ms = 0

    async def blacklisted(self, address: Address) -> bool:
        """Whether USDT's issuer has frozen the address.

        Asked of the newest block and of the solidified one; either is enough. The newest knows it
        a minute earlier; the solidified one still says it when a fork might take back a pardon.

        Raises:
            ScreeningUnavailable: The contract does not say.
            NodesUnavailable: No node answers.
        """
        if (known := self._known("blacklisted", address)) is not None:
            return known
        newest, solid = await both(
            self._listed(address, solid=False), self._listed(address, solid=True)
        )
        return self._remember("blacklisted", address, newest or solid)

    async def _listed(self, address: Address, *, solid: bool) -> bool:
        """What the token's own blacklist says in one state."""
        data = trc20.IS_BLACKLISTED + trc20.word(address)
        try:
            answer = await self._nodes.constant_call(self._usdt, self._usdt, data, solid=solid)
        except NodeRefused as refusal:
            raise ScreeningUnavailable(refusal.detail) from None
        if answer.reverted or len(answer.output) < trc20.WORD:
            raise ScreeningUnavailable("the token's contract does not tell its blacklist")
        return any(answer.output[: trc20.WORD])

    async def is_contract(self, address: Address) -> bool:
        """Whether code lives at the address, by the newest block.

        Raises:
            NodesUnavailable: No node answers.
        """
        if (known := self._known("contract", address)) is not None:
            return known
        account = await self._nodes.account(address)
        return self._remember("contract", address, account is not None and account.is_contract)

    async def look(self, addresses: Sequence[Address]) -> None:
        """Ask about many at once, so that `blacklisted` and `is_contract` know for a while.

        A node simulates the creation of contracts/RecipientScreen.sol on the newest block, and on
        the solidified one for the blacklist. What stays unanswered is left to the single
        questions: nothing fails here.
        """
        wanted = [a for a in dict.fromkeys(addresses) if self._unknown(a)]
        if len(wanted) <= 1 or self._now() < self._singly_until_ms:
            return
        gate = asyncio.Semaphore(QUESTIONS_AT_ONCE)

        async def ask(some: Sequence[Address]) -> None:
            async with gate:
                newest, solid = await both(
                    self._flags(some, solid=False), self._flags(some, solid=True)
                )
            for address, now, then in zip(some, newest, solid, strict=False):
                self._remember("contract", address, bool(now & IS_CONTRACT))
                if not (now | then) & NOT_TOLD:
                    self._remember("blacklisted", address, bool((now | then) & IS_BLACKLISTED))

        starts = range(0, len(wanted), AT_ONCE_MAX)
        await asyncio.gather(*(ask(wanted[start : start + AT_ONCE_MAX]) for start in starts))

    async def _flags(self, addresses: Sequence[Address], *, solid: bool) -> bytes:
        """A byte for each address; empty when the nodes do not answer so."""
        code = artifact("RecipientScreen").init_code(self._usdt, list(addresses))
        answer: CallResult | None = None
        try:
            answer = await self._nodes.constant_call(NOBODY, None, code, solid=solid)
        except Unavailable:
            return b""
        except NodeRefused:
            pass
        if answer is None or answer.reverted or len(answer.output) != len(addresses):
            self._singly_until_ms = self._now() + SINGLY_FOR_MS
            return b""
        return answer.output

    async def token_state(self) -> TokenState:
        """Pause, fee rate and upgrade of USDT on the newest block.

        Raises:
            NodesUnavailable: No node answers.
        """
        if self._state is not None and self._now() - self._state[1] <= ANSWER_MAX_AGE_MS:
            return self._state[0]
        state = await self._nodes.read(lambda node: _token_state(Token(node, self._usdt)))
        self._state = (state, self._now())
        return state

    def _unknown(self, address: Address) -> bool:
        return (
            self._known("contract", address) is None or self._known("blacklisted", address) is None
        )

    def _known(self, question: str, about: Hashable) -> bool | None:
        found = self._answers.get((question, about))
        if found is None or self._now() - found[1] > ANSWER_MAX_AGE_MS:
            return None
        return found[0]

    def _remember(self, question: str, about: Any, answer: bool) -> bool:
        if len(self._answers) >= ANSWERS_MAX:
            self._answers.clear()
        self._answers[(question, about)] = (answer, self._now())
        return answer

    def _now(self) -> int:
        return to_ms(self._clock.now())


async def _token_state(token: Token) -> TokenState:
    """A contract without these functions is never paused or upgraded, and takes no fee."""
    paused = await token.maybe_number(PAUSED)
    rate = await token.maybe_number(BASIS_POINTS_RATE)
    maximum = await token.maybe_number(MAXIMUM_FEE)
    deprecated = await token.maybe_number(DEPRECATED)
    return TokenState(bool(paused), rate or 0, maximum or 0, bool(deprecated))

"""Who must not be paid: blacklisted addresses and contracts, asked of the chain and remembered."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

from tron_payment.chain import NodeRefused, Nodes
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock, to_ms
from tron_payment.usdt import trc20
from tron_payment.usdt.domain import ScreeningUnavailable
from tron_payment.usdt.trc20 import BASIS_POINTS_RATE, MAXIMUM_FEE, PAUSED, Token

ANSWER_MAX_AGE_MS: Final = 5_000
"""About two blocks: a blacklisting becomes solid a minute after it was made anyway."""

ANSWERS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class TokenState:
    """What the issuer has set. A fee is `basis_points` ten-thousandths, at most `maximum_fee`."""

    paused: bool
    basis_points: int
    maximum_fee: int


class Screening:
    """Questions about an address before money goes to it."""

    def __init__(self, *, nodes: Nodes, clock: Clock, usdt: Address) -> None:
        self._nodes = nodes
        self._clock = clock
        self._usdt = usdt
        self._state: tuple[TokenState, int] | None = None
        self._answers: dict[tuple[str, Hashable], tuple[bool, int]] = {}

    async def blacklisted(self, address: Address) -> bool:
        """Whether USDT's issuer has frozen the address, by the solidified state.

        Raises:
            ScreeningUnavailable: The contract does not say.
            NodesUnavailable: No node answers.
        """
        if (known := self._known("blacklisted", address)) is not None:
            return known
        data = trc20.IS_BLACKLISTED + trc20.word(address)
        try:
            answer = await self._nodes.constant_call(self._usdt, self._usdt, data, solid=True)
        except NodeRefused as refusal:
            raise ScreeningUnavailable(refusal.detail) from None
        if answer.reverted or len(answer.output) < trc20.WORD:
            raise ScreeningUnavailable("the token's contract does not tell its blacklist")
        return self._remember("blacklisted", address, any(answer.output[: trc20.WORD]))

    async def is_contract(self, address: Address) -> bool:
        """Whether code lives at the address, by the newest block.

        Raises:
            NodesUnavailable: No node answers.
        """
        if (known := self._known("contract", address)) is not None:
            return known
        account = await self._nodes.account(address)
        return self._remember("contract", address, account is not None and account.is_contract)

    async def token_state(self) -> TokenState:
        """Pause and fee rate of USDT on the newest block.

        Raises:
            NodesUnavailable: No node answers.
        """
        if self._state is not None and self._now() - self._state[1] <= ANSWER_MAX_AGE_MS:
            return self._state[0]
        state = await self._nodes.read(lambda node: _token_state(Token(node, self._usdt)))
        self._state = (state, self._now())
        return state

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
    """A contract without these functions is never paused and takes no fee."""
    paused = await token.maybe_number(PAUSED)
    rate = await token.maybe_number(BASIS_POINTS_RATE)
    maximum = await token.maybe_number(MAXIMUM_FEE)
    return TokenState(bool(paused), rate or 0, maximum or 0)

"""Registering another TRC-20 token: believed only after its contract has answered."""

import re
from typing import Final

from tron_payment.chain import NodeClient, Nodes
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock
from tron_payment.core.errors import Conflict, Refused
from tron_payment.core.money import DECIMALS_MAX, TRX
from tron_payment.db.audit import Act, Audit
from tron_payment.db.cas import insert_once
from tron_payment.db.faults import DuplicateValue
from tron_payment.db.ledger import BALANCE_MAX
from tron_payment.http.principals import Principal
from tron_payment.usdt import documents as store
from tron_payment.usdt.documents import TOKENS_MAX
from tron_payment.usdt.openings import TokenOpenings
from tron_payment.usdt.tokens import RegisteredToken, TokenRegistry
from tron_payment.usdt.trc20 import DECIMALS, NAME, SYMBOL, TOTAL_SUPPLY, Token

SYMBOL_PATTERN: Final = re.compile(r"[A-Z][A-Z0-9]{1,15}")
NAME_LENGTH_MAX: Final = 64
SUPPLY_MAX: Final = BALANCE_MAX
"""Units. Of more the books might get more than they take. A contract may make more of its token
later, or lie: what has no room then is left out of the books and told (engine/left_out.py)."""


class NotAToken(Refused, code="not_a_token"):
    """What lives at this address is not a TRC-20 token that we can keep books for."""


class TokenExists(Conflict, code="token_exists"):
    """A token with this contract or symbol is registered already."""


class TooManyTokens(Conflict, code="too_many_tokens"):
    """No more tokens can be registered."""


class Registration:
    """Checks a token on the chain and keeps it."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        clock: Clock,
        audit: Audit,
        tokens: TokenRegistry,
        openings: TokenOpenings,
    ) -> None:
        self._nodes = nodes
        self._clock = clock
        self._audit = audit
        self._tokens = tokens
        self._openings = openings

    async def register(
        self, principal: Principal, contract: Address, expected_symbol: str | None
    ) -> RegisteredToken:
        """Register a token by its contract.

        Args:
            expected_symbol: What the caller takes it for; the contract's own word must be equal.

        Raises:
            NotAToken: No code, no usable symbol, decimals or supply, or another symbol than
                expected.
            TokenExists: Contract or symbol are registered already.
        """
        row = await self._nodes.read(lambda node: self._read(node, contract, principal))
        if expected_symbol is not None and expected_symbol != row.symbol:
            raise NotAToken(f"its symbol is {row.symbol}", param="symbol")
        if contract in self._tokens.by_contract:
            raise TokenExists(param="contract_address")
        if row.symbol in (TRX.code, *self._tokens.by_contract.values()):
            raise TokenExists(f"another token is called {row.symbol}", param="contract_address")
        if len(self._tokens.all) >= TOKENS_MAX:
            raise TooManyTokens(f"at most {TOKENS_MAX}")
        try:
            created = await insert_once(row)
        except DuplicateValue:
            created = False
        await self._tokens.load()
        await self._openings.resume()
        if not created:
            raise TokenExists(param="contract_address")
        await self._audit.append(
            Act(
                actor=principal.id,
                role=principal.role.value,
                action="token.register",
                object_id=contract,
                after={"symbol": row.symbol, "decimals": row.decimals, "code_hash": row.code_hash},
            )
        )
        return self._tokens.get(row.symbol)

    async def _read(self, node: NodeClient, contract: Address, principal: Principal) -> store.Token:
        param = "contract_address"
        found = await node.contract(contract)
        if found is None or not found.runtime_code:
            raise NotAToken("no contract lives at this address", param=param)
        token = Token(node, contract)
        decimals = await token.maybe_number(DECIMALS)
        symbol = (await token.text(SYMBOL) or "").strip().upper()
        name = (await token.text(NAME) or symbol).strip()[:NAME_LENGTH_MAX]
        if decimals is None or decimals > DECIMALS_MAX:
            raise NotAToken(f"it must have 0 to {DECIMALS_MAX} decimals", param=param)
        if SYMBOL_PATTERN.fullmatch(symbol) is None:
            raise NotAToken("its symbol is not 2 to 16 letters and digits", param=param)
        supply = await token.maybe_number(TOTAL_SUPPLY)
        if supply is None or supply > SUPPLY_MAX:
            raise NotAToken(f"its supply must be told, and at most {SUPPLY_MAX} units", param=param)
        await token.balance_of(contract)
        return store.Token(
            id=contract,
            symbol=symbol,
            name=name,
            decimals=decimals,
            code_hash=found.code_hash,
            registered_by=principal.id,
            registered_at=self._clock.now(),
        )

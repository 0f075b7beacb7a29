"""Finding the addresses that imported words or keys of an account have used before.

Index after index is looked up on the solidified chain until `GAP_LIMIT` in a row were never used
(BIP-44, "Address gap limit"). Until then the wallet issues nothing; what was used, and everything
below it, is watched and never issued again. An address without an account on the chain has never
sent anything, so what ever came to it in a token is still there: account or balance means used.
"""

import asyncio
from typing import Final

import structlog

from tron_payment.chain import Nodes
from tron_payment.core.address import Address, address_bytes
from tron_payment.core.clock import Clock
from tron_payment.core.errors import Unavailable
from tron_payment.db.cas import LostRace
from tron_payment.wallets import documents as store
from tron_payment.wallets import hd
from tron_payment.wallets.addresses import HdAddresses
from tron_payment.wallets.balances import BALANCE_OF
from tron_payment.wallets.currencies import Currencies
from tron_payment.wallets.documents import Wallet

GAP_LIMIT: Final = 20
"""Unused addresses in a row after which BIP-44 lets a wallet stop looking."""

ROUNDS_AT_IMPORT: Final = 5
"""Gaps that an import waits for; the loop looks further."""

WORD_BYTES: Final = 32

log = structlog.get_logger()


class Scan:
    """Looks for used addresses, one gap at a time. Safe to repeat and to stop anywhere."""

    def __init__(
        self, *, clock: Clock, nodes: Nodes, currencies: Currencies, addresses: HdAddresses
    ) -> None:
        self._clock = clock
        self._nodes = nodes
        self._currencies = currencies
        self._addresses = addresses

    async def begin(self, wallet: Wallet) -> Wallet:
        """Look through the first gaps; what is left, or a node that is away, is the loop's."""
        try:
            for _ in range(ROUNDS_AT_IMPORT):
                if wallet.scan_from is None:
                    break
                wallet = await self._gap(wallet)
        except (Unavailable, LostRace) as away:
            log.info("wallet.scan_put_off", wallet_id=wallet.id, detail=away.detail)
        return wallet

    async def step(self) -> bool:
        """For the loop: one gap of each wallet that is being scanned; True when there is one."""
        waiting = await store.scanning()
        for wallet in waiting:
            try:
                await self._gap(wallet)
            except LostRace:
                continue  # somebody else has looked
        return bool(waiting)

    async def _gap(self, wallet: Wallet) -> Wallet:
        """
        Raises:
            NodesUnavailable: Nothing was changed.
            LostRace
        """
        assert wallet.xpub is not None and wallet.scan_from is not None, wallet.id
        first = wallet.scan_from
        node = hd.parse_xpub(wallet.xpub).child(0)
        indices = range(first, first + GAP_LIMIT)
        used = await asyncio.gather(*(self._is_used(node.child(n).address) for n in indices))
        last = max((n for n, is_used in zip(indices, used, strict=True) if is_used), default=None)
        if last is not None:
            await self._addresses.rebuild(wallet, last, first=first)
        following = None if last is None else last + 1
        changed = await store.change(wallet, self._clock.now(), scan_from=following)
        if following is None:
            log.info("wallet.scanned", wallet_id=wallet.id, used_up_to=first - 1)
        return changed

    async def _is_used(self, address: Address) -> bool:
        if await self._nodes.account(address, solid=True) is not None:
            return True
        data = BALANCE_OF + address_bytes(address)[1:].rjust(WORD_BYTES, b"\0")
        for token in tuple(self._currencies.by_contract):
            answer = await self._nodes.constant_call(address, token, data, solid=True)
            if not answer.reverted and any(answer.output[:WORD_BYTES]):
                return True
        return False

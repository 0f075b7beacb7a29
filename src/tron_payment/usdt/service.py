"""Everything that the USDT module can do, in one hand for its routes."""

from dataclasses import dataclass
from typing import Final

from tron_payment.core.address import Address
from tron_payment.http.principals import Principal
from tron_payment.usdt import documents as store
from tron_payment.usdt.balances import TokenBalances
from tron_payment.usdt.documents import TokenNotice
from tron_payment.usdt.estimates import Estimates
from tron_payment.usdt.history import History
from tron_payment.usdt.registration import Registration
from tron_payment.usdt.screening import Screening
from tron_payment.usdt.tokens import TokenRegistry
from tron_payment.usdt.transfers import Transfers
from tron_payment.usdt.watch import Watch
from tron_payment.wallets import Wallets

NOTICES_SHOWN: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Usdt:
    """The parts of the module."""

    tokens: TokenRegistry
    screening: Screening
    transfers: Transfers
    balances: TokenBalances
    estimates: Estimates
    history: History
    registration: Registration
    watch: Watch
    wallets: Wallets

    async def notices(self) -> list[TokenNotice]:
        """What USDT's issuer did last, newest first."""
        return await store.newest_notices(NOTICES_SHOWN)

    async def wallet_address(self, wallet_id: str | None, principal: Principal) -> Address:
        """The address of a wallet that can sign. Raises as `Wallets.signing_wallet`."""
        return (await self.wallets.signing_wallet(wallet_id, principal)).address

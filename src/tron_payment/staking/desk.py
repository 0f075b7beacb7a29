"""Everything that the staking module can do, in one hand for its routes."""

from dataclasses import dataclass
from typing import Any

from tron_payment.core.address import Address
from tron_payment.http.principals import Principal
from tron_payment.staking import documents as store
from tron_payment.staking.accounts import StakedAccounts
from tron_payment.staking.expiries import Expiries
from tron_payment.staking.forecast import Forecasts
from tron_payment.staking.service import Staking
from tron_payment.wallets import Wallets


@dataclass(frozen=True, slots=True, kw_only=True)
class StakingDesk:
    """The parts of the module."""

    operations: Staking
    accounts: StakedAccounts
    expiries: Expiries
    forecasts: Forecasts
    wallets: Wallets

    async def address_of(self, wallet_id: str | None, principal: Principal) -> Address:
        """The address of a wallet, the default one when none is named."""
        return (await self.wallets.signing_wallet(wallet_id, principal)).address

    async def totals(self) -> list[dict[str, Any]]:
        """Number, sun and fees of all operations, by operation and status."""
        return await store.totals()

    async def stats(self) -> dict[str, Any]:
        """Operations by kind and status."""
        counted = {
            f"{row['_id']['operation']}.{row['_id']['status']}": row["n"]
            for row in await store.totals()
        }
        return {"operations": counted, "unstaking": len(await self.expiries.pending())}

"""Everything that the staking module can do, in one hand for its routes."""

from dataclasses import dataclass
from typing import Any

from tron_payment.chain import SolidBlock
from tron_payment.staking import documents as store
from tron_payment.staking.accounts import StakedAccounts
from tron_payment.staking.energy import EnergyBook
from tron_payment.staking.expiries import Expiries
from tron_payment.staking.plan_query import Plans
from tron_payment.staking.service import Staking


@dataclass(frozen=True, slots=True, kw_only=True)
class StakingDesk:
    """The parts of the module."""

    operations: Staking
    accounts: StakedAccounts
    expiries: Expiries
    plans: Plans
    energy: EnergyBook

    async def on_block(self, block: SolidBlock) -> None:
        """Take in what a solidified block says; harmless when repeated."""
        await self.expiries.on_block(block)
        await self.energy.on_block(block)

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

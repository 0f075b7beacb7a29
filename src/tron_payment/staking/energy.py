"""The energy of our own transactions: counted block by block, told by day."""

from datetime import timedelta

from tron_payment.chain import SolidBlock
from tron_payment.core.clock import Clock, from_ms
from tron_payment.db.ledger import Ledger
from tron_payment.engine import Watched
from tron_payment.staking import energy_documents as store
from tron_payment.staking.energy_domain import EnergyDay, Spent, by_day


class EnergyBook:
    """Counts what the receipts of solidified blocks say that our holders' transactions used."""

    def __init__(self, *, ledger: Ledger, watched: Watched, clock: Clock) -> None:
        self._ledger = ledger
        self._watched = watched
        self._clock = clock

    async def on_block(self, block: SolidBlock) -> None:
        """Add the block's transactions; harmless when repeated."""
        part = await self._watched.part(block)
        found = [each for each in part.transactions if each.energy_total]
        if not found:
            return
        ours = await (await self._ledger.view()).holders({each.owner for each in found})
        mine = [each for each in found if each.owner in ours]
        if not mine:
            return
        at = from_ms(block.timestamp_ms)
        hour = store.hour_of(at)
        staked = sum(each.energy_usage for each in mine)
        spent = Spent(
            hour=hour,
            transactions=len(mine),
            energy=sum(each.energy_total for each in mine),
            staked=staked,
            creator=sum(each.origin_energy for each in mine),
            burned_sun=sum(each.energy_fee_sun for each in mine),
            staked_seconds=staked * ((at - hour) // timedelta(seconds=1)),
        )
        await store.add(hour, block.number, spent)

    async def days(self, count: int) -> list[EnergyDay]:
        """The last days, today among them; those without anything are left out."""
        now = self._clock.now()
        first = (now - timedelta(days=count - 1)).date()
        hours = await store.between(store.hour_of(now) - timedelta(days=count + 1), now)
        return by_day(hours, first, now)

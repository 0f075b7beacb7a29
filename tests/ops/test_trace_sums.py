"""A transaction that stands in a sum of the books only is found there all the same."""

from datetime import UTC, datetime

from tests.conftest import Mongo
from tron_payment.core.address import Address
from tron_payment.db.ledger import SUM, WORLD, LedgerEntry, Pocket, Posting, account
from tron_payment.gateway import Deposit
from tron_payment.operator.lookup import Found
from tron_payment.operator.trace import booked, entry_text

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HERE = Address("TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC")
OTHER = Address("TLsV52sRDL79HXGGm9yzwKibb6BeruhUzy")
FIRST, LATER = "a" * 64, "b" * 64


def entry(number: int, block: int, *postings: Posting) -> LedgerEntry:
    return LedgerEntry(
        id=number,
        cause=f"block:{block}",
        at=NOW,
        postings=list(postings),
        block_number=block,
        previous_hash="0" * 64,
        hash="1" * 64,
    )


def came(to: Address, units: int, ref: str) -> Posting:
    return Posting(WORLD, account(to, Pocket.AVAILABLE), "USDT", units, ref)


async def test_a_summed_deposit_is_found_under_another_transaction(mongo: Mongo) -> None:
    await mongo.connect([LedgerEntry])
    of_block_7 = (came(HERE, 9_000, f"{FIRST}:{SUM}:3"), came(OTHER, 5, f"{FIRST}:{SUM}:2"))
    await entry(1, 7, *of_block_7, came(OTHER, 2, f"{'c' * 64}:log:0")).insert()
    await entry(2, 8, came(HERE, 4, f"{'d' * 64}:{SUM}:2")).insert()
    await entry(3, 9, came(HERE, 1, f"{'e' * 64}:log:0")).insert()
    deposit = Deposit.model_construct(
        txid=LATER,
        address=HERE,
        asset="USDT",
        block_number=7,
    )
    found = Found(deposits=[deposit])
    [only] = await booked(found)
    assert only.id == 1
    assert entry_text(only, found) == (
        "entry 1 of solidified block 7 (block:7): "
        f"9000 USDT world → {HERE}:available (the sum of 3 transactions of this block)"
    )

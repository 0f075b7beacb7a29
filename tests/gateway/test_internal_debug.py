"""`wallets debug` compares TRX that counts late in the block in which it counts."""

from tests.gateway.test_internal_transfers import AMOUNT_SUN, PAID, Three, three, unswept
from tron_payment.core.address import Address
from tron_payment.engine import InternalVerdict
from tron_payment.operator.wallet_debug import Compared, _blocks, _compare
from tron_payment.usdt import TokenRegistry

__all__ = ["three", "unswept"]

BLOCKS = 20


async def compared(three: Three, address: Address, *more: int) -> list[Compared]:
    """Of the newest blocks that touched the address, and of some more."""
    house = three.shop.house
    solid = (await three.nodes.solid_head()).number
    _, numbers = await _blocks(house.ledger, address, solid, BLOCKS)
    tokens = house.use(TokenRegistry).by_contract
    rows: list[Compared] = []
    for number in sorted({*numbers, *more}):
        rows += await _compare(await three.nodes.solid_block(number), address, tokens)
    return rows


async def test_what_counts_late_is_no_difference(unswept: Three) -> None:
    three = unswept
    invoice = await three.shop.invoice("25", "TRX")
    address = Address(invoice["address"])
    three.away(2)
    await three.pays(invoice)
    await three.follow()
    three.away(2, False)
    (verdict,) = await InternalVerdict.find_all().to_list()
    (row,) = await compared(three, address, verdict.block_number)
    assert (row.chain_units, row.ledger_units) == (AMOUNT_SUN, 0), "nobody has counted it so far"
    await three.later()
    assert await three.outcome(invoice) == PAID
    (verdict,) = await InternalVerdict.find_all().to_list()
    assert verdict.is_late and not verdict.proposal
    (row,) = await compared(three, address, verdict.block_number)
    assert (row.block_number, row.txid) == (verdict.counted_in, verdict.id)
    assert (row.chain_units, row.ledger_units) == (AMOUNT_SUN, AMOUNT_SUN)

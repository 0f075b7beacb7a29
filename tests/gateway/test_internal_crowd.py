"""One node of three that invents very much, or writes addresses as nobody else reads them."""

import os
from collections import Counter
from typing import Any

import pytest

from tests.gateway.test_deposits import PAYER
from tests.gateway.test_internal_liars import follow_to_the_end, says
from tests.gateway.test_internal_transfers import (
    AMOUNT_SUN,
    PAID,
    Three,
    books,
    three,
    unswept,
)
from tron_payment.chain import ChainContradiction
from tron_payment.chain.blocks import TOLD_PER_BLOCK_MAX
from tron_payment.core.address import Address, address_bytes
from tron_payment.engine import InternalVerdict, internal_told

__all__ = ["three", "unswept"]

CALLERS = 30_000
TRANSACTIONS = 4


async def test_an_invented_crowd_is_looked_at_within_bounds(
    unswept: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each caller is another one; nobody's address is written out but ours and what is shown."""
    three = unswept
    invoice = await three.shop.invoice("25", "TRX")
    to = address_bytes(Address(invoice["address"])).hex()

    def invents(receipt: dict[str, Any]) -> None:
        if not receipt.get("internal_transactions"):
            receipt["internal_transactions"] = [
                {
                    "caller_address": "41" + os.urandom(20).hex(),
                    "transferTo_address": to,
                    "callValueInfo": [{"callValue": 1}],
                    "note": b"call".hex(),
                }
                for _ in range(CALLERS)
            ]

    for _ in range(TRANSACTIONS):
        await three.shop.pay(PAYER, invoice["address"], "1", "TRX")
    await three.shop.devnet.mine(22)
    says(three.made[1], invents)
    written: list[bytes] = []
    real = internal_told.address_of

    def writes_out(raw: bytes) -> Address:
        written.append(raw)
        return real(raw)

    monkeypatch.setattr(internal_told, "address_of", writes_out)
    await follow_to_the_end(three)
    rows = await InternalVerdict.find_all().to_list()
    in_block = Counter(row.block_number for row in rows)
    assert rows and max(in_block.values()) <= TOLD_PER_BLOCK_MAX // CALLERS
    assert all((row.counted_in, row.told_by) == (None, "node-1") for row in rows)
    assert rows[0].told[-1] == f"and {CALLERS - internal_told.TOLD_MAX} more"
    assert 0 < len(written) <= TRANSACTIONS * (internal_told.TOLD_MAX + 2)


@pytest.mark.parametrize("liar", [0, 2])
async def test_blanks_in_an_address_hide_nothing_in_silence(unswept: Three, liar: int) -> None:
    three = unswept
    lying = True

    def blanks(receipt: dict[str, Any]) -> None:
        for part in receipt.get("internal_transactions", ()):
            if lying:
                to = part["transferTo_address"]
                part["transferTo_address"] = to[:20] + " " + to[20:]

    says(three.made[liar], blanks)
    invoice = await three.shop.invoice("25", "TRX")
    await three.pays(invoice)
    with pytest.raises(ChainContradiction, match="other internal transactions"):
        await follow_to_the_end(three)
    lying = False
    await three.shop.assembly.follower.resume()
    await follow_to_the_end(three)
    assert await books(three, invoice) == AMOUNT_SUN
    assert await three.outcome(invoice) == PAID

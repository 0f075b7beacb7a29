"""What of a block the store would have to know, and does not."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from tron_payment import chain
from tron_payment.chain import BlockTransaction, MalformedRawData
from tron_payment.core.address import Address
from tron_payment.db.ledger import Ledger
from tron_payment.engine import documents as store

TRANSACTIONS_AT_ONCE: Final = 500
"""Decoded without a pause, and asked for in one query."""


async def unknown(
    ledger: Ledger, number: int, transactions: Sequence[BlockTransaction]
) -> list[str]:
    """The holders' transactions among these that no attempt explains.

    Their ids are worked out here: nobody has confirmed what the node calls them. What does not
    decode was never signed here.
    """
    view, found = await ledger.view(), list[str]()
    for start in range(0, len(transactions), TRANSACTIONS_AT_ONCE):
        owners: dict[str, Address] = {}
        for transaction in transactions[start : start + TRANSACTIONS_AT_ONCE]:
            with suppress(MalformedRawData):
                owner = chain.decode(transaction.raw).contract.owner
                owners[chain.txid(transaction.raw)] = owner
        holders = await view.holders(set(owners.values()))
        ours = {txid for txid, owner in owners.items() if holders.get(owner, number) < number}
        known = {each["txid"] for order in await store.owning(ours) for each in order.attempts}
        found += sorted(ours - known)
    return found

"""Which addresses are our own: those that we, or our co-signers, can move money from."""

from collections.abc import Collection

from tron_payment.core.address import Address
from tron_payment.db.ledger import Ledger
from tron_payment.wallets import strangers


async def own_of(ledger: Ledger, addresses: Collection[Address]) -> set[Address]:
    """Of these the ones that are our own, former routers included.

    Of an address that is only watched we keep books, too, and it is a stranger's all the same,
    such as an exchange's: it pays invoices and may be paid back.
    """
    kept = set(await (await ledger.view()).holders(addresses))
    return kept - await strangers(kept) if kept else kept

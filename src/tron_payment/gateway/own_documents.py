"""Which addresses are our own: those that we, or our co-signers, can move money from."""

from collections.abc import Collection

from tron_payment.core.address import Address
from tron_payment.db.faults import store_errors
from tron_payment.db.ledger import Ledger
from tron_payment.wallets import Wallet, WalletKind


async def own_of(ledger: Ledger, addresses: Collection[Address]) -> set[Address]:
    """Of these the ones that are our own.

    Of an address that is only watched we keep books, too, and it is a stranger's all the same,
    such as an exchange's: it pays invoices and may be paid back. An account that was imported by
    its xpub is ours, for it issues addresses.
    """
    kept = set(await (await ledger.view()).holders(addresses))
    if not kept:
        return kept
    query = {"address": {"$in": sorted(kept)}, "kind": WalletKind.WATCH.value, "xpub": None}
    with store_errors():
        rows = await Wallet.get_pymongo_collection().find(query, {"address": 1}).to_list()
    return kept - {Address(row["address"]) for row in rows}

"""Pending transactions: each executed on trial, in order, on top of the head.

`/wallet` reads the state *with* them, as java-tron's do, because its pending session lies on top of
the head.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from tron_payment.devnet import vm
from tron_payment.devnet.archive import Archive
from tron_payment.devnet.config import DevnetConfig
from tron_payment.devnet.errors import AlreadyExists, Busy, Refusal
from tron_payment.devnet.process import process
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.state import Overlay
from tron_payment.devnet.transactions import Tx
from tron_payment.devnet.validate import check_contract_count, check_next_slot, check_signatures

PENDING_TIMEOUT_MS: Final = 60_000
"""A transaction that is not taken this long is forgotten by the node."""
ID_CACHE: Final = 100_000


class Pool:
    """The transactions that wait for a block.

    Args:
        environment: The block that comes next.
    """

    def __init__(
        self, config: DevnetConfig, archive: Archive, environment: Callable[[], vm.Block]
    ) -> None:
        self._config = config
        self._archive = archive
        self._environment = environment
        self._since: dict[bytes, int] = {}
        self._seen_ids: OrderedDict[bytes, None] = OrderedDict()
        self.transactions: dict[bytes, Tx] = {}
        self.receipts: dict[bytes, Receipt] = {}
        """What the trial execution gave."""
        self.state = Overlay(archive.base.get)

    def push(self, tx: Tx) -> None:
        """Check, execute on trial and keep a transaction.

        Raises:
            Refusal: It is not acceptable now.
        """
        if len(self.transactions) >= self._config.max_pending:
            raise Busy()
        if self._config.trx_cache:
            self._note_id(tx.txid)
        if not tx.contract_count:
            check_contract_count(tx)
        check_next_slot(tx, self._environment().timestamp_ms)
        check_signatures(self.state.get, tx)
        self._admit(tx)

    def _note_id(self, txid: bytes) -> None:
        """java-tron's id cache remembers an id before it knows whether it will be accepted."""
        if txid in self._seen_ids:
            raise AlreadyExists()
        self._seen_ids[txid] = None
        while len(self._seen_ids) > ID_CACHE:
            self._seen_ids.popitem(last=False)

    def _admit(self, tx: Tx) -> None:
        known = tx.txid in self.transactions or self._archive.has(tx.txid)
        receipt = process(self.state, tx, self._environment(), known=known)
        self.transactions[tx.txid] = tx
        self.receipts[tx.txid] = receipt
        self._since.setdefault(tx.txid, self._archive.head.timestamp_ms)

    def rebuild(self, candidates: list[Tx]) -> None:
        """Lay these transactions on the present head; what no longer fits is dropped."""
        since, head_ms = self._since, self._archive.head.timestamp_ms
        self.state = Overlay(self._archive.base.get)
        self.transactions, self.receipts = {}, {}
        for tx in candidates:
            if head_ms - since.get(tx.txid, head_ms) > PENDING_TIMEOUT_MS:
                continue
            try:
                self._admit(tx)
            except Refusal:
                continue
        self._since = {txid: since.get(txid, head_ms) for txid in self.transactions}

    def put_first(self, transactions: list[Tx]) -> None:
        """Begin again with these, and then those that wait."""
        known = {tx.txid for tx in transactions}
        rest = [tx for tx in self.transactions.values() if tx.txid not in known]
        self.rebuild([*transactions, *rest])

    def clear(self) -> None:
        self._seen_ids.clear()
        self._since.clear()
        self.rebuild([])

"""How a quarantined order ends: by what solidified blocks show, read again, never by a wish.

The chain contradicted us once, so nothing that was concluded then counts now. Every attempt of the
order is looked up again, in blocks that as many nodes confirm as the installation asks for:

    finding    the attempt's transaction
    paid       stands in a solidified block, succeeded, and every expected event is there
    partly     the same, but some of several events are missing
    not_paid   stands in a solidified block and did nothing that was wanted
    dead       stands in no block of its whole lifetime: all of them were read
    untold     stands in a block whose receipt names no result, or moved another amount than
               expected to somebody who was to be paid, or succeeded without a word of the
               token's own contract: an upgraded one may speak otherwise
    open       may still come, or its lifetime is not read to its end yet: each look reads on

    the findings are                      that proves
    one untold or open                    nothing: the order stays
    none of those, one paid or partly     settled
    none of those, not one paid           failed: nothing was paid and nothing can be any more
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import structlog

from tron_payment.chain import (
    Cursors,
    NodeClient,
    NodeHasNot,
    Nodes,
    Position,
    SolidBlock,
    SolidTransaction,
    all_of,
    trc20_transfers,
)
from tron_payment.contracts import artifact
from tron_payment.core.clock import Clock
from tron_payment.core.errors import Conflict
from tron_payment.engine import documents as store
from tron_payment.engine.documents import Order
from tron_payment.engine.domain import (
    UNSTATED,
    Attempt,
    Expect,
    ExpectKind,
    OrderStatus,
    Proof,
    Result,
    prove,
)

LIFETIME_BLOCKS_MAX: Final = 1_500
"""Of one attempt read by one look: more than an hour at three seconds. What people sign may live
for a day; the next looks read on from there."""

LIFETIMES_KEPT_MAX: Final = 1_000
"""Attempts of which is kept how far they were read; the oldest are read anew."""

BLOCKS_AT_ONCE: Final = 8
"""Read together, for each is a node's answer to wait for."""

LISTED_MAX: Final = 200
ROUTER: Final = artifact("PayoutRouterV0")

log = structlog.get_logger()


class NotProved(Conflict, code="not_proved"):
    """The solidified blocks do not prove this; the order stays as it is."""


class Finding(StrEnum):
    PAID = "paid"
    PARTLY = "partly"
    NOT_PAID = "not_paid"
    DEAD = "dead"
    UNTOLD = "untold"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the chain says now about one attempt. `block_number` is 0 when it is in no block."""

    number: int
    txid: str
    finding: Finding
    block_number: int = 0
    block_id: str = ""
    receipt: str = ""
    proofs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All attempts of one order as the chain shows them, up to the solidified block `at_block`."""

    at_block: int
    attempts: tuple[Seen, ...]
    result: Result | None = None
    """Of the attempt that paid."""

    @property
    def proves(self) -> OrderStatus | None:
        """What follows; None when nothing does."""
        return conclusion([seen.finding for seen in self.attempts])


def conclusion(findings: Sequence[Finding]) -> OrderStatus | None:
    """See the module's table. Pure."""
    if {Finding.UNTOLD, Finding.OPEN} & set(findings):
        return None
    if {Finding.PAID, Finding.PARTLY} & set(findings):
        return OrderStatus.SETTLED
    return OrderStatus.FAILED


def finding_of(succeeded: bool, receipt: str, proofs: Sequence[str]) -> Finding:
    """What a receipt in a solidified block means. Pure."""
    if receipt in UNSTATED:
        return Finding.UNTOLD
    if not succeeded:
        return Finding.NOT_PAID
    if Proof.MISSING not in proofs:
        return Finding.PAID
    done = {Proof.MET, Proof.SKIPPED} & set(proofs)
    return Finding.PARTLY if done else Finding.NOT_PAID


class Quarantine:
    """Looks at quarantined orders again, and ends them on proof."""

    def __init__(self, *, clock: Clock, nodes: Nodes, cursors: Cursors) -> None:
        self._clock = clock
        self._nodes = nodes
        self._cursors = cursors
        self._read_to: dict[str, int] = {}
        """By txid, the last block of an attempt's lifetime that this process has read; it was in
        none up to there."""

    async def orders(self) -> list[Order]:
        """Those in quarantine, oldest first."""
        found = Order.find({"status": OrderStatus.QUARANTINED.value}).sort("+updated_at")
        return await found.limit(LISTED_MAX).to_list()

    async def look(self, order: Order) -> Evidence:
        """Read what the chain says about every attempt. Changes nothing.

        Raises:
            NodesUnavailable: The chain cannot be asked, or too few nodes confirm it.
            ChainContradiction: The nodes contradict each other now.
            NotProved: No block has been read yet.
        """
        cursor = await self._cursors.load()
        if cursor is None:
            raise NotProved("no solidified block has been read yet")
        seen: list[Seen] = []
        result: Result | None = None
        for attempt in order.tried:
            block = await self._block_with(attempt, cursor)
            if block is None:
                # one that was seen in a block is not dead because a node does not find it
                gone = attempt.txid not in order.reason and await self._is_dead(attempt, cursor)
                finding = Finding.DEAD if gone else Finding.OPEN
                seen.append(Seen(attempt.number, attempt.txid, finding))
                continue
            found, outcome = _judged(order, attempt, block)
            seen.append(found)
            if found.finding in (Finding.PAID, Finding.PARTLY):
                result = outcome
        return Evidence(cursor.number, tuple(seen), result)

    async def resolve(self, order: Order, target: OrderStatus, reason: str) -> Order:
        """End the order as the chain proves now.

        Args:
            reason: Who decided and why, for the order's own record.

        Raises:
            NotProved: The chain does not prove `target`.
            LostRace: Somebody else has moved it.
        """
        evidence = await self.look(order)
        if evidence.proves is not target:
            said = "nothing" if evidence.proves is None else evidence.proves.value
            raise NotProved(f"the blocks up to {evidence.at_block} prove {said}")
        changes: dict[str, Any] = {"reason": reason, "live_txid": None, "live_expiration_ms": None}
        changes["books_open"] = True  # what is still set aside can never be spent by it
        if target is not OrderStatus.FAILED and evidence.result is not None:
            changes["result"] = store.stored(evidence.result)
        move = store.move(order, target, self._clock.now(), set=changes)
        log.warning("quarantine.resolved", order_id=order.id, status=target.value)
        return await store.apply_move(move)

    async def _block_with(self, attempt: Attempt, cursor: Position) -> SolidBlock | None:
        """The solidified block that holds it; a node's word where to look, the block as proof."""

        async def locate(node: NodeClient) -> int:
            try:
                info = await node.transaction_info(attempt.txid)
            except NodeHasNot:
                return 0
            return 0 if info is None else info.block_number

        number = await self._nodes.read(locate)
        if not number or number > cursor.number:
            return None
        block = await self._nodes.solid_block(number)
        return block if block.find(attempt.txid) is not None else None

    async def _is_dead(self, attempt: Attempt, cursor: Position) -> bool:
        """True when all solidified blocks of its lifetime were read by us and none holds it."""
        if cursor.timestamp_ms < attempt.expiration_ms:
            return False
        first = self._read_to.get(attempt.txid, attempt.ref_block_number) + 1
        end = min(first + LIFETIME_BLOCKS_MAX, cursor.number + 1)
        for start in range(first, end, BLOCKS_AT_ONCE):
            numbers = range(start, min(start + BLOCKS_AT_ONCE, end))
            for block in await all_of(map(self._nodes.solid_block, numbers)):
                if block.find(attempt.txid) is not None:
                    return False
                if block.timestamp_ms >= attempt.expiration_ms:
                    self._read(attempt.txid, block.number - 1)
                    return True
                self._read(attempt.txid, block.number)
        return False

    def _read(self, txid: str, number: int) -> None:
        if txid not in self._read_to and len(self._read_to) >= LIFETIMES_KEPT_MAX:
            del self._read_to[next(iter(self._read_to))]
        self._read_to[txid] = number


def _reached(expects: Sequence[Expect], transaction: SolidTransaction) -> bool:
    """Whether any token came to somebody whom the order was to pay. A reverted one has no logs."""
    recipients = {expect.recipient for expect in expects}
    return any(each.recipient in recipients for each in trc20_transfers(transaction))


def _tells(expects: Sequence[Expect], transaction: SolidTransaction) -> bool:
    """Whether each token by whose own event a payment is proved has said anything of the kind."""
    awaited = {e.contract for e in expects if e.kind is ExpectKind.TRC20_TRANSFER}
    return awaited <= {each.token for each in trc20_transfers(transaction)}


def _judged(order: Order, attempt: Attempt, block: SolidBlock) -> tuple[Seen, Result]:
    transaction = block.find(attempt.txid)
    assert transaction is not None, attempt.txid
    proofs: dict[str, Proof] = {}
    if transaction.succeeded:
        topics = ROUTER.topic("Paid"), ROUTER.topic("Skipped")
        proofs = prove(order.wanted_expects, transaction, *topics)
    said = {ref: proof.value for ref, proof in proofs.items()}
    finding = finding_of(transaction.succeeded, transaction.result, list(said.values()))
    if finding is Finding.NOT_PAID and transaction.succeeded:
        expects = order.wanted_expects
        if _reached(expects, transaction) or not _tells(expects, transaction):
            finding = Finding.UNTOLD  # such as less a token's own fee: "not paid" would pay twice
    result = Result(
        txid=transaction.txid,
        block_number=block.number,
        block_id=block.block_id,
        block_timestamp_ms=block.timestamp_ms,
        receipt=transaction.result,
        fee_sun=transaction.fee_sun,
        energy_used=transaction.energy_total,
        energy_burned_sun=transaction.energy_fee_sun,
        bandwidth_used=transaction.net_usage,
        bandwidth_burned_sun=transaction.net_fee_sun,
        proofs=said,
    )
    seen = Seen(
        attempt.number,
        attempt.txid,
        finding,
        block.number,
        block.block_id,
        transaction.result,
        said,
    )
    return seen, result

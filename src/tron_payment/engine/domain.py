"""What an order is, which way it goes, and what a solidified block proves about it. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from tron_payment.chain import Log, SolidBlock, SolidTransaction, trc20_transfers
from tron_payment.core.address import Address, address_bytes
from tron_payment.core.lifecycle import Lifecycle


class OrderStatus(StrEnum):
    """`docs/architecture.md` draws this; only SETTLED means that the money has moved."""

    QUEUED = "queued"
    RESERVED = "reserved"
    AWAITING_SIGNATURE = "awaiting_signature"
    SIGNED = "signed"
    SETTLED = "settled"
    FAILED = "failed"
    CANCELED = "canceled"
    QUARANTINED = "quarantined"


S = OrderStatus
LIFECYCLE: Final = Lifecycle(
    {
        S.QUEUED: {S.RESERVED, S.SIGNED, S.CANCELED, S.FAILED},
        S.RESERVED: {S.SIGNED, S.AWAITING_SIGNATURE, S.CANCELED, S.FAILED, S.QUARANTINED},
        S.AWAITING_SIGNATURE: {
            S.SIGNED,
            S.SETTLED,
            S.RESERVED,
            S.CANCELED,
            S.FAILED,
            S.QUARANTINED,
        },
        S.SIGNED: {S.SETTLED, S.RESERVED, S.CANCELED, S.FAILED, S.QUARANTINED},
        S.QUARANTINED: {S.SETTLED, S.FAILED, S.RESERVED},
        S.SETTLED: set(),
        S.FAILED: set(),
        S.CANCELED: set(),
    }
)


class Verdict(StrEnum):
    """What one more solidified block says about an attempt."""

    OPEN = "open"
    SUCCEEDED = "succeeded"
    REVERTED = "reverted"
    EXPIRED = "expired"


class ExpectKind(StrEnum):
    TRC20_TRANSFER = "trc20_transfer"
    ROUTER_PAID = "router_paid"


@dataclass(frozen=True, slots=True)
class Expect:
    """An event that must stand in the receipt for the thing `ref` to count as done.

    For ROUTER_PAID `contract` is the router and `payment_id` the on-chain id (32 bytes, hex).
    """

    kind: ExpectKind
    ref: str
    contract: Address
    sender: Address
    recipient: Address
    units: int
    payment_id: str = ""


class Proof(StrEnum):
    """What the receipt says about one expectation."""

    MET = "met"
    SKIPPED = "skipped"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Spend:
    """Money that leaves a holder when the order succeeds, network fees apart."""

    holder: Address
    asset: str
    units: int


@dataclass(frozen=True, slots=True)
class Death:
    """Why an attempt can never be in the chain (again). Stored with the attempt.

    For EXPIRED our follower has read every solidified block from `from_block` to `to_block`,
    linked by parent ids, and the txid was in none; the last one's time is at or past the
    expiration. For REVERTED the txid stands in `to_block`, without effect.
    """

    verdict: Verdict
    from_block: int
    to_block: int
    block_id: str
    block_timestamp_ms: int
    result: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed transaction. Its bytes are stored before anybody else sees them."""

    number: int
    txid: str
    raw: bytes
    signatures: tuple[bytes, ...]
    fee_limit_sun: int
    timestamp_ms: int
    expiration_ms: int
    ref_block_number: int
    signed_at: datetime
    sent_at: datetime | None = None
    death: Death | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What the solidified receipt of the order's transaction says."""

    txid: str
    block_number: int
    block_id: str
    block_timestamp_ms: int
    receipt: str
    fee_sun: int
    energy_used: int
    energy_burned_sun: int
    bandwidth_used: int
    bandwidth_burned_sun: int
    proofs: Mapping[str, str]
    """Proof by the `ref` of each expectation."""


def judge(txid: str, expiration_ms: int, block: SolidBlock) -> Verdict:
    """Say what one more solidified block proves about an undecided attempt.

        transaction in block   block time vs expiration   verdict
        succeeded              any                        SUCCEEDED
        failed                 any                        REVERTED
        none                   before                     OPEN
        none                   at or after                EXPIRED

    EXPIRED is a proof, not a guess: TRON takes a transaction into a block only while its
    expiration lies after the timestamp of the block before. The caller must have shown us
    every solidified block since the attempt was signed, in order.
    """
    transaction = block.find(txid)
    if transaction is not None:
        return Verdict.SUCCEEDED if transaction.succeeded else Verdict.REVERTED
    if block.timestamp_ms < expiration_ms:
        return Verdict.OPEN
    return Verdict.EXPIRED


def prove(
    expects: Sequence[Expect],
    transaction: SolidTransaction,
    paid_topic: bytes,
    skipped_topic: bytes,
) -> dict[str, Proof]:
    """Find the event of each expectation; one log proves one expectation only."""
    used: set[int] = set()
    proofs: dict[str, Proof] = {}
    about: dict[bytes, list[tuple[int, Log]]] = defaultdict(list)
    for place, log in enumerate(transaction.logs):
        if len(log.topics) >= 2:
            about[log.topics[1]].append((place, log))
    for expect in expects:
        if expect.kind is ExpectKind.TRC20_TRANSFER:
            index = _find_transfer(expect, transaction, used)
            proof = Proof.MET if index is not None else Proof.MISSING
        else:
            named = about.get(bytes.fromhex(expect.payment_id), ())
            unused = [each for each in named if each[0] not in used]
            index, proof = _find_router_event(expect, unused, paid_topic, skipped_topic)
        if index is not None:
            used.add(index)
        proofs[expect.ref] = proof
    return proofs


def _find_transfer(expect: Expect, transaction: SolidTransaction, used: set[int]) -> int | None:
    for transfer in trc20_transfers(transaction):
        if (
            transfer.log_index not in used
            and transfer.token == expect.contract
            and transfer.sender == expect.sender
            and transfer.recipient == expect.recipient
            and transfer.units == expect.units
        ):
            return transfer.log_index
    return None


def _find_router_event(
    expect: Expect,
    unused: Sequence[tuple[int, Log]],
    paid_topic: bytes,
    skipped_topic: bytes,
) -> tuple[int | None, Proof]:
    """Of the logs with the payment's id the first that says what became of it."""
    recipient = address_bytes(expect.recipient)[1:].rjust(32, b"\0")
    for index, log in unused:
        if log.address != expect.contract:
            continue
        if log.topics[0] == skipped_topic:
            return index, Proof.SKIPPED
        if (
            log.topics[0] == paid_topic
            and log.topics[2:3] == (recipient,)
            and log.data == expect.units.to_bytes(32, "big")
        ):
            return index, Proof.MET
    return None, Proof.MISSING


def rank_of(created_ms: int, priority_bonus_ms: int) -> int:
    """Orders go by rank, lowest first. A bonus is a head start in time, so nobody starves."""
    return created_ms - priority_bonus_ms


UNSTATED: Final = frozenset({"DEFAULT", ""})
"""A contract call's receipt that names no result proves neither payment nor failure."""


def settled_status(result: str, proofs: Iterable[str]) -> OrderStatus:
    """The status of an order whose transaction stands in a solidified block.

    receipt      all proofs met or skipped   status
    SUCCESS      yes                         SETTLED
    SUCCESS      no                          QUARANTINED  (paid something else? a human looks)
    unstated     -                           QUARANTINED  (a node that keeps no results)
    other        -                           FAILED       (consumed; the fee is gone)
    """
    if result in UNSTATED:
        return OrderStatus.QUARANTINED
    if result != "SUCCESS":
        return OrderStatus.FAILED
    if any(proof == Proof.MISSING for proof in proofs):
        return OrderStatus.QUARANTINED
    return OrderStatus.SETTLED

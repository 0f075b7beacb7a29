"""Defects planted by hand: each takes away one guard of the real code, for one test.

`docs/exactly-once.md` has the table; `test_planted_defects.py` sees that each is caught.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import pytest

from tests.conftest import Mongo
from tests.engine.sim_node import SimNode
from tron_payment import chain
from tron_payment.chain import Follower, MongoCursors, Nodes, SolidBlock, SolidTransaction
from tron_payment.core.address import Address
from tron_payment.core.clock import to_ms
from tron_payment.db import cas, ledger
from tron_payment.db.ledger import Ledger, LedgerEntry, View
from tron_payment.engine import Order, OrderStatus, domain, safe_mode, settle
from tron_payment.engine import documents as store
from tron_payment.engine.dispatch import Dispatcher
from tron_payment.engine.safe_mode import SafeModes
from tron_payment.engine.settle import Settler
from tron_payment.wallets import journal

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], Awaitable[None]]


@dataclass(frozen=True)
class Defect:
    """What a hurried colleague might write, and the tests that have to notice."""

    name: str
    means: str
    plant: Plant
    caught_by: tuple[str, ...]
    """``module::test`` or ``module::test[scenario]``; ``simulation`` for seeds."""


def _move_back(order: Order, clock: Any) -> Any:
    """Build another transaction, a little later."""
    now = clock.now()
    again = {"live_txid": None, "live_expiration_ms": None, "due_at": now + timedelta(seconds=5)}
    return store.move(order, OrderStatus.RESERVED, now, set=again)


async def _without_index(patch: Patch, name: str) -> None:
    """Drop it now, and again whenever a test connects."""
    real = Mongo.connect

    async def connect(self: Mongo, documents: Any) -> Any:
        store = await real(self, documents)
        await LedgerEntry.get_pymongo_collection().drop_index(name)
        return store

    patch.setattr(Mongo, "connect", connect)
    await LedgerEntry.get_pymongo_collection().drop_index(name)


async def broadcast_before_storing(patch: Patch) -> None:
    nodes: list[Nodes] = []
    sign, apply_moves = Dispatcher.sign, store.apply_moves

    async def signing(self: Dispatcher, orders: Sequence[Order]) -> None:
        nodes[:] = [self._nodes]
        await sign(self, orders)

    async def eager(moves: Sequence[Any]) -> set[str]:
        for move in moves:
            if (attempt := move.push.get("attempts")) is not None:
                await nodes[0].broadcast(chain.signed(attempt["raw"], attempt["signatures"]))
        return await apply_moves(moves)

    patch.setattr(Dispatcher, "sign", signing)
    patch.setattr(store, "apply_moves", eager)


async def expire_by_our_clock(patch: Patch) -> None:
    await _expire_at(patch, lambda settler, block: to_ms(settler._clock.now()))


async def expire_by_the_head(patch: Patch) -> None:
    seen = {"ms": 0}
    real = Nodes.head

    async def head(self: Nodes) -> Any:
        found = await real(self)
        seen["ms"] = max(seen["ms"], found.timestamp_ms)
        return found

    step = Dispatcher.step

    async def watching(self: Dispatcher) -> bool:
        await self._nodes.head()
        return await step(self)

    patch.setattr(Nodes, "head", head)
    patch.setattr(Dispatcher, "step", watching)
    await _expire_at(patch, lambda settler, block: max(seen["ms"], block.timestamp_ms))


async def _expire_at(patch: Patch, now_ms: Callable[[Settler, SolidBlock], int]) -> None:
    real = Settler._bury

    async def bury(self: Settler, block: SolidBlock) -> None:
        shown = replace(block, timestamp_ms=now_ms(self, block))
        await real(self, shown)

    patch.setattr(Settler, "_bury", bury)


async def _after_answers(
    patch: Patch, judge: Callable[[Sequence[Any]], OrderStatus | None]
) -> None:
    real = Nodes.broadcast
    said: dict[str, Sequence[Any]] = {}

    async def listen(self: Nodes, signed: bytes) -> Any:
        answers = await real(self, signed)
        said[chain.txid(chain.split_signed(signed)[0])] = answers
        return answers

    broadcast = Dispatcher.broadcast

    async def believe(self: Dispatcher, orders: Sequence[Order]) -> None:
        await broadcast(self, orders)
        for order in orders:
            status = judge(said.get(order.live_txid or "", ()))
            if status is OrderStatus.RESERVED:
                await store.apply_moves([_move_back(order, self._clock)])
            elif status is not None:
                await store.apply_moves([store.move(order, status, self._clock.now())])

    patch.setattr(Nodes, "broadcast", listen)
    patch.setattr(Dispatcher, "broadcast", believe)


async def refusal_is_proof_of_failure(patch: Patch) -> None:
    refusals = {"CONTRACT_VALIDATE_ERROR", "SERVER_BUSY", "NOT_ENOUGH_EFFECTIVE_CONNECTION"}

    def judge(answers: Sequence[Any]) -> OrderStatus | None:
        refused = bool(answers) and all(each.code in refusals for each in answers)
        return OrderStatus.RESERVED if refused else None

    await _after_answers(patch, judge)


async def timeout_is_proof_of_failure(patch: Patch) -> None:
    def judge(answers: Sequence[Any]) -> OrderStatus | None:
        silent = bool(answers) and all(each.code == "UNAVAILABLE" for each in answers)
        return OrderStatus.RESERVED if silent else None

    await _after_answers(patch, judge)


async def duplicate_is_proof_of_payment(patch: Patch) -> None:
    def judge(answers: Sequence[Any]) -> OrderStatus | None:
        there = any(each.code == "DUP_TRANSACTION_ERROR" for each in answers)
        return OrderStatus.SETTLED if there else None

    await _after_answers(patch, judge)


async def success_is_proof_of_payment(patch: Patch) -> None:
    def judge(answers: Sequence[Any]) -> OrderStatus | None:
        return OrderStatus.SETTLED if any(each.accepted for each in answers) else None

    await _after_answers(patch, judge)


async def settle_on_the_head(patch: Patch) -> None:
    patch.setattr(Nodes, "solid_head", Nodes.head)
    patch.setattr(SimNode, "_require", lambda self, number, solid=True: None)


async def no_compare_and_set(patch: Patch) -> None:
    real = cas._written

    def written(model: Any, move: Any, operation: str) -> Any:
        _, change = real(model, move, operation)
        return {"_id": move.doc_id}, change

    patch.setattr(cas, "_written", written)


async def reserve_twice(patch: Patch) -> None:
    await _without_index(patch, "reserves")


async def no_tombstone(patch: Patch) -> None:
    real = Ledger.append

    async def append(self: Ledger, build: Any) -> Any:
        entry = await real(self, build)
        if entry is not None and entry.finals:
            await LedgerEntry.get_pymongo_collection().update_many(
                {"reserves": {"$in": entry.finals}}, {"$unset": {"reserves": ""}}
            )
        return entry

    patch.setattr(Ledger, "append", append)


async def point_look_up(patch: Patch) -> None:
    """Ask for the transaction by its id once its time is over, and believe the absence."""
    step = Dispatcher.step

    async def look(self: Dispatcher) -> bool:
        solid = await self._nodes.solid_head()
        node: Any = self._nodes.members[0].client
        for order in await store.expired(solid.timestamp_ms):
            upto = node.network.solid_number - node.lag()
            if node.network.included.get(order.live_txid or "", upto + 1) > upto:
                await store.apply_moves([_move_back(order, self._clock)])
        return await step(self)

    patch.setattr(Dispatcher, "step", look)


async def skip_blocks(patch: Patch) -> None:
    """Read only the newest solid block: cheaper when behind."""
    real = Follower.step

    async def step(self: Follower) -> bool:
        at, head = await self._cursor.load(), await self._nodes.solid_head()
        if at is not None and head.number > at.number + 1:
            before = await self._nodes.read(lambda node: node.header(head.number - 1))
            await self._cursor.advance(
                at,
                replace(
                    at,
                    number=before.number,
                    block_id=before.block_id,
                    timestamp_ms=before.timestamp_ms,
                ),
            )
        return await real(self)

    patch.setattr(Follower, "step", step)


async def cursor_before_effects(patch: Patch) -> None:
    real = Follower.step

    async def step(self: Follower) -> bool:
        handlers, advance = self._handlers, self._advance
        block_seen: list[SolidBlock] = []

        async def remember(block: SolidBlock) -> None:
            block_seen.append(block)

        async def early(position: Any, block: SolidBlock) -> None:
            await advance(position, block)
            for handle in handlers:
                await handle(block)

        self._handlers, self._advance = [remember], early  # type: ignore[method-assign]
        try:
            return await real(self)
        finally:
            self._handlers = handlers
            del self._advance

    patch.setattr(Follower, "step", step)


async def ignore_the_receipt(patch: Patch) -> None:
    patch.setattr(SolidTransaction, "succeeded", property(lambda self: True))
    patch.setattr(settle, "settled_status", lambda result, proofs: OrderStatus.SETTLED)


async def ignore_the_event(patch: Patch) -> None:
    def status(result: str, proofs: Any) -> OrderStatus:
        return OrderStatus.SETTLED if result == "SUCCESS" else OrderStatus.FAILED

    patch.setattr(settle, "settled_status", status)


async def equal_timestamps(patch: Patch) -> None:
    real = chain.encode

    def encode(said: chain.RawData) -> bytes:
        return real(replace(said, timestamp_ms=said.timestamp_ms // 1_000 * 1_000))

    patch.setattr(chain, "encode", encode)


async def no_funds_check(patch: Patch) -> None:
    class Rich(dict[Any, int]):
        def __missing__(self, key: Any) -> int:
            return 1 << 60

    async def balances(self: View, keys: Any) -> Any:
        return Rich()

    patch.setattr(View, "balances", balances)


async def late_block_entries(patch: Patch) -> None:
    async def never(self: Settler, block: SolidBlock) -> bool:
        return False

    real = View.holders

    async def uncounted(self: View, addresses: Iterable[Address]) -> dict[Address, int]:
        return dict.fromkeys(await real(self, addresses), 0)

    patch.setattr(Settler, "_is_behind_us", never)
    patch.setattr(View, "holders", uncounted)


async def go_on_after_a_contradiction(patch: Patch) -> None:
    table: Any = domain.LIFECYCLE._table
    row = table[OrderStatus.RESERVED] - {OrderStatus.QUARANTINED}
    patch.setitem(table, OrderStatus.RESERVED, row)


async def sign_while_halted(patch: Patch) -> None:
    real = MongoCursors.load

    async def load(self: MongoCursors) -> Any:
        found = await real(self)
        return None if found is None else replace(found, halted="")

    patch.setattr(MongoCursors, "load", load)


async def book_a_block_twice(patch: Patch) -> None:
    await _without_index(patch, "cause")


async def balances_without_their_number(patch: Patch) -> None:
    """Roll forward without asking whether somebody has."""
    real = ledger.UpdateOne

    def update(condition: Any, change: Any, upsert: bool = False) -> Any:
        return real({"_id": condition["_id"]}, change, upsert=upsert)

    patch.setattr(ledger, "UpdateOne", update)


async def trust_a_young_store(patch: Patch) -> None:
    """Only a store that is far behind the head may be a restored one."""

    async def nothing(books: Any, number: int, transactions: Any) -> list[str]:
        return []

    patch.setattr(safe_mode, "unknown", nothing)


async def trust_any_store(patch: Patch) -> None:
    async def never(self: SafeModes, at: Any, head: Any) -> str:
        return ""

    patch.setattr(SafeModes, "_suspicion", never)
    patch.setattr(settle, "has_forgotten", _never_forgotten)


async def book_what_was_forgotten(patch: Patch) -> None:
    """A payment that nothing explains is written down, and its order is signed again later."""
    patch.setattr(settle, "has_forgotten", _never_forgotten)


async def _never_forgotten(*_: Any) -> bool:
    return False


async def sign_what_the_chain_has(patch: Patch) -> None:
    """The signer's journal is believed to be closed once its line has expired."""
    real = journal._why_closed

    async def why(row: Any, solid: journal.Solid) -> str:
        return "expired" if row.expiration_ms <= await solid() else await real(row, solid)

    patch.setattr(journal, "_why_closed", why)


async def believe_what_we_remember(patch: Patch) -> None:
    """The process has signed it and the order has not got it: then it was never sent."""
    real = journal._why_closed

    async def why(row: Any, solid: journal.Solid) -> str:
        order = await Order.find_one({"_id": row.order_id})
        forgotten = order is not None and row.txid not in {each.txid for each in order.tried}
        return "not taken" if forgotten else await real(row, solid)

    patch.setattr(journal, "_why_closed", why)


CRASH = "tests.engine.test_crash_points::test_a_crash_at_any_point_changes_nothing"
STALE = "tests.engine.test_replicas::test_a_stale_writer_changes_nothing"
RULES = "tests.engine.test_chain_rules::"
HOSTILE = "tests.engine.test_hostile::"
ENGINE = "tests.engine.test_engine::"
RESTORE = "tests.engine.test_restore::"
YOUNG = "tests.engine.test_young_restore::"

DEFECTS: Final = (
    Defect("broadcast_before_storing", "bytes leave before they are stored",
           broadcast_before_storing, (f"{CRASH}[transfer]",)),
    Defect("expire_by_our_clock", "expiry by the wall clock", expire_by_our_clock,
           (f"{RULES}test_while_the_chain_stands_still_nothing_expires",)),
    Defect("expire_by_the_head", "expiry by the head's time", expire_by_the_head,
           (f"{RULES}test_an_expiration_that_only_the_head_has_passed_proves_nothing",)),
    Defect("refusal_is_proof_of_failure", "a refused broadcast is taken for dead",
           refusal_is_proof_of_failure,
           (f"{RULES}test_what_a_node_says_to_a_broadcast_changes_nothing[refused]",)),
    Defect("timeout_is_proof_of_failure", "a timeout is taken for dead",
           timeout_is_proof_of_failure,
           (f"{RULES}test_a_broadcast_that_times_out_changes_nothing",)),
    Defect("duplicate_is_proof_of_payment", "DUP_TRANSACTION_ERROR is taken for paid",
           duplicate_is_proof_of_payment,
           (f"{RULES}test_what_a_node_says_to_a_broadcast_changes_nothing[duplicate]",)),
    Defect("success_is_proof_of_payment", "a node's SUCCESS is taken for paid",
           success_is_proof_of_payment,
           (f"{RULES}test_what_a_node_says_to_a_broadcast_changes_nothing[success]",)),
    Defect("settle_on_the_head", "settling on an unsolidified block", settle_on_the_head,
           (f"{RULES}test_a_fork_above_the_solid_block_is_waited_out",)),
    Defect("no_compare_and_set", "moves without version and status", no_compare_and_set,
           (f"{STALE}[transfer]",)),
    Defect("reserve_twice", "the unique index over reservations is dropped", reserve_twice,
           (f"{RULES}test_funds_are_set_aside_once_whatever_batch_a_late_replica_had_in_mind",)),
    Defect("no_tombstone", "reservations are forgotten when they are spent", no_tombstone,
           (f"{RULES}test_funds_are_set_aside_once_whatever_batch_a_late_replica_had_in_mind",)),
    Defect("point_look_up", "\"not found\" is taken for absence", point_look_up,
           (f"{RULES}test_back_ends_that_disagree_about_how_far_they_are_prove_nothing",)),
    Defect("skip_blocks", "only the newest solid block is read", skip_blocks,
           (f"{CRASH}[transfer]", f"{ENGINE}test_equal_orders_have_different_txids")),
    Defect("cursor_before_effects", "the cursor moves before the block is applied",
           cursor_before_effects, (f"{CRASH}[transfer]",)),
    Defect("ignore_the_receipt", "included means paid", ignore_the_receipt,
           (f"{ENGINE}test_a_reverted_order_fails_and_its_fee_is_booked",)),
    Defect("ignore_the_event", "a receipt's SUCCESS means paid", ignore_the_event,
           (f"{HOSTILE}test_a_success_without_its_event_is_looked_at_by_a_human",)),
    Defect("equal_timestamps", "equal payments have equal bytes", equal_timestamps,
           (f"{ENGINE}test_equal_orders_have_different_txids",)),
    Defect("no_funds_check", "funds are set aside that are not there", no_funds_check,
           (f"{ENGINE}test_orders_beyond_the_funds_wait_and_nothing_is_overdrawn",)),
    Defect("late_block_entries", "a sleeper books a late block that an opening has counted",
           late_block_entries,
           (f"{HOSTILE}test_a_late_block_that_nobody_had_booked_stays_unbooked",)),
    Defect("go_on_after_a_contradiction", "an order proved dead wrongly is signed again",
           go_on_after_a_contradiction,
           (f"{HOSTILE}test_a_payment_proved_dead_that_turns_up_is_never_followed_by_a_second",)),
    Defect("sign_while_halted", "signing while the chain contradicts itself", sign_while_halted,
           (f"{HOSTILE}test_nothing_is_signed_while_the_chain_contradicts_itself",)),
    Defect("book_a_block_twice", "the unique index over causes is dropped", book_a_block_twice,
           (f"{CRASH}[transfer]",)),
    Defect("balances_without_their_number", "the balance cache is rolled forward blindly",
           balances_without_their_number, (f"{CRASH}[transfer]",)),
    Defect("trust_any_store", "a restored store is believed", trust_any_store,
           (f"{RESTORE}test_what_was_asked_for_after_the_backup_waits_for_a_human",)),
    Defect("trust_a_young_store", "a store that is not far behind is believed",
           trust_a_young_store, (f"{RESTORE}test_a_backup_of_any_age_is_noticed",)),
    Defect("book_what_was_forgotten", "a payment of an unsigned order is only written down",
           book_what_was_forgotten,
           (f"{YOUNG}test_what_was_in_no_block_at_the_start_is_paid_once",)),
    Defect("sign_what_the_chain_has", "the signer forgets what it signed before the restore",
           sign_what_the_chain_has,
           (f"{YOUNG}test_a_repeat_of_what_was_in_no_block_is_never_signed_again",)),
    Defect("believe_what_we_remember", "a signature that the store does not have was never used",
           believe_what_we_remember,
           (f"{YOUNG}test_a_process_that_goes_on_over_a_restore_trusts_no_memory_of_its_own",)),
)  # fmt: skip

"""What follows the transactions of a block: rewards, maintenance, solidity, the head's properties.

Source: Manager.processBlock, MaintenanceManager and DposService of java-tron 4.8.0.
"""

from typing import Final

import msgspec

from tron_payment.devnet import params, rewards
from tron_payment.devnet.blocks import Block
from tron_payment.devnet.records import Witness
from tron_payment.devnet.state import TAPOS, WITNESS, Get, Overlay

SKIPPED_SLOTS: Final = 2
"""Slots left empty after a maintenance block."""
SOLID_SHARE: Final = 70
"""Per cent of the representatives that must build on a block."""


def seal(state: Overlay, block: Block, slot_ms: int, changes: dict[str, int]) -> None:
    """Write into `state` what the block itself does.

    Args:
        changes: Chain parameters that are set with this block.
    """
    rewards.pay_block(state, block.witness)
    _miss(state, block, slot_ms)
    _count(state, block, slot_ms)
    _maintain(state, block)
    _solidify(state)
    for name, value in changes.items():
        params.change(state, name, value, block.timestamp_ms)
    params.write(state, params.HEAD_NUMBER, block.number)
    params.write(state, params.HEAD_TIME, block.timestamp_ms)
    state.put(TAPOS + block.id[6:8], block.id[8:16])
    state.commit()


def next_slot_ms(get: Get, slot_ms: int) -> int:
    """The earliest timestamp of the block after the head, which is not the genesis block."""
    skipped = SKIPPED_SLOTS if params.read(get, params.MAINTENANCE_SKIP) else 0
    return params.read(get, params.HEAD_TIME) + slot_ms * (1 + skipped)


def maker_at(schedule: tuple[bytes, ...], timestamp_ms: int, slot_ms: int) -> bytes:
    """The representative whose slot this is."""
    return schedule[timestamp_ms // slot_ms % len(schedule)]


def _miss(state: Overlay, block: Block, slot_ms: int) -> None:
    """Count the slots since the head that stayed empty against those whose turn it was.

    Source: StatisticManager.applyBlock of java-tron 4.8.0.
    """
    if block.number == 1:
        return
    schedule = rewards.witnesses(state.get)
    first_ms = next_slot_ms(state.get, slot_ms)
    rounds, rest = divmod(max(block.timestamp_ms - first_ms, 0) // slot_ms, len(schedule))
    missed = dict.fromkeys(schedule, rounds) if rounds else {}
    for index in range(rest):
        maker = maker_at(schedule, first_ms + index * slot_ms, slot_ms)
        missed[maker] = missed.get(maker, 0) + 1
    for address, count in missed.items():
        record: Witness = state.get(WITNESS + address)
        more = msgspec.structs.replace(record, missed=record.missed + count)
        state.put(WITNESS + address, more)


def _count(state: Overlay, block: Block, slot_ms: int) -> None:
    record: Witness = state.get(WITNESS + block.witness)
    made = msgspec.structs.replace(
        record,
        produced=record.produced + 1,
        latest_number=block.number,
        latest_slot=block.timestamp_ms // slot_ms,
    )
    state.put(WITNESS + block.witness, made)


def _maintain(state: Overlay, block: Block) -> None:
    """Close the cycle when its time is over; block 1 only sets the clock."""
    maintenance = params.read(state.get, params.MAINTENANCE_TIME)
    due = maintenance <= block.timestamp_ms
    if due:
        if block.number != 1:
            rewards.maintain(state)
        interval = params.read(state.get, "getMaintenanceTimeInterval")
        rounds = (block.timestamp_ms - maintenance) // interval
        params.write(state, params.MAINTENANCE_TIME, maintenance + (rounds + 1) * interval)
    params.write(state, params.MAINTENANCE_SKIP, int(due))


def _solidify(state: Overlay) -> None:
    """The block on which 19 of 27 have built: the latest of each, sorted, at position 8."""
    get = state.get
    latest = sorted(get(WITNESS + address).latest_number for address in rewards.witnesses(get))
    solid = latest[len(latest) * (100 - SOLID_SHARE) // 100]
    if solid > params.read(get, params.SOLID_NUMBER):
        params.write(state, params.SOLID_NUMBER, solid)

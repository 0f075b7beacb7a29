"""What the chain says that addresses have, at one solidified block, by two nodes if there are two.

A node keeps no past states: a balance belongs to a block when the block was the node's newest
solidified one before and after the reading. So two nodes are compared when both stand at the same
block; one that lags behind for long is left out for the rest of the run, and the report says how
many addresses were confirmed.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from tron_payment.chain import Cursors, NodeClient, Nodes
from tron_payment.core.address import Address
from tron_payment.core.errors import Unavailable
from tron_payment.core.money import UNITS_MAX
from tron_payment.engine import Balances, HeadMoved, Openings, Reading
from tron_payment.gateway.reconciliation_documents import Dissent

NODES: Final = 2
READS_AT_ONCE: Final = 3
"""A reading counts only when no block is solidified meanwhile, so few share the node at once."""

ROUNDS_MAX: Final = 3
READS_MAX: Final = 40
READ_AGAIN_S: Final = 0.05
WITNESS_LOOKS_MAX: Final = 10
"""How often the two nodes may stand at different blocks before an address goes unconfirmed."""

WITNESS_MISSES_MAX: Final = 3
"""After so many unconfirmed addresses the second node is left alone for the rest of the run."""

FOLLOWER_LOOKS_MAX: Final = 1_000
FOLLOWER_LOOK_S: Final = 0.05

log = structlog.get_logger()


class ChainMoving(Unavailable, code="chain_moving"):
    """The solidified block moved during every read; try again."""


@dataclass(slots=True)
class Witnesses:
    """How the second node fares in one run."""

    confirmed: int = 0
    missed: int = 0
    dissent: list[Dissent] = field(default_factory=list)

    @property
    def are_asked(self) -> bool:
        return self.missed < WITNESS_MISSES_MAX


@dataclass(frozen=True, slots=True)
class Read:
    """One address as the preferred node shows it."""

    block_number: int
    balances: Balances


class Readings:
    """Reads the chain for a reconciliation."""

    def __init__(self, nodes: Nodes, openings: Openings, cursors: Cursors) -> None:
        self._nodes = nodes
        self._openings = openings
        self._cursors = cursors

    async def can_begin(self) -> bool:
        """Whether our follower stands somewhere; before, no block is ever booked."""
        return await self._cursors.load() is not None

    async def of(self, addresses: Sequence[Address], witnesses: Witnesses) -> dict[Address, Read]:
        """Balances of all at one block; at several blocks when it keeps moving.

        Raises:
            ChainMoving: Blocks come faster than an address can be read.
            NodesUnavailable: No node answers.
        """
        found: list[tuple[Reading, Reading | None]] = []
        for _ in range(ROUNDS_MAX):
            cursor = await self._cursors.load()
            found = await self._each(addresses, cursor.number if cursor else 0, witnesses)
            if len({reading.block_number for reading, _ in found}) == 1:
                break
        for address, (reading, other) in zip(addresses, found, strict=True):
            if other is not None:
                _compare(address, reading, other, witnesses)
        return {
            address: Read(reading.block_number, reading.balances)
            for address, (reading, _) in zip(addresses, found, strict=True)
        }

    async def applied(self, block_number: int) -> None:
        """Wait until our follower has booked this block.

        Raises:
            ChainMoving: It has not for a long while.
        """
        for _ in range(FOLLOWER_LOOKS_MAX):
            cursor = await self._cursors.load()
            if cursor is not None and cursor.number >= block_number:
                return
            await asyncio.sleep(FOLLOWER_LOOK_S)
        raise ChainMoving(f"block {block_number} is not booked yet")

    async def _each(
        self, addresses: Sequence[Address], not_before: int, witnesses: Witnesses
    ) -> list[tuple[Reading, Reading | None]]:
        gate = asyncio.Semaphore(READS_AT_ONCE)
        nodes = await self._nodes.picks(NODES)

        async def one(address: Address) -> tuple[Reading, Reading | None]:
            async with gate:
                return await self._confirmed(nodes, address, not_before, witnesses)

        return list(await asyncio.gather(*(one(address) for address in addresses)))

    async def _confirmed(
        self,
        nodes: Sequence[NodeClient],
        address: Address,
        not_before: int,
        witnesses: Witnesses,
    ) -> tuple[Reading, Reading | None]:
        """One address by both nodes at the same block, else by the first alone."""
        first, *others = nodes
        reading = await self._reading(first, address, not_before)
        if not others or not witnesses.are_asked:
            return reading, None
        for _ in range(WITNESS_LOOKS_MAX):
            try:
                other = await self._openings.reading(
                    others[0], address, not_before=reading.block_number
                )
            except HeadMoved:
                await asyncio.sleep(READ_AGAIN_S)
                continue
            except Unavailable as problem:
                log.info("reconciliation.unconfirmed", node=others[0].alias, reason=problem.code)
                break
            if other.block_number == reading.block_number:
                return reading, other
            reading = await self._reading(first, address, other.block_number)
            if other.block_number == reading.block_number:
                return reading, other
        witnesses.missed += 1
        return reading, None

    async def _reading(self, node: NodeClient, address: Address, not_before: int) -> Reading:
        for _ in range(READS_MAX):
            try:
                return await self._openings.reading(node, address, not_before=not_before)
            except HeadMoved:
                await asyncio.sleep(READ_AGAIN_S)
        raise ChainMoving


def _compare(address: Address, reading: Reading, other: Reading, witnesses: Witnesses) -> None:
    """Note what the two nodes see differently, one line for each pocket and asset."""
    if reading.block_id != other.block_id:
        witnesses.dissent.append(
            Dissent(
                address, "", "", reading.node, 0, other.node, 0, reading.block_number, "block_id"
            )
        )
        return
    lines = [
        Dissent(
            address,
            asset,
            pocket.value,
            reading.node,
            min(reading.balances.get((pocket, asset), 0), UNITS_MAX),
            other.node,
            min(other.balances.get((pocket, asset), 0), UNITS_MAX),
            reading.block_number,
            "units",
        )
        for pocket, asset in sorted(reading.balances.keys() | other.balances.keys())
        if reading.balances.get((pocket, asset), 0) != other.balances.get((pocket, asset), 0)
    ]
    witnesses.dissent += lines
    witnesses.confirmed += not lines

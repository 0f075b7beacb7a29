"""The follower's certificate: these blocks were all read, and anybody can check which they were.

Blocks are remembered while they are followed; a loop seals each segment, so that following never
waits for it. What a restart has forgotten is read again, and the certificate says so.
"""

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from tron_payment.chain import Cursors, NodeClient, Nodes, SolidBlock
from tron_payment.core.clock import Clock
from tron_payment.core.errors import NotFound, Refused
from tron_payment.network import documents as store
from tron_payment.network.documents import Certificate

SEGMENT_BLOCKS: Final = 100
"""Five minutes of main net in one certificate."""

REMEMBERED_MAX: Final = 10_000
READS_AT_ONCE: Final = 8
FIRST_HASH: Final = "0" * 64


class CertificateNotFound(NotFound, code="certificate_not_found"):
    """No certificate begins at this block."""


class UnknownNode(Refused, code="unknown_node"):
    """No node has this alias."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a certificate says of one block."""

    block_id: str
    transactions: int


@dataclass(frozen=True, slots=True)
class Check:
    """A certificate computed again from one node's blocks."""

    certificate: Certificate
    node: str
    hash: str

    @property
    def agrees(self) -> bool:
        return self.hash == self.certificate.hash


class Certificates:
    """Makes and checks certificates."""

    def __init__(self, *, nodes: Nodes, cursors: Cursors, clock: Clock) -> None:
        self._nodes = nodes
        self._cursors = cursors
        self._clock = clock
        self._seen: OrderedDict[int, Seen] = OrderedDict()

    async def on_block(self, block: SolidBlock) -> None:
        """Remember that this block was read."""
        self._remember(block)

    def _remember(self, block: SolidBlock) -> None:
        self._seen[block.number] = Seen(block.block_id, len(block.transactions))
        while len(self._seen) > REMEMBERED_MAX:
            self._seen.popitem(last=False)

    def passes(self, block: SolidBlock) -> bool:
        """The same for a block that concerns nobody else."""
        self._remember(block)
        return True

    async def step(self) -> bool:
        """Seal the next segment that was read completely; True when the one behind it was, too.

        One segment by itself is no sign of work: it would keep every other loop of an idle
        service awake.
        """
        position = await self._cursors.load()
        if position is None:
            return False
        last = await store.last_certificate()
        first = position.started_at_number + 1 if last is None else last.to_block + 1
        to_block = first // SEGMENT_BLOCKS * SEGMENT_BLOCKS + SEGMENT_BLOCKS - 1
        if position.number < to_block:
            return False
        numbers = range(first, to_block + 1)
        lacking = [number for number in numbers if number not in self._seen]
        found = {number: self._seen[number] for number in numbers if number in self._seen}
        found |= await _read(self._nodes, lacking)
        previous = FIRST_HASH if last is None else last.hash
        ours, exact = await store.booked_transactions(first, to_block)
        await store.remember_certificate(
            Certificate(
                id=store.certificate_id(first),
                from_block=first,
                to_block=to_block,
                transactions=sum(each.transactions for each in found.values()),
                ours=ours,
                ours_exact=exact,
                reread_blocks=len(lacking),
                previous_hash=previous,
                hash=chained(previous, [found[number] for number in numbers]),
                made_at=self._clock.now(),
            )
        )
        for number in numbers:
            self._seen.pop(number, None)
        return position.number >= to_block + SEGMENT_BLOCKS

    async def check(self, from_block: int, node: str | None) -> Check:
        """Compute a certificate again.

        Args:
            node: Read from the node with this alias; None for the preferred one.

        Raises:
            CertificateNotFound, UnknownNode
            NodesUnavailable: The node does not answer.
        """
        certificate = await store.certificate(from_block)
        if certificate is None:
            raise CertificateNotFound(param="from_block")
        aliases = [each.alias for each in self._nodes.status()]
        if node is not None and node not in aliases:
            raise UnknownNode("one of " + ", ".join(aliases), param="node")
        numbers = range(certificate.from_block, certificate.to_block + 1)
        found = await _read(self._nodes, list(numbers), node)
        again = chained(certificate.previous_hash, [found[number] for number in numbers])
        return Check(certificate, node or aliases[0], again)


def chained(previous_hash: str, blocks: list[Seen]) -> str:
    """The hash of a segment, from the hash of the one before."""
    digest = bytes.fromhex(previous_hash)
    for each in blocks:
        content = digest + bytes.fromhex(each.block_id) + each.transactions.to_bytes(4)
        digest = hashlib.sha256(content).digest()
    return digest.hex()


async def _read(nodes: Nodes, numbers: list[int], alias: str | None = None) -> dict[int, Seen]:
    """Solidified blocks, read (again) a few at once."""
    gate = asyncio.Semaphore(READS_AT_ONCE)

    async def one(number: int) -> Seen:
        async def ask(node: NodeClient) -> Seen:
            block = await node.block(number)
            return Seen(block.block_id, len(block.transactions))

        async with gate:
            return await (nodes.read(ask) if alias is None else nodes.ask(alias, ask))

    found = await asyncio.gather(*(one(number) for number in numbers))
    return dict(zip(numbers, found, strict=True))

"""Nodes that were outvoted stay apart: for every process, over restarts, until a person decides."""

from datetime import datetime
from typing import ClassVar, Final

from beanie import Document
from pymongo import IndexModel

from tron_payment.chain.nodes import Nodes
from tron_payment.core.clock import Clock
from tron_payment.core.ids import new_id
from tron_payment.db.audit import Act, Audit
from tron_payment.db.cas import insert_once
from tron_payment.db.faults import store_errors

APART_POLL_S: Final = 5.0
"""How soon other processes know."""

KEPT_MAX: Final = 100
"""More than anybody configures; what was taken out of the configuration is forgotten by nobody."""


class ApartNode(Document):
    """Found by one process, heeded by all."""

    id: str  # type: ignore[assignment]
    """`NodeClient.identity`."""

    alias: str
    """Its name in the configuration of who found it."""

    block_number: int
    shown: str
    since: datetime
    untold: str = ""
    """The audit entry's id as long as it is not in the log."""

    class Settings:
        name = "nodes_apart"
        indexes: ClassVar[list[IndexModel]] = []


class Apart:
    """Keeps `Nodes` and the store at one. A process that dies before it has written down what it
    found finds it again: the node is asked for the next block, too. One that dies after that and
    before it is audited leaves the audit to the next step of any process; the entry's id is stored
    with the node, so it is there once."""

    def __init__(self, nodes: Nodes, clock: Clock, audit: Audit) -> None:
        self._members = nodes.members
        self._outvotes = nodes.outvotes
        self._clock = clock
        self._audit = audit
        self._kept: set[str] = set()

    async def step(self) -> bool:
        """Write down what this process has found, learn what others have, let back whom a person
        has let back; never has more to do. Where nobody is outvoted any more, all nodes count.

        Raises:
            StoreUnavailable: Nothing is believed of a node that was apart.
        """
        if not self._outvotes:
            return False
        stored = {each.id: each for each in await self.load()}
        for identity, each in stored.items():
            self._members.keep_apart(identity, each.block_number, each.shown)
        for identity, found in self._members.apart().items():
            if identity in stored:
                continue
            if identity in self._kept:
                self._members.readmit(identity)
                continue
            document = ApartNode(
                id=identity,
                alias=found.alias,
                block_number=found.block_number,
                shown=found.shown,
                since=self._clock.now(),
                untold=new_id("aud"),
            )
            if not await insert_once(document):
                document.untold = ""  # another process has found it, too
            stored[identity] = document
        self._kept = set(stored)
        for document in stored.values():
            if document.untold:
                await self._tell(document)
        return False

    async def _tell(self, found: ApartNode) -> None:
        await self._audit.append(
            Act(
                actor="service",
                role="service",
                action="node.set_apart",
                object_id=found.alias,
                after={"block_number": found.block_number, "shown": found.shown},
                entry_id=found.untold,
                at=found.since,
            )
        )
        with store_errors():
            await ApartNode.get_pymongo_collection().update_one(
                {"_id": found.id, "untold": found.untold}, {"$set": {"untold": ""}}
            )

    @staticmethod
    async def load() -> list[ApartNode]:
        """All that are apart, also those that are not configured any more."""
        with store_errors():
            return await ApartNode.find_all(limit=KEPT_MAX).to_list()

    @staticmethod
    async def let_back(identity: str) -> None:
        """Every process uses the node again within `APART_POLL_S`. For a person who has looked."""
        with store_errors():
            await ApartNode.get_pymongo_collection().delete_one({"_id": identity})

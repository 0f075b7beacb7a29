"""All nodes together: reads with failover, broadcasts to everybody, blocks by agreement."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Final, TypeVar

import structlog

from tron_payment.chain.answers import Receipt
from tron_payment.chain.behind import Behind
from tron_payment.chain.blocks import BlockHeader, SolidBlock, internal_disagreement, with_internal
from tron_payment.chain.breaker import BreakerState
from tron_payment.chain.errors import (
    ChainContradiction,
    NodeRefused,
    NodesUnavailable,
    WrongNetwork,
)
from tron_payment.chain.members import UNAVAILABLE, Member, Members, alone
from tron_payment.chain.members import NodeAnswer as NodeAnswer
from tron_payment.chain.members import NodeStatus as NodeStatus
from tron_payment.chain.node import NodeClient
from tron_payment.chain.prices import agreed_parameters
from tron_payment.chain.views import Account, AccountResources, CallResult, ContractInfo
from tron_payment.chain.witness import read_block, same_header, witness
from tron_payment.core.address import Address
from tron_payment.core.errors import Unavailable

T = TypeVar("T")

log = structlog.get_logger()


class Nodes:
    """The configured nodes, in order of preference.

    Args:
        clients: At least one.
        agreement: How many nodes must show the same id for a solidified block.
        monotonic: Seconds for the breakers.
        outvotes: Whether a node is set apart that shows another solidified block than `agreement`
            nodes and the majority of all; else any dissent is a contradiction.
    """

    def __init__(
        self,
        clients: Sequence[NodeClient],
        agreement: int = 1,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        outvotes: bool = False,
    ) -> None:
        assert 1 <= agreement <= len(clients), "as many nodes as have to agree"
        self.agreement: Final = agreement
        self.outvotes: Final = outvotes
        self.members: Final = Members(clients, agreement, monotonic)
        self._behind = Behind(self.members, self.solid_header, monotonic)

    # ---- reads -------------------------------------------------------------------------------

    async def read(self, call: Callable[[NodeClient], Awaitable[T]]) -> T:
        """The first answer that a node gives, in order of preference.

        Raises:
            NodeRefused: java-tron refuses, with a code of its own.
            NodesUnavailable: No node answers.
        """
        answer, _ = await self.members.read(call)
        return answer

    async def pick(self) -> NodeClient:
        """A node that answers now, for reads that must all come from the same one.

        Raises:
            NodesUnavailable: No node answers.
        """
        (found,) = await self.picks(1)
        return found

    async def picks(self, count: int) -> tuple[NodeClient, ...]:
        """Up to `count` nodes that answer now, for reads that are compared with each other.

        Contract calls are among such reads: one that stalls them is taken after the others.

        Raises:
            NodesUnavailable: No node answers.
        """
        found: list[NodeClient] = []
        for member in self.members.by_preference(calls=True):
            if len(found) < count and member.may_be_asked:
                answer = await self.members.ask(member, lambda node: node.solid_head())
                if isinstance(answer, BlockHeader):
                    found.append(member.client)
        if not found:
            raise NodesUnavailable("no node answers")
        return tuple(found)

    async def ask(self, alias: str, call: Callable[[NodeClient], Awaitable[T]]) -> T:
        """What one node says, and no other.

        Args:
            alias: Of a configured node.

        Raises:
            NodeRefused: java-tron refuses, with a code of its own.
            Unavailable: It does not answer, or rests after failures.
        """
        (member,) = [each for each in self.members if each.client.alias == alias]
        if not member.breaker.admits():
            raise NodesUnavailable(f"{alias} rests after failures")
        answer = await self.members.ask(member, call)
        if isinstance(answer, NodeRefused | Unavailable):
            raise answer
        return answer

    async def head(self) -> BlockHeader:
        """The newest block that half of the nodes that answer have reached, and `agreement` nodes
        if so many answer.

        So of three neither one that stands still nor one that runs ahead tells the time.

        Raises:
            NodesUnavailable: No node answers.
        """
        heads, problem = await self._heads(lambda node: node.head(), need=1)
        for member, head in heads:
            member.head = head
        if not heads:
            raise NodesUnavailable(problem or "all nodes rest after failures")
        newest = sorted((h for _, h in heads), key=lambda h: (-h.timestamp_ms, -h.number))
        half = (len(newest) + 1) // 2
        return newest[max(half, min(self.agreement, len(newest))) - 1]

    async def solid_head(self) -> BlockHeader:
        """The newest solidified block that `agreement` nodes have reached.

        Raises:
            NodesUnavailable: Fewer nodes answer.
        """
        found, _ = await self._heads(lambda node: node.solid_head(), need=self.agreement)
        for member, head in found:
            member.solid = head
        if len(found) < self.agreement:
            raise NodesUnavailable(f"{len(found)} of {self.agreement} nodes show a solid block")
        newest = sorted((head for _, head in found), key=lambda head: -head.number)
        return newest[self.agreement - 1]

    async def _heads(
        self, call: Callable[[NodeClient], Awaitable[BlockHeader]], need: int
    ) -> tuple[list[tuple[Member, BlockHeader]], str]:
        """What each node in use shows, and the last failure."""
        members = self.members.usable(need)
        answers = await asyncio.gather(*(self.members.ask(member, call) for member in members))
        heads, problem = [], ""
        for member, answer in zip(members, answers, strict=True):
            if isinstance(answer, BlockHeader):
                heads.append((member, answer))
            else:
                problem = answer.detail
        return heads, problem

    async def account(self, address: Address, *, solid: bool = False) -> Account | None:
        return await self.read(lambda node: node.account(address, solid))

    async def resources(self, address: Address) -> AccountResources:
        return await self.read(lambda node: node.resources(address))

    async def parameters(self) -> Mapping[str, int]:
        return await agreed_parameters(self.members, self.agreement)

    async def contract(self, address: Address) -> ContractInfo | None:
        return await self.read(lambda node: node.contract(address))

    async def constant_call(
        self,
        owner: Address,
        contract: Address | None,
        data: bytes,
        call_value_sun: int = 0,
        solid: bool = False,
    ) -> CallResult:
        """Run a contract, or the creation of one (`NodeClient.constant_call`), sending nothing."""
        what = sha256((contract or "").encode() + data).digest()
        answer, _ = await self.members.read(
            lambda node: node.constant_call(owner, contract, data, call_value_sun, solid), what
        )
        return answer

    # ---- solidified blocks -------------------------------------------------------------------

    async def solid_block(self, number: int) -> SolidBlock:
        """A solidified block with its receipts, both from one node, all of it confirmed by others.

        Raises:
            NodesUnavailable: Nobody has it whole, or too few confirm it yet.
            ChainContradiction: Another node shows another block or other receipts at this height,
                and is not outvoted. This is for a human: it must not be tried again silently.
        """
        for _ in self.members:  # each further turn has set apart the node that was read
            block, reader = await self.members.read(lambda node: read_block(node, number))
            told: dict[str, Sequence[Receipt]] = {}
            asks = partial(witness, block, told)
            confirming = await self._confirming(number, block.block_id, reader, asks)
            if confirming is not None:
                whole = self._with_internal(block, reader, {a: told[a] for a in confirming})
                return replace(whole, is_evidence=True)
        raise NodesUnavailable(f"no node is left whose block {number} others confirm")

    async def solid_header(self, number: int) -> BlockHeader:
        """The header alone, confirmed in the same way; raises the same."""
        for _ in self.members:
            header, reader = await self.members.read(lambda node: node.header(number))
            asks = partial(same_header, header)
            if await self._confirming(number, header.block_id, reader, asks) is not None:
                return header
        raise NodesUnavailable(f"no node is left whose block {number} others confirm")

    def _with_internal(
        self, block: SolidBlock, reader: Member, told: Mapping[str, Sequence[Receipt]]
    ) -> SolidBlock:
        """A node that says otherwise what contracts have moved outvotes nobody, nor is outvoted:
        silence about it is common, so that a majority says nothing."""
        if self.agreement == 1:
            return block
        if said := internal_disagreement(block, told):
            what = f"block {block.number} {block.block_id}"
            raise self._contradiction(block.number, what, reader, said)
        return with_internal(block, reader.client.alias, told, self.agreement)

    async def _confirming(
        self,
        number: int,
        block_id: str,
        reader: Member,
        asks: Callable[[NodeClient], Awaitable[str]],
    ) -> list[str] | None:
        """Let the others confirm what one node showed; each says "" or what it sees instead.

        Returns:
            Who confirms it, the reader left out. None when the reader itself is outvoted, by now
            or by this: nothing is confirmed.
        """
        if self.agreement == 1:
            return []
        what = f"block {number} {block_id}"
        others = [m for m in self.members.usable(self.agreement) if m is not reader]
        answers = await asyncio.gather(*(self.members.ask(other, asks) for other in others))
        seen = {
            other.client.alias: answer
            for other, answer in zip(others, answers, strict=True)
            if isinstance(answer, str)
        }
        if any(seen.values()) and not self._outvote(number, what, reader, seen):
            contradiction = self._contradiction(number, what, reader, seen)
            if self._may_be_decided(reader, seen):
                raise NodesUnavailable(f"{contradiction.reason}; the nodes that are away decide")
            raise contradiction
        if reader.apart:
            return None
        confirming = [alias for alias, text in seen.items() if not text]
        if len(confirming) < self.agreement - 1:
            by = f"{len(confirming)} of {self.agreement - 1}"
            raise NodesUnavailable(f"{what} is confirmed by {by}")
        for member in self.members:
            member.agreed(number)
        self._behind.confirmed(number, block_id)
        return confirming

    def _outvote(
        self, number: int, what: str, reader: Member, said: Mapping[str, str]
    ) -> tuple[str, ...]:
        """Set apart who stands against `agreement` nodes and the majority of all configured ones.

        Those set apart before count as nodes that do not agree: two of three can outvote the
        third, and then either of the two stops everything.
        """
        if not self.outvotes:
            return ()
        odd = alone({**said, reader.client.alias: ""}, self._least)
        for member in self.members:
            if member.client.alias in odd:
                self.members.set_apart(member, number, said.get(member.client.alias) or what)
        return odd

    def _may_be_decided(self, reader: Member, said: Mapping[str, str]) -> bool:
        """Whether those that have said nothing could outvote somebody once they do."""
        if not self.outvotes:
            return False
        shown = Counter(["", *said.values()])
        heard = {reader.client.alias, *said}
        silent = sum(not m.apart and m.client.alias not in heard for m in self.members)
        return max(shown.values()) + silent >= self._least

    @property
    def _least(self) -> int:
        """How many must show the same to outvote anybody: a majority of all, at rest or apart."""
        return max(self.agreement, len(self.members) // 2 + 1)

    async def compare(self, alias: str, number: int) -> str:
        """What one node shows otherwise than those whose word counts; empty when nothing.

        Raises:
            NodesUnavailable, ChainContradiction: As `solid_block`.
            NodeRefused, Unavailable: It does not answer.
        """
        return await self.ask(alias, partial(witness, await self.solid_block(number), {}))

    async def compare_behind(self) -> None:
        """Compare the nodes that are behind at their own height, as last seen by `solid_head`.

        Mostly this asks nobody. One that does not keep that block stops nothing.

        Raises:
            ChainContradiction: As `solid_block`.
        """
        if self.agreement > 1:
            await self._behind.compare()

    def _contradiction(
        self, number: int, what: str, reader: Member, said: Mapping[str, str]
    ) -> ChainContradiction:
        """Who shows what, and who stands alone with it if a majority can tell."""
        name = reader.client.alias
        odd = alone({**said, name: ""})
        seen = {alias: text or what for alias, text in said.items()} | {name: what}
        shown = "; ".join(f"{alias}: {seen[alias]}" for alias in (name, *said) if seen[alias])
        verdict = f"; alone: {', '.join(odd)}" if odd else ""
        for member in self.members:
            alias = member.client.alias
            if alias in (odd or seen):
                member.dissented(number, seen[alias])
        return ChainContradiction(f"nodes contradict each other: {shown}{verdict}", seen)

    # ---- broadcasts --------------------------------------------------------------------------

    async def broadcast(self, signed: bytes) -> tuple[NodeAnswer, ...]:
        """Give the same bytes to all nodes at once; never raises for a node's failure.

        Resting nodes are left out while another one is in use, so that a dead node does not make
        every payment wait; the bytes are sent again later anyway.
        """
        targets = [each for each in self.members if each.breaker.state is BreakerState.CLOSED]
        targets = targets or list(self.members)
        answers = await asyncio.gather(*(self.members.tell(member, signed) for member in targets))
        resting = [member.client.alias for member in self.members if member not in targets]
        silence = "resting after failures"
        return (*answers, *(NodeAnswer(a, False, UNAVAILABLE, silence) for a in resting))

    # ---- who they are and how they fare ------------------------------------------------------

    async def check_genesis(self, expected: str | None) -> str:
        """See that every node that answers belongs to the chain; remember it for the others.

        Args:
            expected: The genesis block id, or None to take the one that the nodes agree on.

        Raises:
            WrongNetwork: A node of another chain.
            NodesUnavailable: No node answers.
        """
        found = await asyncio.gather(
            *(self.members.ask(member, lambda node: node.genesis_id()) for member in self.members)
        )
        for member, answer in zip(self.members, found, strict=True):
            if isinstance(answer, str):
                expected = expected or answer
                if answer != expected:
                    raise WrongNetwork(f"node {member.client.alias} has the genesis {answer}")
                member.genesis_checked = True
        if expected is None or not any(member.genesis_checked for member in self.members):
            raise NodesUnavailable("no node tells its genesis block")
        self.members.genesis_id = expected
        return expected

    async def probe(self) -> tuple[NodeStatus, ...]:
        """Ask every node for its heads now, for `status`; one whose rest is over has its trial."""

        async def look(member: Member) -> None:
            head, solid = await asyncio.gather(
                self.members.ask(member, lambda node: node.head()),
                self.members.ask(member, lambda node: node.solid_head()),
            )
            member.head = head if isinstance(head, BlockHeader) else member.head
            member.solid = solid if isinstance(solid, BlockHeader) else member.solid

        await asyncio.gather(*(look(m) for m in self.members if m.breaker.admits()))
        return self.status()

    def status(self) -> tuple[NodeStatus, ...]:
        """Every node as last seen; asks nobody."""
        return self.members.status()

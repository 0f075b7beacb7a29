"""The configured nodes one by one: calls that are counted, what is known of each, who is apart."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar, overload

import structlog

from tron_payment.chain.blocks import BlockHeader
from tron_payment.chain.breaker import Breaker, BreakerState
from tron_payment.chain.calls import ERROR
from tron_payment.chain.errors import (
    BlockInconsistent,
    CallTooLong,
    NodeHasNot,
    NodeRefused,
    NodesUnavailable,
    NodeUnavailable,
    WrongNetwork,
)
from tron_payment.chain.node import NodeClient
from tron_payment.chain.stalls import Stalls
from tron_payment.core.errors import Unavailable

BEHIND_BLOCKS: Final = 40
"""A node this many solidified blocks behind is asked last: two minutes of main net."""

UNAVAILABLE: Final = "UNAVAILABLE"
"""`NodeAnswer.code` when a node gave no answer to a broadcast."""

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What one node said to a broadcast, or that it said nothing: rumours, all of them."""

    node: str
    accepted: bool
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Dissent:
    """Why a node was set apart: what it showed of which block, against the majority."""

    alias: str
    block_number: int
    shown: str


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node as last seen. Block numbers are 0 until it has answered once."""

    alias: str
    breaker: BreakerState
    head: int
    solid: int
    lag_blocks: int
    """Solid blocks behind the best node."""
    head_timestamp_ms: int
    calls: int
    failures: int
    last_error: str
    contradicts: str
    """What it showed against the others when they were last compared; empty while they agree."""
    apart: bool
    """Outvoted about a solidified block: not asked again until a person lets it back."""


@dataclass(slots=True)
class Member:
    """A node, its circuit, and what it showed last."""

    client: NodeClient
    breaker: Breaker
    head: BlockHeader | None = None
    solid: BlockHeader | None = None
    genesis_checked: bool = False
    stalls: Stalls = field(default_factory=Stalls)
    contradicts: str = ""
    contradicts_at: int = -1
    """The height of that block. Only what is agreed about the same one settles it."""

    apart: bool = False
    """Outvoted, so that nothing on which money depends is asked of it until a person lets it
    back."""

    def dissented(self, number: int, text: str) -> None:
        self.contradicts, self.contradicts_at = text, number

    def agreed(self, number: int) -> None:
        """The nodes that were asked have shown the same block at this height."""
        if self.contradicts_at == number and not self.apart:
            self.contradicts, self.contradicts_at = "", -1

    @property
    def in_use(self) -> bool:
        return self.breaker.state is BreakerState.CLOSED and not self.apart

    @property
    def may_be_asked(self) -> bool:
        """Whether a call may be made now, and its answer be used."""
        return not self.apart and self.breaker.admits()


def reached(numbers: Iterable[int], enough: int) -> int:
    """The height that `enough` of the nodes have reached, or 0; no single one can raise it."""
    ordered = sorted(numbers, reverse=True)
    return ordered[enough - 1] if len(ordered) >= enough else 0


def alone(seen: Mapping[str, str], least: int = 0) -> tuple[str, ...]:
    """The nodes against which a majority of those that answered shows one and the same.

    Args:
        seen: By alias, what each shows.
        least: How many must show the same, at least.

    Returns:
        Nobody when no majority shows the same; two nodes alone never tell which of them errs.
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for alias, text in seen.items():
        groups[text].append(alias)
    largest = max(groups.values(), key=len, default=[])
    if 2 * len(largest) <= len(seen) or len(largest) < least:
        return ()
    return tuple(alias for alias in seen if alias not in largest)


class Members(Sequence[Member]):
    """All configured nodes, in order of preference. See `nodes.Nodes` for what they say together.

    Args:
        clients: At least one.
        agreement: How many must show the same height before others count as behind.
        monotonic: Seconds for the breakers.
    """

    def __init__(
        self, clients: Sequence[NodeClient], agreement: int, monotonic: Callable[[], float]
    ) -> None:
        self._all = [Member(client, Breaker(monotonic)) for client in clients]
        self._agreement = agreement
        self._monotonic = monotonic
        self.genesis_id: str | None = None
        """When known, a node that was away is checked before its first use."""

        self.outvoted: Callable[[], None] = lambda: None
        """Called when a node was set apart, so that it is written down before we end."""

    @overload
    def __getitem__(self, place: int) -> Member: ...

    @overload
    def __getitem__(self, place: slice) -> list[Member]: ...

    def __getitem__(self, place: int | slice) -> Member | list[Member]:
        return self._all[place]

    def __len__(self) -> int:
        return len(self._all)

    # ---- calls -------------------------------------------------------------------------------

    def usable(self, need: int) -> list[Member]:
        """The nodes in use, if they are as many as needed; else also those whose rest is over.

        A trial may take a call's whole deadline: `Nodes.probe` makes them, and no payment waits
        for one while it can do without.
        """
        closed = [member for member in self if member.in_use]
        if len(closed) >= need:
            return closed
        return [member for member in self if member.may_be_asked]

    def by_preference(self, calls: bool = False) -> list[Member]:
        """As configured, but those that rest come last, before them those known to be behind.

        Args:
            calls: Before those come the nodes that stall contract calls.
        """
        now = self._monotonic()
        seen = [each.solid.number for each in self if each.solid and not each.apart]
        best = reached(seen, max(self._agreement, len(seen) // 2 + 1))

        def rank(member: Member) -> tuple[bool, bool, bool]:
            behind = member.solid is not None and best - member.solid.number > BEHIND_BLOCKS
            return not member.in_use, behind, calls and member.stalls.rests(now)

        return sorted(self, key=rank)

    async def read(
        self, call: Callable[[NodeClient], Awaitable[T]], contract_call: bytes | None = None
    ) -> tuple[T, Member]:
        """The first answer in order of preference, and whose it is.

        Args:
            contract_call: Tells this contract call from others; None when it is none.

        Raises:
            NodeRefused: java-tron refuses, with a code of its own.
            NodesUnavailable: No node answers.
        """
        problem: Unavailable | NodeRefused | None = None
        silent: list[Member] = []
        for member in self.by_preference(calls=contract_call is not None):
            if not member.may_be_asked:
                continue
            answer = await self.ask(member, call)
            refused = isinstance(answer, NodeRefused) and answer.node_code != ERROR
            if refused or not isinstance(answer, Unavailable | NodeRefused):
                if contract_call is not None:
                    self._called(contract_call, member, silent)
                if isinstance(answer, NodeRefused):
                    raise answer
                assert not isinstance(answer, Unavailable)
                return answer, member
            if isinstance(answer, NodeUnavailable):
                silent.append(member)
            problem = answer
        if isinstance(problem, NodeRefused):
            raise problem
        raise NodesUnavailable(problem.detail if problem else "all nodes rest after failures")

    def _called(self, call: bytes, by: Member, silent: Sequence[Member]) -> None:
        """A contract call was answered by one, after these had left it to the others."""
        by.stalls.answered()
        now = self._monotonic()
        for member in silent:
            if member.stalls.left_to_others(call, now):
                alias, rest_s = member.client.alias, member.stalls.rest_s
                log.warning("node.stalls_calls", node=alias, rest_s=rest_s)

    async def ask(
        self, member: Member, call: Callable[[NodeClient], Awaitable[T]]
    ) -> T | Unavailable | NodeRefused:
        """The answer or the failure as a value, counted in the node's breaker."""
        breaker = member.breaker
        try:
            await self._require_chain(member)
            answer = await call(member.client)
        except (NodeHasNot, NodeRefused, BlockInconsistent) as problem:
            breaker.succeeded()
            breaker.last_error = problem.detail
            return problem
        except CallTooLong as problem:
            breaker.abandoned()  # nor does it tell that the node is well
            breaker.last_error = problem.detail
            return problem
        except NodeUnavailable as problem:
            breaker.failed(problem.detail, problem.rest_s)
            return problem
        except WrongNetwork as problem:
            breaker.failed(problem.detail)
            return NodeUnavailable(member.client.alias, "belongs to another chain")
        except BaseException:
            breaker.abandoned()
            raise
        breaker.succeeded()
        return answer

    async def tell(self, member: Member, signed: bytes) -> NodeAnswer:
        """Give it a transaction's bytes; never raises for its failure."""
        alias = member.client.alias
        answer = await self.ask(member, lambda node: node.broadcast(signed))
        if isinstance(answer, NodeRefused):
            return NodeAnswer(alias, False, answer.node_code, answer.message)
        if isinstance(answer, Unavailable):
            return NodeAnswer(alias, False, UNAVAILABLE, answer.detail)
        return NodeAnswer(alias, answer.accepted, answer.code, answer.message)

    async def _require_chain(self, member: Member) -> None:
        if self.genesis_id is None or member.genesis_checked:
            return
        if (found := await member.client.genesis_id()) != self.genesis_id:
            raise WrongNetwork(f"node {member.client.alias} has the genesis {found}")
        member.genesis_checked = True

    # ---- who was outvoted --------------------------------------------------------------------

    def apart(self) -> dict[str, Dissent]:
        """The nodes set apart, by `NodeClient.identity`."""
        return {
            each.client.identity: Dissent(each.client.alias, each.contradicts_at, each.contradicts)
            for each in self
            if each.apart
        }

    def set_apart(self, member: Member, number: int, text: str) -> None:
        """Ask it nothing more on which money depends.

        Args:
            number: Of the solidified block about which it was outvoted.
            text: What it showed.
        """
        if not member.apart:
            log.critical("node.set_apart", node=member.client.alias, block=number, shows=text)
            member.apart = True
            member.dissented(number, text)
            self.outvoted()

    def keep_apart(self, identity: str, number: int, text: str) -> None:
        """What another process has found, or this one before it started again."""
        for member in self:
            if member.client.identity == identity:
                self.set_apart(member, number, text)

    def readmit(self, identity: str) -> None:
        """A person has let it back."""
        for member in self:
            if member.apart and member.client.identity == identity:
                member.apart, member.contradicts, member.contradicts_at = False, "", -1
                log.warning("node.readmitted", node=member.client.alias)

    def status(self) -> tuple[NodeStatus, ...]:
        """Every node as last seen; asks nobody."""
        best = max((m.solid.number for m in self if m.solid and not m.apart), default=0)
        return tuple(
            NodeStatus(
                alias=member.client.alias,
                breaker=member.breaker.state,
                head=member.head.number if member.head else 0,
                solid=member.solid.number if member.solid else 0,
                lag_blocks=max(0, best - member.solid.number) if member.solid else best,
                head_timestamp_ms=member.head.timestamp_ms if member.head else 0,
                calls=member.breaker.calls,
                failures=member.breaker.failures,
                last_error=member.breaker.last_error,
                contradicts=member.contradicts,
                apart=member.apart,
            )
            for member in self
        )

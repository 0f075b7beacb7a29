"""What an account has staked, lent, borrowed, voted and earned, as one node says it."""

from dataclasses import dataclass
from typing import Final

from tron_payment.chain import (
    Account,
    AccountResources,
    BlockHeader,
    Delegation,
    NodeClient,
    Nodes,
    Resource,
    all_of,
    both,
)
from tron_payment.core.address import Address

PARTNERS_MAX: Final = 50
"""Delegations are read one partner at a time; more than these are only counted."""


@dataclass(frozen=True, slots=True)
class Staked:
    """An account's stakes at the head."""

    head: BlockHeader
    account: Account
    reward_sun: int
    unstakes_left: int


@dataclass(frozen=True, slots=True)
class Lending:
    """Delegations from and to an account."""

    given: tuple[Delegation, ...]
    taken_from: tuple[Address, ...]
    more_partners: int


class StakedAccounts:
    """Reads of the chain. Every method may raise `NodesUnavailable`."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def staked(self, address: Address) -> Staked | None:
        """None when the account does not exist."""
        return await self._nodes.read(lambda node: _staked(node, address))

    async def lending(self, address: Address) -> Lending:
        """What the account lends, and who lends to it."""
        return await self._nodes.read(lambda node: _lending(node, address))

    async def resources(self, address: Address) -> tuple[BlockHeader, AccountResources]:
        """Energy and bandwidth now, all zero for an account that does not exist."""

        async def ask(node: NodeClient) -> tuple[BlockHeader, AccountResources]:
            return await both(node.head(), node.resources(address))

        return await self._nodes.read(ask)

    async def brokerage(self, address: Address) -> int:
        """The percentage that a super representative keeps of its voters' rewards."""
        return await self._nodes.read(lambda node: node.brokerage(address))


def yield_of(stake_sun: int, resource: Resource, resources: AccountResources) -> int:
    """What a stake gives each day at the chain's present weights.

    energy = TRX * total limit / total weight (java-tron, ResourceProcessor).
    """
    if resource is Resource.ENERGY:
        limit, weight = resources.total_energy_limit, resources.total_energy_weight
    else:
        limit, weight = resources.total_net_limit, resources.total_net_weight
    return stake_sun * limit // (weight * 1_000_000) if weight else 0


async def _staked(node: NodeClient, address: Address) -> Staked | None:
    head, account = await both(node.head(), node.account(address))
    if account is None:
        return None
    reward, left = await both(node.reward(address), node.unfreeze_count(address))
    return Staked(head, account, reward, left)


async def _lending(node: NodeClient, address: Address) -> Lending:
    lenders, borrowers = await node.delegation_partners(address)
    shown = borrowers[:PARTNERS_MAX]
    parts = await all_of(node.delegations(address, each) for each in shown)
    given = tuple(delegation for part in parts for delegation in part)
    return Lending(given, lenders[:PARTNERS_MAX], max(0, len(borrowers) - PARTNERS_MAX))

"""What the chain says about an account that wants to stake, all from one node."""

from collections.abc import Mapping
from dataclasses import dataclass

from tron_payment.chain import (
    Account,
    Delegation,
    NodeClient,
    Nodes,
    Resource,
    both,
)
from tron_payment.core.address import Address
from tron_payment.staking import rules
from tron_payment.staking.domain import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeWish:
    """A staking operation as a caller asks for it, read and typed, not yet judged."""

    operation: Operation
    wallet_id: str | None
    amount_sun: int = 0
    resource: Resource | None = None
    receiver: Address | None = None
    lock_period_s: int | None = None
    votes: tuple[tuple[Address, int], ...] = ()
    max_fee_sun: int | None = None


def check_form(wish: StakeWish, parameters: Mapping[str, int]) -> int:
    """Refuse what no state of the chain could make right; answers the lock in blocks.

    Raises:
        AmountBelowMinimum, InvalidVotes, InvalidLock
    """
    amounts = (Operation.STAKE, Operation.DELEGATE)
    if wish.operation in amounts:
        rules.check_amount(wish.amount_sun)
    if wish.operation is Operation.VOTE:
        rules.check_vote_form(wish.votes)
    return rules.lock_blocks(wish.lock_period_s, parameters.get("getMaxDelegateLockPeriod", 0))


async def check_state(nodes: Nodes, wish: StakeWish, owner: Address, lock_blocks: int) -> None:
    """Refuse what the chain would refuse now.

    Raises:
        Conflict, Refused: See `rules`.
        NodesUnavailable: No node answers.
    """
    await nodes.read(lambda node: _check(node, wish, owner, lock_blocks))


async def _check(node: NodeClient, wish: StakeWish, owner: Address, lock_blocks: int) -> None:
    found, head = await both(node.account(owner), node.head())
    account, now_ms = rules.existing(found), head.timestamp_ms
    resource = wish.resource or Resource.BANDWIDTH
    match wish.operation:
        case Operation.STAKE:
            rules.check_stake(account, wish.amount_sun)
        case Operation.UNSTAKE:
            rules.check_unstake(account, resource, wish.amount_sun, now_ms)
        case Operation.WITHDRAW_UNSTAKED:
            rules.check_withdraw_unstaked(account, now_ms)
        case Operation.CANCEL_UNSTAKE:
            rules.check_cancel_unstake(account)
        case Operation.WITHDRAW_REWARDS:
            rules.check_claim(account, await node.reward(owner), now_ms)
        case Operation.VOTE:
            witnesses = {each.address for each in await node.witnesses()}
            rules.check_vote(account, wish.votes, witnesses)
        case Operation.DELEGATE:
            assert wish.receiver is not None
            receiver, lent, lendable = await _delegation(node, owner, wish.receiver, resource)
            rules.check_delegate(
                owner,
                receiver,
                wish.receiver,
                resource,
                wish.amount_sun,
                lendable,
                lock_blocks,
                lent,
                now_ms,
            )
        case Operation.UNDELEGATE:
            assert wish.receiver is not None
            lent = await node.delegations(owner, wish.receiver)
            rules.check_undelegate(lent, resource, wish.amount_sun, now_ms)


async def _delegation(
    node: NodeClient, owner: Address, receiver: Address, resource: Resource
) -> tuple[Account | None, tuple[Delegation, ...], int]:
    (account, lent), lendable = await both(
        both(node.account(receiver), node.delegations(owner, receiver)),
        node.can_delegate_max(owner, resource),
    )
    return account, lent, lendable

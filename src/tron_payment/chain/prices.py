"""The prices among the chain's parameters: possible ones, and the middle of what nodes say."""

import asyncio
from collections.abc import Mapping
from typing import Final

from tron_payment.chain.errors import NodesUnavailable
from tron_payment.chain.members import Members
from tron_payment.chain.node import PRICES, NodeClient


async def agreed_parameters(members: Members, agreement: int) -> Mapping[str, int]:
    """The parameters of the first node; of prices the middle of what those in use say.

    So of three nodes none tells a price alone. Of two the higher one counts: a transaction that
    may burn too little fails and burns it, one that may burn too much waits. What is no price
    decides nothing. Who has rested long enough is asked beside too few in use, so that one alone
    tells only where no other answers: it is believed then, what was accepted goes on being sent,
    and a false price costs a fee at the most, never a payment.

    Raises:
        NodeRefused: java-tron refuses, with a code of its own.
        NodesUnavailable: None answers.
    """
    if agreement == 1:
        answer, _ = await members.read(_parameters)
        return answer
    asked = members.usable(agreement)
    answers = await asyncio.gather(*(members.ask(member, _parameters) for member in asked))
    told = [answer for answer in answers if isinstance(answer, Mapping)]
    if not told:
        raise NodesUnavailable("none tells the prices")
    prices = {name: _middle([each.get(name, 0) for each in told]) for name in PRICES}
    return {**told[0], **prices}


async def _parameters(node: NodeClient) -> Mapping[str, int]:
    return await node.parameters()


def _middle(values: list[int]) -> int:
    """The median; of an even number the higher one of the two."""
    return sorted(values)[len(values) // 2]


__all__: Final = ["agreed_parameters"]

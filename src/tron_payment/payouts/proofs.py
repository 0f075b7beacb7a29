"""What is proved about a payout whose order has ended: by its router's solidified state.

Asked is the router that the order called, by the id that the order expected of it: both stand in
the order and never change. The router of today's settings may be another one, which knows nothing
of the payment and says "not paid" of everything.

    the router says of the id     the payout
    paid                          settled
    not paid                      failed: the id is closed for ever, or no order carries it any more

Where the order itself has failed no router is asked: each of its transactions is proved dead or to
have moved nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tron_payment.chain import (
    NodeClient,
    NodeRefused,
    Nodes,
    NodesUnavailable,
)
from tron_payment.contracts import Undecodable, artifact
from tron_payment.core.address import Address
from tron_payment.engine import Engine, Expect, ExpectKind, NotProved, Order, OrderStatus
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import PayoutStatus

ROUTER: Final = artifact("PayoutRouterV0")


@dataclass(frozen=True, slots=True)
class Proved:
    """How a payout ended by what its order's router says, and the words of it as stored."""

    status: PayoutStatus
    evidence: Sequence[dict[str, Any]]


class RouterProofs:
    """Asks the routers that orders were made for."""

    def __init__(self, engine: Engine, nodes: Nodes) -> None:
        self._engine = engine
        self._nodes = nodes

    async def look(self, payout: Payout) -> Proved:
        """How a payout ended, as its order's failure or else that order's router says.

        Raises:
            NotProved: Its order has not ended, was canceled, or named it to no router; or that
                router does not answer.
            NodesUnavailable: Too few nodes answer that have the order's block, or they contradict
                each other.
        """
        order = await self._engine.find(payout.order_id)
        if order is not None and order.status is OrderStatus.FAILED:
            told = {"order_id": order.id, "order_status": order.status.value}
            return Proved(PayoutStatus.FAILED, [told | {"reason": order.reason}])
        if order is None or order.status is not OrderStatus.SETTLED or order.outcome is None:
            raise NotProved(f"the order {payout.order_id} has not settled")
        expect = _named(order, payout)
        payment, since = bytes.fromhex(expect.payment_id), order.outcome.block_number
        nodes = await self._nodes.picks(self._nodes.agreement)
        if len(nodes) < self._nodes.agreement:
            raise NodesUnavailable(f"{len(nodes)} of {self._nodes.agreement} nodes answer")
        answers = [await _says(node, expect.contract, payment, since) for node in nodes]
        said = answers[0]
        if any(other != said for other in answers):
            raise NodesUnavailable("the nodes contradict each other about the router")
        status = PayoutStatus.SETTLED if said["paid"] else PayoutStatus.FAILED
        evidence = {"router": expect.contract, "payment_id": expect.payment_id, **said}
        return Proved(status, [evidence])


def _named(order: Order, payout: Payout) -> Expect:
    """What the order expects of its router about this payout.

    Raises:
        NotProved: Nothing, or something that this payout does not want.
    """
    for expect in order.wanted_expects:
        if expect.ref != payout.id or expect.kind is not ExpectKind.ROUTER_PAID:
            continue
        if (expect.recipient, expect.units) == (payout.recipient_address, payout.units):
            return expect
    raise NotProved(f"the order {order.id} named this payout to no router")


async def _says(node: NodeClient, router: Address, payment: bytes, since: int) -> dict[str, bool]:
    """What one node's solidified state says; it must have the order's own block.

    Raises:
        NotProved: The router does not answer.
        NodesUnavailable: It is behind, or does not answer.
    """
    if (head := await node.solid_head()).number < since:
        raise NodesUnavailable(f"{node.alias} is at block {head.number}, the order's is {since}")
    said = {}
    for name in ("paid", "canceled"):
        data = ROUTER.call_data(name, payment)
        try:
            answer = await node.constant_call(router, router, data, 0, True)
            if answer.reverted:
                raise NotProved(f"the router {router} does not answer {name}(id)")
            (said[name],) = ROUTER.decode_output(name, answer.output)
        except (NodeRefused, Undecodable):
            raise NotProved(f"{node.alias} knows no router at {router}") from None
    return said

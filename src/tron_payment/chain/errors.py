"""What can go wrong between us and the chain."""

from collections.abc import Mapping

from tron_payment.core.errors import AppError, Conflict, Refused, Unavailable

NODE_RETRY_S = 5


class NodeUnavailable(Unavailable, code="node_unavailable"):
    """A node does not answer, or answers nonsense; nothing is known.

    `rest_s`: how long the node asks to be left alone, 0 when it does not.
    """

    def __init__(self, node: str, reason: str, *, rest_s: float = 0.0) -> None:
        super().__init__(f"node {node}: {reason}", retry_after_s=NODE_RETRY_S)
        self.node = node
        self.reason = reason
        self.rest_s = rest_s


class AnswerTooLong(NodeUnavailable):
    """An answer is longer than it may be, or does not end in time."""


class AnswerTooLarge(AnswerTooLong):
    """It has more bytes than it may have."""


class CallTooLong(NodeUnavailable):
    """What a contract answers is too long. Whoever wrote it made it so: it says nothing about the
    node, and no breaker counts it. That others answer the same in time does (stalls.py)."""


class NodeHasNot(NodeUnavailable, code="node_has_not"):
    """The node works but does not know this (yet). Absence proves nothing."""


class NodeRefused(Refused, code="node_refused"):
    """java-tron understood the request and refuses it.

    `node_code` is java-tron's own code such as ``CONTRACT_VALIDATE_ERROR``, or ``ERROR`` when it
    only gave a text.
    """

    def __init__(self, node_code: str, message: str, *, node: str = "") -> None:
        super().__init__(f"{node_code}: {message}")
        self.node_code = node_code
        self.message = message
        self.node = node


class NodesUnavailable(Unavailable, code="nodes_unavailable"):
    """No node gives what is needed now; nothing was changed."""


class BlockInconsistent(Unavailable, code="block_inconsistent"):
    """A node's block and receipts do not belong together; read again, or another node."""


class ChainContradiction(AppError, code="chain_contradiction"):
    """Two views of the solidified chain contradict each other; nothing goes on by itself."""

    status = 503

    def __init__(self, reason: str, seen: Mapping[str, str] | None = None) -> None:
        super().__init__(reason, extra=dict(seen or {}))
        self.reason = reason


class WrongNetwork(Conflict, code="wrong_network"):
    """The node belongs to another chain than this installation."""

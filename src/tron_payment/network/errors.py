"""What the network's endpoints refuse."""

from tron_payment.core.errors import NotFound, Refused, Unavailable


class InvalidBlockNumber(Refused, code="invalid_block_number"):
    """A block number is a whole number from 0."""


class InvalidTxid(Refused, code="invalid_txid"):
    """A transaction id is 64 hex digits."""


class BlockNotFound(NotFound, code="block_not_found"):
    """The chain has no such block yet."""


class TransactionNotFound(NotFound, code="transaction_not_found"):
    """No node knows this transaction; that proves nothing about its future."""


class FollowerHalted(Unavailable, code="follower_halted"):
    """The chain contradicts itself and a human must look; nothing is paid meanwhile."""

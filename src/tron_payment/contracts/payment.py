"""The on-chain id of a payment, computed as the routers compute it (``paymentId``).

    reference hash = keccak256(abi.encode(REFERENCE_DOMAIN, chain id, router, token, reference))
    payment hash   = keccak256(abi.encode(PAYMENT_DOMAIN, reference hash, recipient, amount))
    id             = first 16 bytes of reference hash, then last 16 bytes of payment hash

One reference is paid at most once, whatever recipient and amount come with it; `paid(id)` answers
for this one recipient and amount; `cancel(id)` closes the reference.
"""

from typing import Final

from tron_payment.contracts.codec import WORD, keccak256, words
from tron_payment.core.address import Address

REFERENCE_DOMAIN: Final = keccak256(b"tron-payment.PayoutRouter.reference.v1")
PAYMENT_DOMAIN: Final = keccak256(b"tron-payment.PayoutRouter.payment.v1")
HALF: Final = 16

CANCELED: Final = (1).to_bytes(WORD, "big")
"""What ``takenBy(id)`` answers when the reference was cancelled; 32 zero bytes mean open."""

MAX_BATCH: Final = 200
"""Most payments that one ``payMany`` takes."""


def payment_id(
    *,
    chain_id: int,
    router: Address,
    token: Address,
    reference: bytes,
    recipient: Address,
    units: int,
) -> bytes:
    """The 32 bytes that ``Paid``, ``Skipped`` and ``paid(id)`` speak of.

    Args:
        chain_id: What the CHAINID opcode answers: the last 4 bytes of the genesis block's id.
        reference: 32 bytes, unique for ever to the one thing that is to be paid.
        units: Millionths of a USDT.
    """
    reference_hash = keccak256(words(REFERENCE_DOMAIN, chain_id, router, token, reference))
    payment_hash = keccak256(words(PAYMENT_DOMAIN, reference_hash, recipient, units))
    return reference_hash[:HALF] + payment_hash[HALF:]

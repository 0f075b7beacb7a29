"""The compliance key's word for one payment, as ``PayoutRouterKYC`` checks it.

digest    = keccak256(abi.encode(ATTESTATION_DOMAIN, chain id, router, token, reference,
                                 recipient, amount, expiry))
signature = secp256k1 over the digest itself (no message prefix), low s, as r and vs:
            vs = s with its highest bit set when the recovery id is 1 (ERC-2098)
"""

from dataclasses import dataclass
from typing import Final

from coincurve import PrivateKey

from tron_payment.contracts.codec import BARE_ADDRESS, WORD, keccak256, words
from tron_payment.core.address import Address, address_of

ATTESTATION_DOMAIN: Final = keccak256(b"tron-payment.PayoutRouterKYC.attestation.v1")

HALF_ORDER: Final = 0x7FFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_5D576E73_57A4501D_DFE92F46_681B20A0
"""Largest s of a canonical signature on secp256k1."""

_PARITY_BIT: Final = 1 << 255


@dataclass(frozen=True, slots=True)
class Attestation:
    """A signature with its last second: the last three fields of the router's ``Payment``."""

    expiry_s: int
    r: bytes
    vs: bytes


def attestation_digest(
    *,
    chain_id: int,
    router: Address,
    token: Address,
    reference: bytes,
    recipient: Address,
    units: int,
    expiry_s: int,
) -> bytes:
    """The 32 bytes that the compliance key signs; equal to the router's ``attestationDigest``.

    Args:
        chain_id: What the CHAINID opcode answers: the last 4 bytes of the genesis block's id.
        reference: The payment's 32 bytes.
        units: Millionths of a USDT.
        expiry_s: Last second, in the chain's time, in which the payment may be made.
    """
    return keccak256(
        words(ATTESTATION_DOMAIN, chain_id, router, token, reference, recipient, units, expiry_s)
    )


def sign_attestation(key: PrivateKey, digest: bytes, *, expiry_s: int) -> Attestation:
    """Sign a digest of `attestation_digest` made with the same expiry.

    Deterministic (RFC 6979), so signing again is harmless.
    """
    assert len(digest) == WORD, "a digest has 32 bytes"
    signature = key.sign_recoverable(digest, hasher=None)
    r, s, recovery_id = signature[:32], int.from_bytes(signature[32:64], "big"), signature[64]
    assert s <= HALF_ORDER, "libsecp256k1 signs with a low s"
    assert recovery_id in (0, 1), "r above the order does not happen"
    vs = (s | _PARITY_BIT if recovery_id else s).to_bytes(WORD, "big")
    return Attestation(expiry_s=expiry_s, r=r, vs=vs)


def signer_address(key: PrivateKey) -> Address:
    """The address of a compliance key: what ``setComplianceSigner`` takes."""
    return address_of(keccak256(key.public_key.format(compressed=False)[1:])[-BARE_ADDRESS:])

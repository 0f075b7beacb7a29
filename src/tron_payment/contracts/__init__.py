"""The contracts as the service knows them: pinned ABI and bytecode, ids, attestations.

Sources, roles and preimages are described in ``contracts/README.md``; nothing here talks to a node.

    router = artifact("PayoutRouterV0")
    init_code = router.init_code(token, owner, treasury, operator)
    data = router.call_data("pay", reference, recipient, units)
    event = router.decode_log(topics, log_data)     # Event("Paid", {"id": ..., "to": ..., ...})

    digest = attestation_digest(chain_id=..., router=..., token=..., reference=..., ...)
    word = sign_attestation(key, digest, expiry_s=expiry_s)
    payment = (reference, recipient, units, word.expiry_s, word.r, word.vs)
    data = artifact("PayoutRouterKYC").call_data("payMany", [payment, ...])
"""

from tron_payment.contracts.attestation import (
    Attestation,
    attestation_digest,
    sign_attestation,
    signer_address,
)
from tron_payment.contracts.codec import Undecodable
from tron_payment.contracts.loader import (
    Artifact,
    ContractName,
    Event,
    Revert,
    UnknownEntry,
    artifact,
)
from tron_payment.contracts.payment import CANCELED, MAX_BATCH, payment_id

__all__ = [
    "CANCELED",
    "MAX_BATCH",
    "Artifact",
    "Attestation",
    "ContractName",
    "Event",
    "Revert",
    "Undecodable",
    "UnknownEntry",
    "artifact",
    "attestation_digest",
    "payment_id",
    "sign_attestation",
    "signer_address",
]

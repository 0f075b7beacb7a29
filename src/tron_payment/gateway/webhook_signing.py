"""Signatures of what we send, by the rules of Standard Webhooks.

Secrets are derived from a root of the endpoint's own, which is stored sealed as wallets' keys are,
and a generation that only grows; the last one stays valid for a while after a rotation. Of older
releases the root was the installation's secret, which whoever reads the database has: that is the
root of endpoints that they made until the first rotation since.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from tron_payment.core.clock import to_ms

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - a prefix
PUBLIC_PREFIX: Final = "whpk_"


ROOT_BYTES: Final = 32


@dataclass(frozen=True, slots=True, repr=False)
class Root:
    """What the secrets of some generations are derived from, both ends included."""

    secret: bytes
    first: int
    last: int


class EndpointKeys:
    """The keys of one endpoint.

    Args:
        older: The installation's secret, the root of all generations that `root` is not.
        root: None for an endpoint that an older release made, until its rotation.
    """

    def __init__(self, older: bytes, endpoint_id: str, root: Root | None) -> None:
        self._older = older
        self._endpoint_id = endpoint_id
        self._root = root

    def shared(self, generation: int) -> str:
        """``whsec_...``: what the receiver checks the HMAC with."""
        raw = self._derive(self._root_of(generation), f"hmac:{generation}")
        return SECRET_PREFIX + base64.b64encode(raw).decode()

    def public(self, generation: int) -> str:
        """``whpk_...``: what the receiver checks the Ed25519 signature with. It stays the same as
        long as the root does."""
        raw = self._signing(self._root_of(generation)).public_key().public_bytes_raw()
        return PUBLIC_PREFIX + base64.b64encode(raw).decode()

    def headers(
        self, message_id: str, at: datetime, body: bytes, generations: Sequence[int]
    ) -> dict[str, str]:
        """The three headers: an HMAC for each live generation, an Ed25519 signature for each root.

        After the rotation that leaves the older root, its Ed25519 signature goes along until the
        next rotation: receivers have their time to take the new public key.
        """
        text = body.decode()
        signatures = [
            Webhook(self.shared(generation)).sign(message_id, at, text)
            for generation in generations
        ]
        seconds = to_ms(at) // 1000
        roots = [self._root_of(generation) for generation in generations]
        if self._root is not None and 1 < self._root.first >= min(generations):
            roots.append(self._older)
        for root in dict.fromkeys(roots):
            signed = self._signing(root).sign(f"{message_id}.{seconds}.{text}".encode())
            signatures.append("v1a," + base64.b64encode(signed).decode())
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": " ".join(signatures),
        }

    def _root_of(self, generation: int) -> bytes:
        """A generation beyond the last was made by an older release to which somebody went back."""
        root = self._root
        if root is not None and root.first <= generation <= root.last:
            return root.secret
        return self._older

    def _signing(self, root: bytes) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self._derive(root, "ed25519"))

    def _derive(self, root: bytes, purpose: str) -> bytes:
        label = f"webhook:{self._endpoint_id}:{purpose}".encode()
        return hmac.digest(root, label, hashlib.sha256)

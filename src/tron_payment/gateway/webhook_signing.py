"""Signatures of what we send, by the rules of Standard Webhooks.

Secrets are derived from the installation's secret, the endpoint and a generation that only grows;
so nothing secret is stored, and the last one stays valid for a while after a rotation.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from tron_payment.core.clock import to_ms

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - a prefix
PUBLIC_PREFIX: Final = "whpk_"


class EndpointKeys:
    """The keys of one endpoint."""

    def __init__(self, secret: bytes, endpoint_id: str) -> None:
        self._secret = secret
        self._endpoint_id = endpoint_id

    def shared(self, generation: int) -> str:
        """``whsec_...``: what the receiver checks the HMAC with."""
        raw = self._derive(f"hmac:{generation}")
        return SECRET_PREFIX + base64.b64encode(raw).decode()

    @property
    def public(self) -> str:
        """``whpk_...``: what the receiver checks the Ed25519 signature with."""
        raw = self._signing.public_key().public_bytes_raw()
        return PUBLIC_PREFIX + base64.b64encode(raw).decode()

    def headers(
        self, message_id: str, at: datetime, body: bytes, generations: Sequence[int]
    ) -> dict[str, str]:
        """The three headers; one HMAC for each live generation, and one Ed25519 signature."""
        text = body.decode()
        signatures = [
            Webhook(self.shared(generation)).sign(message_id, at, text)
            for generation in generations
        ]
        seconds = to_ms(at) // 1000
        signed = self._signing.sign(f"{message_id}.{seconds}.{text}".encode())
        signatures.append("v1a," + base64.b64encode(signed).decode())
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": " ".join(signatures),
        }

    @property
    def _signing(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self._derive("ed25519"))

    def _derive(self, purpose: str) -> bytes:
        label = f"webhook:{self._endpoint_id}:{purpose}".encode()
        return hmac.digest(self._secret, label, hashlib.sha256)

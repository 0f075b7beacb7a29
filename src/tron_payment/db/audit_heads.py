"""Signed heads of the audit log: what is kept outside the database, so that it proves the log.

The chain of hashes shows a changed entry; only a head that the database cannot reach shows a log
that was cut off or computed anew. A head is signed with an Ed25519 key from the secrets, so that
whoever keeps it need not be trusted either:

    {"kind": "tron-payment/audit-head/v1", "seq": 1042, "hash": "...", "at": "...Z",
     "public_key": 64 hex digits, "signature": 128 hex digits}

The signature is over the canonical JSON of the first four members. Heads leave by the log (event
``audit.head_signed``), by ``GET /api/v1/audit/head`` and by ``tron-payment audit head``.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from tron_payment.core.clock import Clock, rfc3339
from tron_payment.core.errors import Refused
from tron_payment.db.audit import Audit, BadEntry, Fault, Head, canonical

KIND: Final = "tron-payment/audit-head/v1"
EXPORT_EVERY_S: Final = 300.0
HEAD_TEXT_MAX: Final = 1_000
HEADS_MAX: Final = 1_000_000
"""Heads read from one file: ten years of one every five minutes."""

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_SIGNATURE: Final = re.compile(r"[0-9a-f]{128}")
_MEMBERS: Final = frozenset({"kind", "seq", "hash", "at", "public_key", "signature"})

log = structlog.get_logger()


class BadHead(Refused, code="bad_audit_head"):
    """This is no signed head of an audit log, or not one of the expected key's."""


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head and who vouches for it."""

    head: Head
    at: str
    public_key: str
    signature: str

    def as_json(self) -> dict[str, Any]:
        """As it is exported and read again."""
        return _signed_part(self.head, self.at) | {
            "public_key": self.public_key,
            "signature": self.signature,
        }


class HeadSigner:
    """Signs heads. Its repr does not tell the key."""

    __slots__ = ("_key", "public_key")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes_raw().hex()

    @classmethod
    def of(cls, seed_hex: str) -> Self | None:
        """The signer of AUDIT_SIGNING_KEY; None when there is none."""
        if not seed_hex:
            return None
        return cls(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed_hex)))

    def sign(self, head: Head, clock: Clock) -> SignedHead:
        at = rfc3339(clock.now())
        signature = self._key.sign(_message(head, at)).hex()
        return SignedHead(head, at, self.public_key, signature)

    def __repr__(self) -> str:
        return f"HeadSigner({self.public_key})"


def read_head(text: str, public_key: str | None) -> SignedHead:
    """Read one exported head and check its signature.

    Args:
        public_key: The key that must have signed it, in hex; None takes the head's own, which
            shows only that the text is whole.

    Raises:
        BadHead: Malformed, of another key, or with a wrong signature.
    """
    try:
        raw = json.loads(text[:HEAD_TEXT_MAX])
    except (ValueError, RecursionError):
        raise BadHead("this is not JSON") from None
    if not isinstance(raw, dict) or raw.keys() != _MEMBERS or raw["kind"] != KIND:
        raise BadHead("this is no head of an audit log")
    seq, digest, at = raw["seq"], raw["hash"], raw["at"]
    key, signature = raw["public_key"], raw["signature"]
    well_formed = (
        type(seq) is int
        and seq > 0
        and all(isinstance(each, str) for each in (digest, at, key, signature))
        and _HASH.fullmatch(digest)
        and _HASH.fullmatch(key)
        and _SIGNATURE.fullmatch(signature)
    )
    if not well_formed:
        raise BadHead("a member of the head has another form")
    if public_key is not None and key != public_key.lower():
        raise BadHead(f"head {seq} is signed by another key")
    head = Head(seq, digest)
    try:
        verifier = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        verifier.verify(bytes.fromhex(signature), _message(head, at))
    except (InvalidSignature, ValueError):
        raise BadHead(f"the signature of head {seq} is wrong") from None
    return SignedHead(head, at, key, signature)


def contradiction(heads: Sequence[Head]) -> BadEntry | None:
    """Two heads of one number and different hashes: somebody rewrote the log between them."""
    seen: dict[int, str] = {}
    for head in heads:
        if seen.setdefault(head.seq, head.hash) != head.hash:
            return BadEntry(head.seq, Fault.REWRITTEN)
    return None


class HeadExport:
    """Sends the newest head out of the database's reach, when there is a new one."""

    def __init__(self, audit: Audit, clock: Clock, signer: HeadSigner) -> None:
        self._audit = audit
        self._clock = clock
        self._signer = signer
        self._sent: Head | None = None

    async def step(self) -> bool:
        """Log the head, signed; False always: the next one is not due before its time."""
        head = await self._audit.head()
        if head is not None and head != self._sent:
            signed = self._signer.sign(head, self._clock)
            log.info(
                "audit.head_signed",
                seq=head.seq,
                hash=head.hash,
                at=signed.at,
                signed=signed.signature,
            )
            self._sent = head
        return False


def _signed_part(head: Head, at: str) -> dict[str, Any]:
    return {"kind": KIND, "seq": head.seq, "hash": head.hash, "at": at}


def _message(head: Head, at: str) -> bytes:
    return canonical(_signed_part(head, at)).encode()

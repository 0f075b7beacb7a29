"""Signed notices from outside: verified over the raw bytes, in time, kept once."""

import base64
import binascii
import hashlib
import hmac
from datetime import timedelta
from typing import Final

import structlog

from tron_payment.core.clock import Clock, from_ms
from tron_payment.core.errors import Unauthenticated
from tron_payment.core.ids import derived_id
from tron_payment.db.cas import insert_once
from tron_payment.gateway.webhook_documents import Notice
from tron_payment.gateway.webhook_signing import SECRET_PREFIX

TOLERANCE: Final = timedelta(seconds=300)
ID_LENGTH_MAX: Final = 256
SIGNATURES_MAX: Final = 10
SECRET_BYTES_MIN: Final = 16
SECONDS_DIGITS_MAX: Final = 12
VERSION: Final = "v1"

log = structlog.get_logger()


class NoticeRefused(Unauthenticated, code="notice_refused"):
    """The notice's signature, time or id is not what it must be."""


class Notices:
    """Takes notices in.

    Args:
        shared: ``PAYMENT_WEBHOOK_SECRET``: ``whsec_`` and base64, or the bytes of any other text
            (which some senders decode from base64 first; both are tried). Empty refuses all.
    """

    def __init__(self, clock: Clock, secret: bytes, shared: str) -> None:
        self._clock = clock
        self._secret = secret
        self._keys = _keys(shared)

    async def take(
        self, message_id: str | None, timestamp: str | None, signature: str | None, body: bytes
    ) -> bool:
        """Verify and keep; False when it was kept before.

        Raises:
            NoticeRefused
        """
        if not self._keys or not message_id or not timestamp or not signature:
            raise NoticeRefused
        if len(message_id) > ID_LENGTH_MAX or not message_id.isprintable():
            raise NoticeRefused
        if not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > SECONDS_DIGITS_MAX:
            raise NoticeRefused
        now, sent_ms = self._clock.now(), int(timestamp) * 1000
        signed = f"{message_id}.{timestamp}.".encode() + body
        if not self._is_signed(signed, signature):
            log.warning("notice.refused", reason="signature")
            raise NoticeRefused
        if sent_ms > _YEAR_3000_MS or abs(now - from_ms(sent_ms)) > TOLERANCE:
            log.warning("notice.refused", reason="time")
            raise NoticeRefused("it is too old, or from the future")
        notice = Notice(
            id=derived_id("ntc", self._secret, message_id),
            message_id=message_id,
            body=body,
            sent_at=from_ms(sent_ms),
            received_at=now,
        )
        is_new = await insert_once(notice)
        log.info("notice.taken", notice_id=notice.id, repeated=not is_new)
        return is_new

    def _is_signed(self, signed: bytes, signature: str) -> bool:
        wanted = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in self._keys]
        found = False
        for each in signature.split(" ")[:SIGNATURES_MAX]:
            version, _, text = each.partition(",")
            for digest in wanted:
                same = hmac.compare_digest(text.encode(), digest)
                found |= version == VERSION and same
        return found


_YEAR_3000_MS: Final = 32_503_680_000_000


def _keys(shared: str) -> tuple[bytes, ...]:
    if not shared:
        return ()
    if shared.startswith(SECRET_PREFIX):
        return (base64.b64decode(shared.removeprefix(SECRET_PREFIX) + "=="),)
    keys = [shared.encode()]
    try:
        decoded = base64.b64decode(shared + "==", validate=False)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) >= SECRET_BYTES_MIN:
        keys.append(decoded)
    return tuple(keys)

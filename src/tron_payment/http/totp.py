"""Time-based one-time passwords, RFC 6238 with the choices that every authenticator app has.

Six digits of HMAC-SHA-1 over the number of the 30-second step since 1970. Pure: the caller says
what time it is and remembers which step was used last.
"""

import base64
import hmac
from typing import Final
from urllib.parse import quote, urlencode

DIGITS: Final = 6
PERIOD_S: Final = 30
DRIFT_STEPS: Final = 1
"""A code of one step earlier or later is taken: clocks and fingers are slow (RFC 6238, 5.2)."""

SECRET_BYTES: Final = 20
"""The length of the hash, as RFC 4226 recommends."""


def hotp(secret: bytes, counter: int, *, digits: int = DIGITS, digest: str = "sha1") -> str:
    """The code of one counter, RFC 4226 section 5.3.

    Args:
        digits: 6 to 8.
        digest: ``sha1``, ``sha256`` or ``sha512``.
    """
    mac = hmac.digest(secret, counter.to_bytes(8, "big"), digest)
    offset = mac[-1] & 0x0F
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**digits).zfill(digits)


def step_at(unix_s: float) -> int:
    """The number of the time step."""
    return int(unix_s // PERIOD_S)


def matching_step(secret: bytes, code: str, unix_s: float) -> int | None:
    """The step near this time whose code this is; None when it is nobody's.

    Every candidate is compared in constant time; the newest that fits is answered.
    """
    now, found = step_at(unix_s), None
    for step in range(max(0, now - DRIFT_STEPS), now + DRIFT_STEPS + 1):
        if hmac.compare_digest(hotp(secret, step).encode(), code.encode()):
            found = step
    return found


def secret_text(secret: bytes) -> str:
    """The secret as people type it: base32 without padding."""
    return base64.b32encode(secret).rstrip(b"=").decode()


def enrolment_uri(secret: bytes, *, issuer: str, account: str) -> str:
    """What an authenticator app reads from a QR code (the Key URI Format)."""
    parameters = {
        "secret": secret_text(secret),
        "issuer": issuer,
        "algorithm": "SHA1",
        "digits": DIGITS,
        "period": PERIOD_S,
    }
    label = f"{quote(issuer, safe='')}:{quote(account, safe='')}"
    return f"otpauth://totp/{label}?{urlencode(parameters, quote_via=quote)}"

"""Verifies JSON Web Tokens against what the owner configured, and nothing that the token brings.

The algorithm follows from the configured key, never from the token: HS256 belongs to the one
secret, and each pinned public key has the one algorithm of its type. A token that carries a key
or points to one is refused. Times are judged by our clock with `LEEWAY_S`.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tron_payment.core.clock import Clock
from tron_payment.core.errors import Unauthenticated

LEEWAY_S: Final = 30
SECRET_BYTES_MIN: Final = 32
RSA_BITS_MIN: Final = 2048
TOKEN_TEXT_MAX: Final = 8_192
JWKS_KEYS_MAX: Final = 64
VERIFIED_MAX: Final = 2_048
"""Tokens whose signature is remembered; each is at most `TOKEN_TEXT_MAX` long."""

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_FORBIDDEN_HEADER: Final = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"})
_ALGORITHM_OF_TYPE: Final[Mapping[tuple[str, str | None], str]] = {
    ("OKP", "Ed25519"): "EdDSA",
    ("EC", "P-256"): "ES256",
    ("RSA", None): "RS256",
}


class TokenInvalid(Unauthenticated, code="token_invalid"):
    """The token is not one of ours."""


class TokenExpired(Unauthenticated, code="token_expired"):
    """The token has expired."""


class BadTrustAnchor(ValueError):
    """The configured secret or key file cannot be trusted; the service must not start."""


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """A public key of the gateway and the one algorithm that it verifies."""

    algorithm: str
    key: Any


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token that is ours, for us and from `from_s` until before `until_s`, seconds of 1970."""

    claims: dict[str, Any]
    from_s: float
    until_s: float


class TrustAnchor:
    """The secret or the public keys that make a token believable.

    Args:
        issuer: The `iss` that a token must have.
        audience: The `aud` that a token must have, alone or in a list.
        secret: HS256 key of at least `SECRET_BYTES_MIN` bytes.
        keys: Public keys by `kid`, from `pinned_keys`.

    Raises:
        BadTrustAnchor: Neither secret nor key, or a weak secret.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        clock: Clock,
        secret: bytes | None = None,
        keys: Mapping[str, PinnedKey] | None = None,
    ) -> None:
        if not secret and not keys:
            raise BadTrustAnchor("set JWT_SECRET_KEY or JWT_JWKS_FILE: nobody could be believed")
        if secret and len(secret) < SECRET_BYTES_MIN:
            raise BadTrustAnchor(f"JWT_SECRET_KEY needs {SECRET_BYTES_MIN} bytes or more")
        if not issuer or not audience:
            raise BadTrustAnchor("JWT_ISSUER and JWT_AUDIENCE must not be empty")
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._secret = secret
        self._keys = dict(keys or {})
        self._jws = jwt.PyJWS(algorithms=["HS256", *_ALGORITHM_OF_TYPE.values()])
        self._verified: OrderedDict[str, _Verified] = OrderedDict()

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token that is ours and valid now; types of `sub` and the rest unchecked.

        A signature once seen to be right is not computed again; the times are judged each time.
        Callers must not change the claims.

        Raises:
            TokenInvalid: Malformed, forged, for somebody else, or not valid yet.
            TokenExpired: Was valid once.
        """
        verified = self._verified.get(token)
        if verified is None:
            verified = self._check(self._verify_signature(token))
            self._verified[token] = verified
            if len(self._verified) > VERIFIED_MAX:
                self._verified.popitem(last=False)
        now_s = self._clock.now().timestamp()
        if verified.until_s <= now_s:
            raise TokenExpired()
        if verified.from_s > now_s:
            raise TokenInvalid("the token is not valid yet")
        return verified.claims

    def _verify_signature(self, token: str) -> dict[str, Any]:
        if len(token) > TOKEN_TEXT_MAX or _COMPACT.fullmatch(token) is None:
            raise TokenInvalid("this is not a compact signed token")
        try:
            header = jwt.get_unverified_header(token)
            pinned = self._key_for(header)
            payload = self._jws.decode(token, pinned.key, algorithms=[pinned.algorithm])
            claims = json.loads(payload, object_pairs_hook=_unique)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise TokenInvalid("the signature or the form of the token is wrong") from None
        if not isinstance(claims, dict):
            raise TokenInvalid("the claims are not an object")
        return claims

    def _key_for(self, header: Mapping[str, Any]) -> PinnedKey:
        if _FORBIDDEN_HEADER & header.keys():
            raise TokenInvalid("a token must not bring its key or extensions")
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm == "HS256" and self._secret:
            return PinnedKey("HS256", self._secret)
        pinned = self._keys.get(kid) if isinstance(kid, str) else None
        if pinned is None or pinned.algorithm != algorithm:
            raise TokenInvalid("no configured key verifies this token")
        return pinned

    def _check(self, claims: dict[str, Any]) -> _Verified:
        """
        Raises:
            TokenInvalid: For somebody else, or without the times that it needs.
        """
        if claims.get("iss") != self._issuer:
            raise TokenInvalid("the token has another issuer")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if self._audience not in audiences:
            raise TokenInvalid("the token is for another audience")
        expires, issued = _time(claims, "exp"), _time(claims, "iat")
        begins = _time(claims, "nbf")
        if expires is None:
            raise TokenInvalid("a token needs an expiry")
        begins = max(issued or 0.0, begins or 0.0)
        return _Verified(claims, begins - LEEWAY_S, expires + LEEWAY_S)


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """Seconds since 1970; None when the claim is absent."""
    value = claims.get(name)
    if name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise TokenInvalid(f"{name} is not a time")
    return float(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different: two readers must not see two subjects."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def pinned_keys(path: Path) -> dict[str, PinnedKey]:
    """Read the public keys of a JWKS file, by `kid`.

    Raises:
        BadTrustAnchor: Unreadable, or a key without `kid`, of another type, private or too short.
    """
    try:
        entries = json.loads(path.read_bytes(), object_pairs_hook=_unique)["keys"]
        assert isinstance(entries, list)
    except (OSError, ValueError, KeyError, TypeError, AssertionError):
        raise BadTrustAnchor(f"{path} is not a readable JWKS file") from None
    if not 0 < len(entries) <= JWKS_KEYS_MAX:
        raise BadTrustAnchor(f"{path} must hold 1 to {JWKS_KEYS_MAX} keys")
    keys: dict[str, PinnedKey] = {}
    for entry in entries:
        kid, pinned = _pinned(entry)
        if kid in keys:
            raise BadTrustAnchor(f"the kid {kid!r} appears twice")
        keys[kid] = pinned
    return keys


def _pinned(entry: Any) -> tuple[str, PinnedKey]:
    if not isinstance(entry, dict) or not isinstance(kid := entry.get("kid"), str) or not kid:
        raise BadTrustAnchor("every key needs a kid")
    if "d" in entry or "k" in entry:
        raise BadTrustAnchor(f"the key {kid!r} is private; only public keys belong here")
    kind = (str(entry.get("kty")), entry.get("crv"))
    algorithm = _ALGORITHM_OF_TYPE.get(kind)
    if algorithm is None:
        raise BadTrustAnchor(f"the key {kid!r} is not Ed25519, P-256 or RSA")
    if entry.get("alg", algorithm) != algorithm or entry.get("use", "sig") != "sig":
        raise BadTrustAnchor(f"the key {kid!r} is meant for something else")
    try:
        key = jwt.PyJWK(entry, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError):
        raise BadTrustAnchor(f"the key {kid!r} cannot be read") from None
    if isinstance(key, RSAPublicKey) and key.key_size < RSA_BITS_MIN:
        raise BadTrustAnchor(f"the key {kid!r} has fewer than {RSA_BITS_MIN} bits")
    return kid, PinnedKey(algorithm, key)

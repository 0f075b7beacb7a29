"""Who is calling: a user by the gateway's JWT, or a machine by its API key.

The gateway's context headers are believed only as far as they repeat the token. A failure is 401
and an event in the log that names the reason, never the credential.
"""

import re
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import structlog

from tron_payment.core.errors import Forbidden, Unauthenticated
from tron_payment.http.headers import Headers, header
from tron_payment.http.permissions import PERMISSIONS, permissions_of
from tron_payment.http.principals import RESERVED, Principal, Role
from tron_payment.http.tokens import LEEWAY_S, VERIFIED_MAX, TokenInvalid, TrustAnchor

log = structlog.get_logger()

API_KEY_PREFIX: Final = "key_"
CLAIM_TEXT_MAX: Final = 128
PERMISSION_CLAIMS_MAX: Final = 200

_ROLES: Final = {role.value: role for role in Role}
_SUBJECT: Final = re.compile(r"[!-~]{1,128}")
_KYC_LEVEL: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_NO_KYC: Final = frozenset({"0", "false", "no", "none", "null", "unverified", "rejected"})


class TokenMissing(Unauthenticated, code="token_missing"):
    """Send a bearer token or an API key."""


class ContextMismatch(Unauthenticated, code="context_mismatch"):
    """The context headers do not repeat the token."""


class TokenUsed(Unauthenticated, code="token_used"):
    """This token was good for one request, and it was made."""


class KeyInvalid(Unauthenticated, code="key_invalid"):
    """This API key is unknown, revoked or expired."""


class UnknownRole(Forbidden, code="unknown_role"):
    """The token names a role that does not exist here."""


class TwoCredentials(Unauthenticated, code="two_credentials"):
    """Send a token or an API key, not both."""


class KeyLookup(Protocol):
    """Finds the principal behind an API key."""

    async def principal_of(self, secret: str) -> Principal | None:
        """None when the key is unknown, revoked or expired."""


class OneTimeTokens(Protocol):
    """Remembers token ids until the tokens have expired."""

    async def claim(self, token_id: str, expires_at: datetime) -> bool:
        """True the first time, False ever after."""


class Authenticator:
    """Turns the headers of a request into a principal, or refuses.

    Args:
        anchor: What a token is verified against; without one there is no authenticator.
        keys: Where API keys are found; None when machines cannot call.
        one_time: Set when each token is good for one request.
    """

    def __init__(
        self,
        anchor: TrustAnchor,
        *,
        keys: KeyLookup | None = None,
        one_time: OneTimeTokens | None = None,
    ) -> None:
        if not isinstance(anchor, TrustAnchor):
            raise TypeError("an authenticator needs a trust anchor")
        self._anchor = anchor
        self._keys = keys
        self._one_time = one_time
        self._known: OrderedDict[str, tuple[dict[str, Any], Principal]] = OrderedDict()
        """By token, as long as the anchor remembers these very claims; it judges them each time."""

    async def authenticate(self, headers: Headers) -> Principal:
        """Say who sent these headers, which `read_headers` has passed.

        Raises:
            Unauthenticated: No credential, a bad one, or context headers that differ.
            Forbidden: A valid token with a role that does not exist.
        """
        try:
            secret, is_key = _credential(headers)
            principal = await (self._of_key if is_key else self._of_token)(secret)
            _compare(headers, principal)
        except (Unauthenticated, UnknownRole) as refusal:
            log.warning("caller.refused", reason=refusal.code, detail=refusal.detail)
            raise
        return principal

    async def _of_key(self, key: str) -> Principal:
        found = await self._keys.principal_of(key) if self._keys else None
        if found is None:
            raise KeyInvalid()
        return found

    async def _of_token(self, token: str) -> Principal:
        claims = self._anchor.verify(token)
        known = self._known.get(token)
        if known is not None and known[0] is claims:
            principal = known[1]
        else:
            principal = principal_of(claims)
            self._known[token] = claims, principal
            if len(self._known) > VERIFIED_MAX:
                self._known.popitem(last=False)
        if self._one_time is not None:
            if principal.token_id is None:
                raise TokenInvalid("a one-time token needs a jti")
            expires_at = datetime.fromtimestamp(min(claims["exp"], _EXPIRY_MAX_S), UTC)
            known_as = f"{claims['iss']}\x1f{principal.token_id}"
            if not await self._one_time.claim(known_as, expires_at + timedelta(seconds=LEEWAY_S)):
                raise TokenUsed()
        return principal


def _credential(headers: Headers) -> tuple[str, bool]:
    """The token or the API key, and whether it is a key."""
    authorization = header(headers, b"authorization")
    if b"x-api-key" in headers:
        if authorization is not None:
            raise TwoCredentials()
        return headers[b"x-api-key"].decode("latin-1"), True
    if authorization is None:
        raise TokenMissing()
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() != "bearer" or not credential:
        raise TokenMissing("the scheme is Bearer")
    return credential, credential.startswith(API_KEY_PREFIX)


_EXPIRY_MAX_S: Final = 32_503_680_000
"""The year 3000: a later expiry is as good."""


def principal_of(claims: dict[str, Any]) -> Principal:
    """Read verified claims.

    Raises:
        TokenInvalid: A claim of the wrong type or form.
        UnknownRole: `role` is text, but none of ours.
    """
    subject, role, token_id = claims.get("sub"), claims.get("role"), claims.get("jti")
    if not isinstance(subject, str) or _SUBJECT.fullmatch(subject) is None:
        raise TokenInvalid("sub is 1 to 128 printable characters")
    if subject in RESERVED:
        raise TokenInvalid("sub is a name of the service's own")
    if not isinstance(role, str):
        raise TokenInvalid("role is one string")
    if token_id is not None and (
        not isinstance(token_id, str) or not 0 < len(token_id) <= CLAIM_TEXT_MAX
    ):
        raise TokenInvalid("jti is text")
    if role not in _ROLES:
        raise UnknownRole()
    return Principal(
        id=subject,
        role=_ROLES[role],
        permissions=narrowed(_ROLES[role], claims.get("permissions")),
        kyc=_kyc(claims.get("kyc")),
        token_id=token_id,
    )


def narrowed(role: Role, claimed: Any) -> frozenset[str]:
    """The role's permissions, or those of them that the token lists; a list never adds any.

    So a gateway can hand out a weaker token, and a forged list gives nothing.
    """
    if claimed is None:
        return permissions_of(role)
    if (
        not isinstance(claimed, list)
        or len(claimed) > PERMISSION_CLAIMS_MAX
        or not all(isinstance(name, str) for name in claimed)
    ):
        raise TokenInvalid("permissions is a list of names")
    return permissions_of(role) & frozenset(claimed) & PERMISSIONS.keys()


def _kyc(claim: Any) -> str | None:
    """The vouched-for level; ``true`` is the level "verified"."""
    if claim is None or claim is False:
        return None
    if claim is True:
        return "verified"
    text = str(claim) if isinstance(claim, int) else claim
    if not isinstance(text, str) or _KYC_LEVEL.fullmatch(text) is None:
        raise TokenInvalid("kyc is true or a level")
    return None if text.lower() in _NO_KYC else text


def _compare(headers: Headers, principal: Principal) -> None:
    if b"x-user-id" in headers and header(headers, b"x-user-id") != principal.id:
        raise ContextMismatch("X-User-ID is not the token's subject")
    if b"x-user-role" in headers and header(headers, b"x-user-role") != principal.role:
        raise ContextMismatch("X-User-Role is not the token's role")

"""A caller: who it is, in which role, and what it may do.

Below everything else that speaks about callers: `authentication` makes one of the headers of a
request, `permissions` says what each role may do.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

RESERVED: Final = frozenset({"service", "payment-gateway", "command-line"})
"""Names under which the service itself owns, asks and acts; no caller has one of them."""


class Role(StrEnum):
    VIEWER = "viewer"
    MERCHANT = "merchant"
    OPERATOR = "operator"
    APPROVER = "approver"
    TREASURER = "treasurer"
    COMPLIANCE = "compliance"
    ADMIN = "admin"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of one request.

    `kyc` is the level that the gateway vouches for, None when it does not. `permissions` are those
    of the role, narrowed by the token or key.
    """

    id: str
    role: Role
    permissions: frozenset[str]
    kyc: str | None = None
    token_id: str | None = None
    via: Literal["jwt", "api_key"] = "jwt"

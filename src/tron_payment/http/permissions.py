"""Who may do what: one table, and one about whose things a role sees.

A row is a permission, named ``module:verb`` as the gateway names them, and the roles that have it.
"May approve" means: when the policy asks for an approval; nobody approves what they created, which
the service that holds the object checks. Reading is open to every role because of what it shows:
`SEES_ALL` says whose objects a role sees, and to everybody else another's object does not exist.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tron_payment.core.errors import Forbidden
from tron_payment.http.principals import Principal, Role

V, M, O, P, T, C, A, U = Role  # noqa: E741 - columns of the table below
EVERYBODY: Final = frozenset(Role)


def _only(*roles: Role) -> frozenset[Role]:
    return frozenset(roles)


PERMISSIONS: Final[Mapping[str, frozenset[Role]]] = MappingProxyType(
    {
        # network: the chain as it is, no secret in it
        "network:read": EVERYBODY,
        # wallets
        "wallet:read": EVERYBODY,
        "wallet:create": _only(O),
        "wallet:import": _only(O),
        "wallet:update": _only(O),
        "wallet:archive": _only(O, T),
        # archive although money remains, replace an account's permissions: with a second person
        "wallet:override": _only(T),
        "wallet:backup": _only(O, T),
        "wallet:restore": _only(O, T),
        "wallet:verify": _only(O, T),  # is this the wallet's password?
        # usdt
        "usdt:read": EVERYBODY,
        "usdt:transfer": _only(O),
        "usdt:approve": _only(O),  # an allowance on the chain, not a colleague's wish
        "usdt:register": _only(O, T),  # another TRC-20 token
        # payouts
        "payout:read": EVERYBODY,
        "payout:create": _only(M, O),
        "payout:batch": _only(M, O),
        "payout:direct": _only(O),
        "payout:quote": _only(M, O, P, T),
        "payout:cancel": _only(M, O, T),
        "payout:approve": _only(P, T),
        "payout:reject": _only(P, T),
        "payout:hold": _only(C),
        "recipient:read": _only(V, M, O, P, T, C, U),
        "recipient:attest": _only(C),
        # staking
        "staking:read": EVERYBODY,
        "staking:write": _only(O, T),
        "staking:approve": _only(P, T),
        # gateway
        "payment:read": EVERYBODY,
        "payment:create": _only(M, O),  # an invoice
        "payment:process": _only(M, O, T),  # any kind; the kind's own permission is asked besides
        "payment:refund": _only(M, O),
        "refund:approve": _only(P, T, C),
        "reconciliation:read": _only(V, O, P, T, C, U),
        "reconciliation:run": _only(O, T, U),
        "report:read": _only(V, M, O, P, T, C, U),
        "event:read": EVERYBODY,
        "webhook:read": EVERYBODY,
        "webhook:write": _only(M, O),
        # signing by devices and co-signers
        "signing:read": _only(O, P, T, U),
        "signing:sign": _only(T),
        # policy, allow-list, kill switch, quarantine
        "policy:read": _only(V, O, P, T, C, A, U),
        "policy:propose": _only(O, P, T, C, A),
        "policy:approve": _only(P, T, C),
        "killswitch:on": _only(O, P, T, C, A),
        "killswitch:off": _only(T, A),
        "quarantine:read": _only(V, O, P, T, C, U),
        "quarantine:propose": _only(O),
        "quarantine:resolve": _only(P, T, C),
        # service
        "service:read": EVERYBODY,  # /status, /stats, every */stats
        "schema:read": EVERYBODY,
        "service:restart": _only(A),
        "config:read": _only(A),
        "config:reload": _only(A),
        "apikey:read": EVERYBODY,
        "apikey:create": _only(A),
        "apikey:approve": _only(A),  # another admin's, when it may do what no admin may
        "apikey:rotate": _only(A),
        "apikey:revoke": _only(A),
        "audit:read": _only(C, A, U),
        "totp:enrol": _only(O, P, T, C, A),  # one's own second factor
        "totp:release": _only(A),  # let somebody else's new one count
        "totp:reset": _only(A),  # somebody else's, who lost their device
    }
)

SEES_ALL: Final[Mapping[str, frozenset[Role]]] = MappingProxyType(
    {
        "payouts": _only(V, O, P, T, C, U),
        "batches": _only(O, P, T, C, U),
        "payments": _only(V, O, P, T, C, U),
        "refunds": _only(O, P, T, C, U),
        "reports": _only(V, O, P, T, C, U),
        "recipients": _only(O, P, T, C, U),
        "wallets": _only(O, P, T, U),
        "transfers": _only(O, P, T, U),
        "stakes": _only(O, P, T, U),
        "signing_requests": _only(O, P, T, U),
        # whatever it is: who proposes or resolves has to see it; others see what their role sees
        "quarantine": _only(O, P, T, C, U),
        "webhooks": _only(O, U),
        "events": _only(O, U),
        "api_keys": _only(A, U),
    }
)
"""Roles that see every object of a kind; the others see those whose owner they are."""

MOVES_MONEY: Final = frozenset(
    {
        "usdt:transfer",
        "usdt:approve",
        "payout:create",
        "payout:batch",
        "payout:direct",
        "payment:refund",
        "staking:write",
        "payout:approve",
        "refund:approve",
        "signing:sign",
    }
)
STEP_UP: Final = frozenset(
    {
        "payout:approve",
        "staking:approve",
        "refund:approve",
        "policy:approve",
        "quarantine:resolve",
        "wallet:override",
        "wallet:backup",  # a key leaves, under the caller's own password
        "wallet:restore",
        "wallet:import",
        "apikey:approve",
        "totp:release",
        "totp:reset",
        "killswitch:off",
    }
)
"""What asks for a code of the second factor besides the token, where STEP_UP_REQUIRED is set.

The gate asks at every route whose permission it is; where only the content tells (the kill
switch goes off), the handler does."""

READ_AS_ADMIN: Final = frozenset(
    {
        "network:read",
        "service:read",
        "schema:read",
        "config:read",
        "policy:read",
        "audit:read",
        "apikey:read",
    }
)
"""Reading that shows an admin as much as anybody."""

BEYOND_ADMIN: Final = frozenset(
    name
    for name, roles in PERMISSIONS.items()
    if Role.ADMIN not in roles or (name.endswith(":read") and name not in READ_AS_ADMIN)
)
"""What an admin may not do, and so may not hand out alone either. Reading is among it where it
shows what its role sees, or what belongs to the name it is done under: an admin with a key would
read what their own token does not show."""

IN_PERSON: Final = frozenset(
    {
        "apikey:create",
        "apikey:approve",
        "apikey:rotate",
        "totp:enrol",
        "totp:release",
        "totp:reset",
        "wallet:override",
        "policy:propose",
        "policy:approve",
        "quarantine:propose",
        "quarantine:resolve",
    }
)
"""Who may stand for another: an API key never has these, whatever its role. A key acts under any
name that its maker gave it; with these, one admin would be as many people as they like, and a
treasurer with a key would be the second person who has to agree to an account's permissions, a
policy, or a way out of the quarantine."""

assert all(PERMISSIONS[name] <= PERMISSIONS["totp:enrol"] for name in STEP_UP)
assert not any(Role.ADMIN in PERMISSIONS[name] for name in MOVES_MONEY), "an admin moves no money"


class MissingPermission(Forbidden, code="missing_permission"):
    """Your role may not do this."""


def permissions_of(role: Role) -> frozenset[str]:
    """Everything the table gives to a role."""
    return _OF_ROLE[role]


_OF_ROLE: Final = {
    role: frozenset(name for name, roles in PERMISSIONS.items() if role in roles) for role in Role
}


def require(principal: Principal, permission: str) -> None:
    """Refuse unless the caller has the permission; for rules that depend on the content.

    Raises:
        MissingPermission: The role has it not, or the token or key leaves it out.
    """
    assert permission in PERMISSIONS, f"{permission} is not in the table"
    if permission not in principal.permissions:
        raise MissingPermission(f"this needs the permission {permission}")


def sees_all(principal: Principal, kind: str) -> bool:
    """Whether the caller sees every object of this kind; if not, filter by owner in the query."""
    return principal.role in SEES_ALL[kind]


def owner_filter(principal: Principal, kind: str, field: str = "principal") -> dict[str, str]:
    """The part of a MongoDB query that keeps others' objects away; empty for those who see all."""
    return {} if sees_all(principal, kind) else {field: principal.id}


def markdown_table() -> str:
    """The table as `docs/permissions.md` prints it."""
    lines = [
        "| permission | " + " | ".join(Role) + " |",
        "|---" * (len(Role) + 1) + "|",
    ]
    for name, roles in PERMISSIONS.items():
        lines.append(f"| `{name}` | " + " | ".join("x" if r in roles else "" for r in Role) + " |")
    return "\n".join(lines) + "\n"

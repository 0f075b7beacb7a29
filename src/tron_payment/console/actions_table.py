"""Everything that a button of the console can do: each is one call of the API."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One call. Placeholders of `path` and `page` are fields of the form."""

    permission: str
    path: str
    page: str
    """Where the person goes afterwards; ``{made}`` is the payout that the answer names."""

    done: str
    """What the page then says."""

    method: str = "POST"
    body: Callable[[Fields], Any] | None = None
    keyed: bool = False
    """It needs an Idempotency-Key: made of action and id, so that it happens once."""


def _given(*names: str) -> Callable[[Fields], Any]:
    """A body of these fields, those that were filled in."""
    return lambda fields: {name: fields[name] for name in names if fields.get(name)}


_PAYOUT: Final = "/console/payouts/{id}"
_BATCH: Final = "/console/batches/{id}"
_WALLET: Final = "/console/wallets/{id}"
_POLICY: Final = "/console/policy"
_POLICY_API: Final = "/api/v1/policy"
_APPROVALS: Final = "/console/approvals"
_QUARANTINE: Final = "/console/quarantine"
_QUARANTINE_API: Final = "/api/v1/payouts/quarantine/{id}"
_CHANGE: Final = "/console/permission-changes/{id}"
_CHANGE_API: Final = "/api/v1/wallets/permission-changes/{id}"
_ENDPOINT: Final = "/console/webhooks/{id}"
_ENDPOINTS: Final = "/api/v1/payments/webhook-endpoints"

ACTIONS: Final[Mapping[str, Action]] = MappingProxyType(
    {
        "payout.cancel": Action(
            permission="payout:cancel",
            path="/api/v1/payouts/{id}/cancel",
            page=_PAYOUT,
            done="The payout was called back.",
        ),
        "payout.approve": Action(
            permission="payout:approve",
            path="/api/v1/payouts/{id}/approve",
            page=_PAYOUT,
            done="Your approval counts.",
            body=_given("order_hash"),
        ),
        "payout.reject": Action(
            permission="payout:reject",
            path="/api/v1/payouts/{id}/reject",
            page=_PAYOUT,
            done="The payout was rejected.",
            body=_given("reason"),
        ),
        "payout.retry": Action(
            permission="payout:create",
            path="/api/v1/payouts/{id}/retry",
            page="/console/payouts/{made}",
            done="A new payout takes the failed one's place.",
            keyed=True,
        ),
        "batch.cancel": Action(
            permission="payout:cancel",
            path="/api/v1/payouts/batch/{id}/cancel",
            page=_BATCH,
            done="Every row that was not yet signed was called back.",
        ),
        "batch.approve": Action(
            permission="payout:approve",
            path="/api/v1/payouts/batch/{id}/approve",
            page=_BATCH,
            done="Your approval counts.",
            body=_given("order_hash"),
        ),
        "batch.reject": Action(
            permission="payout:reject",
            path="/api/v1/payouts/batch/{id}/reject",
            page=_BATCH,
            done="The batch was rejected.",
            body=_given("reason"),
        ),
        "payment.cancel": Action(
            permission="payment:create",
            path="/api/v1/payments/{id}/cancel",
            page="/console/payments/{id}",
            done="The invoice was canceled.",
        ),
        "wallet.freeze": Action(
            permission="wallet:update",
            path="/api/v1/wallets/{id}",
            method="PUT",
            page=_WALLET,
            done="The wallet is frozen: nothing leaves it.",
            body=lambda _: {"frozen": True},
        ),
        "wallet.thaw": Action(
            permission="wallet:update",
            path="/api/v1/wallets/{id}",
            method="PUT",
            page=_WALLET,
            done="The wallet may pay again.",
            body=lambda _: {"frozen": False},
        ),
        "permissions.agree": Action(
            permission="wallet:override",
            path=_CHANGE_API + "/agree",
            page=_CHANGE,
            done="You agreed: the change is on its way to the chain.",
            body=_given("change_hash"),
            keyed=True,
        ),
        "permissions.refuse": Action(
            permission="wallet:override",
            path=_CHANGE_API + "/refuse",
            page=_CHANGE,
            done="It was refused: the account stays as it is.",
            body=_given("change_hash"),
        ),
        "stake.cancel": Action(
            permission="staking:write",
            path="/api/v1/staking/operations/{id}/cancel",
            page="/console/staking",
            done="The staking operation was called back.",
        ),
        "signature.give": Action(
            permission="signing:sign",
            path="/api/v1/signing-requests/{id}/signatures",
            page="/console/signing/{id}",
            done="The signature counts.",
            body=_given("signature"),
        ),
        "books.reconcile": Action(
            permission="reconciliation:run",
            path="/api/v1/payments/reconciliation",
            method="GET",
            page="/console/books",
            done="A reconciliation is running; its result appears here when it has finished.",
        ),
        "webhook.ping": Action(
            permission="webhook:write",
            path=_ENDPOINTS + "/{id}/ping",
            page=_ENDPOINT,
            done="A ping is on its way.",
        ),
        "webhook.enable": Action(
            permission="webhook:write",
            path=_ENDPOINTS + "/{id}",
            method="PUT",
            page=_ENDPOINT,
            done="The endpoint is enabled.",
            body=lambda _: {"enabled": True},
        ),
        "webhook.disable": Action(
            permission="webhook:write",
            path=_ENDPOINTS + "/{id}",
            method="PUT",
            page=_ENDPOINT,
            done="The endpoint is disabled.",
            body=lambda _: {"enabled": False},
        ),
        "webhook.redeliver": Action(
            permission="webhook:write",
            path=_ENDPOINTS + "/{id}/deliveries/{delivery_id}/redeliver",
            page=_ENDPOINT,
            done="The event is being delivered again.",
        ),
        "order.approve": Action(
            permission="payout:approve",
            path="/api/v1/payouts/approvals/{id}/approve",
            page=_APPROVALS,
            done="Your approval counts.",
            body=_given("order_hash"),
        ),
        "order.reject": Action(
            permission="payout:reject",
            path="/api/v1/payouts/approvals/{id}/reject",
            page=_APPROVALS,
            done="It was rejected.",
            body=_given("reason"),
        ),
        "quarantine.propose": Action(
            permission="quarantine:propose",
            path=_QUARANTINE_API + "/propose",
            page="/console/quarantine/{id}",
            done="Your proposal waits for somebody else.",
            body=_given("outcome", "note"),
        ),
        "quarantine.agree": Action(
            permission="quarantine:resolve",
            path=_QUARANTINE_API + "/resolve",
            page=_QUARANTINE,
            done="It left quarantine as the chain proves.",
            body=lambda _: {"agree": True},
        ),
        "quarantine.refuse": Action(
            permission="quarantine:resolve",
            path=_QUARANTINE_API + "/resolve",
            page="/console/quarantine/{id}",
            done="The proposal was rejected; it stays in quarantine.",
            body=lambda _: {"agree": False},
        ),
        "unexplained.acknowledge": Action(
            permission="quarantine:resolve",
            path=_POLICY_API + "/unexplained/{id}/acknowledge",
            page=_QUARANTINE,
            done="You answer for it.",
        ),
        "unproved.accept": Action(
            permission="quarantine:resolve",
            path=_POLICY_API + "/unproved/{id}/accept",
            page=_QUARANTINE,
            done="It is closed: it counts nowhere, whatever nodes tell later.",
            body=_given("reason"),
        ),
        "policy.approve": Action(
            permission="policy:approve",
            path=_POLICY_API + "/proposals/{id}/approve",
            page=_POLICY,
            done="The policy is in force.",
        ),
        "policy.reject": Action(
            permission="policy:approve",
            path=_POLICY_API + "/proposals/{id}/reject",
            page=_POLICY,
            done="The proposal was put away.",
        ),
        "policy.propose": Action(
            permission="policy:propose",
            path=_POLICY_API + "/proposals",
            page=_POLICY,
            done="The proposal waits for somebody else's approval.",
        ),
        "allow.propose": Action(
            permission="policy:propose",
            path=_POLICY_API + "/allow-list",
            page=_POLICY,
            done="The address waits for somebody else's approval.",
            body=_given("recipient_address", "label"),
        ),
        "allow.approve": Action(
            permission="policy:approve",
            path=_POLICY_API + "/allow-list/{id}/approve",
            page=_POLICY,
            done="The address may be paid after its cool-down.",
        ),
        "switch.on": Action(
            permission="killswitch:on",
            path=_POLICY_API + "/kill-switch",
            page=_POLICY,
            done="Nothing more leaves. What is already sent cannot be stopped.",
            body=lambda fields: {"on": True, **_given("reason", "wallet_id")(fields)},
        ),
        "switch.off": Action(
            permission="killswitch:off",
            path=_POLICY_API + "/kill-switch",
            page=_POLICY,
            done="Payouts go on.",
            body=lambda fields: {"on": False, **_given("reason", "wallet_id")(fields)},
        ),
    }
)

"""What to do about a refusal, by its code, where its title does not say so already.

It is the `detail` of a refusal that has no words of its own, and a column of docs/errors.md.
"""

from collections.abc import Mapping
from typing import Final

from tron_payment.core.errors import AppError

AGAIN: Final = "repeat the same request after a moment, after Retry-After where it is given"
LOOK: Final = "look at it again: somebody or something else has changed it"
OWN_LIST: Final = "check the id; a list shows what you may see"
FIELD: Final = "`param` names the field: /schema has what it takes"

ADVICE: Final[Mapping[str, str]] = {
    "account_unknown": "check the address, or send it some TRX first",
    "already_signed": "nothing: the signature is there",
    "already_reserved": LOOK,
    "amount_above_maximum": "pay it in parts, or have MAX_PAYOUT_AMOUNT raised",
    "amount_below_minimum": "ask for more, or have MIN_PAYOUT_AMOUNT lowered",
    "answer_too_large": "send less at once: a batch in several parts",
    "api_key_for_yourself": "have another admin make it",
    "api_key_not_active": "make a new key, or look at the list of keys",
    "api_key_not_found": OWN_LIST,
    "approval_expired": "ask for the payment anew",
    "approval_not_found": OWN_LIST,
    "approvers_differ": "have each currency in a batch of its own; for a call of a contract that "
    "is not known, let the policy's bands name approvers in common",
    "attestation_over": "give an `expires_at` in the future",
    "audit_log_empty": "nothing: it begins with the first act",
    "backup_malformed": "check that it is the whole file, and from this release or an older one",
    "backup_of_another": "name the wallet that the backup was made of",
    "backup_unreadable": "try the password that it was made with, or another copy",
    "bad_audit_head": "check the file and the public key",
    "balance_too_low": "stake less, or send TRX to the account first",
    "batch_differs": "undo what has changed since (policy, allow-list) and repeat the request with "
    "the same key; or upload under another key, and never repeat this one",
    "batch_not_found": OWN_LIST,
    "block_not_found": "ask again when the chain has reached it, or for a smaller number",
    "body_missing": "send a JSON body; /schema has its fields",
    "body_too_large": "send less: 64 KiB, a batch 8 MiB",
    "certificate_not_found": "take a first block from the list of certificates",
    "chain_contradiction": "tell whoever operates the service; nothing is paid meanwhile",
    "claim_too_early": "wait until a day after the last claim",
    "configuration_refused": "mend what the detail names, then reload again",
    "conflict": LOOK,
    "context_mismatch": "let the gateway send the token's own sub and role in X-User-ID, "
    "X-User-Role, or leave them out",
    "csv_header": "begin with user_id,recipient_address,amount and the optional columns",
    "delegation_locked": "wait until the lock has ended, or take back less",
    "delegation_too_high": "lend less, or wait until the resource has come back",
    "delivery_not_found": OWN_LIST,
    "device": "look at what it shows, then try again",
    "duplicate_value": LOOK,
    "estimate_source": "send one of from_address and wallet_id",
    "export_not_finished": "ask for the export until it is finished; if it failed, make another",
    "export_not_found": "make another export",
    "forbidden": "use a token or key whose role may do this: docs/permissions.md has the table",
    "follower_halted": "tell whoever operates the service: runbook ChainContradicted",
    "foreign_form": "open the page anew and send its own form",
    "header_missing": "send the header that `param` names",
    "headers_too_large": "send at most 64 KiB of address and headers, and at most 100 headers",
    "idempotency_in_flight": "repeat it with the same key after Retry-After",
    "idempotency_key_expired": "look the object up; use a new key for a new request",
    "idempotency_key_reused": "use a new key for another request; to repeat the first one, send "
    "exactly its content",
    "import_source": "send one of private_key, mnemonic, xpub and address",
    "installation_mismatch": "start with this chain's own database, or with the newer release",
    "internal": "tell whoever operates the service the request_id; repeat with the same key",
    "invalid_address": "an address has 34 characters, begins with T, and ends with its checksum: "
    "copy it again",
    "invalid_amount": 'send a decimal string such as "12.5", with no more decimals than the '
    "currency has",
    "invalid_cursor": "begin again without a cursor, with the same filters",
    "invalid_field": FIELD,
    "invalid_header": "`param` names the header: /schema has what it takes",
    "invalid_label": "send 1 to 64 printable characters",
    "invalid_parameter": "`param` names the parameter: /schema has what it takes",
    "invalid_period": "begin before the end, and take a year at most",
    "invalid_policy": "mend the rule that the detail names, and propose it again",
    "invalid_scope": "take scopes from the role's column in docs/permissions.md, none that begins "
    "with `totp:`, makes, approves or rotates keys, or proposes or decides about permissions, "
    "policy or quarantine",
    "invalid_url": "send an https address",
    "invalid_xpub": "export the xpub of an account, such as m/44'/195'/0'",
    "invoice_not_open": "refund what was paid on it",
    "key_invalid": "use another key, or have one made at /api-keys",
    "key_unreadable": "configure the key-encryption key that it was wrapped with "
    "(`tron-payment doctor` says which keys do not open)",
    "kyc_not_verified": "leave `kyc_verified` out and let it go by v0, or have the recipient "
    "attested: PUT /payouts/recipients/{user_id}/kyc",
    "limit_exceeded": "wait until earlier payouts leave the window, or have the limit raised",
    "lock_too_short": "give a lock that ends later",
    "malformed": "read it against /schema",
    "malformed_body": "send JSON that parses, in UTF-8, at most 64 levels deep",
    "malformed_row": "mend the row; the detail says what is wrong with it",
    "max_fee_too_high": "send a lower max_fee_trx",
    "merchant_reference_taken": "look at the payout in `payout_id`; for another payment take "
    "another reference",
    "method_not_allowed": "use a method that the header Allow names",
    "missing_field": FIELD,
    "missing_permission": "use a token or key whose role has the permission: docs/permissions.md "
    "has the table",
    "must_wait": "nothing: it goes on by itself",
    "no_good_row": "mend the rows that `refused` names",
    "no_reward": "nothing; look again when a day has passed",
    "no_rows": "send at least one row",
    "no_such_service": "name one of the six services, or all of them in turn",
    "node_refused": "read what the node said",
    "not_a_token": "check the contract's address",
    "not_acceptable": "accept application/json, or the type that /schema names",
    "not_an_approver": "have one of the approvers that the policy names do it",
    "not_an_invoice": "refund the invoice that the money came in by",
    "not_awaiting_approval": LOOK,
    "not_cancelable": "nothing: it has ended, or it is signed and may be paid at any moment",
    "not_found": "check path and id; /schema has every path",
    "not_listed": "propose the address first",
    "not_proved": "wait until more blocks have been read, then look again",
    "not_quarantined": "look at the list: it may have been let out",
    "not_retryable": "look at the payout: it has not failed, was tried again already, "
    "or nothing proves it unpaid, as when `payout_id` has its merchant reference",
    "not_your_events": "leave `everything` out",
    "nothing_delegated": "look at what is lent to whom: /staking/resources/{address}",
    "nothing_proposed": "propose an outcome first",
    "nothing_to_cancel": "nothing",
    "nothing_to_withdraw": "wait until an unstaking has ended: /staking/status/{address} says when",
    "notice_refused": "sign it with PAYMENT_WEBHOOK_SECRET by the rules of Standard Webhooks, and "
    "send it at once",
    "odd_header": "send each header once, spelt with hyphens",
    "order_finished": "nothing: it cannot be changed any more",
    "order_shown": "wait: it ends by itself",
    "order_signed": "wait: it will be settled, or proved dead and made anew",
    "own_api_key": "have another admin approve it",
    "own_approval": "have somebody else approve it",
    "own_proposal": "have somebody else decide it",
    "ownership_challenge_not_found": "ask for a challenge first",
    "ownership_not_proven": "sign the challenge's own text with the key of this address",
    "payment_not_found": OWN_LIST,
    "payout_cap_exceeded": "pay it in parts, or propose another policy",
    "payout_not_found": OWN_LIST,
    "payout_would_revert": "look whether the token or the router is paused or empty",
    "permission_change_differs": "look at it again: /wallets/permission-changes/{change_id}",
    "permission_change_not_found": OWN_LIST,
    "permission_change_over": "ask anew under another Idempotency-Key, if it is still wanted",
    "permission_locks_out": "keep a key of ours with enough weight",
    "permission_malformed": "mend what the detail names",
    "permission_unknown": "take an id that /wallets/{wallet_id}/permissions lists",
    "proposal_decided": "make a new proposal",
    "proposal_not_found": OWN_LIST,
    "quote_differs": "ask for a quote of this payout, or leave `quote_id` out",
    "quote_not_found": "ask for a new quote, or leave `quote_id` out",
    "rate_limited": "wait as long as Retry-After says",
    "receiver_is_contract": "lend to an ordinary address",
    "receiver_is_owner": "name another receiver",
    "recipient_blacklisted": "ask the recipient for another address",
    "recipient_cooling_down": "wait until the cool-down of the policy has passed",
    "recipient_differs": "check with the recipient which address is right; the book is at "
    "/payouts/recipients/{user_id}",
    "recipient_is_contract": "ask the recipient for an address of their own",
    "recipient_is_own": "use /usdt/transfer to move money between own wallets",
    "recipient_not_allowed": "propose the address for the allow-list; another person approves it",
    "recipient_not_own": "name the address of one of the installation's wallets",
    "recipient_refused": "ask the recipient for another address",
    "recipient_unknown": "attest the recipient first: PUT /payouts/recipients/{user_id}/kyc",
    "reconciliation_not_finished": "ask again when it has finished",
    "reconciliation_not_found": OWN_LIST,
    "reference_repeats": "leave merchant_reference out of what is paid again and again",
    "refund_exceeds_received": "refund no more than received less refunded",
    "refused": FIELD,
    "reserved_principal": "choose another name",
    "restore_on_host": "restore it on the host: `tron-payment restore FILE --password-file F`",
    "route_currency": "pay TRX at POST /payouts/direct, in a batch with `route` direct in its row",
    "route_unavailable": "put the router on the chain (`tron-payment deploy-contracts`) and name "
    "its address, or use another route",
    "rows_refused": "mend the rows that `refused` names; a dry run of the batch tells the same",
    "schedule_busy": "repeat it after Retry-After; what a process that died has left is free after "
    "five minutes",
    "schedule_ended": "make a new schedule",
    "schedule_not_found": OWN_LIST,
    "second_factor_not_found": "enrol one first",
    "second_person_needed": "look at every key of it, then have another treasurer agree within 24 "
    "hours: at the console's approvals, or "
    "POST /api/v1/wallets/permission-changes/{change_id}/agree",
    "service_refused": "read what the service said",
    "setting_required": "switch it on in the settings of the TRON app",
    "signature_foreign": "sign these very bytes with the key of the address that is shown",
    "signing_request_closed": LOOK,
    "signing_request_not_found": OWN_LIST,
    "simulation_reverted": "look whether the token is paused and the balance large enough",
    "stake_not_found": OWN_LIST,
    "stake_too_low": "take back what is lent first, or unstake less",
    "step_up_failed": "take the next code that the authenticator shows",
    "step_up_locked": "wait as long as Retry-After says",
    "store_refused": "tell whoever operates the service: `tron-payment doctor` says what is wrong",
    "token_exists": "use the token that is there",
    "token_expired": "get a new token from the gateway (beside `make run`: `tron-payment token`)",
    "token_invalid": "get a token from the gateway that this service trusts (beside `make run`: "
    "`tron-payment token`)",
    "token_missing": "send Authorization: Bearer TOKEN; people sign in at /console",
    "token_used": "get a new token for each request, or set JWT_ONE_TIME=false",
    "too_many_bodies": "wait as long as Retry-After says; send fewer at once, or 64 KiB each at "
    "most, with a Content-Length",
    "too_many_endpoints": "remove one first",
    "too_many_exports": "wait until one has finished",
    "too_many_refunds": "pay the rest as a payout",
    "too_many_rows": "send them in several batches",
    "too_many_streams": "ask for the status every few seconds",
    "too_many_tokens": "use those that are registered",
    "too_slow": "send it all at once: headers come within 10 seconds, a body within 10, a batch's "
    "within 300, 64 KiB of it in 30",
    "transaction_not_found": "ask again later; only solidified blocks prove anything",
    "transfer_not_found": OWN_LIST,
    "unauthenticated": "send Authorization: Bearer TOKEN",
    "unexplained_not_found": "look at the list: somebody may have looked at it already",
    "unknown_currency": "register the token first, or take one of /usdt/tokens",
    "unknown_field": "leave it out; /schema has the fields",
    "unknown_node": "take an alias that /tron/network/status lists",
    "unknown_parameter": "leave it out; /schema has the parameters",
    "unknown_representative": "take an address that stands for election on this network",
    "unknown_role": "have the gateway name one of the eight roles of docs/permissions.md",
    "unproved_not_found": "look at the list: it may have been proved, or closed by somebody",
    "unsupported_media_type": "send Content-Type: application/json, or what /schema names",
    "voting_power_too_low": "vote with fewer, or stake more",
    "wallet_archived": "use another wallet",
    "wallet_cannot_sign": "pay from a wallet that signs",
    "wallet_exists": "use the wallet that is there",
    "wallet_has_no_password": "leave the password out",
    "wallet_has_orders": "wait until they have ended, or cancel them",
    "wallet_kind": "/schema has what each kind is made from",
    "wallet_not_found": OWN_LIST,
    "wallet_not_hd": "make an HD wallet",
    "wallet_password_locked": "wait as long as Retry-After says",
    "wallet_password_wrong": "send the wallet's own password",
    "wallet_required": "send `wallet_id`, or set HOT_WALLET_ADDRESS",
    "wallet_without_key": "use a wallet whose key is here",
    "webhook_endpoint_not_found": OWN_LIST,
    "wrong_network": "set TRON_NETWORK and the nodes to the chain that this database belongs to",
}


def advice_of(code: str, *, retryable: bool = False) -> str:
    """What to do about a refusal of this code; empty where its title says it."""
    return ADVICE.get(code) or (AGAIN if retryable else "")


def detail_of(error: AppError) -> str:
    """What a refusal says of itself; what to do, where it says only its title."""
    if error.detail != error.title():
        return error.detail
    return advice_of(error.code, retryable=error.retryable) or error.detail

"""What a node checks of a transaction before it executes it, in java-tron's order.

Source: Wallet.broadcastTransaction, Manager.pushTransaction and processTransaction,
TransactionCapsule.validateSignature and checkWeight of java-tron 4.8.0.
"""

from typing import Final, NamedTuple

from tron_payment.devnet import ledger, params
from tron_payment.devnet.actuators.permissions import allows
from tron_payment.devnet.errors import (
    ContractInvalid,
    Expired,
    SignatureInvalid,
    TaposInvalid,
    TooBig,
)
from tron_payment.devnet.keys import base58check, recover
from tron_payment.devnet.records import Account, Permission
from tron_payment.devnet.state import TAPOS, Get
from tron_payment.devnet.transactions import Tx

MAX_EXPIRATION_MS: Final = 24 * 3600 * 1000
MAX_SIZE: Final = 512_000
MAX_SIGNATURES: Final = 5
SIGNATURE_BYTES: Final = 65


def check_contract_count(tx: Tx) -> None:
    if tx.contract_count != 1:
        raise ContractInvalid("No contract!" if not tx.contract_count else "Contract size error")


def check_next_slot(tx: Tx, next_slot_ms: int) -> None:
    """At broadcast a transaction must outlive the next possible block."""
    if tx.raw_message.expiration < next_slot_ms:
        raise Expired(f"expiration {tx.raw_message.expiration}, next block {next_slot_ms}")


def check_tapos(get: Get, tx: Tx) -> None:
    raw = tx.raw_message
    known: bytes | None = get(TAPOS + bytes(raw.ref_block_bytes))
    if known is None or known != bytes(raw.ref_block_hash):
        raise TaposInvalid(f"ref block {bytes(raw.ref_block_bytes).hex()}")


def check_common(get: Get, tx: Tx) -> None:
    """Size, and expiration against the head: head < expiration <= head + 24 h."""
    size = tx.size
    if size > MAX_SIZE:
        raise TooBig(
            f"Too big transaction with result, TxId {tx.txid.hex()}, the size is {size} bytes, "
            f"maxTxSize {MAX_SIZE}"
        )
    head, expiration = params.read(get, params.HEAD_TIME), tx.raw_message.expiration
    if not head < expiration <= head + MAX_EXPIRATION_MS:
        raise Expired(f"expiration {expiration}, head {head}")


class Weighed(NamedTuple):
    """The outcome of counting signatures."""

    permission: Permission
    approved: tuple[bytes, ...]
    weight: int


class FormatError(SignatureInvalid):
    """A signature is not 65 bytes, or not a point."""


class NotPermitted(SignatureInvalid):
    """The permission does not exist or does not allow this."""


def permission_of(get: Get, tx: Tx) -> Permission:
    """The permission that must sign.

    Raises:
        NotPermitted: It does not exist, or does not allow the contract.
    """
    account: Account | None = ledger.account(get, tx.owner)
    permission = None
    if account is None:
        if tx.permission_id == 0:
            permission = ledger.default_owner_permission(tx.owner)
        elif tx.permission_id == ledger.FIRST_ACTIVE_ID:
            operations = ledger.active_operations(get)
            permission = ledger.default_active_permission(tx.owner, operations)
    elif tx.permission_id == 0:
        permission = account.owner_permission or ledger.default_owner_permission(tx.owner)
    elif tx.permission_id == 1:
        permission = account.witness_permission
    else:
        permission = next((p for p in account.active_permissions if p.id == tx.permission_id), None)
    if permission is None:
        raise NotPermitted("permission isn't exit")
    if tx.permission_id != 0:
        if permission.kind != 2:
            raise NotPermitted("Permission type is error")
        if not allows(permission.operations, tx.kind):
            raise NotPermitted("Permission denied")
    return permission


def signers_of(tx: Tx) -> tuple[bytes, ...]:
    """The recovered signers, computed once per transaction.

    Raises:
        FormatError: A signature is too short or does not belong to any key.
    """
    if tx.signers is None:
        for signature in tx.signatures:
            if len(signature) < SIGNATURE_BYTES:
                raise FormatError(f"Signature size is {len(signature)}")
        try:
            tx.signers = tuple(recover(tx.txid, signature) for signature in tx.signatures)
        except ValueError as error:
            raise FormatError(str(error)) from error
    return tx.signers


def weigh(permission: Permission, tx: Tx) -> Weighed:
    """Add up the weights of the signatures.

    Raises:
        SignatureInvalid: A signature is malformed, of a stranger or there twice.
    """
    if len(tx.signatures) > len(permission.keys):
        raise NotPermitted(
            f"Signature count is {len(tx.signatures)} more than key counts of permission : "
            f"{len(permission.keys)}"
        )
    weights = dict(permission.keys)
    approved: list[bytes] = []
    total = 0
    for signature, signer in zip(tx.signatures, signers_of(tx), strict=True):
        if signer not in weights:
            raise NotPermitted(
                f"{signature.hex()} is signed by {base58check(signer)} but it is not contained "
                "of permission."
            )
        if signer in approved:
            raise NotPermitted(f"{base58check(signer)} has signed twice!")
        approved.append(signer)
        total += weights[signer]
    return Weighed(permission, tuple(approved), total)


def check_signatures(get: Get, tx: Tx) -> None:
    """The signatures satisfy the permission that the contract names.

    Raises:
        SignatureInvalid: They do not.
    """
    if not tx.signatures or not tx.contract_count:
        raise SignatureInvalid("miss sig or contract")
    if len(tx.signatures) > MAX_SIGNATURES:
        raise SignatureInvalid("too many signatures")
    weighed = weigh(permission_of(get, tx), tx)
    if weighed.weight < weighed.permission.threshold:
        raise SignatureInvalid("sig error")

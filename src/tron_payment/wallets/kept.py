"""One wallet as a backup tells it, and what of that is believed: nothing that its key denies.

Whoever writes a backup of their own, under a password of their own, chooses every field of it. So
what the key decides (address, account key) must be what the key says, every number is bounded, and
every text is one that could have been stored here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import msgspec

from tron_payment.core.address import parse_address
from tron_payment.core.errors import Refused
from tron_payment.core.redaction import Silent
from tron_payment.wallets import hd
from tron_payment.wallets.addresses import RESTORE_GAP
from tron_payment.wallets.domain import KEYED, LABEL_LENGTH_MAX, WalletKind, check_text
from tron_payment.wallets.keys import Secret, SigningKey
from tron_payment.wallets.making import clean_category
from tron_payment.wallets.passwords import DIGEST_BYTES, SALT_BYTES, Cost

WALLETS_MAX: Final = 20_000
ISSUED_MAX: Final = hd.INDEX_MAX - RESTORE_GAP
"""Highest index of an issued address: there must be room for the gap after it."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]

_ID: Final = re.compile(r"wal_[0-9A-Za-z_]{1,64}")
_PRINCIPAL: Final = re.compile(r"[!-~]{1,128}")
_PATH: Final = re.compile(r"(m(/[0-9]{1,10}'?){1,6})?")


class BackupMalformed(Refused, code="backup_malformed"):
    """This is not a backup that this release reads."""


class KeptPassword(Silent, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The hash of a wallet's password."""

    salt: bytes
    digest: bytes
    memory_kib: int
    iterations: int
    lanes: int

    @property
    def is_sane(self) -> bool:
        sizes = (len(self.salt), len(self.digest))
        cost = Cost(self.memory_kib, self.iterations, self.lanes)
        return sizes == (SALT_BYTES, DIGEST_BYTES) and cost.is_sane()


class Kept(Silent, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One wallet in a backup."""

    wallet_id: str
    label: str
    kind: WalletKind
    address: str
    status: str
    category: str
    principal: str
    path: str
    created_at: Moment
    secret: bytes
    xpub: str | None = None
    top_issued: int = 0
    password: KeptPassword | None = None

    @property
    def floor(self) -> int:
        """Up to this index addresses may have been issued, before the backup or after."""
        return self.top_issued + RESTORE_GAP


@dataclass(frozen=True, slots=True)
class Found:
    """A wallet read from a backup, its key checked."""

    kept: Kept
    secret: Secret


def checked(rows: Sequence[Kept]) -> list[Found]:
    """The wallets of one backup.

    Raises:
        BackupMalformed: One of them is no wallet of ours, or two are the same.
    """
    ids, addresses = {row.wallet_id for row in rows}, {row.address for row in rows}
    if not len(ids) == len(addresses) == len(rows) <= WALLETS_MAX:
        raise BackupMalformed("too many wallets, or one twice", param="backup")
    return [_checked(row) for row in rows]


def _checked(kept: Kept) -> Found:
    """
    Raises:
        BackupMalformed: A secret that derives another address, another account's key, or none;
            numbers or texts that no wallet here can have.
    """
    if _ID.fullmatch(kept.wallet_id) is None:
        raise BackupMalformed("no id of a wallet", param="backup")
    if kept.kind not in KEYED:
        raise BackupMalformed("a wallet without a key", param="backup")
    try:
        _check_facts(kept)
        secret = Secret(kept.secret)
        address = parse_address(kept.address)
        of_key = _hd_address(kept, secret) if kept.kind is WalletKind.HD else _hot_address(kept)
    except (Refused, ValueError):
        raise BackupMalformed(f"{kept.wallet_id} is no wallet of ours", param="backup") from None
    if of_key != address:
        raise BackupMalformed(f"the key of {kept.wallet_id} is another's", param="backup")
    return Found(kept, secret)


def _check_facts(kept: Kept) -> None:
    """
    Raises:
        InvalidLabel, ValueError: Nothing here makes such a wallet.
    """
    check_text(kept.label, param="label", length_max=LABEL_LENGTH_MAX)
    clean_category(kept.category)
    if _PRINCIPAL.fullmatch(kept.principal) is None or _PATH.fullmatch(kept.path) is None:
        raise ValueError
    if not 0 <= kept.top_issued <= ISSUED_MAX:
        raise ValueError
    if kept.password is not None and not kept.password.is_sane:
        raise ValueError


def _hd_address(kept: Kept, secret: Secret) -> str:
    """The address that the words have at the account, whose key must be the one of the backup."""
    found = hd.ACCOUNT.fullmatch(kept.path)
    if found is None:
        raise ValueError("no account of ours")
    account = hd.account_node(secret, kept.path).public()
    if kept.xpub is not None and kept.xpub != hd.xpub_text(account, int(found[1])):
        raise ValueError("the account's key is another's")
    return account.child(0).child(0).address


def _hot_address(kept: Kept) -> str:
    """The address of a single key. One whose account was watched before its key came has the
    account's key, too; that has this address as its first one."""
    address = SigningKey(Secret(kept.secret)).address
    if kept.xpub is not None:
        first = hd.parse_xpub(kept.xpub).child(0).child(0).address
        if first != address:
            raise ValueError("the account's key is another's")
    return address

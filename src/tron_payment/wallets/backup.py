"""Backup and restore: one encrypted, versioned text for one wallet or for all.

    tronpay-backup.v1.<header>.<sealed>

Header and body are base64url. The header says how the password becomes a key (Argon2id) and is
bound to the body (AES-256-GCM), which is JSON with the secrets in it. A restore reads and checks
everything before it writes anything: every key must derive its address.
"""

import asyncio
import base64
import binascii
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tron_payment.core.address import Address
from tron_payment.core.errors import AppError, Conflict, Refused
from tron_payment.db.cas import insert_once
from tron_payment.db.faults import DuplicateValue
from tron_payment.wallets import documents as store
from tron_payment.wallets.addresses import top_issued
from tron_payment.wallets.documents import Wallet
from tron_payment.wallets.domain import WalletExists, WalletKind, WalletStatus
from tron_payment.wallets.kept import (
    BackupMalformed,
    Found,
    Kept,
    KeptPassword,
    Moment,
    checked,
)
from tron_payment.wallets.keystore import Bond, Keystore, KeyUnreadable
from tron_payment.wallets.passwords import (
    SALT_BYTES,
    Cost,
    Deriver,
    Passwords,
    WalletPassword,
    check_password,
)

MAGIC: Final = "tronpay-backup"
VERSION: Final = "v1"
NONCE_BYTES: Final = 12
FILE_COST: Final = Cost(memory_kib=256 * 1024, iterations=3, lanes=4)
"""A file may be attacked for years: four times the memory of a wallet's password."""

TEXT_MAX: Final = 8 * 1024 * 1024
FORMER_IDS_MAX: Final = 20


class BackupUnreadable(Refused, code="backup_unreadable"):
    """Another password, or the backup was damaged."""


class BackupOfAnother(Conflict, code="backup_of_another"):
    """The backup does not contain this wallet."""


class NothingToBackUp(Conflict, code="wallet_without_key"):
    """There is no key of this wallet here."""


class _Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kdf: str
    salt: bytes
    memory_kib: int
    iterations: int
    lanes: int
    created_at: Moment
    genesis_id: str


class Vault:
    """Writes and reads backups.

    Args:
        genesis_id: Of our chain: a backup of another chain's wallets is refused.
    """

    def __init__(
        self,
        *,
        keystore: Keystore,
        passwords: Passwords,
        deriver: Deriver,
        genesis_id: str,
        cost: Cost = FILE_COST,
    ) -> None:
        self._keystore = keystore
        self._passwords = passwords
        self._deriver = deriver
        self._genesis_id = genesis_id
        self._cost = cost

    async def write(self, wallets: Sequence[Wallet], password: str, now: datetime) -> str:
        """The backup of these wallets; those without a key here are left out.

        Raises:
            WeakPassword, PasswordsBusy
            NothingToBackUp: None of them has a key here.
            KeyUnreadable: A stored key does not open.
        """
        check_password(password)
        kept = [await self._keep(wallet) for wallet in wallets if wallet.envelope is not None]
        if not kept:
            raise NothingToBackUp
        salt = secrets.token_bytes(SALT_BYTES)
        header = _Header(
            kdf="argon2id",
            salt=salt,
            memory_kib=self._cost.memory_kib,
            iterations=self._cost.iterations,
            lanes=self._cost.lanes,
            created_at=now,
            genesis_id=self._genesis_id,
        )
        head = ".".join((MAGIC, VERSION, _text(msgspec.json.encode(header))))
        key = await self._deriver.derive(password, salt, self._cost)
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = nonce + AESGCM(key).encrypt(nonce, msgspec.json.encode(kept), head.encode())
        written = f"{head}.{_text(sealed)}"
        again, _, body = _take_apart(written)
        assert again == head
        found = await asyncio.to_thread(_unseal, head, body, key)
        assert len(found) == len(kept), "a backup that cannot be read is none"
        return written

    async def read(self, text: str, password: str) -> list[Found]:
        """Every wallet of a backup, each key checked against its address.

        Raises:
            BackupMalformed, BackupUnreadable, PasswordsBusy
        """
        head, header, sealed = _take_apart(text)
        if header.genesis_id != self._genesis_id:
            raise BackupMalformed("the backup belongs to another chain", param="backup")
        cost = Cost(header.memory_kib, header.iterations, header.lanes)
        if header.kdf != "argon2id" or not cost.is_sane() or len(header.salt) != SALT_BYTES:
            raise BackupMalformed(param="backup")
        key = await self._deriver.derive(password, header.salt, cost)
        return await asyncio.to_thread(_unseal, head, sealed, key)

    async def _keep(self, wallet: Wallet) -> Kept:
        assert wallet.envelope is not None
        secret = self._keystore.open(wallet.envelope, wallet.bond)
        password = await self._passwords.find(wallet.id)
        return Kept(
            wallet_id=wallet.id,
            label=wallet.label,
            kind=wallet.kind,
            address=wallet.address,
            status=wallet.status.value,
            category=wallet.category,
            principal=wallet.principal,
            path=wallet.path,
            created_at=wallet.created_at,
            secret=secret.reveal(),
            xpub=wallet.xpub,
            top_issued=await top_issued(wallet.id) if wallet.xpub else 0,
            password=None
            if password is None
            else KeptPassword(
                salt=password.salt,
                digest=password.digest,
                memory_kib=password.memory_kib,
                iterations=password.iterations,
                lanes=password.lanes,
            ),
        )

    async def conflict(self, found: Found) -> AppError | None:
        """Why this wallet cannot be restored here; None when it can (or stands already)."""
        kept = found.kept
        there = await store.by_id(kept.wallet_id)
        if there is not None and there.address != kept.address:
            return BackupOfAnother("the wallet here has another address", param="backup")
        same = await store.by_address(Address(kept.address))
        if same is not None and there is None and not _may_adopt(same, kept):
            return WalletExists("another wallet has its address", param="backup")
        return None

    async def standing(self, found: Found) -> Wallet | None:
        """The wallet that has this key here: by its id, or made again since, by its address.

        A new installation makes the wallets of configured keys at its start, under new ids,
        before anybody can restore anything.
        """
        by_id = await store.by_id(found.kept.wallet_id)
        return by_id or await store.by_address(Address(found.kept.address))

    async def put_back(
        self, found: Found, now: datetime, *, owner: str | None = None
    ) -> tuple[Wallet, bool]:
        """Make the wallet usable again; False when nothing had to be changed.

        A missing wallet is stored again under its id. One that stands keeps its id, label and
        category; its key is sealed again when it does not open, and an archived one comes back.
        It answers to the id of the backup, too.

        Args:
            owner: Whose a missing wallet becomes; None for whose the backup says.

        Raises:
            LostRace, WalletExists: Somebody else was faster; nothing was changed.
        """
        kept = found.kept
        there = await self.standing(found)
        if there is None:
            wallet = self._rebuilt(found, now, owner)
            if kept.password is not None:
                await self._passwords.store(_password_row(kept, kept.wallet_id))
            try:
                stored = await insert_once(wallet)
            except DuplicateValue:
                raise WalletExists(param="backup") from None
            return wallet, stored
        if there.id != kept.wallet_id and not _may_adopt(there, kept):
            raise WalletExists(param="backup")
        changes: dict[str, Any] = {}
        former = there.former_ids or []
        if there.id != kept.wallet_id:
            if kept.password is not None:
                await self._passwords.store(_password_row(kept, there.id))
            if kept.wallet_id not in former:
                changes["former_ids"] = [*former, kept.wallet_id][-FORMER_IDS_MAX:]
            if kept.xpub and there.index_floor < kept.floor:
                changes["index_floor"] = kept.floor
        if there.envelope is None or not self._opens(there, kept):
            bond = Bond(there.id, Address(there.address), kept.path)
            changes["envelope"] = self._keystore.seal(found.secret, bond)
            changes |= {"kind": kept.kind.value, "path": kept.path}
            if kept.xpub:
                changes["xpub"] = kept.xpub
        if there.status is WalletStatus.ARCHIVED:
            return await store.move(there, WalletStatus.ACTIVE, now, **changes), True
        if not changes:
            return there, False
        return await store.change(there, now, **changes), True

    def _opens(self, wallet: Wallet, kept: Kept) -> bool:
        assert wallet.envelope is not None
        try:
            return self._keystore.open(wallet.envelope, wallet.bond).reveal() == kept.secret
        except KeyUnreadable:
            return False

    def _rebuilt(self, found: Found, now: datetime, owner: str | None) -> Wallet:
        kept = found.kept
        bond = Bond(kept.wallet_id, Address(kept.address), kept.path)
        frozen = kept.status == WalletStatus.FROZEN.value
        return Wallet(
            id=kept.wallet_id,
            label=kept.label,
            kind=kept.kind,
            address=kept.address,
            status=WalletStatus.FROZEN if frozen else WalletStatus.ACTIVE,
            category=kept.category,
            principal=owner or kept.principal,
            envelope=self._keystore.seal(found.secret, bond),
            path=kept.path,
            xpub=kept.xpub,
            index_floor=kept.floor if kept.xpub else 0,
            created_at=min(kept.created_at, now),
            updated_at=now,
        )


def _unseal(head: str, sealed: bytes, key: bytes) -> list[Found]:
    try:
        body = AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], head.encode())
    except (InvalidTag, ValueError):
        raise BackupUnreadable(param="backup") from None
    try:
        kept = msgspec.json.decode(body, type=list[Kept])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BackupMalformed(param="backup") from None
    return checked(kept)


def _may_adopt(there: Wallet, kept: Kept) -> bool:
    """Whether a wallet that stands under another id may be the one of the backup: it has the same
    key, or watches the address. Another kind has orders of its own that are signed elsewhere."""
    if there.address != kept.address:
        return False
    return there.kind is kept.kind or there.kind is WalletKind.WATCH


def _password_row(kept: Kept, wallet_id: str) -> WalletPassword:
    assert kept.password is not None
    return WalletPassword(id=wallet_id, **msgspec.structs.asdict(kept.password))


def _take_apart(text: str) -> tuple[str, _Header, bytes]:
    if len(text) > TEXT_MAX or not text.isascii():
        raise BackupMalformed(param="backup")
    parts = text.strip().split(".")
    if len(parts) != 4 or parts[:2] != [MAGIC, VERSION]:
        raise BackupMalformed(param="backup")
    try:
        header = msgspec.json.decode(_raw(parts[2]), type=_Header)
        return ".".join(parts[:3]), header, _raw(parts[3])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise BackupMalformed(param="backup") from None


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)

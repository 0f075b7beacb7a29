"""Making wallets: new keys, and keys and addresses that are taken over.

The order is always the same: the key is sealed, opened again and compared with its address; the
books of the address are opened; then the wallet is stored, whole, in one write. So there is never
a wallet without books, and never an address that was told and whose key is not stored.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Final

import structlog

from tron_payment.core.address import Address, parse_address
from tron_payment.core.clock import Clock
from tron_payment.core.ids import new_id
from tron_payment.db.audit import Act, Audit
from tron_payment.db.faults import DuplicateValue
from tron_payment.db.group import GroupInsert
from tron_payment.engine import Openings
from tron_payment.http.principals import Principal
from tron_payment.wallets import documents as store
from tron_payment.wallets import hd
from tron_payment.wallets.addresses import HdAddresses
from tron_payment.wallets.aside import Aside
from tron_payment.wallets.books import FreshBooks
from tron_payment.wallets.documents import Wallet
from tron_payment.wallets.domain import (
    CATEGORY_LENGTH_MAX,
    DEVICES,
    LABEL_LENGTH_MAX,
    InvalidPath,
    WalletExists,
    WalletKind,
    check_text,
)
from tron_payment.wallets.keys import Secret, SigningKey, random_key
from tron_payment.wallets.keystore import Bond
from tron_payment.wallets.passwords import Passwords
from tron_payment.wallets.scan import Scan
from tron_payment.wallets.signer import KeySigner

DEVICE_PATH: Final = re.compile(r"m/44'/195'(/[0-9]{1,9}'?){1,3}")
SERVICE: Final = "service"
"""The principal of what the service itself makes at its start."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Who:
    """On whose account something is done, for the document and the audit log."""

    principal: str
    role: str
    request_id: str = ""
    on_host: bool = False
    """The process itself or its command line: who has the keys of all keys anyway."""

    @classmethod
    def of(cls, principal: Principal, request_id: str = "") -> "Who":
        return cls(principal.id, principal.role.value, request_id)


OURSELVES: Final = Who(SERVICE, SERVICE, on_host=True)


class Maker:
    """Makes wallets."""

    def __init__(
        self,
        *,
        clock: Clock,
        signer: KeySigner,
        openings: Openings,
        inserts: GroupInsert,
        audit: Audit,
        addresses: HdAddresses,
        scan: Scan,
        passwords: Passwords,
    ) -> None:
        self._clock = clock
        self._signer = signer
        self._openings = openings
        self._aside = Aside()
        self._books = FreshBooks(openings)
        self._inserts = inserts
        self._audit = audit
        self.addresses = addresses
        self.scan = scan
        self.passwords = passwords

    async def create(
        self, who: Who, *, label: str, category: str = "", password: str | None = None
    ) -> Wallet:
        """Make a hot wallet with a new key.

        Raises:
            InvalidLabel, WeakPassword
        """
        wallet = await self._aside.do(lambda: self._hot_wallet(who, label, category))
        wallet.keys_made_here = True
        await self._set_password(wallet, password)
        await self._books.open(Address(wallet.address))
        await self._store(wallet)
        await self.note(who, "wallet.create", wallet, after=facts(wallet))
        return wallet

    async def create_hd(
        self, who: Who, *, label: str, category: str = "", password: str | None = None
    ) -> Wallet:
        """Make an HD wallet with new words, which only a backup gives out.

        Raises:
            InvalidLabel, WeakPassword
        """
        wallet = await asyncio.to_thread(self._hd_wallet, who, label, category, hd.new_entropy())
        wallet.keys_made_here = True
        await self._set_password(wallet, password)
        await self._books.open(Address(wallet.address))
        await self._store(wallet)
        await self.addresses.fill(wallet)
        await self.note(who, "wallet.create", wallet, after=facts(wallet))
        return wallet

    async def import_mnemonic(
        self,
        who: Who,
        *,
        label: str,
        mnemonic: str,
        account: int = 0,
        category: str = "",
        password: str | None = None,
    ) -> Wallet:
        """Take over the words of an HD wallet, and look for the addresses that they have used.

        Args:
            account: Its number in ``m/44'/195'/account'``; each account is a wallet of its own.

        Raises:
            InvalidMnemonic, InvalidLabel, WeakPassword
            WalletExists: Its first address is a wallet already.
        """
        entropy = hd.entropy_of(mnemonic)
        wallet = await asyncio.to_thread(self._hd_wallet, who, label, category, entropy, account)
        wallet.scan_from = 1
        await self._set_password(wallet, password)
        await self._take_over(who, wallet)
        return await self.scan.begin(wallet)

    async def import_xpub(self, who: Who, *, label: str, xpub: str, category: str = "") -> Wallet:
        """Watch an account whose keys are elsewhere, and issue its addresses.

        Raises:
            InvalidXpub, InvalidLabel
            WalletExists: Its first address is a wallet already.
        """
        node = hd.parse_xpub(xpub)
        address = node.child(0).child(0).address
        wallet = self._wallet(who, label, category, WalletKind.WATCH, address, None)
        account = hd.account_of_xpub(xpub)
        wallet.xpub, wallet.path = hd.xpub_text(node, account), hd.account_path(account)
        wallet.scan_from = 1
        await self._take_over(who, wallet)
        return await self.scan.begin(wallet)

    async def import_key(
        self,
        who: Who,
        *,
        label: str,
        private_key: str,
        category: str = "",
        password: str | None = None,
    ) -> Wallet:
        """Take over a private key, 64 hex digits; its books are opened from the chain.

        Raises:
            InvalidKey, InvalidLabel, WeakPassword
            WalletExists: Its address is a wallet already.
        """
        key, secret = SigningKey.parse(private_key)
        wallet = self._wallet(who, label, category, WalletKind.HOT, key.address, secret)
        await self._set_password(wallet, password)
        await self._take_over(who, wallet)
        return wallet

    async def watch(
        self,
        who: Who,
        *,
        label: str,
        address: str,
        kind: WalletKind = WalletKind.WATCH,
        category: str = "",
        path: str | None = None,
        permission_id: int = 0,
    ) -> Wallet:
        """Watch an address whose key is elsewhere.

        Args:
            path: Where a device has the key; only for devices.
            permission_id: By which the account's keys sign; only for multisig wallets.

        Raises:
            InvalidAddress, InvalidLabel, InvalidPath
            WalletExists: It is a wallet already.
        """
        checked = parse_address(address, param="address")
        wallet = self._wallet(who, label, category, kind, checked, None, device_path(kind, path))
        assert kind is WalletKind.MULTISIG or not permission_id, kind
        wallet.permission_id = permission_id
        await self._take_over(who, wallet)
        return wallet

    async def ensure(
        self,
        private_key: str | None,
        label: str,
        *,
        category: str = "",
        fresh: bool = False,
    ) -> Wallet:
        """The wallet of a key of the configuration, or the one of this label; made when missing.

        Args:
            private_key: 64 hex digits; None for a key made here.
            fresh: The key was made just now: its books open at zero.
        """
        if private_key is None:
            found = await store.by_label(SERVICE, label)
            return found or await self.create(OURSELVES, label=label, category=category)
        key, secret = SigningKey.parse(private_key)
        found = await store.by_address(key.address)
        if found is None:
            wallet = self._wallet(OURSELVES, label, category, WalletKind.HOT, key.address, secret)
            try:
                if fresh:
                    await self._books.open(key.address)
                    await self._store(wallet)
                    await self.note(OURSELVES, "wallet.import", wallet, after=facts(wallet))
                else:
                    await self._take_over(OURSELVES, wallet)
                return wallet
            except WalletExists:
                found = await store.by_address(key.address)
                assert found is not None
        if found.envelope is None:
            found = await self._add_key(found, secret)
        return found

    async def of_service(self, label: str) -> Wallet | None:
        """The service's own wallet of this label, where it has made one."""
        return await store.by_label(SERVICE, label)

    async def _add_key(self, wallet: Wallet, secret: Secret) -> Wallet:
        """A watched address whose key has come becomes a hot wallet."""
        envelope = self._signer.keystore.seal(secret, wallet.bond)
        changed = await store.change(
            wallet, self._clock.now(), kind=WalletKind.HOT.value, envelope=envelope
        )
        await self.note(OURSELVES, "wallet.import", changed, facts(wallet), facts(changed))
        self._signer.forget(wallet.id)
        return changed

    def _wallet(
        self,
        who: Who,
        label: str,
        category: str,
        kind: WalletKind,
        address: Address,
        secret: Secret | None,
        path: str = "",
    ) -> Wallet:
        now, wallet_id = self._clock.now(), new_id("wal")
        envelope = None
        if secret is not None:
            bond = Bond(wallet_id, address, path)
            envelope = self._signer.keystore.seal(secret, bond)
            opened = hd.signing_key(kind, self._signer.keystore.open(envelope, bond), path)
            assert opened.address == address, "the sealed key derives another address"
        return Wallet(
            id=wallet_id,
            label=check_text(label, param="label", length_max=LABEL_LENGTH_MAX),
            category=clean_category(category),
            kind=kind,
            address=address,
            principal=who.principal,
            envelope=envelope,
            path=path,
            created_at=now,
            updated_at=now,
        )

    def _hot_wallet(self, who: Who, label: str, category: str) -> Wallet:
        secret = random_key()
        address = SigningKey(secret).address
        return self._wallet(who, label, category, WalletKind.HOT, address, secret)

    def _hd_wallet(
        self, who: Who, label: str, category: str, entropy: Secret, account: int = 0
    ) -> Wallet:
        path = hd.account_path(account)
        node = hd.account_node(entropy, path).public()
        address = node.child(0).child(0).address
        wallet = self._wallet(who, label, category, WalletKind.HD, address, entropy, path)
        wallet.xpub = hd.xpub_text(node, account)
        return wallet

    async def _set_password(self, wallet: Wallet, password: str | None) -> None:
        """Before the wallet is stored: a wallet never stands without the password it was given."""
        if password is not None:
            await self.passwords.store(await self.passwords.hashed(wallet.id, password))

    async def _take_over(self, who: Who, wallet: Wallet) -> None:
        """Store a wallet whose address may hold money already; its books come first."""
        address = Address(wallet.address)
        if await store.by_address(address) is not None:
            raise WalletExists(param="address")
        await self._openings.request(address)
        await self._store(wallet)
        await self.note(who, "wallet.import", wallet, after=facts(wallet))

    async def _store(self, wallet: Wallet) -> None:
        try:
            stored = await self._inserts.insert(wallet)
        except DuplicateValue:
            raise WalletExists(param="address") from None
        assert stored, "a random id was taken"
        log.debug("wallet.stored", wallet_id=wallet.id, kind=wallet.kind)

    async def ensure_hd(self, label: str, *, category: str = "") -> Wallet:
        """The service's own HD wallet of this label; made when missing."""
        found = await store.by_label(SERVICE, label)
        return found or await self.create_hd(OURSELVES, label=label, category=category)

    async def note(
        self,
        who: Who,
        action: str,
        wallet: Wallet,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
        entry_id: str = "",
    ) -> None:
        """Write an act on a wallet into the audit log; under the same entry id once."""
        act = Act(
            actor=who.principal,
            role=who.role,
            action=action,
            object_id=wallet.id,
            before=before,
            after=after,
            request_id=who.request_id,
            entry_id=entry_id,
        )
        await self._audit.append(act)


def device_path(kind: WalletKind, path: str | None) -> str:
    """The path of a device's key; empty for what is no device.

    Raises:
        InvalidPath: Not a path of TRON keys, or for a wallet that is no device.
    """
    if kind not in DEVICES:
        if path is not None:
            raise InvalidPath("only devices have a path", param="path")
        return ""
    if path is None:
        return hd.address_path(0)
    if DEVICE_PATH.fullmatch(path) is None:
        raise InvalidPath(param="path")
    return path


def clean_category(text: str) -> str:
    """A category, empty for none.

    Raises:
        InvalidLabel
    """
    return (
        check_text(text, param="category", length_max=CATEGORY_LENGTH_MAX) if text.strip() else ""
    )


def facts(wallet: Wallet) -> dict[str, Any]:
    """What the audit log keeps: everything but the key."""
    return {
        "label": wallet.label,
        "kind": wallet.kind.value,
        "address": wallet.address,
        "status": wallet.status.value,
        "category": wallet.category,
    }

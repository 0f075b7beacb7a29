"""Use cases about keys at rest: backup, restore, rotation of the key-encryption key."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from tron_payment.core.address import Address
from tron_payment.core.clock import Clock
from tron_payment.core.errors import Conflict
from tron_payment.db.cas import LostRace
from tron_payment.engine import Openings
from tron_payment.http.principals import Principal
from tron_payment.wallets import documents as store
from tron_payment.wallets.backup import BackupOfAnother, Vault
from tron_payment.wallets.documents import Wallet
from tron_payment.wallets.kept import WALLETS_MAX, Found
from tron_payment.wallets.keystore import Keystore, KeyUnreadable
from tron_payment.wallets.making import OURSELVES, SERVICE, Who, facts
from tron_payment.wallets.service import Wallets

ROTATED_AT_ONCE: Final = 500
ISSUED_BY_REQUEST_MAX: Final = 1_000_000
"""Issued addresses, of all wallets of a file together, that one request has watched again."""

log = structlog.get_logger()


class RestoreOnHost(Conflict, code="restore_on_host"):
    """A wallet of the service's own, or very many addresses, only the host restores."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did."""

    rewrapped: int
    current: int
    """Under the current KEK already."""

    unreadable: tuple[str, ...]
    """Wallets whose key does not open with any KEK here: their old KEK must stay configured."""


class Custody:
    """Keeps keys from being lost."""

    def __init__(
        self,
        *,
        clock: Clock,
        wallets: Wallets,
        vault: Vault,
        keystore: Keystore,
        openings: Openings,
    ) -> None:
        self._clock = clock
        self._wallets = wallets
        self._vault = vault
        self._keystore = keystore
        self._openings = openings

    async def backup(
        self,
        principal: Principal,
        wallet_id: str,
        *,
        password: str,
        wallet_password: str | None,
        request_id: str = "",
    ) -> str:
        """The encrypted backup of one wallet.

        Raises:
            WalletNotFound, NothingToBackUp, WeakPassword, PasswordsBusy
            PasswordWrong, PasswordLocked: Of the wallet.
        """
        wallet = await self._wallets.get(principal, wallet_id)
        await self._wallets.passwords.require(wallet.id, wallet_password)
        now = self._clock.now()
        text = await self._vault.write([wallet], password, now)
        await store.mark_backed_up([wallet.id], now)  # before it leaves: then somebody has the key
        await self._wallets.note(Who.of(principal, request_id), "wallet.backup", wallet)
        return text

    async def backup_all(
        self, password: str, who: Who = OURSELVES, keep: Callable[[str], None] | None = None
    ) -> str:
        """One backup of every key here, for the operator's command line.

        Args:
            keep: Puts it onto the disk; what cannot be kept is no backup, and is noted nowhere.

        Raises:
            NothingToBackUp, WeakPassword, PasswordsBusy
            OSError: By `keep`.
        """
        wallets = await store.keyed(limit=WALLETS_MAX)
        now = self._clock.now()
        text = await self._vault.write(wallets, password, now)
        if keep is not None:
            keep(text)
        await store.mark_backed_up([wallet.id for wallet in wallets], now)
        for wallet in wallets:
            await self._wallets.note(who, "wallet.backup", wallet)
        return text

    async def restore(
        self, who: Who, *, backup: str, password: str, wallet_id: str | None = None
    ) -> list[Wallet]:
        """Bring back the wallets of a backup, or the one that is named.

        Everything is read and checked before anything is written; doing it again is harmless.
        What the addresses hold is booked from the chain. A backup says whatever its writer wants
        it to say: to a caller a missing wallet comes back as their own, and never as the service's.

        Raises:
            BackupMalformed, BackupUnreadable, PasswordsBusy
            BackupOfAnother: The named wallet is not in it, or is another one here.
            WalletExists: Another wallet has the address of one of them.
            RestoreOnHost: A caller may not bring it.
        """
        found = await self._vault.read(backup, password)
        if wallet_id is not None:
            named = await store.by_id(wallet_id)
            wanted = (wallet_id, None if named is None else named.address)
            found = [e for e in found if e.kept.wallet_id == wallet_id or e.kept.address in wanted]
            if not found:
                raise BackupOfAnother(param="backup")
        if not who.on_host:
            await self._check_request(who, found)
        for each in found:
            if (refusal := await self._vault.conflict(each)) is not None:
                raise refusal
        return [await self._put_back(who, each) for each in found]

    async def _check_request(self, who: Who, found: list[Found]) -> None:
        """
        Raises:
            RestoreOnHost: A missing wallet of the service's own: where it looks for one by its
                label it would take this one, and give out its addresses. Or too many addresses.
        """
        if sum(each.kept.top_issued for each in found) > ISSUED_BY_REQUEST_MAX:
            raise RestoreOnHost(f"more than {ISSUED_BY_REQUEST_MAX:,} addresses", param="backup")
        for each in found:
            is_service = SERVICE in (each.kept.principal, who.principal)
            if is_service and await self._vault.standing(each) is None:
                raise RestoreOnHost(f"{each.kept.wallet_id} is the service's own", param="backup")

    async def _put_back(self, who: Who, found: Found) -> Wallet:
        kept, known = found.kept, await self._vault.standing(found)
        if known is None:
            await self._openings.request(Address(kept.address))
        elif known.id != kept.wallet_id and known.xpub is not None:
            await self._wallets.addresses.rebuild(known, kept.floor)  # before it issues one more
        if known is not None:  # somebody has brought its key; that of a new one is never held
            await store.mark_backed_up([known.id], self._clock.now())
        owner = None if who.on_host else who.principal
        wallet, changed = await self._vault.put_back(found, self._clock.now(), owner=owner)
        if wallet.xpub is not None and wallet.index_floor:
            await self._wallets.addresses.rebuild(wallet, kept.floor)
        self._wallets.forget_key(wallet.id)
        if changed:
            before = None if known is None else facts(known)
            await self._wallets.note(who, "wallet.restore", wallet, before, facts(wallet))
        return wallet

    async def rotate(self) -> Rotation:
        """Wrap every data key under the current KEK; secrets stay sealed. Safe to repeat."""
        rewrapped, unreadable = 0, set[str]()
        current = self._keystore.current
        while True:
            batch = await store.under_other_keks(
                current, skip=sorted(unreadable), limit=ROTATED_AT_ONCE
            )
            if not batch:
                break
            for wallet in batch:
                assert wallet.envelope is not None
                try:
                    envelope = self._keystore.rewrap(wallet.envelope, wallet.bond)
                    changed = await store.change(wallet, self._clock.now(), envelope=envelope)
                except KeyUnreadable:
                    unreadable.add(wallet.id)
                    log.error("wallet.key_unreadable", wallet_id=wallet.id)
                except LostRace:
                    continue
                else:
                    rewrapped += 1
                    await self._wallets.note(
                        OURSELVES,
                        "wallet.rewrap",
                        changed,
                        {"kek_id": wallet.envelope.kek_id},
                        {"kek_id": current},
                    )
        total = await store.count_under(current)
        return Rotation(rewrapped, total - rewrapped, tuple(sorted(unreadable)))

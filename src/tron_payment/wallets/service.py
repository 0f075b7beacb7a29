"""Use cases of wallets: look, change, archive, and choose the one that pays."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final

from tron_payment.core.address import Address
from tron_payment.core.clock import Clock
from tron_payment.db.audit import Audit
from tron_payment.db.cas import LostRace
from tron_payment.db.group import GroupInsert
from tron_payment.db.ledger import Ledger
from tron_payment.engine import Openings
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.permissions import owner_filter, require
from tron_payment.http.principals import Principal
from tron_payment.wallets import documents as store
from tron_payment.wallets.addresses import HdAddresses, IssuedAddress
from tron_payment.wallets.balances import Balances, WalletBalance
from tron_payment.wallets.documents import Wallet
from tron_payment.wallets.domain import (
    DETACHED,
    LABEL_LENGTH_MAX,
    NoWallet,
    WalletArchived,
    WalletCannotSign,
    WalletForSigning,
    WalletFrozen,
    WalletHasOrders,
    WalletHoldsMoney,
    WalletKind,
    WalletNotFound,
    WalletStatus,
    check_text,
)
from tron_payment.wallets.issued import Issued
from tron_payment.wallets.making import Maker, Who, clean_category, facts
from tron_payment.wallets.passwords import Passwords
from tron_payment.wallets.scan import Scan
from tron_payment.wallets.signer import KeySigner
from tron_payment.wallets.together import Together

CHANGE_ATTEMPTS_MAX: Final = 5
OVERRIDE_LIFETIME: Final = timedelta(hours=24)


class Wallets(Maker):
    """The wallets of this installation: what `Maker` makes, and everything done with it.

    Args:
        default_address: ``HOT_WALLET_ADDRESS``: pays when no wallet is named.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        signer: KeySigner,
        ledger: Ledger,
        openings: Openings,
        inserts: GroupInsert,
        audit: Audit,
        balances: Balances,
        addresses: HdAddresses,
        scan: Scan,
        passwords: Passwords,
        default_address: Address | None,
    ) -> None:
        super().__init__(
            clock=clock,
            signer=signer,
            openings=openings,
            inserts=inserts,
            audit=audit,
            addresses=addresses,
            scan=scan,
            passwords=passwords,
        )
        self._ledger = ledger
        self._balances = balances
        self._looks = Together(store.by_ids)
        self.issued = Issued(balances)
        self.default_address = default_address

    # ---- looking -----------------------------------------------------------------------------

    async def get(self, principal: Principal, wallet_id: str) -> Wallet:
        """
        Raises:
            WalletNotFound: No such wallet, or another merchant's.
        """
        wallet = await store.by_id(wallet_id, owner_filter(principal, "wallets"))
        if wallet is None:
            raise WalletNotFound
        return wallet

    async def find_by_address(self, address: Address) -> Wallet | None:
        """The wallet of an address, whoever made it."""
        return await store.by_address(address)

    async def names_of(self, wallet_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Every id that each of these wallets has, the present one first, or had before a restore;
        whoever made them. What is no wallet's id is left out."""
        return await store.names_of(wallet_ids)

    async def label_of(self, principal: Principal, address: Address) -> str | None:
        """The label of an address's wallet, if the caller may see it."""
        wallet = await store.by_address(address)
        owner = owner_filter(principal, "wallets")
        if wallet is None or any(getattr(wallet, name) != it for name, it in owner.items()):
            return None
        return wallet.label

    async def page(
        self, principal: Principal, page: PageRequest, *, kind: WalletKind | None = None
    ) -> Page[Wallet]:
        """Wallets, oldest first; archived ones only when their status is asked for."""
        asked = page.statuses_of(WalletStatus)
        where: dict[str, Any] = owner_filter(principal, "wallets")
        if asked:
            where["status"] = {"$in": [status.value for status in asked]}
        else:
            where["status"] = {"$ne": WalletStatus.ARCHIVED.value}
        if kind is not None:
            where["kind"] = kind.value
        return await fetch_page(Wallet, where, page, lambda wallet: wallet)

    async def balance(self, principal: Principal, wallet_id: str) -> tuple[Wallet, WalletBalance]:
        """
        Raises:
            WalletNotFound
            NodesUnavailable: The chain cannot be asked.
        """
        wallet = await self._looks.get(wallet_id)
        owner = owner_filter(principal, "wallets")
        if wallet is None or any(getattr(wallet, name) != it for name, it in owner.items()):
            wallet = await self.get(principal, wallet_id)
        return wallet, await self._balances.of(Address(wallet.address))

    async def stats(self) -> dict[str, Any]:
        """Wallets by status and kind, and what the signer did in this process."""
        return {
            "wallets": await store.counts(),
            "kinds": await store.count_by_kind(),
            "signatures": self._signer.signed,
            "signatures_refused": self._signer.refused,
        }

    async def verify_password(self, principal: Principal, wallet_id: str, password: str) -> bool:
        """Whether this is the wallet's password.

        Raises:
            WalletNotFound, NoPassword, PasswordLocked, PasswordsBusy
        """
        wallet = await self.get(principal, wallet_id)
        return await self.passwords.verify(wallet.id, password)

    async def issue_address(self, wallet_id: str, subject: str | None = None) -> IssuedAddress:
        """A new address of an HD wallet, its books open; the same again for the same subject.

        Raises:
            WalletNotFound, WalletFrozen, WalletArchived, WalletScanning, NotDerived
        """
        return await self.addresses.issue(wallet_id, subject)

    async def _take_over(self, who: Who, wallet: Wallet) -> None:
        if wallet.kind is WalletKind.WATCH:  # it does not make a stranger's of what is ours
            wallet.held_before = await self._ledger.is_holder(Address(wallet.address))
        await super()._take_over(who, wallet)

    # ---- changing ----------------------------------------------------------------------------

    async def update(
        self,
        principal: Principal,
        wallet_id: str,
        *,
        label: str | None = None,
        category: str | None = None,
        frozen: bool | None = None,
        request_id: str = "",
    ) -> Wallet:
        """Change label, category, or freeze and thaw; what is so already stays as it is.

        Raises:
            WalletNotFound, InvalidLabel
            WalletArchived: An archived wallet does not change.
        """
        fields: dict[str, Any] = {}
        if label is not None:
            fields["label"] = check_text(label, param="label", length_max=LABEL_LENGTH_MAX)
        if category is not None:
            fields["category"] = clean_category(category)
        for _ in range(CHANGE_ATTEMPTS_MAX):
            wallet = await self.get(principal, wallet_id)
            if wallet.status is WalletStatus.ARCHIVED:
                raise WalletArchived
            target = wallet.status
            if frozen is not None:
                target = WalletStatus.FROZEN if frozen else WalletStatus.ACTIVE
            try:
                changed = await self._write(wallet, target, fields)
            except LostRace:
                continue
            if changed is not wallet:
                action = "wallet.update"
                if target is not wallet.status:
                    action = "wallet.freeze" if frozen else "wallet.thaw"
                self._signer.forget(wallet.id)
                who = Who.of(principal, request_id)
                await self.note(who, action, changed, facts(wallet), facts(changed))
            return changed
        raise LostRace("the wallet keeps changing; try again")

    async def _write(self, wallet: Wallet, target: WalletStatus, fields: dict[str, Any]) -> Wallet:
        now = self._clock.now()
        if target is not wallet.status:
            return await store.move(wallet, target, now, **fields)
        if all(getattr(wallet, name) == value for name, value in fields.items()):
            return wallet
        return await store.change(wallet, now, **fields)

    async def archive(
        self, principal: Principal, wallet_id: str, *, request_id: str = ""
    ) -> Wallet:
        """Take a wallet out of use; its key is kept. Doing it again changes nothing.

        Raises:
            WalletNotFound
            WalletHoldsMoney: By our books it has something left, staked or reserved included.
            WalletHasOrders: The engine still carries orders of it.
        """
        for _ in range(CHANGE_ATTEMPTS_MAX):
            wallet = await self.get(principal, wallet_id)
            if wallet.status is WalletStatus.ARCHIVED:
                return wallet
            await self._refuse_in_use(wallet)
            try:
                archived = await store.move(wallet, WalletStatus.ARCHIVED, self._clock.now())
            except LostRace:
                continue
            self._signer.forget(wallet.id)
            who = Who.of(principal, request_id)
            await self.note(who, "wallet.archive", archived, facts(wallet), facts(archived))
            return archived
        raise LostRace("the wallet keeps changing; try again")

    async def archive_with_money(
        self, principal: Principal, wallet_id: str, *, request_id: str = ""
    ) -> Wallet:
        """Archive a wallet although it holds money: one person asks, another one agrees.

        The first call leaves the wallet as it is and remembers who asked; a call by somebody
        else within `OVERRIDE_LIFETIME` archives it. The key is kept, a restore brings it back.

        Raises:
            MissingPermission, WalletNotFound
            WalletHasOrders: Cancel them first; money on its way is not overridden.
        """
        require(principal, "wallet:override")
        who = Who.of(principal, request_id)
        for _ in range(CHANGE_ATTEMPTS_MAX):
            wallet = await self.get(principal, wallet_id)
            if wallet.status is WalletStatus.ARCHIVED:
                return wallet
            if await store.has_live_orders(wallet):
                raise WalletHasOrders
            now = self._clock.now()
            asked = wallet.override_at is not None and now - wallet.override_at < OVERRIDE_LIFETIME
            agreed = asked and wallet.override_by != principal.id
            try:
                if agreed:  # used up: it does not archive what was restored since
                    over = {"override_by": None, "override_at": None}
                    after = await store.move(wallet, WalletStatus.ARCHIVED, now, **over)
                else:
                    asking = {"override_by": principal.id, "override_at": now}
                    after = await store.change(wallet, now, **asking)
            except LostRace:
                continue
            self._signer.forget(wallet.id)
            action = "wallet.archive_override" if agreed else "wallet.archive_override_asked"
            asked_by = wallet.override_by if agreed else principal.id
            told = facts(after) | {"asked_by": asked_by}
            await self.note(who, action, after, facts(wallet), told)
            return after
        raise LostRace("the wallet keeps changing; try again")

    async def _refuse_in_use(self, wallet: Wallet) -> None:
        if await store.has_live_orders(wallet):
            raise WalletHasOrders
        if await self._openings.pending(Address(wallet.address)):
            raise WalletHoldsMoney("its books are still being opened; try again shortly")
        holdings = await self._ledger.holdings(Address(wallet.address))
        if any(units for pockets in holdings.values() for units in pockets.values()):
            raise WalletHoldsMoney
        if wallet.xpub is not None and await self.issued.holds_anything(wallet):
            raise WalletHoldsMoney("one of its addresses still holds money; move it first")

    def forget_key(self, wallet_id: str) -> None:
        """The stored key has changed: the signer looks anew."""
        self._signer.forget(wallet_id)

    # ---- paying ------------------------------------------------------------------------------

    async def signing_wallet(
        self, wallet_id: str | None, principal: Principal | None = None
    ) -> WalletForSigning:
        """The wallet that signs: the named one, else the default.

        The default is the wallet of ``HOT_WALLET_ADDRESS``, else the only funded hot wallet.

        Args:
            principal: Who names the wallet; None for the service itself.

        Raises:
            WalletNotFound: The named one is not there, or not theirs.
            WalletFrozen, WalletArchived
            WalletCannotSign: It is only watched.
            NoWallet: None is named, and there is no default.
        """
        wallet = await self._named(wallet_id, principal)
        if wallet.status is WalletStatus.FROZEN:
            raise WalletFrozen(param="wallet_id")
        if wallet.status is WalletStatus.ARCHIVED:
            raise WalletArchived(param="wallet_id")
        detached = wallet.kind in DETACHED
        if wallet.envelope is None and not detached:
            raise WalletCannotSign(param="wallet_id")
        return WalletForSigning(wallet.id, Address(wallet.address), detached)

    async def paying_address(
        self, wallet_id: str | None, principal: Principal | None = None
    ) -> Address:
        """The same wallet's address, for reading: whether it can sign now does not matter.

        Raises:
            WalletNotFound, NoWallet: As `signing_wallet`.
        """
        return Address((await self._named(wallet_id, principal)).address)

    async def _named(self, wallet_id: str | None, principal: Principal | None) -> Wallet:
        if wallet_id is None:
            return await self._default()
        owner = owner_filter(principal, "wallets") if principal else {}
        wallet = await store.by_id(wallet_id, owner)
        if wallet is None:
            raise WalletNotFound(param="wallet_id")
        return wallet

    async def _default(self) -> Wallet:
        if self.default_address is not None:
            found = await store.by_address(self.default_address)
            if found is None:
                raise NoWallet("HOT_WALLET_ADDRESS is no wallet here", param="wallet_id")
            return found
        funded = [
            wallet
            for wallet in await store.active_hot({})
            if await self._is_funded(Address(wallet.address))
        ]
        if len(funded) != 1:
            raise NoWallet(
                f"{len(funded)} hot wallets have money: say which one pays, "
                "or set HOT_WALLET_ADDRESS",
                param="wallet_id",
            )
        return funded[0]

    async def _is_funded(self, address: Address) -> bool:
        holdings = await self._ledger.holdings(address)
        return any(units > 0 for pockets in holdings.values() for units in pockets.values())

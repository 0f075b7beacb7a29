"""Permissions that give an account's power to keys from outside are agreed on by two people.

Such a key moves everything that the account has, past every limit, approval and kill switch. So one
person asks, and it is placed when somebody else agrees within `ASKED_LIFETIME`, or asks for the
very same.

asked ──► agreed      by a request of a second person, once; only that request may be repeated
  ├─────► refused     by anybody who could have agreed, and by who asked
  ├─────► replaced    another change of the same account was asked for
  └─────► expired     its time is over

Each arrow is one compare-and-set, and nothing leads back: a request asks once, whatever becomes of
what it asked for (agreement_documents.py).
"""

from datetime import datetime
from typing import Any, Final

from tron_payment.chain import PermissionUpdate
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock, rfc3339
from tron_payment.core.errors import AppError, Conflict, NotFound
from tron_payment.db.audit import Audit
from tron_payment.db.cas import LostRace
from tron_payment.http.idempotency import KeyReused
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.wallets import agreement_documents as changes
from tron_payment.wallets import documents as store
from tron_payment.wallets.agreement_documents import (
    ASKED_LIFETIME,
    ChangeStatus,
    PermissionChange,
)
from tron_payment.wallets.documents import Wallet
from tron_payment.wallets.domain import KEYED, WalletStatus
from tron_payment.wallets.granted import keys_of, outsiders_reach, update_hash
from tron_payment.wallets.making import Who
from tron_payment.wallets.service import CHANGE_ATTEMPTS_MAX, Wallets

KEY_WENT_OUT: Final = ("wallet.backup", "wallet.restore")
"""Acts of the audit log after which somebody has a wallet's key besides us."""


ASKED: Final = "wallet.permissions_asked"
REPLACING: Final = "wallet.permissions_replacing"


class SecondPersonNeeded(Conflict, code="second_person_needed"):
    """Keys from outside could sign alone: a second person has to agree, or ask for the same."""


class ChangeOver(Conflict, code="permission_change_over"):
    """This change is not asked for any more: it was agreed to, refused or replaced, or lapsed."""


class ChangeNotFound(NotFound, code="permission_change_not_found"):
    """There is no such change, or it is not yours to see."""


class ChangeDiffers(Conflict, code="permission_change_differs"):
    """What is asked for is not what was shown."""


class Agreement:
    """Remembers who asks, and says when two agree."""

    def __init__(self, clock: Clock, wallets: Wallets, audit: Audit) -> None:
        self._clock = clock
        self._wallets = wallets
        self._audit = audit

    # ---- asking ------------------------------------------------------------------------------

    async def require(
        self,
        principal: Principal,
        wallet_id: str,
        update: PermissionUpdate,
        wish: dict[str, Any],
        request_id: str,
    ) -> None:
        """Let pass what gives nothing away, and what somebody else has asked for, too.

        Args:
            wish: What makes the update, to be shown and made again.
            request_id: Derived from the caller's key.

        Raises:
            SecondPersonNeeded: It is asked for, from now on or since before.
            ChangeOver: This very request has asked before, and that is over.
            KeyReused: It has asked for something else before.
            WalletNotFound, LostRace
        """
        if not await self._gives_away(update):
            return
        digest, replaces = update_hash(update), None
        for _ in range(CHANGE_ATTEMPTS_MAX):
            wallet = await self._wallets.get(principal, wallet_id)
            now = self._clock.now()
            if (before := await changes.change_by_id(request_id)) is not None:
                refusal = self._asked_before(before, digest, now)
                if isinstance(refusal, SecondPersonNeeded):
                    await self._see_noted(wallet, before)
                raise refusal
            if (taken := await changes.taken_by(request_id)) is not None:
                if taken.change_hash != digest or taken.wallet_id != wallet.id:
                    raise KeyReused()
                return
            asked = await changes.asked_of(wallet.id)
            if asked is not None and may_take(asked, digest, principal.id, now):
                return
            if asked is not None:
                if not await self._make_room(asked, principal, wallet, request_id, now):
                    continue
                replaces = asked.id if asked.is_open(now) else replaces
            replaces = replaces or await self._replaced_before(principal, wallet, request_id)
            change = PermissionChange(
                id=request_id,
                wallet_id=wallet.id,
                principal=wallet.principal,
                change_hash=digest,
                wish=wish,
                asked_by=principal.id,
                asked_role=principal.role.value,
                replaces=replaces,
                expires_at=now + ASKED_LIFETIME,
                created_at=now,
            )
            if not await changes.ask(change):
                continue
            await self._note_asked(wallet, change)
            raise _needed(change)
        raise LostRace("the wallet keeps changing; try again")

    def _asked_before(self, before: PermissionChange, digest: str, now: datetime) -> AppError:
        if before.change_hash != digest:
            return KeyReused()
        return _needed(before) if before.is_open(now) else _over(before, now)

    async def _make_room(
        self,
        asked: PermissionChange,
        who: Principal,
        wallet: Wallet,
        request_id: str,
        now: datetime,
    ) -> bool:
        """Close what was asked for before; False when somebody else has meanwhile.

        Written down before it is done: dying in between leaves no change closed without a word.
        """
        status = ChangeStatus.REPLACED if asked.is_open(now) else ChangeStatus.EXPIRED
        if status is ChangeStatus.REPLACED:
            after = {"change_id": asked.id, "asked_by": asked.asked_by, "by": request_id}
            entry_id = f"aud_replacing_{asked.id}_{request_id}"
            note = self._wallets.note
            await note(Who.of(who), REPLACING, wallet, after=after, entry_id=entry_id)
        try:
            await changes.close(asked, status, who.id, now)
        except LostRace:
            return False
        return True

    async def _replaced_before(self, who: Principal, wallet: Wallet, request_id: str) -> str | None:
        """What this very request has replaced and then died, before it had asked."""
        where = {"object_id": wallet.id, "action": REPLACING, "after.by": request_id}
        for entry in await self._audit.page(where, None, 1):
            assert entry.after is not None
            found = await changes.change_by_id(entry.after["change_id"])
            if found is not None and found.status is ChangeStatus.REPLACED:
                return found.id if found.decided_by == who.id else None
        return None

    # ---- deciding ----------------------------------------------------------------------------

    async def take(
        self, principal: Principal, wallet_id: str, update: PermissionUpdate, request_id: str
    ) -> str | None:
        """Use the agreement up for this request; who asked, or None when nobody had to.

        Raises:
            SecondPersonNeeded: It is not asked for (any more), or went to another request.
            ChangeOver: This request took it too long ago.
            WalletNotFound, LostRace
        """
        digest = update_hash(update)
        wallet = await self._wallets.get(principal, wallet_id)
        for _ in range(CHANGE_ATTEMPTS_MAX):
            now = self._clock.now()
            if (taken := await changes.taken_by(request_id)) is not None:
                if taken.change_hash != digest or taken.wallet_id != wallet.id:
                    raise KeyReused()
                return _still_good(taken, now).asked_by
            asked = await changes.asked_of(wallet.id)
            if asked is None or not may_take(asked, digest, principal.id, now):
                if await self._gives_away(update):
                    raise SecondPersonNeeded(param="owner")
                return None
            try:
                await changes.close(asked, ChangeStatus.AGREED, principal.id, now, request_id)
            except LostRace:
                continue  # by a twin of this request, or by somebody else
            return asked.asked_by
        raise LostRace("the wallet keeps changing; try again")

    async def agree(
        self, principal: Principal, change_id: str, request_id: str
    ) -> PermissionChange:
        """Agree to just this change, for this request; again when this request did already.

        Raises:
            ChangeNotFound
            ChangeOver: It is not asked for any more, or this request took it too long ago.
            SecondPersonNeeded: By who asked.
        """
        for _ in range(CHANGE_ATTEMPTS_MAX):
            change, now = await self.get(principal, change_id), self._clock.now()
            if change.taken_by == request_id:
                return _still_good(change, now)
            _check(change, principal, now)
            await self._see_noted(await self._wallets.get(principal, change.wallet_id), change)
            try:
                return await changes.close(
                    change, ChangeStatus.AGREED, principal.id, now, request_id
                )
            except LostRace:
                continue  # by a twin of this request, or by somebody else
        raise LostRace("the change keeps changing; try again")

    async def decide(
        self, principal: Principal, change_id: str, change_hash: str, *, agree: bool
    ) -> PermissionChange:
        """The change that somebody is about to agree to, or has refused.

        Args:
            change_hash: Of what the person was shown.

        Raises:
            ChangeNotFound, ChangeDiffers
            ChangeOver: It is not asked for any more.
            SecondPersonNeeded: Who asked wants to agree.
        """
        change = await self.get(principal, change_id)
        now = self._clock.now()
        if change.change_hash != change_hash:
            raise ChangeDiffers(param="change_hash")
        if agree:
            _check(change, principal, now)
            return change
        if not change.is_open(now):
            raise _over(change, now)
        wallet = await self._wallets.get(principal, change.wallet_id)
        await self._see_noted(wallet, change)
        try:
            refused = await changes.close(change, ChangeStatus.REFUSED, principal.id, now)
        except LostRace:
            again = await self.get(principal, change_id)
            raise _over(again, now) from None
        await self._note(Who.of(principal), "wallet.permissions_refused", wallet, refused)
        return refused

    # ---- looking -----------------------------------------------------------------------------

    async def get(self, principal: Principal, change_id: str) -> PermissionChange:
        """
        Raises:
            ChangeNotFound
        """
        found = await changes.change_by_id(change_id, owner_filter(principal, "wallets"))
        if found is None:
            raise ChangeNotFound
        return found

    async def page(self, principal: Principal, page: PageRequest) -> Page[PermissionChange]:
        """Changes, newest first; `asked` are those that somebody may still decide about."""
        statuses = page.statuses_of(ChangeStatus)
        where: dict[str, Any] = dict(owner_filter(principal, "wallets"))
        if statuses:
            now, kinds = self._clock.now(), []
            for status in statuses:
                each: dict[str, Any] = {"status": status.value}
                if status is ChangeStatus.ASKED:
                    each["expires_at"] = {"$gt": now}
                kinds.append(each)
                if status is ChangeStatus.EXPIRED:
                    lapsed = {"status": ChangeStatus.ASKED.value, "expires_at": {"$lte": now}}
                    kinds.append(lapsed)
            where["$or"] = kinds
        return await fetch_page(
            PermissionChange, where, page, lambda change: change, newest_first=True
        )

    # ---- whose keys --------------------------------------------------------------------------

    async def outside(self, update: PermissionUpdate) -> set[Address]:
        """Of the update's keys those that somebody besides this service may sign with."""
        return {key for key in keys_of(update) if not await self._is_held(key, update.owner)}

    async def _gives_away(self, update: PermissionUpdate) -> bool:
        held = keys_of(update) - await self.outside(update)
        return outsiders_reach(update, held)

    async def _is_held(self, key: Address, account: Address) -> bool:
        """Whether nobody but this service signs with a key: it was made here and never left, or is
        the account's own, which had all before.

        A key that was imported or restored is known to whoever brought it, one that was backed up
        to whoever made the backup, one of a device or a co-signer is theirs. Where the account
        has a password that its backup asks for, no other key is held: that one's backup asks for
        another password, or for none.
        """
        wallet = await store.by_address(key)
        if wallet is None or wallet.status is WalletStatus.ARCHIVED:
            return False
        if wallet.kind not in KEYED or wallet.envelope is None:
            return False
        if key == account:
            return True
        if not wallet.keys_made_here or wallet.backed_up_at is not None:
            return False
        if await self._went_out(wallet):
            return False
        own = await store.by_address(account)
        return own is None or await self._wallets.passwords.find(own.id) is None

    async def _went_out(self, wallet: Wallet) -> bool:
        """Whether the audit log has a backup of it: also one from before keys were stamped."""
        ids = [wallet.id, *(wallet.former_ids or ())]
        where = {"object_id": {"$in": ids}, "action": {"$in": list(KEY_WENT_OUT)}}
        return bool(await self._audit.page(where, None, 1))

    async def _see_noted(self, wallet: Wallet, change: PermissionChange) -> None:
        """For who asked may have died before it was in the audit log; once, whoever wrote it."""
        told = {"object_id": wallet.id, "action": ASKED, "after.change_id": change.id}
        if not await self._audit.page(told, None, 1):
            await self._note_asked(wallet, change)

    async def _note_asked(self, wallet: Wallet, change: PermissionChange) -> None:
        who = Who(change.asked_by, change.asked_role)
        await self._note(who, ASKED, wallet, change, f"aud_asked_{change.id}")

    async def _note(
        self,
        who: Who,
        action: str,
        wallet: Wallet,
        change: PermissionChange,
        entry_id: str = "",
    ) -> None:
        told = {
            "asked_by": change.asked_by,
            "change_hash": change.change_hash,
            "change_id": change.id,
            **({"replaces": change.replaces} if change.replaces else {}),
        }
        await self._wallets.note(who, action, wallet, after=told, entry_id=entry_id)


def may_take(change: PermissionChange, digest: str, principal_id: str, now: datetime) -> bool:
    """Whether this person may agree to what is asked for: it is open, the same, and another's."""
    return change.is_open(now) and change.change_hash == digest and change.asked_by != principal_id


def _check(change: PermissionChange, principal: Principal, now: datetime) -> None:
    if not change.is_open(now):
        raise _over(change, now)
    if change.asked_by == principal.id:
        raise SecondPersonNeeded("you asked for it: somebody else has to agree")


def _still_good(taken: PermissionChange, now: datetime) -> PermissionChange:
    """What a request took before, and may have died before it placed it."""
    assert taken.decided_at is not None
    if now >= taken.decided_at + ASKED_LIFETIME:
        raise _over(taken, now)
    return taken


def _needed(change: PermissionChange) -> SecondPersonNeeded:
    return SecondPersonNeeded(
        "it lets keys sign that somebody else has: another person has to agree to "
        f"{change.id}, or send the same change, until {rfc3339(change.expires_at)}",
        param="owner",
    )


def _over(change: PermissionChange, now: datetime) -> ChangeOver:
    return ChangeOver(f"{change.id}: {change.shown_status(now)}; ask anew under another key")

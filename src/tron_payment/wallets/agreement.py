"""Permissions that give an account's power to keys from outside are agreed on by two people.

Such a key moves everything that the account has, past every limit, approval and kill switch. So one
person asks, and it is placed when somebody else asks for the very same within `ASKED_LIFETIME`.

asked       one person's wish, on the wallet: its hash, who, when; a later one takes its place
taken       by the request of a second person, once; that request may be repeated
"""

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

import msgspec

from tron_payment.chain import PermissionUpdate
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock, rfc3339
from tron_payment.core.errors import Conflict
from tron_payment.db.cas import LostRace
from tron_payment.engine import contract_document
from tron_payment.http.principals import Principal
from tron_payment.wallets import documents as store
from tron_payment.wallets.documents import Wallet
from tron_payment.wallets.domain import KEYED, WalletStatus
from tron_payment.wallets.making import Who
from tron_payment.wallets.service import CHANGE_ATTEMPTS_MAX, Wallets

ASKED_LIFETIME: Final = timedelta(hours=24)


class SecondPersonNeeded(Conflict, code="second_person_needed"):
    """Keys from outside could sign alone: a second person has to ask for the same."""


class Agreement:
    """Remembers who asks, and says when two agree."""

    def __init__(self, clock: Clock, wallets: Wallets) -> None:
        self._clock = clock
        self._wallets = wallets

    async def require(
        self, principal: Principal, wallet_id: str, update: PermissionUpdate, change_id: str
    ) -> None:
        """Let pass what gives nothing away, and what somebody else has asked for, too.

        Args:
            change_id: Of the request; the one that took the agreement passes again.

        Raises:
            SecondPersonNeeded: From now on it is asked for.
            WalletNotFound, LostRace
        """
        if not await _gives_away(update):
            return
        digest = update_hash(update)
        for _ in range(CHANGE_ATTEMPTS_MAX):
            wallet = await self._wallets.get(principal, wallet_id)
            now = self._clock.now()
            if may_take(wallet, digest, principal.id, change_id, now):
                return
            asking = {
                "change_asked": digest,
                "change_asked_by": principal.id,
                "change_asked_at": now,
                "change_taken": None,
            }
            try:
                asked = await store.change(wallet, now, **asking)
            except LostRace:
                continue
            who = Who.of(principal, "")  # of the request under way
            told = {"asked_by": principal.id, "change_hash": digest}
            await self._wallets.note(who, "wallet.permissions_asked", asked, after=told)
            raise SecondPersonNeeded(
                "another person has to send the same change until "
                f"{rfc3339(now + ASKED_LIFETIME)}: it lets keys sign that were not made here",
                param="owner",
            )
        raise LostRace("the wallet keeps changing; try again")

    async def take(
        self, principal: Principal, wallet_id: str, update: PermissionUpdate, change_id: str
    ) -> str | None:
        """Use the agreement up for this request; who asked, or None when nobody had to.

        Raises:
            SecondPersonNeeded: It has lapsed, or went to another request meanwhile.
            WalletNotFound, LostRace
        """
        if not await _gives_away(update):
            return None
        digest = update_hash(update)
        for _ in range(CHANGE_ATTEMPTS_MAX):
            wallet = await self._wallets.get(principal, wallet_id)
            now = self._clock.now()
            if not may_take(wallet, digest, principal.id, change_id, now):
                raise SecondPersonNeeded(param="owner")
            if wallet.change_taken is None:
                try:
                    wallet = await store.change(wallet, now, change_taken=change_id)
                except LostRace:
                    continue
            return wallet.change_asked_by
        raise LostRace("the wallet keeps changing; try again")


def may_take(wallet: Wallet, digest: str, principal_id: str, change_id: str, now: datetime) -> bool:
    """Whether somebody else's wish for the same stands, or this request has taken it already.

    asked for    taken by        asked by     asked           may
    the same     this request    anybody      at any time     yes
    the same     nobody          another      not too long ago yes
    anything else                                             no
    """
    if wallet.change_asked != digest or wallet.change_asked_at is None:
        return False
    if wallet.change_taken is not None:
        return wallet.change_taken == change_id
    fresh = now - wallet.change_asked_at < ASKED_LIFETIME
    return fresh and wallet.change_asked_by != principal_id


def update_hash(update: PermissionUpdate) -> str:
    """SHA-256 over everything that the update says, in hex."""
    text = msgspec.json.encode(contract_document(update), order="deterministic", enc_hook=int)
    return hashlib.sha256(text).hexdigest()


def outsiders_reach(update: PermissionUpdate, held: Collection[Address]) -> bool:
    """Whether keys other than these reach the threshold of any permission by themselves."""
    granted = (update.owner_permission, update.witness_permission, *update.actives)
    for permission in granted:
        if permission is None:
            continue
        outside = sum(weight for key, weight in permission.keys if key not in held)
        if outside >= permission.threshold:
            return True
    return False


async def _gives_away(update: PermissionUpdate) -> bool:
    granted = (update.owner_permission, *update.actives)
    keys = {key for permission in granted if permission for key, _ in permission.keys}
    return outsiders_reach(update, {key for key in keys if await _is_held(key, update.owner)})


async def _is_held(key: Address, account: Address) -> bool:
    """Whether nobody but this service signs with a key: it was made here, or is the account's own.

    A key that was imported or restored is known to whoever brought it, one of a device or a
    co-signer is theirs.
    """
    wallet = await store.by_address(key)
    if wallet is None or wallet.status is WalletStatus.ARCHIVED:
        return False
    if wallet.kind not in KEYED or wallet.envelope is None:
        return False
    return wallet.keys_made_here or key == account

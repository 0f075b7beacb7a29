"""Proof that somebody has the key of an address: he signs a message that was made just for that.

A challenge names the wallet, the chain and a nonce, works for ten minutes and once. What is signed
is a message and never a transaction: its hash begins with a prefix that no transaction has.
"""

from datetime import datetime, timedelta
from typing import ClassVar, Final

import structlog
from beanie import Document
from pymongo import ASCENDING, IndexModel

from tron_payment.core.clock import Clock, rfc3339
from tron_payment.core.errors import Conflict, NotFound, Refused
from tron_payment.core.ids import new_id
from tron_payment.db.cas import LostRace, compare_and_set, insert_once
from tron_payment.db.faults import store_errors
from tron_payment.http.principals import Principal
from tron_payment.wallets import documents as store
from tron_payment.wallets.documents import Wallet
from tron_payment.wallets.making import Who
from tron_payment.wallets.messages import MESSAGE_BYTES_MAX, message_signer
from tron_payment.wallets.service import Wallets
from tron_payment.wallets.signing import parse_signature

CHALLENGE_LIFETIME: Final = timedelta(minutes=10)
CHANGE_ATTEMPTS_MAX: Final = 5

log = structlog.get_logger()


class ChallengeNotFound(NotFound, code="ownership_challenge_not_found"):
    """There is no such challenge for this wallet."""


class ChallengeOver(Conflict, code="ownership_challenge_over"):
    """The challenge was used or is too old; ask for a new one."""


class NotTheOwner(Refused, code="ownership_not_proven"):
    """The signature is not by this address, or over another message."""


class OwnershipChallenge(Document):
    """One message to sign. Deleted by the store some time after it is over."""

    id: str  # type: ignore[assignment]  # own_..., which is the nonce
    wallet_id: str
    address: str
    principal: str
    message: str
    expires_at: datetime
    used: bool = False
    version: int = 0
    op_id: str = ""
    created_at: datetime

    class Settings:
        name = "ownership_challenges"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=86_400)
        ]


class Ownership:
    """Makes challenges and judges proofs."""

    def __init__(self, *, clock: Clock, wallets: Wallets, chain_id: int) -> None:
        self._clock = clock
        self._wallets = wallets
        self._chain_id = chain_id

    async def challenge(self, principal: Principal, wallet_id: str) -> OwnershipChallenge:
        """A new message for the owner of the wallet's address.

        Raises:
            WalletNotFound
        """
        wallet = await self._wallets.get(principal, wallet_id)
        now = self._clock.now()
        nonce, until = new_id("own"), now + CHALLENGE_LIFETIME
        message = message_of(wallet, self._chain_id, nonce, until)
        assert len(message.encode()) <= MESSAGE_BYTES_MAX
        made = OwnershipChallenge(
            id=nonce,
            wallet_id=wallet.id,
            address=wallet.address,
            principal=principal.id,
            message=message,
            expires_at=until,
            created_at=now,
        )
        await insert_once(made)
        return made

    async def prove(
        self,
        principal: Principal,
        wallet_id: str,
        challenge_id: str,
        signature: str,
        *,
        request_id: str = "",
    ) -> Wallet:
        """Take a signature over the challenge's message; the wallet is marked as proven.

        Raises:
            WalletNotFound, ChallengeNotFound
            ChallengeOver: Used or too old.
            SignatureMalformed
            NotTheOwner: Nothing was changed; the challenge is still good.
        """
        wallet = await self._wallets.get(principal, wallet_id)
        raw = parse_signature(signature)
        with store_errors():
            found = await OwnershipChallenge.find_one({"_id": challenge_id})
        if found is None or found.wallet_id != wallet.id or found.principal != principal.id:
            raise ChallengeNotFound(param="challenge_id")
        now = self._clock.now()
        if found.used or found.expires_at <= now:
            raise ChallengeOver(param="challenge_id")
        wanted = message_of(wallet, self._chain_id, found.id, found.expires_at)
        if found.message != wanted or found.address != wallet.address:
            raise ChallengeOver(param="challenge_id")
        try:
            signer = message_signer(found.message.encode(), raw)
        except ValueError:
            raise NotTheOwner(param="signature") from None
        if signer != wallet.address:
            raise NotTheOwner(f"it is by {signer}", param="signature")
        try:
            await compare_and_set(
                OwnershipChallenge, found.id, version=found.version, set={"used": True}
            )
        except LostRace:
            raise ChallengeOver(param="challenge_id") from None
        proven = await self._mark(wallet, now)
        log.info("wallet.ownership_proven", wallet_id=wallet.id)
        await self._wallets.note(
            Who.of(principal, request_id),
            "wallet.ownership",
            proven,
            after={"address": proven.address, "challenge_id": found.id},
        )
        return proven

    async def _mark(self, wallet: Wallet, now: datetime) -> Wallet:
        for _ in range(CHANGE_ATTEMPTS_MAX):
            try:
                return await store.change(wallet, now, owner_proven_at=now)
            except LostRace:
                again = await store.by_id(wallet.id)
                assert again is not None, "a wallet is never deleted"
                wallet = again
        raise LostRace("the wallet keeps changing; try again")


def message_of(wallet: Wallet, chain_id: int, nonce: str, until: datetime) -> str:
    """What the owner reads and signs: short enough for a Ledger."""
    return (
        f"I own {wallet.address}\n"
        f"wallet: {wallet.id}\n"
        f"chain: {chain_id:#010x}\n"
        f"nonce: {nonce}\n"
        f"until: {rfc3339(until)}"
    )

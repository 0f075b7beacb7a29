"""HTTP of ownership: a message to sign, and the signature that proves it."""

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from tron_payment.core.clock import rfc3339
from tron_payment.db.acts import describe
from tron_payment.http.principals import Principal
from tron_payment.wallets.ownership import Ownership


class OwnershipProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    challenge_id: str
    signature: str
    """65 bytes r, s, v in hex, as `tronWeb.trx.signMessageV2` gives them."""


class ChallengeView(msgspec.Struct, frozen=True, kw_only=True):
    challenge_id: str
    wallet_id: str
    address: str
    message: str
    expires_at: str


class ProvenView(msgspec.Struct, frozen=True, kw_only=True):
    wallet_id: str
    address: str
    proven_at: str


@post("/{wallet_id:str}/ownership-challenge", status_code=201, opt={"permission": "wallet:update"})
async def ask_for_ownership(
    wallet_id: FromPath[str],
    ownership: NamedDependency[Ownership],
    principal: NamedDependency[Principal],
) -> ChallengeView:
    """Make a message that the owner of the wallet's address signs; good for ten minutes, once."""
    made = await ownership.challenge(principal, wallet_id)
    describe(action="wallet.ownership_challenge")
    return ChallengeView(
        challenge_id=made.id,
        wallet_id=made.wallet_id,
        address=made.address,
        message=made.message,
        expires_at=rfc3339(made.expires_at),
    )


@post("/{wallet_id:str}/ownership-proof", status_code=200, opt={"permission": "wallet:update"})
async def prove_ownership(
    wallet_id: FromPath[str],
    data: JSONBody[OwnershipProof],
    ownership: NamedDependency[Ownership],
    principal: NamedDependency[Principal],
    request_id: NamedDependency[str],
) -> ProvenView:
    """Take the signed message; the wallet's address is proven to be theirs."""
    wallet = await ownership.prove(
        principal, wallet_id, data.challenge_id, data.signature, request_id=request_id
    )
    assert wallet.owner_proven_at is not None
    return ProvenView(
        wallet_id=wallet.id, address=wallet.address, proven_at=rfc3339(wallet.owner_proven_at)
    )


HANDLERS = (ask_for_ownership, prove_ownership)

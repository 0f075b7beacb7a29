"""What is refused has changed nothing: every collection is the same, to the byte, before and after.

One test for each of the attacks on keys, backups and signatures.
"""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from bson import encode
from pydantic import SecretStr
from wallet_world import BOB, NOW, World, build_world, order, principal, raw_of, rebuild

from tron_payment import chain
from tron_payment.chain import Permission, PermissionKind, Transfer
from tron_payment.core.clock import to_ms
from tron_payment.core.errors import AppError
from tron_payment.db.cas import insert_once
from tron_payment.engine import CannotSign, OrderStatus
from tron_payment.engine.documents import contract_document, stored
from tron_payment.engine.domain import Attempt
from tron_payment.wallets import (
    OURSELVES,
    Custody,
    SigningKey,
    SigningRequest,
    SigningRequests,
    Wallet,
    WalletKind,
)
from tron_payment.wallets.backup import BackupMalformed, BackupUnreadable
from tron_payment.wallets.keys import Secret
from tron_payment.wallets.keystore import stored_envelope
from tron_payment.wallets.signing import AlreadySignedBy, SignatureForeign

SENTENCE = "a sentence for the file"
KEYS = [SigningKey(Secret(bytes([n]) * 32)) for n in (1, 2, 3)]


@pytest.fixture
async def world(mongo: Any) -> World:
    return await build_world(mongo)


async def everything() -> dict[str, list[bytes]]:
    """Every document of the database as its bytes."""
    database = Wallet.get_pymongo_collection().database
    return {
        name: sorted([encode(row) async for row in database[name].find()])
        for name in await database.list_collection_names()
    }


async def tampered(wallet: Wallet, **fields: Any) -> None:
    """Somebody who can write the database has changed the wallet's row."""
    rows = Wallet.get_pymongo_collection()
    await rows.update_one({"_id": wallet.id}, {"$set": fields})


async def cannot_sign(world: World, wallet: Wallet) -> None:
    """By an order of the wallet as it was, and of the one that stands there now."""
    now = await Wallet.get(wallet.id)
    assert now is not None
    before = await everything()
    for each in (wallet, now):
        it = order(each)
        with pytest.raises(CannotSign):
            await world.signer.sign(it, raw_of(it))
    with pytest.raises(AppError):
        custody = world.house.use(Custody)
        await custody.backup(principal(), wallet.id, password=SENTENCE, wallet_password=None)
    assert await everything() == before


async def test_a_swapped_ciphertext(world: World) -> None:
    wallet, other = [await world.wallets.create(OURSELVES, label=name) for name in "ab"]
    assert wallet.envelope is not None and other.envelope is not None
    mixed = [
        other.envelope,
        replace(wallet.envelope, sealed=other.envelope.sealed),
        replace(wallet.envelope, wrapped_key=other.envelope.wrapped_key),
    ]
    for envelope in mixed:
        await tampered(wallet, envelope=stored_envelope(envelope))
        await cannot_sign(await rebuild(), wallet)


async def test_a_changed_associated_datum(world: World) -> None:
    wallet = await world.wallets.create(OURSELVES, label="a")
    hd_wallet = await world.wallets.create_hd(OURSELVES, label="b")
    await tampered(wallet, address=KEYS[0].address)
    await cannot_sign(await rebuild(), wallet)
    await tampered(wallet, address=wallet.address, path="m/44'/195'/1'")
    await cannot_sign(await rebuild(), wallet)
    await tampered(hd_wallet, path="m/44'/195'/1'")
    await cannot_sign(await rebuild(), hd_wallet)


async def test_a_wrong_key_encryption_key(world: World) -> None:
    wallet = await world.wallets.create(OURSELVES, label="a")
    for keks in ("22" * 32, f"k2:{'22' * 32}"):
        other = await rebuild(wallet_encryption_key=SecretStr(keks))
        await cannot_sign(other, wallet)
        before = await everything()
        done = await other.house.use(Custody).rotate()
        assert done.rewrapped == 0
        assert await everything() == before
    it = order(wallet)
    await (await rebuild()).signer.sign(it, raw_of(it))


async def test_a_truncated_backup(world: World) -> None:
    wallet = await world.wallets.create(OURSELVES, label="a")
    await world.wallets.create_hd(OURSELVES, label="b")
    custody = world.house.use(Custody)
    text = await custody.backup_all(SENTENCE)
    await Wallet.get_pymongo_collection().delete_one({"_id": wallet.id})
    before = await everything()
    for length in (0, 10, len(text) // 2, len(text) - 4, len(text) - 1):
        with pytest.raises((BackupUnreadable, BackupMalformed)):
            await custody.restore(OURSELVES, backup=text[:length], password=SENTENCE)
    assert await everything() == before
    await custody.restore(OURSELVES, backup=text, password=SENTENCE)
    assert await Wallet.get(wallet.id) is not None, "whole it would have come back"


async def asked(world: World) -> SigningRequest:
    """A transfer that two of three keys have to sign."""
    owner = Permission(PermissionKind.OWNER, 2, tuple((key.address, 1) for key in KEYS))
    world.nodes.permissions[KEYS[0].address] = (owner, ())
    wallet = await world.wallets.watch(
        OURSELVES, label="shared", address=KEYS[0].address, kind=WalletKind.COLD
    )
    it = order(
        wallet,
        detached=True,
        status=OrderStatus.AWAITING_SIGNATURE,
        contract=contract_document(Transfer(KEYS[0].address, BOB, 12_500_000)),
    )
    expires_ms = to_ms(NOW) + 3_600_000
    raw = raw_of(it, expiration_ms=expires_ms)
    attempt = Attempt(1, chain.txid(raw), raw, (), 0, 1, expires_ms, 1, NOW)
    it.attempts, it.live_txid = [stored(attempt)], attempt.txid
    await insert_once(it)
    return await world.house.use(SigningRequests).ask(it)


def signed(key: SigningKey, raw: bytes) -> str:
    return key.sign(hashlib.sha256(raw).digest()).hex()


async def test_a_foreign_signature_one_for_other_bytes_and_a_second_by_the_same_key(
    world: World,
) -> None:
    request = await asked(world)
    signing = world.house.use(SigningRequests)
    stranger = SigningKey(Secret(b"\x09" * 32))
    refused = [
        (signed(stranger, request.raw), SignatureForeign),
        (signed(KEYS[0], request.raw + b"\0"), SignatureForeign),
    ]
    for _ in range(2):
        for text, error in refused:
            before = await everything()
            with pytest.raises(error):
                await signing.accept(principal(), request.id, text)
            with pytest.raises(error):
                await signing.accept_from_key(request.id, text)
            assert await everything() == before
        if len(refused) == 2:
            after = await signing.accept(principal(), request.id, signed(KEYS[1], request.raw))
            assert after.weight == 1
            refused.append((signed(KEYS[1], request.raw), AlreadySignedBy))

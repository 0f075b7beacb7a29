"""The signer signs what the order says, once, with the wallet's own key, or says why not."""

import hashlib
from dataclasses import asdict, replace
from typing import Any

import pytest
from wallet_world import BOB, NOW, TEST_USDT, World, build_world, order, principal, raw_of

from tron_payment import chain
from tron_payment.chain import Position, Transfer, TriggerContract
from tron_payment.core.address import Address
from tron_payment.db.cas import insert_once
from tron_payment.db.connect import connect
from tron_payment.engine import CannotSign, Order
from tron_payment.engine.documents import contract_document, stored
from tron_payment.engine.domain import Attempt, Death, Verdict
from tron_payment.wallets import JOURNAL_DOCUMENTS, OURSELVES, SigningJournal, Wallet
from tron_payment.wallets.keys import Secret
from tron_payment.wallets.keystore import stored_envelope
from tron_payment.wallets.signer import recovered_address


@pytest.fixture
async def world(mongo: Any) -> World:
    return await build_world(mongo)


@pytest.fixture
async def wallet(world: World) -> Wallet:
    return await world.wallets.create(OURSELVES, label="hot")


def attempt(raw: bytes, *, dead: bool) -> dict[str, Any]:
    death = Death(Verdict.EXPIRED, 1, 2, "0" * 64, 60_000) if dead else None
    whole = Attempt(1, chain.txid(raw), raw, (b"\0" * 65,), 0, 1_000, 60_000, 1, NOW, None, death)
    return stored(whole)  # type: ignore[no-any-return]


async def test_a_signature_recovers_to_the_wallet(world: World, wallet: Wallet) -> None:
    it = order(wallet)
    raw = raw_of(it)
    signature = await world.signer.sign(it, raw)
    assert len(signature) == 65 and signature[64] in (0, 1)
    assert recovered_address(signature, hashlib.sha256(raw).digest()) == wallet.address
    assert await world.signer.sign(it, raw) == signature, "the same bytes give the same signature"


async def test_bytes_that_say_something_else_are_refused(world: World, wallet: Wallet) -> None:
    it = order(wallet, fee_limit_sun=5)
    mine = Address(wallet.address)
    wrong = [
        raw_of(it, contract=Transfer(mine, BOB, 1_000_001)),
        raw_of(it, contract=Transfer(mine, TEST_USDT, 1_000_000)),
        raw_of(it, contract=Transfer(BOB, BOB, 1_000_000)),
        raw_of(it, contract=TriggerContract(mine, BOB, b"")),
        raw_of(it, fee_limit_sun=6),
        raw_of(it, memo=b"hello"),
        raw_of(it, permission_id=2),
        b"",
        b"\xff",
        raw_of(it) + b"\0",
        raw_of(it)[:-1],
        hashlib.sha256(raw_of(it)).digest(),
    ]
    for raw in wrong:
        with pytest.raises(CannotSign):
            await world.signer.sign(it, raw)
    assert await SigningJournal.count() == 0
    assert world.signer.refused == len(wrong)


async def test_another_wallets_order_is_refused(world: World, wallet: Wallet) -> None:
    other = await world.wallets.create(OURSELVES, label="other")
    it = order(wallet, wallet_id=other.id)
    with pytest.raises(CannotSign, match="not this wallet"):
        await world.signer.sign(it, raw_of(it))
    foreign = order(
        wallet,
        contract=contract_document(Transfer(Address(other.address), BOB, 1)),
    )
    with pytest.raises(CannotSign, match="another address"):
        await world.signer.sign(foreign, raw_of(foreign))
    ghost = order(wallet, wallet_id="wal_none")
    with pytest.raises(CannotSign, match="no such wallet"):
        await world.signer.sign(ghost, raw_of(ghost))


async def test_a_frozen_wallet_does_not_sign_and_a_thawed_one_does(
    world: World, wallet: Wallet
) -> None:
    it = order(wallet)
    await world.wallets.update(principal(), wallet.id, frozen=True)
    with pytest.raises(CannotSign, match="frozen"):
        await world.signer.sign(it, raw_of(it))
    await world.wallets.update(principal(), wallet.id, frozen=False)
    await world.signer.sign(it, raw_of(it))
    await world.wallets.archive(principal(), wallet.id)
    with pytest.raises(CannotSign, match="archived"):
        await world.signer.sign(order(wallet, "ord_2"), raw_of(it, timestamp_ms=7))


async def test_a_watched_address_does_not_sign(world: World) -> None:
    watched = await world.wallets.watch(OURSELVES, label="w", address=BOB)
    it = order(watched, contract=contract_document(Transfer(BOB, TEST_USDT, 1)))
    with pytest.raises(CannotSign, match="not here"):
        await world.signer.sign(it, raw_of(it))


async def test_a_second_transaction_waits_for_the_death_of_the_first(
    world: World, wallet: Wallet
) -> None:
    it = order(wallet)
    first, second = raw_of(it), raw_of(it, timestamp_ms=2_000)
    await world.signer.sign(it, first)
    living = order(wallet, attempts=[attempt(first, dead=False)])
    with pytest.raises(CannotSign, match="still open"):
        await world.signer.sign(living, second)
    dead = order(wallet, attempts=[attempt(first, dead=True)])
    await insert_once(dead)
    await world.signer.sign(dead, second)
    lines = [row.id for row in await SigningJournal.find().sort("+at", "+_id").to_list()]
    assert lines == ["ord_1:1", "ord_1:1:end", "ord_1:2"]


async def test_the_journal_refuses_what_a_stale_order_would_allow(
    world: World, wallet: Wallet
) -> None:
    """The order is stored as signed; a replica still sees it without its attempt."""
    it = order(wallet)
    first = raw_of(it)
    await world.signer.sign(it, first)
    await insert_once(order(wallet, attempts=[attempt(first, dead=False)]))
    with pytest.raises(CannotSign, match="still open"):
        await world.signer.sign(it, raw_of(it, timestamp_ms=2_000))
    assert await SigningJournal.count() == 1


class At:
    """The chain is solid and applied up to this time."""

    def __init__(self, timestamp_ms: int, halted: str = "") -> None:
        self.position = Position(9, "00" * 32, timestamp_ms, 0, halted)
        self.then: int | None = None
        """What is shown from the second time on."""

    async def load(self) -> Position:
        shown = self.position
        if self.then is not None:
            self.position = replace(shown, timestamp_ms=self.then)
        return shown


async def test_the_same_process_waits_for_the_expiration_like_any_other(
    world: World, wallet: Wallet
) -> None:
    """It has signed and not stored, or it has stored and the store was taken back: all the same."""
    it = order(wallet)
    await insert_once(it)
    await world.signer.sign(it, raw_of(it, expiration_ms=60_000))
    world.signer.follow(At(59_999))  # type: ignore[arg-type]
    with pytest.raises(CannotSign, match="still open"):
        await world.signer.sign(it, raw_of(it, timestamp_ms=2_000))
    world.signer.follow(At(60_000))  # type: ignore[arg-type]
    await world.signer.sign(it, raw_of(it, timestamp_ms=2_000))
    ends = await SigningJournal.find({"why": {"$ne": ""}}).to_list()
    assert [(row.number, row.why) for row in ends] == [(1, "expired")]


async def test_a_store_that_is_taken_back_in_the_middle_of_the_question_proves_nothing(
    world: World, wallet: Wallet
) -> None:
    """How far the chain was applied comes from before the restore, the order from after it."""
    it = order(wallet)
    await insert_once(it)
    await world.signer.sign(it, raw_of(it, expiration_ms=60_000))
    at = At(60_000)
    at.then = 57_000
    world.signer.follow(at)  # type: ignore[arg-type]
    with pytest.raises(CannotSign, match="still open"):
        await world.signer.sign(it, raw_of(it, timestamp_ms=2_000))
    assert await SigningJournal.count() == 1


async def test_what_a_restored_order_has_forgotten_is_signed_anew_only_after_its_expiration(
    world: World, wallet: Wallet
) -> None:
    """The orders come from a backup; the journal does not, and knows better."""
    it = order(wallet)
    await insert_once(it)
    await world.signer.sign(it, raw_of(it, expiration_ms=60_000))
    restarted = type(world.signer)(world.signer.keystore, world.clock)
    for where in (None, At(59_999), At(60_000, halted="contradiction")):
        if where is not None:
            restarted.follow(where)  # type: ignore[arg-type]
        with pytest.raises(CannotSign, match="still open"):
            await restarted.sign(it, raw_of(it, timestamp_ms=2_000))
    assert await SigningJournal.count() == 1
    restarted.follow(At(60_000))  # type: ignore[arg-type]
    assert len(await restarted.sign(it, raw_of(it, timestamp_ms=2_000))) == 65
    ends = await SigningJournal.find({"why": {"$ne": ""}}).to_list()
    assert [(row.number, row.why) for row in ends] == [(1, "expired")]


async def test_an_order_asked_for_again_after_a_restore_is_not_signed_twice(
    world: World, wallet: Wallet
) -> None:
    """The backup did not have the order at all; its client repeats it with the same key."""
    it = order(wallet)
    await insert_once(it)
    await world.signer.sign(it, raw_of(it))
    await Order.find_one({"_id": it.id}).delete()
    await insert_once(order(wallet))
    restarted = type(world.signer)(world.signer.keystore, world.clock)
    restarted.follow(At(1))  # type: ignore[arg-type]
    with pytest.raises(CannotSign, match="still open"):
        await restarted.sign(it, raw_of(it, timestamp_ms=2_000))


async def test_the_journal_may_stand_in_a_database_of_its_own(
    world: World, wallet: Wallet, mongo: Any
) -> None:
    journal = await connect(mongo.uri, f"{mongo.name}_signer", JOURNAL_DOCUMENTS)
    try:
        it = order(wallet)
        await insert_once(it)
        await world.signer.sign(it, raw_of(it))
        rows = await journal.database["signing_journal"].count_documents({})
        assert rows == 1
        assert SigningJournal.get_pymongo_collection().database.name == f"{mongo.name}_signer"
        assert Order.get_pymongo_collection().database.name == mongo.name
    finally:
        await journal.client.drop_database(journal.database.name)
        await journal.close()


async def test_many_orders_are_signed_together(world: World, wallet: Wallet) -> None:
    pairs = []
    for n in range(200):
        it = order(wallet, f"ord_{n}")
        pairs.append((it, raw_of(it, timestamp_ms=n + 1)))
    pairs[7] = (pairs[7][0], b"nonsense")
    answers = await world.signer.sign_many(pairs)
    assert isinstance(answers[7], CannotSign)
    assert sum(isinstance(answer, bytes) for answer in answers) == 199
    assert await SigningJournal.count() == 199


async def test_a_swapped_envelope_or_key_is_refused(world: World, wallet: Wallet) -> None:
    other = await world.wallets.create(OURSELVES, label="other")
    assert wallet.envelope is not None and other.envelope is not None
    rows = Wallet.get_pymongo_collection()
    it = order(wallet)
    await rows.update_one(
        {"_id": wallet.id}, {"$set": {"envelope": stored_envelope(other.envelope)}}
    )
    with pytest.raises(CannotSign, match="does not open"):
        await world.signer.sign(it, raw_of(it))
    world.signer.forget(wallet.id)
    foreign = world.signer.keystore.seal(Secret(b"\x05" * 32), wallet.bond)
    await rows.update_one({"_id": wallet.id}, {"$set": {"envelope": asdict(foreign)}})
    with pytest.raises(CannotSign, match="not this wallet"):
        await world.signer.sign(it, raw_of(it))
    assert await SigningJournal.count() == 0


async def test_opened_keys_are_forgotten(world: World, wallet: Wallet) -> None:
    now = [0.0]
    signer = type(world.signer)(world.signer.keystore, world.clock, lambda: now[0])
    it = order(wallet)
    await signer.sign(it, raw_of(it))
    await Wallet.get_pymongo_collection().update_one(
        {"_id": wallet.id}, {"$set": {"envelope.sealed": b"x"}}
    )
    await signer.sign(it, raw_of(it))
    now[0] += 61
    with pytest.raises(CannotSign, match="does not open"):
        await signer.sign(it, raw_of(it))


async def test_an_order_signed_again_by_two_replicas_gets_one_transaction(
    world: World, wallet: Wallet
) -> None:
    it: Order = order(wallet)
    other = type(world.signer)(world.signer.keystore, world.clock)
    await insert_once(it)
    first = await world.signer.sign(it, raw_of(it))
    assert await other.sign(it, raw_of(it)) == first
    assert await SigningJournal.count() == 1

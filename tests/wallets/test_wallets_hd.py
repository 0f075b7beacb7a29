"""HD keys by the published vectors, against a second implementation, and issued only once."""

import asyncio
import random
from typing import Any

import pytest
from tronpy.hdwallet import key_from_seed, seed_from_mnemonic
from tronpy.keys import PrivateKey
from wallet_world import TEST_USDT, World, build_world, order, principal, raw_of, rebuild, served

from tron_payment.chain import Transfer
from tron_payment.core.address import Address
from tron_payment.db.ledger import Holder, Pocket
from tron_payment.engine import CannotSign, OpeningRequest
from tron_payment.engine.documents import contract_document
from tron_payment.wallets import (
    OURSELVES,
    Custody,
    HdAddress,
    NotDerived,
    Wallet,
    addresses,
    hd,
)
from tron_payment.wallets import issued as issued_module
from tron_payment.wallets.domain import WalletFrozen, WalletHoldsMoney, WalletScanning
from tron_payment.wallets.hd import InvalidMnemonic, InvalidXpub, PrivateNode
from tron_payment.wallets.keys import Secret
from tron_payment.wallets.scan import GAP_LIMIT

ABANDON = "abandon " * 11 + "about"
ABANDON_ADDRESS = "TUEZSdKsoDHQMeZwihtdoBiN46zxhGWYdH"

# Test vectors of BIP-32: seed, path, private key, chain code.
BIP32 = [
    (
        "000102030405060708090a0b0c0d0e0f",
        "m",
        "e8f32e723decf4051aefac8e2c93c9c5b214313817cdb01a1494b917c8436b35",
        "873dff81c02f525623fd1fe5167eac3a55a049de3d314bb42ee227ffed37d508",
    ),
    (
        "000102030405060708090a0b0c0d0e0f",
        "m/0'",
        "edb2e14f9ee77d26dd93b4ecede8d16ed408ce149b6cd80b0715a2d911a0afea",
        "47fdacbd0f1097043b78c63c20c34ef4ed9a111d980047ad16282c7ae6236141",
    ),
    (
        "000102030405060708090a0b0c0d0e0f",
        "m/0'/1/2'/2/1000000000",
        "471b76e389e528d6de6d816857e012c5455051cad6660850e58372a6c3e6e7c8",
        "c783e67b921d2beb8f6b389cc646d7263b4145701dadd2161548a8b078e65e9e",
    ),
]

# Trezor's vectors of BIP-39: entropy, words, seed with the passphrase TREZOR.
BIP39 = [
    (
        "00000000000000000000000000000000",
        ABANDON,
        "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e5349553"
        "1f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04",
    ),
    (
        "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f",
        "legal winner thank year wave sausage worth useful legal winner thank yellow",
        "2e8905819b8723fe2c1d161860e5ee1830318dbf49a83bd451cfb8440c28bd6f"
        "a457fe1296106559a3c80937a1c1069be3a3a5bd381ee6260e8d9739fce1f607",
    ),
    (
        "00" * 32,
        "abandon " * 23 + "art",
        "bda85446c68413707090a52022edd26a1c9462295029f2e60cd7c4f2bbd30971"
        "70af7a4d73245cafa9c3cca8d561a7c3de6f5d4a10be8ed2a5e608d68f92fcc8",
    ),
]


@pytest.mark.parametrize(("seed", "path", "key", "chain_code"), BIP32)
def test_bip32_vectors(seed: str, path: str, key: str, chain_code: str) -> None:
    node = PrivateNode.master(Secret(bytes.fromhex(seed))).derive(path)
    assert node.key.reveal().hex() == key
    assert node.chain_code.reveal().hex() == chain_code


@pytest.mark.parametrize(("entropy", "words", "seed"), BIP39)
def test_bip39_vectors(entropy: str, words: str, seed: str) -> None:
    read = hd.entropy_of(words)
    assert read.reveal().hex() == entropy
    assert hd.seed_of(read, "TREZOR").reveal().hex() == seed


def test_bip44_addresses_equal_another_implementation_and_the_public_way() -> None:
    seed = seed_from_mnemonic(ABANDON, "")
    account = hd.account_node(hd.entropy_of(ABANDON))
    public = hd.parse_xpub(hd.xpub_text(account.public())).child(0)
    numbers = random.Random(195)
    for index in [0, 1, 2, *(numbers.randrange(hd.INDEX_MAX) for _ in range(200))]:
        theirs = PrivateKey(key_from_seed(seed, f"m/44'/195'/0'/0/{index}"))
        ours = account.derive(f"m/0/{index}").signing_key().address
        assert ours == public.child(index).address
        assert ours == theirs.public_key.to_base58check_address()
    assert public.child(0).address == ABANDON_ADDRESS


@pytest.mark.parametrize(
    "words",
    ["", "abandon", "abandon " * 12, "abandon " * 11 + "abouts", ABANDON + " about", "a" * 5_000],
)
def test_what_are_no_words_are_refused_and_not_repeated(words: str) -> None:
    with pytest.raises(InvalidMnemonic) as refusal:
        hd.entropy_of(words)
    assert not words or words not in str(refusal.value)


def test_words_may_be_spaced_and_capitalised_anyhow() -> None:
    assert hd.entropy_of(f"  {ABANDON.upper()}\n").reveal() == bytes(16)


def test_another_key_than_an_accounts_is_refused() -> None:
    master = PrivateNode.master(Secret(bytes(16))).public()
    good = hd.xpub_text(master)
    for text in (
        "",
        "xpub",
        good[:-1],
        good[:-1] + "1",
        good.replace("x", "y", 1),
        ABANDON_ADDRESS,
    ):
        with pytest.raises(InvalidXpub):
            hd.parse_xpub(text)


@pytest.fixture
async def world(mongo: Any) -> World:
    return await build_world(mongo)


async def test_addresses_are_issued_once_in_order_with_open_books(world: World) -> None:
    wallet = await world.wallets.ensure_hd("deposits")
    assert (await world.wallets.ensure_hd("deposits")).id == wallet.id
    issued = await asyncio.gather(*(world.wallets.issue_address(wallet.id) for _ in range(250)))
    assert sorted(each.index for each in issued) == list(range(1, 251))
    assert len({each.address for each in issued} | {wallet.address}) == 251
    held = await Holder.find({"_id": {"$in": [each.address for each in issued]}}).count()
    assert held == 250
    assert await OpeningRequest.count() == 0


async def test_two_processes_that_issue_at_once_never_give_the_same_address(world: World) -> None:
    wallet = await world.wallets.ensure_hd("deposits")
    other = await rebuild()
    both = [world.wallets.issue_address, other.wallets.issue_address]
    issued = await asyncio.gather(*(both[n % 2](wallet.id, f"inv_{n}") for n in range(300)))
    assert len({each.address for each in issued}) == 300
    assert await HdAddress.find({"free": False}).count() == 300, "and none is lost on the way"


async def test_many_prepared_at_once_by_two_processes_are_each_there_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "PER_ENTRY_MAX", 30)
    wallet = await world.wallets.ensure_hd("deposits")
    other = await rebuild()
    await asyncio.gather(*(each.wallets.addresses.fill(wallet, 100) for each in (world, other)))
    rows = await HdAddress.find_all().sort("+index").to_list()
    assert [row.index for row in rows] == list(range(1, 201))
    account = hd.parse_xpub(wallet.xpub or "").child(0)
    assert [row.id for row in rows] == [account.child(row.index).address for row in rows]
    assert await Holder.find({"_id": {"$in": [row.id for row in rows]}}).count() == 200
    await world.wallets.addresses.fill(wallet, 31)
    assert await HdAddress.find_all().count() == 231, "one more than an entry"


async def test_the_same_subject_gets_the_same_address(world: World) -> None:
    wallet = await world.wallets.ensure_hd("deposits")
    many = await asyncio.gather(
        *(world.wallets.issue_address(wallet.id, f"inv_{n % 3}") for n in range(30))
    )
    assert len({each.address for each in many}) == 3
    again = await (await rebuild()).wallets.issue_address(wallet.id, "inv_1")
    assert again in many


async def test_the_loop_keeps_addresses_ready(world: World) -> None:
    wallet = await world.wallets.ensure_hd("deposits")
    loop, *_ = world.module.loops
    assert not await loop.step()
    for _ in range(80):
        await world.wallets.issue_address(wallet.id)
    assert loop.wake.is_set()
    assert await loop.step()
    assert await HdAddress.find({"free": True}).count() == 120


async def test_an_order_of_an_issued_address_is_signed_by_its_own_key(world: World) -> None:
    wallet = await world.wallets.create_hd(OURSELVES, label="deposits")
    issued = await world.wallets.issue_address(wallet.id)
    sweep = order(
        wallet,
        signer=issued.address,
        contract=contract_document(Transfer(issued.address, Address(wallet.address), 1)),
    )
    await world.signer.sign(sweep, raw_of(sweep))
    own = order(wallet, "ord_2")
    await world.signer.sign(own, raw_of(own, timestamp_ms=2))
    stranger = await world.wallets.create_hd(OURSELVES, label="other")
    foreign = order(
        stranger,
        "ord_3",
        signer=issued.address,
        contract=contract_document(Transfer(issued.address, TEST_USDT, 1)),
    )
    with pytest.raises(CannotSign, match="not this wallet"):
        await world.signer.sign(foreign, raw_of(foreign))


async def test_words_that_others_know_open_their_books_from_the_chain(world: World) -> None:
    wallet = await world.wallets.import_mnemonic(OURSELVES, label="old", mnemonic=ABANDON)
    assert wallet.address == ABANDON_ADDRESS and not wallet.keys_made_here
    issued = await world.wallets.issue_address(wallet.id)
    requested = {row.id for row in await OpeningRequest.find().to_list()}
    assert {ABANDON_ADDRESS, issued.address} < requested
    stored = await Wallet.get_pymongo_collection().find_one({"_id": wallet.id})
    assert "about" not in repr(stored)


async def test_each_account_of_the_same_words_is_a_wallet_of_its_own(world: World) -> None:
    async with served(world) as client:
        body = {"label": "words", "mnemonic": ABANDON}
        first = (await client.post("/wallets/import", json=body)).json()
        second = (await client.post("/wallets/import", json=body | {"account": 7})).json()
        assert (first["path"], second["path"]) == ("m/44'/195'/0'", "m/44'/195'/7'")
        assert first["address"] == ABANDON_ADDRESS != second["address"]
        seed = seed_from_mnemonic(ABANDON, "")
        theirs = PrivateKey(key_from_seed(seed, "m/44'/195'/7'/0/1"))
        issued = await world.wallets.issue_address(second["wallet_id"])
        assert issued.address == theirs.public_key.to_base58check_address()
        listed = (await client.get(f"/wallets/{second['wallet_id']}/addresses")).json()["data"]
        assert listed[0]["path"] == "m/44'/195'/7'/0/1"
        for odd in (-1, 2**31, "1"):
            refused = await client.post("/wallets/import", json=body | {"account": odd})
            assert refused.status_code in (400, 422)
        key = {"label": "x", "private_key": "77" * 32, "account": 1}
        assert (await client.post("/wallets/import", json=key)).json()["code"] == "wallet_kind"
    wallet = await Wallet.get(second["wallet_id"])
    assert wallet is not None
    sweep = order(
        wallet,
        signer=issued.address,
        contract=contract_document(Transfer(issued.address, Address(wallet.address), 1)),
    )
    await world.signer.sign(sweep, raw_of(sweep))
    custody = world.house.use(Custody)
    text = await custody.backup(
        principal(), wallet.id, password="a sentence for it", wallet_password=None
    )
    await Wallet.get_pymongo_collection().delete_one({"_id": wallet.id})
    (back,) = await custody.restore(OURSELVES, backup=text, password="a sentence for it")
    assert (back.path, back.address) == (wallet.path, wallet.address)
    world.signer.forget(wallet.id)
    own = order(back, "ord_2")
    await world.signer.sign(own, raw_of(own, timestamp_ms=2))
    watched = await (await rebuild()).wallets.find_by_address(Address(wallet.address))
    assert watched is not None and watched.xpub is not None
    assert hd.account_of_xpub(watched.xpub) == 7


def nth(words: str, index: int) -> Address:
    return hd.account_node(hd.entropy_of(words)).public().child(0).child(index).address


async def test_an_import_finds_the_addresses_that_were_used_and_issues_none_of_them(
    world: World,
) -> None:
    world.nodes.sun[nth(ABANDON, 3)] = 0  # an account that is empty now
    world.nodes.usdt[nth(ABANDON, 23)] = 1  # no account, and only a token: 20 after the last
    wallet = await world.wallets.import_mnemonic(OURSELVES, label="old", mnemonic=ABANDON)
    assert wallet.scan_from is None
    issued = await world.wallets.issue_address(wallet.id)
    assert issued.index == 24
    watched = {row.id for row in await OpeningRequest.find().to_list()}
    assert {nth(ABANDON, index) for index in range(1, 24)} < watched
    assert await HdAddress.find({"free": False}).count() == 24


async def test_a_gap_of_twenty_ends_the_search(world: World) -> None:
    world.nodes.sun[nth(ABANDON, GAP_LIMIT + 1)] = 1
    wallet = await world.wallets.import_mnemonic(OURSELVES, label="old", mnemonic=ABANDON)
    assert (await world.wallets.issue_address(wallet.id)).index == 1


async def test_nothing_is_issued_before_the_search_has_ended(world: World) -> None:
    world.nodes.away = True
    wallet = await world.wallets.import_mnemonic(OURSELVES, label="old", mnemonic=ABANDON)
    assert wallet.scan_from == 1, "taken over, and looked for later"
    with pytest.raises(WalletScanning) as refusal:
        await world.wallets.issue_address(wallet.id)
    assert refusal.value.retryable and refusal.value.retry_after_s
    world = await rebuild()
    addresses, scan, *_ = world.module.loops
    assert not await addresses.step(), "nothing is prepared either"
    for index in (5, 25, 45):
        world.nodes.usdt[nth(ABANDON, index)] = 1
    steps = 0
    while await scan.step():
        steps += 1
    assert steps == 4, "three gaps with something in them, and one without"
    assert (await world.wallets.issue_address(wallet.id)).index == 46


async def test_what_issued_addresses_hold_is_summed_and_listed(world: World) -> None:
    wallet = await world.wallets.create_hd(OURSELVES, label="deposits")
    issued = [await world.wallets.issue_address(wallet.id, f"inv_{n}") for n in range(5)]
    await world.fund(wallet.address, 7_000_000)
    await world.fund(issued[0].address, 1_500_000)
    await world.fund(issued[3].address, 2_000_000, pocket=Pocket.RESERVED)
    await world.fund(issued[4].address, 250_000, "USDT")
    async with served(world) as client:
        path = f"/wallets/{wallet.id}"
        balance = (await client.get(f"{path}/balance")).json()
        assert balance["balances"][0]["available"] == "7", "its own address, as before"
        assert (balance["issued"]["addresses"], balance["issued"]["counted"]) == (5, 5)
        trx, usdt = balance["issued"]["balances"]
        assert (trx["available"], trx["reserved"], usdt["available"]) == ("1.5", "2", "0.25")
        seen, query = [], {"limit": "2"}
        while True:
            answer = (await client.get(f"{path}/addresses", params=query)).json()
            seen += answer["data"]
            if not answer["has_more"]:
                break
            query["cursor"] = answer["next_cursor"]
        assert [each["address"] for each in seen] == [each.address for each in issued]
        assert (seen[0]["subject"], seen[0]["path"]) == ("inv_0", "m/44'/195'/0'/0/1")
        assert [each["balances"][0]["available"] for each in seen] == ["1.5", "0", "0", "0", "0"]
        odd = await client.get(f"{path}/addresses", params={"cursor": "1; drop"})
        assert (odd.status_code, odd.json()["code"]) == (422, "invalid_cursor")
        odd = await client.get(f"{path}/addresses", params={"status": "free"})
        assert odd.status_code == 422
        hot = await world.wallets.create(OURSELVES, label="hot")
        refused = await client.get(f"/wallets/{hot.id}/addresses")
        assert (refused.status_code, refused.json()["code"]) == (409, "wallet_not_hd")
        assert (await client.get(f"/wallets/{hot.id}/balance")).json()["issued"] is None


async def test_of_very_many_addresses_the_sum_says_how_far_it_goes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issued_module, "SUMMED_MAX", 3)
    wallet = await world.wallets.create_hd(OURSELVES, label="deposits")
    issued = [await world.wallets.issue_address(wallet.id) for _ in range(5)]
    for each in issued:
        await world.fund(each.address, 1)
    found = await world.wallets.issued.sum(wallet)
    assert (found.issued, found.counted) == (5, 3)
    assert found.held["TRX"][Pocket.AVAILABLE] == 3
    with pytest.raises(WalletHoldsMoney):
        await world.wallets.archive(principal(), wallet.id)


async def test_an_xpub_issues_addresses_and_signs_nothing(world: World) -> None:
    account = hd.account_node(hd.entropy_of(ABANDON)).public()
    wallet = await world.wallets.import_xpub(OURSELVES, label="cold", xpub=hd.xpub_text(account))
    issued = await world.wallets.issue_address(wallet.id)
    assert issued.address == account.child(0).child(1).address
    it = order(wallet)
    with pytest.raises(CannotSign, match="not here"):
        await world.signer.sign(it, raw_of(it))


async def test_refusals_of_issuing_and_archiving(world: World) -> None:
    hot = await world.wallets.create(OURSELVES, label="hot")
    with pytest.raises(NotDerived):
        await world.wallets.issue_address(hot.id)
    wallet = await world.wallets.create_hd(OURSELVES, label="deposits")
    issued = await world.wallets.issue_address(wallet.id)
    await world.wallets.update(principal(), wallet.id, frozen=True)
    with pytest.raises(WalletFrozen):
        await world.wallets.issue_address(wallet.id)
    await world.fund(issued.address, 1, "USDT")
    with pytest.raises(WalletHoldsMoney):
        await world.wallets.archive(principal(), wallet.id)

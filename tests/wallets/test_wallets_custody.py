"""A backup brings keys back, whole and checked, or changes nothing; rotation loses none."""

import base64
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr
from wallet_world import CHEAP, KEK, World, build_world, order, principal, raw_of, rebuild, served

from tron_payment.db.audit import AuditEntry
from tron_payment.engine import CannotSign, OpeningRequest
from tron_payment.wallets import OURSELVES, Cost, Custody, HdAddress, Wallet, WalletPassword
from tron_payment.wallets.addresses import RESTORE_GAP
from tron_payment.wallets.backup import (
    FILE_COST,
    BackupMalformed,
    BackupOfAnother,
    BackupUnreadable,
    NothingToBackUp,
)
from tron_payment.wallets.domain import WalletExists, WalletKind
from tron_payment.wallets.passwords import PasswordWrong

FILE_PASSWORD = "a long sentence for the file"
WALLET_PASSWORD = "another for the wallet"


@pytest.fixture
async def world(mongo: Any) -> World:
    return await build_world(mongo)


def custody(world: World) -> Custody:
    return world.house.use(Custody)


async def backed_up(world: World, wallet: Wallet, wallet_password: str | None = None) -> str:
    return await custody(world).backup(
        principal(), wallet.id, password=FILE_PASSWORD, wallet_password=wallet_password
    )


async def wipe() -> None:
    for document in (Wallet, HdAddress, WalletPassword, OpeningRequest):
        await document.get_pymongo_collection().delete_many({})


async def restored(world: World, text: str, **more: Any) -> list[Wallet]:
    return await custody(world).restore(OURSELVES, backup=text, password=FILE_PASSWORD, **more)


def test_a_file_costs_an_attacker_more_than_a_wallets_password() -> None:
    assert Cost(262_144, 3, 4) == FILE_COST and FILE_COST.is_sane()


async def test_a_lost_hot_wallet_comes_back_and_signs_the_same(world: World) -> None:
    wallet = await world.wallets.create(OURSELVES, label="hot", category="shop")
    it = order(wallet)
    before = await world.signer.sign(it, raw_of(it))
    text = await backed_up(world, wallet)
    await wipe()
    world = await rebuild()
    (again,) = await restored(world, text)
    assert (again.id, again.label, again.category) == (wallet.id, "hot", "shop")
    assert again.principal == wallet.principal
    assert await world.signer.sign(it, raw_of(it)) == before
    assert await OpeningRequest.find_one({"_id": wallet.address}) is not None
    (same,) = await restored(world, text)
    assert same.version == again.version, "doing it again changes nothing"


async def test_an_hd_wallet_comes_back_and_issues_nothing_twice(world: World) -> None:
    wallet = await world.wallets.create_hd(OURSELVES, label="deposits")
    early = [await world.wallets.issue_address(wallet.id) for _ in range(3)]
    text = await backed_up(world, wallet)
    late = [await world.wallets.issue_address(wallet.id) for _ in range(150)]
    await wipe()
    world = await rebuild()
    await restored(world, text)
    fresh = await world.wallets.issue_address(wallet.id)
    known = {each.address for each in early + late}
    assert fresh.address not in known and fresh.index > 1_000
    rows = {row.id for row in await HdAddress.find({"free": False}).to_list()}
    assert known < rows, "what was issued before and after the backup is watched again"
    requested = {row.id for row in await OpeningRequest.find().to_list()}
    assert known < requested


async def test_an_archived_or_tampered_wallet_is_mended(world: World) -> None:
    wallet = await world.wallets.create(OURSELVES, label="hot")
    text = await backed_up(world, wallet)
    await world.wallets.archive(principal(), wallet.id)
    (back,) = await restored(world, text, wallet_id=wallet.id)
    assert back.status.value == "active"
    rows = Wallet.get_pymongo_collection()
    await rows.update_one({"_id": wallet.id}, {"$set": {"envelope.sealed": b"broken"}})
    it = order(wallet)
    world.signer.forget(wallet.id)
    with pytest.raises(CannotSign):
        await world.signer.sign(it, raw_of(it))
    await restored(world, text)
    await world.signer.sign(it, raw_of(it))


async def test_a_backup_of_all_brings_all_back(world: World) -> None:
    wallets = [await world.wallets.create(OURSELVES, label=f"w{n}") for n in range(20)]
    wallets.append(await world.wallets.create_hd(OURSELVES, label="deposits"))
    text = await custody(world).backup_all(FILE_PASSWORD)
    await wipe()
    found = await restored(await rebuild(), text)
    assert {each.address for each in found} == {each.address for each in wallets}


async def test_a_wallets_password_guards_its_backup_and_comes_back_with_it(world: World) -> None:
    wallet = await world.wallets.create(OURSELVES, label="hot", password=WALLET_PASSWORD)
    for wrong in (None, "not this one"):
        with pytest.raises(PasswordWrong):
            await backed_up(world, wallet, wrong)
    text = await backed_up(world, wallet, WALLET_PASSWORD)
    await wipe()
    world = await rebuild()
    await restored(world, text)
    assert await world.wallets.verify_password(principal(), wallet.id, WALLET_PASSWORD)
    assert not await world.wallets.verify_password(principal(), wallet.id, FILE_PASSWORD)


def header_of(text: str) -> dict[str, Any]:
    part = text.split(".")[2]
    return msgspec.json.decode(base64.urlsafe_b64decode(part + "=="))  # type: ignore[no-any-return]


def with_header(text: str, **changes: Any) -> str:
    parts = text.split(".")
    raw = msgspec.json.encode(header_of(text) | changes)
    parts[2] = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return ".".join(parts)


async def test_a_damaged_backup_changes_nothing(world: World) -> None:
    wallet = await world.wallets.create(OURSELVES, label="hot")
    text = await backed_up(world, wallet)
    await wipe()
    middle = len(text) - 20
    flipped = text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]
    unreadable = [flipped, text[:-4], with_header(text, created_at="2020-01-01T00:00:00Z")]
    malformed = [
        "",
        "tronpay-backup",
        text.replace("v1", "v2", 1),
        text + ".x",
        text.rpartition(".")[0],
        "é" + text,
        with_header(text, kdf="none"),
        with_header(text, memory_kib=2**40),
        with_header(text, iterations=1_000_000),
        with_header(text, salt=""),
        with_header(text, more=1),
        with_header(text, genesis_id="1" * 64),
    ]
    for bad in unreadable:
        with pytest.raises(BackupUnreadable):
            await restored(world, bad)
    for bad in malformed:
        with pytest.raises(BackupMalformed):
            await restored(world, bad)
    with pytest.raises(BackupUnreadable):
        await custody(world).restore(OURSELVES, backup=text, password=FILE_PASSWORD + "x")
    assert await Wallet.count() == 0 and await OpeningRequest.count() == 0


async def test_a_conflict_of_one_wallet_restores_none(world: World) -> None:
    one = await world.wallets.create(OURSELVES, label="one")
    two = await world.wallets.create(OURSELVES, label="two")
    text = await custody(world).backup_all(FILE_PASSWORD)
    await wipe()
    world = await rebuild()
    signed_elsewhere = WalletKind.MULTISIG
    await world.wallets.watch(OURSELVES, label="x", address=two.address, kind=signed_elsewhere)
    with pytest.raises(WalletExists):
        await restored(world, text)
    assert await Wallet.find_one({"_id": one.id}) is None
    with pytest.raises(BackupOfAnother):
        await restored(world, text, wallet_id="wal_none")


async def test_a_restore_after_the_first_start_finds_the_wallet_of_the_configured_key(
    world: World,
) -> None:
    """The start has made it again, under a new id; the old id goes on working."""
    configured = {"hot_wallet_private_key": SecretStr("5a" * 32)}
    world = await rebuild(**configured)
    before = await world.wallets.signing_wallet(None)
    other = await world.wallets.create(OURSELVES, label="other", password=WALLET_PASSWORD)
    text = await custody(world).backup_all(FILE_PASSWORD)
    await wipe()
    world = await rebuild(**configured)
    at_start = await world.wallets.signing_wallet(None)
    assert at_start.address == before.address and at_start.wallet_id != before.wallet_id

    found = await restored(world, text)
    assert {each.id for each in found} == {at_start.wallet_id, other.id}
    assert await Wallet.count() == 2, "one wallet for one key"
    for wallet_id in (before.wallet_id, at_start.wallet_id):
        chosen = await world.wallets.signing_wallet(wallet_id, principal())
        assert (chosen.wallet_id, chosen.address) == (at_start.wallet_id, before.address)
    it = order(await world.wallets.get(principal(), before.wallet_id))
    await world.signer.sign(it, raw_of(it))
    versions = {each.id: each.version for each in found}
    again = await restored(world, text)
    assert {each.id: each.version for each in again} == versions, "doing it again changes nothing"
    (named,) = await restored(world, text, wallet_id=at_start.wallet_id)
    assert named.id == at_start.wallet_id
    world = await rebuild(**configured)
    assert (await world.wallets.signing_wallet(before.wallet_id)).wallet_id == at_start.wallet_id


async def test_words_imported_anew_issue_nothing_that_the_lost_installation_issued(
    world: World,
) -> None:
    words = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    lost = await world.wallets.import_mnemonic(OURSELVES, label="deposits", mnemonic=words)
    issued = [await world.wallets.issue_address(lost.id) for _ in range(3)]
    text = await backed_up(world, lost)
    await wipe()
    world = await rebuild()
    here = await world.wallets.import_mnemonic(OURSELVES, label="deposits", mnemonic=words)
    await world.wallets.addresses.fill(here)
    (back,) = await restored(world, text)
    assert (back.id, back.former_ids) == (here.id, [lost.id])
    fresh = await world.wallets.issue_address(lost.id)
    assert fresh.index == issued[-1].index + RESTORE_GAP + 1
    assert (await restored(world, text))[0].version == back.version


@pytest.mark.parametrize("kind", ["hot", "hd"])
async def test_a_watched_address_gets_its_key_back(world: World, kind: str) -> None:
    make = world.wallets.create if kind == "hot" else world.wallets.create_hd
    wallet = await make(OURSELVES, label="mine")
    text = await backed_up(world, wallet)
    await wipe()
    world = await rebuild()
    eyes = await world.wallets.watch(OURSELVES, label="eyes", address=wallet.address)
    (back,) = await restored(world, text)
    assert (back.id, back.label, back.kind.value) == (eyes.id, "eyes", kind)
    it = order(back)
    await world.signer.sign(it, raw_of(it))
    if kind == "hd":
        assert (await world.wallets.issue_address(wallet.id)).index == RESTORE_GAP + 1
    assert (await restored(world, text))[0].version == back.version


async def test_what_has_no_key_has_no_backup(world: World) -> None:
    eyes = await world.wallets.watch(
        OURSELVES, label="eyes", address="TLsV52sRDL79HXGGm9yzwKibb6BeruhUzy"
    )
    with pytest.raises(NothingToBackUp):
        await backed_up(world, eyes)


async def test_rotation_rewraps_every_key_and_the_old_kek_can_go(world: World) -> None:
    wallets = [await world.wallets.create(OURSELVES, label=f"w{n}") for n in range(5)]
    hd_wallet = await world.wallets.create_hd(OURSELVES, label="deposits")
    new = f"k2:{'22' * 32}"
    world = await rebuild(wallet_encryption_key=SecretStr(f"{new},k1:{KEK}"))
    done = await custody(world).rotate()
    assert (done.rewrapped, done.current, done.unreadable) == (6, 0, ())
    again = await custody(world).rotate()
    assert (again.rewrapped, again.current) == (0, 6)
    world = await rebuild(wallet_encryption_key=SecretStr(new))
    for number, wallet in enumerate([*wallets, hd_wallet]):
        it = order(wallet, f"ord_{number}")
        await world.signer.sign(it, raw_of(it))


async def test_rotation_names_what_it_cannot_open(world: World) -> None:
    wallet = await world.wallets.create(OURSELVES, label="hot")
    world = await rebuild(wallet_encryption_key=SecretStr(f"k2:{'22' * 32}"))
    done = await custody(world).rotate()
    assert (done.rewrapped, done.unreadable) == (0, (wallet.id,))
    kept = await Wallet.get(wallet.id)
    assert kept is not None and kept.envelope == wallet.envelope


async def test_over_http(world: World) -> None:
    async with served(world) as client:
        made = (await client.post("/wallets", json={"label": "x"})).json()
        path = f"/wallets/{made['wallet_id']}"
        answer = await client.post(f"{path}/backup", json={"password": FILE_PASSWORD})
        assert answer.status_code == 200 and list(answer.json()) == ["backup"]
        body = {"backup": answer.json()["backup"], "password": FILE_PASSWORD}
        assert FILE_PASSWORD not in answer.text
        await client.delete(path)
        back = await client.post(f"{path}/restore", json=body)
        assert (back.status_code, back.json()["status"]) == (200, "active")
        await wipe()
        all_back = await client.post("/wallets/restore", json=body)
        assert all_back.status_code == 200
        assert all_back.json()["wallets"][0]["wallet_id"] == made["wallet_id"]
        wrong = await client.post("/wallets/restore", json=body | {"password": "wrong one"})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "backup_unreadable")
        weak = await client.post(f"{path}/backup", json={"password": "short"})
        assert (weak.status_code, weak.json()["code"]) == (422, "weak_password")
    actions = {entry.action for entry in await AuditEntry.find().to_list()}
    assert {"wallet.create", "wallet.backup", "wallet.archive", "wallet.restore"} == actions
    assert CHEAP.memory_kib == 64, "tests derive cheaply; the defaults are checked above"


async def test_what_cannot_be_kept_is_no_backup(world: World) -> None:
    """No disk has it, so nobody is told that there is one."""

    def full(_: str) -> None:
        raise OSError("No space left on device")

    wallet = await world.wallets.create(OURSELVES, label="hot")
    with pytest.raises(OSError, match="No space"):
        await custody(world).backup_all(FILE_PASSWORD, keep=full)
    found = await Wallet.get(wallet.id)
    assert found is not None and found.backed_up_at is None
    assert await AuditEntry.find({"action": "wallet.backup"}).count() == 0
    kept: list[str] = []
    text = await custody(world).backup_all(FILE_PASSWORD, keep=kept.append)
    found = await Wallet.get(wallet.id)
    assert kept == [text] and found is not None and found.backed_up_at is not None

"""Whoever writes a backup of their own chooses every field of it; what is believed is checked."""

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from wallet_world import CHEAP, World, build_world, order, principal, raw_of, served

from tron_payment.core.clock import rfc3339
from tron_payment.http.principals import Role
from tron_payment.wallets import OURSELVES, Custody, HdAddress, Wallet, WalletKind, Who, hd
from tron_payment.wallets import custody as use_cases
from tron_payment.wallets.backup import MAGIC, VERSION, _text
from tron_payment.wallets.custody import RestoreOnHost
from tron_payment.wallets.kept import BackupMalformed, Kept, checked
from tron_payment.wallets.keys import Secret, SigningKey, random_key

PASSWORD = "a long sentence for the file"
MALLORY = Who("op-mallory", Role.OPERATOR.value)
LONG_AGO = datetime(2009, 1, 3, tzinfo=UTC)


@pytest.fixture
async def world(mongo: Any) -> World:
    return await build_world(mongo)


def fields(words: Secret | None = None, account: int = 0, **changes: Any) -> dict[str, Any]:
    """What a backup says of one HD wallet, whole and true but for the changes."""
    secret = words or hd.new_entropy()
    path = hd.account_path(account)
    node = hd.account_node(secret, path).public()
    return {
        "wallet_id": "wal_mine",
        "label": "deposits",
        "kind": WalletKind.HD,
        "address": node.child(0).child(0).address,
        "status": "active",
        "category": "gateway",
        "principal": MALLORY.principal,
        "path": path,
        "created_at": LONG_AGO,
        "secret": secret.reveal(),
        "xpub": hd.xpub_text(node, account),
        **changes,
    }


def hot(**changes: Any) -> dict[str, Any]:
    secret = random_key()
    of_key = {
        "kind": WalletKind.HOT,
        "address": SigningKey(secret).address,
        "path": "",
        "secret": secret.reveal(),
        "xpub": None,
    }
    return fields() | of_key | changes


async def written(world: World, *rows: dict[str, Any]) -> str:
    """A backup as anybody writes one who has read our source."""
    vault = world.house.use(Custody)._vault
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    header = {
        "kdf": "argon2id",
        "salt": salt,
        "memory_kib": CHEAP.memory_kib,
        "iterations": CHEAP.iterations,
        "lanes": CHEAP.lanes,
        "created_at": rfc3339(world.house.clock.now()),
        "genesis_id": vault._genesis_id,
    }
    head = ".".join((MAGIC, VERSION, _text(msgspec.json.encode(header))))
    key = await vault._deriver.derive(PASSWORD, salt, CHEAP)
    sealed = nonce + AESGCM(key).encrypt(nonce, msgspec.json.encode(rows), head.encode())
    return f"{head}.{_text(sealed)}"


async def restored(world: World, who: Who, *rows: dict[str, Any]) -> list[Wallet]:
    text = await written(world, *rows)
    return await world.house.use(Custody).restore(who, backup=text, password=PASSWORD)


async def test_no_callers_wallet_becomes_the_services(world: World) -> None:
    real = await world.wallets.ensure_hd("deposits", category="gateway")
    row = fields(principal=OURSELVES.principal)
    for who in (MALLORY, Who("service", Role.OPERATOR.value)):
        with pytest.raises(RestoreOnHost):
            await restored(world, who, row)
    with pytest.raises(RestoreOnHost):  # nor may a label that the service has not used yet
        await restored(world, MALLORY, row | {"label": "of next year"})
    assert await Wallet.count() == 1
    assert (await world.wallets.ensure_hd("deposits")).id == real.id


async def test_to_a_caller_a_missing_wallet_comes_back_as_their_own(world: World) -> None:
    (wallet,) = await restored(world, MALLORY, fields(principal="merchant-7"))
    assert (wallet.principal, wallet.created_at) == (MALLORY.principal, LONG_AGO)


async def test_the_command_line_brings_the_services_own_back(world: World) -> None:
    row = fields(principal=OURSELVES.principal)
    (wallet,) = await restored(world, OURSELVES, row)
    assert wallet.principal == OURSELVES.principal
    assert (await world.wallets.ensure_hd("deposits")).id == wallet.id
    (same,) = await restored(world, MALLORY, row)
    assert same.version == wallet.version, "it stands: whose it is stays"


async def test_nothing_was_made_in_the_future(world: World) -> None:
    later = datetime(2999, 1, 1, tzinfo=UTC)
    (wallet,) = await restored(world, OURSELVES, fields(created_at=later))
    assert wallet.created_at == world.house.clock.now()


async def test_wallets_of_any_account_and_single_keys_come_back(world: World) -> None:
    """What older releases wrote: also a single key whose account was watched before it came."""
    words = hd.new_entropy()
    account = hd.account_node(words)
    first = account.child(0).child(0).key
    rows = [
        fields(wallet_id="wal_a", account=7),
        hot(wallet_id="wal_b", category="", label="ä shop's"),
        hot(
            wallet_id="wal_c",
            secret=first.reveal(),
            address=SigningKey(first).address,
            path=hd.ACCOUNT_PATH,
            xpub=hd.xpub_text(account.public()),
        ),
        fields(wallet_id="wal_d", xpub=None),
    ]
    found = await restored(world, OURSELVES, *rows)
    assert [wallet.address for wallet in found] == [row["address"] for row in rows]
    issued = await world.wallets.issue_address("wal_a")
    node = hd.account_node(Secret(rows[0]["secret"]), hd.account_path(7)).child(0)
    assert node.child(issued.index).signing_key().address == issued.address


async def test_a_backup_that_an_older_release_wrote_comes_back_whole(world: World) -> None:
    """Recorded with the release before backups were checked so; nothing in it is refused."""
    told = json.loads((Path(__file__).parent / "fixtures" / "backup.json").read_text())
    found = await world.house.use(Custody).restore(
        OURSELVES, backup=told["backup"], password=PASSWORD
    )
    names = ("wallet_id", "address", "label", "principal", "kind")
    shown = [(w.id, w.address, w.label, w.principal, w.kind.value) for w in found]
    assert sorted(shown) == sorted(tuple(row[name] for name in names) for row in told["wallets"])
    deposits = await world.wallets.ensure_hd("deposits")
    assert deposits.id in {wallet.id for wallet in found}
    watched = {row.id for row in await HdAddress.find({"wallet_id": deposits.id}).to_list()}
    assert set(told["issued"]) < watched
    (with_password,) = [wallet for wallet in found if wallet.label == "hot, with a password"]
    assert await world.wallets.verify_password(
        principal(), with_password.id, "another for the wallet"
    )
    for number, wallet in enumerate(found):
        it = order(wallet, f"ord_{number}")
        await world.signer.sign(it, raw_of(it))


def other_xpub(account: int = 0) -> str:
    return hd.xpub_text(hd.account_node(hd.new_entropy()).public(), account)


PASSWORD_ROW = {"salt": b"s" * 16, "digest": b"d" * 32, "memory_kib": 64, "iterations": 1}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(lambda: fields(xpub=other_xpub()), id="the account key of another"),
        pytest.param(lambda: hot(xpub=other_xpub()), id="an account key of a single key"),
        pytest.param(lambda: fields(xpub="xpub"), id="no account key"),
        pytest.param(lambda: hot(xpub="xpub"), id="a single key, no account key"),
        pytest.param(lambda: fields() | {"address": hot()["address"]}, id="another address"),
        pytest.param(lambda: fields(path="m/44'/60'/0'"), id="another coin"),
        pytest.param(lambda: hot(path="m/x"), id="no path"),
        pytest.param(lambda: fields(secret=b"123"), id="no words"),
        pytest.param(lambda: hot(secret=b"\0" * 32), id="no key"),
        pytest.param(lambda: fields(top_issued=-1), id="a negative index"),
        pytest.param(lambda: fields(top_issued=2**31 - 1_000), id="no room for the gap"),
        pytest.param(lambda: fields(top_issued=2**63), id="no index"),
        pytest.param(lambda: fields(label="a\x1b[2Jb"), id="a label that draws"),
        pytest.param(lambda: fields(label="x" * 65), id="a long label"),
        pytest.param(lambda: fields(label=" "), id="no label"),
        pytest.param(lambda: fields(category="\x00"), id="a category that draws"),
        pytest.param(lambda: fields(principal="op mallory"), id="nobody"),
        pytest.param(lambda: fields(wallet_id="pay_1"), id="no id of a wallet"),
        pytest.param(lambda: fields(created_at="2020-01-01T00:00:00"), id="a time of nowhere"),
        pytest.param(lambda: fields(kind=WalletKind.COLD), id="a kind without a key"),
        pytest.param(
            lambda: fields(password=PASSWORD_ROW | {"lanes": 17}), id="a password that costs"
        ),
        pytest.param(
            lambda: fields(password=PASSWORD_ROW | {"lanes": 1, "salt": b""}), id="no salt"
        ),
    ],
)
def test_what_no_wallet_here_can_have_is_refused(row: Any) -> None:
    rows = [hot(wallet_id="wal_good"), row()]
    with pytest.raises((BackupMalformed, msgspec.ValidationError)):
        checked(msgspec.json.decode(msgspec.json.encode(rows), type=list[Kept]))
    assert len(checked(msgspec.json.decode(msgspec.json.encode(rows[:1]), type=list[Kept]))) == 1


async def test_one_that_is_refused_stores_nothing_of_the_file(world: World) -> None:
    for bad in (fields(xpub=other_xpub()), fields(created_at="2020-01-01T00:00:00")):
        for who in (OURSELVES, MALLORY):
            with pytest.raises(BackupMalformed):
                await restored(world, who, hot(wallet_id="wal_good"), bad)
    assert await Wallet.count() == 0


async def test_one_wallet_twice_is_refused(world: World) -> None:
    one = fields()
    for twice in (one | {"wallet_id": "wal_other"}, fields()):
        with pytest.raises(BackupMalformed):
            await restored(world, OURSELVES, one, twice)
    assert await Wallet.count() == 0


async def test_a_request_brings_so_many_addresses_at_most(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = use_cases.ISSUED_BY_REQUEST_MAX
    rows = [
        fields(wallet_id="wal_a", top_issued=most // 2),
        fields(wallet_id="wal_b", top_issued=most // 2 + 1),
    ]
    with pytest.raises(RestoreOnHost):
        await restored(world, MALLORY, *rows)
    assert await HdAddress.count() == 0
    monkeypatch.setattr(use_cases, "ISSUED_BY_REQUEST_MAX", 3)
    few = [row | {"top_issued": 3 - n} for n, row in enumerate(rows, start=1)]
    assert len(await restored(world, MALLORY, *few)) == 2


async def test_over_http_it_is_the_caller_who_asks(world: World) -> None:
    text = await written(world, fields(principal=OURSELVES.principal))
    body = {"backup": text, "password": PASSWORD}
    async with served(world) as client:
        for path in ("/wallets/restore", "/wallets/wal_mine/restore"):
            answer = await client.post(path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (409, "restore_on_host")
        assert await Wallet.count() == 0
        body["backup"] = await written(world, fields(principal="merchant-7"))
        answer = await client.post("/wallets/restore", json=body)
        assert answer.status_code == 200, answer.text
    (wallet,) = await Wallet.find().to_list()
    assert wallet.principal == "op-1"


def test_a_backups_field_is_checked_or_decides_nothing() -> None:
    """A new field of a backup is to be thought of in `kept`, and written down here."""
    assert set(Kept.__struct_fields__) == {
        "wallet_id",
        "label",
        "kind",
        "address",
        "status",
        "category",
        "principal",
        "path",
        "created_at",
        "secret",
        "xpub",
        "top_issued",
        "password",
    }

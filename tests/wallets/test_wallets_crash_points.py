"""Killed at any write, a wallet has books and a key that opens, or it was never told to anybody."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pymongo.asynchronous.collection import AsyncCollection
from wallet_world import World, build_world, order, principal, raw_of, rebuild

from tron_payment.core.errors import Unavailable
from tron_payment.db.ledger import Holder
from tron_payment.engine import OpeningRequest
from tron_payment.wallets import OURSELVES, Custody, HdAddress, Wallet, WalletStatus, addresses

KEY = "0" * 63 + "7"
POINTS_MAX = 60
WRITES = ("insert_one", "insert_many", "update_one", "bulk_write", "find_one_and_update")


class Crash(BaseException):
    """The process is killed here."""


class Fuse:
    """Dies before or after the n-th write, and everything after it too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.after, self.burnt = -1, False, False
        for name in WRITES:
            monkeypatch.setattr(AsyncCollection, name, self._around(getattr(AsyncCollection, name)))

    def _around(self, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def watched(*args: Any, **kwargs: Any) -> Any:
            if self.burnt:
                raise Crash
            self.left -= 1
            if self.left == 0:
                self.burnt = True
                if self.after:
                    await real(*args, **kwargs)
                raise Crash
            return await real(*args, **kwargs)

        return watched

    def light(self, point: int, after: bool) -> None:
        self.left, self.after, self.burnt = point, after, False

    def out(self) -> None:
        self.left, self.burnt = -1, False


async def _create(world: World) -> None:
    await world.wallets.create(OURSELVES, label="hot", password="long enough")


async def _create_hd(world: World) -> None:
    wallet = await world.wallets.create_hd(OURSELVES, label="deposits")
    await world.wallets.issue_address(wallet.id, "inv_1")


async def _import(world: World) -> None:
    await world.wallets.ensure(KEY, "treasury")


@pytest.mark.parametrize("act", [_create, _create_hd, _import])
@pytest.mark.parametrize("after", [False, True])
async def test_a_wallet_never_stands_without_key_and_books(
    mongo: Any, monkeypatch: pytest.MonkeyPatch, act: Callable[[World], Any], after: bool
) -> None:
    world = await build_world(mongo)
    fuse = Fuse(monkeypatch)
    for point in range(1, POINTS_MAX):
        fuse.light(point, after)
        with contextlib.suppress(Crash, Unavailable):
            await act(world)
        survived = not fuse.burnt
        fuse.out()
        world = await rebuild()
        await check(world)
        if act is _import:
            wallet = await world.wallets.ensure(KEY, "treasury")
            assert await Wallet.find({"address": wallet.address}).count() == 1
            await wallet_gone(wallet)
        if survived:
            return
    raise AssertionError("it never came through")


@pytest.mark.parametrize("after", [False, True])
async def test_killed_while_very_many_are_prepared_none_is_without_books_or_left_out(
    mongo: Any, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    monkeypatch.setattr(addresses, "PER_ENTRY_MAX", 4)
    world = await build_world(mongo)
    wallet = await world.wallets.create_hd(OURSELVES, label="deposits")
    fuse = Fuse(monkeypatch)
    for point in range(1, POINTS_MAX):
        fuse.light(point, after)
        with contextlib.suppress(Crash, Unavailable):
            await world.wallets.addresses.fill(wallet, 10)
        survived = not fuse.burnt
        fuse.out()
        world = await rebuild()
        rows = await HdAddress.find_all().sort("+index").to_list()
        assert [row.index for row in rows] == list(range(1, len(rows) + 1)), point
        for row in rows:
            assert await is_watched(row.id), point
        if survived:
            return
    raise AssertionError("it never came through")


async def wallet_gone(wallet: Wallet) -> None:
    for document in (Wallet, OpeningRequest):
        await document.get_pymongo_collection().delete_many({})


async def check(world: World) -> None:
    """Every stored wallet and every address that can be issued is watched, and signs."""
    for number, wallet in enumerate(await Wallet.find().to_list()):
        assert await is_watched(wallet.address), wallet.label
        it = order(wallet, f"ord_{wallet.id}_{number}")
        await world.signer.sign(it, raw_of(it))
        if wallet.kind.value == "hd":
            issued = await world.wallets.issue_address(wallet.id, "inv_1")
            again = await world.wallets.issue_address(wallet.id, "inv_1")
            assert issued == again and await is_watched(issued.address)
    for row in await HdAddress.find({"free": True}).to_list():
        assert await is_watched(row.id)


async def is_watched(address: str) -> bool:
    return (
        await Holder.find_one({"_id": address}) is not None
        or await OpeningRequest.find_one({"_id": address}) is not None
    )


@pytest.mark.parametrize("after", [False, True])
async def test_a_restore_can_be_killed_and_repeated(
    mongo: Any, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    world = await build_world(mongo)
    hot = await world.wallets.create(OURSELVES, label="hot", password="long enough")
    text = await world.house.use(Custody).backup_all("a sentence for the file")
    fuse = Fuse(monkeypatch)
    for point in range(1, POINTS_MAX):
        for document in (Wallet, OpeningRequest):
            await document.get_pymongo_collection().delete_many({})
        fuse.light(point, after)
        custody = world.house.use(Custody)
        with contextlib.suppress(Crash, Unavailable):
            await custody.restore(OURSELVES, backup=text, password="a sentence for the file")
        survived = not fuse.burnt
        fuse.out()
        world = await rebuild()
        custody = world.house.use(Custody)
        (back,) = await custody.restore(OURSELVES, backup=text, password="a sentence for the file")
        assert (back.id, back.address) == (hot.id, hot.address)
        assert await world.wallets.verify_password(principal(), hot.id, "long enough")
        await check(world)
        if survived:
            return
    raise AssertionError("it never came through")


async def test_a_killed_archive_is_done_or_not(mongo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await build_world(mongo)
    wallet = await world.wallets.create(OURSELVES, label="hot")
    fuse = Fuse(monkeypatch)
    fuse.light(1, after=True)
    with pytest.raises(Crash):
        await world.wallets.archive(principal(), wallet.id)
    fuse.out()
    world = await rebuild()
    stands = await world.wallets.archive(principal(), wallet.id)
    assert stands.status is WalletStatus.ARCHIVED

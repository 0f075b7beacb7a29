"""The drill: the whole store is lost, and the installation comes back from wallets and chain.

The signer's journal stands in a database of its own, which is not lost with the orders. The
clients repeat what they had asked for; whatever was paid or on its way arrives once.
"""

from pathlib import Path
from typing import Any

import httpx
from litestar import Router
from litestar.di import Provide
from tests.usdt.world import (
    ALICE,
    BOB,
    DOCUMENTS,
    JWT_SECRET,
    World,
    _always,
    _house,
    world_of,
)

from tron_payment import network, usdt, wallets
from tron_payment.chain import Follower
from tron_payment.core.address import Address
from tron_payment.engine import SafeMode
from tron_payment.http.app import create_http
from tron_payment.http.authentication import Authenticator
from tron_payment.http.tokens import TrustAnchor
from tron_payment.wallets import JOURNAL_DOCUMENTS, OURSELVES, SigningJournal, Wallets
from tron_payment.wallets.custody import Custody

ROUNDS_MAX = 12
PASSWORD = "a password for the drill"
BACKUP_AGE_BLOCKS = 150
"""Seven minutes: enough to be taken for a restore."""


async def lose_everything_but_the_journal() -> None:
    for model in DOCUMENTS:
        if model not in JOURNAL_DOCUMENTS:
            await model.get_pymongo_collection().delete_many({})


async def rebuilt(world: World, backup: str, from_block: int) -> World:
    """A new installation on the same chain: its follower begins where the backup was made."""
    old = world.house
    house = await _house(world.devnet, world.clock, old.nodes, old.settings, old.deployment.usdt)
    modules = [await package.build(house) for package in (network, wallets, usdt)]
    heard = [each.on_block for each in modules if each.on_block is not None]
    follower = Follower(old.nodes, house.cursors, [house.engine.on_block, *heard])
    await follower.start_at(from_block)
    await house.use(Custody).restore(OURSELVES, backup=backup, password=PASSWORD)
    for module in modules:
        if module.start is not None:
            await module.start()
    anchor = TrustAnchor(
        issuer="api-gateway", audience="tron-payment", clock=world.clock, secret=JWT_SECRET
    )
    given = {name: each for module in modules for name, each in module.dependencies.items()}
    app = create_http(
        [Router("/api/v1", route_handlers=list(each.routers)) for each in modules],
        authenticator=Authenticator(anchor),
        dependencies={
            name: Provide(_always(each), sync_to_thread=False)
            for name, each in {"house": house, **given}.items()
        },
    )
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://service/api/v1",
    )
    return World(world.devnet, world.clock, house, follower, modules, client)


async def pay(world: World, wallet_id: str, to: Address, amount: str, key: str) -> str:
    body = {"wallet_id": wallet_id, "to_address": to, "amount": amount}
    answer = await world.post("/usdt/transfer", body, key=key)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["transfer_id"])


async def on_chain(world: World, address: Address) -> str:
    return str((await world.get(f"/usdt/balance/{address}")).json()["balance"])


async def settled(world: World, transfers: list[str]) -> None:
    """All of them, within the time that safe mode takes."""
    for _ in range(ROUNDS_MAX):
        await world.settle()
        seen = {(await world.get(f"/usdt/transfers/{each}")).json()["status"] for each in transfers}
        if seen == {"settled"}:
            return
    raise AssertionError(seen)


async def test_a_lost_store_is_rebuilt_without_paying_anything_twice(
    mongo: Any, tmp_path: Path
) -> None:
    async with world_of(mongo, tmp_path) as world:
        wallet = await world.house.use(Wallets).create(OURSELVES, label="purse")
        purse = Address(wallet.address)
        await world.fund(purse, trx=1_000, usdt_units=100_000_000)
        await world.settle()
        backup = await world.house.use(Custody).backup_all(PASSWORD)
        height = (await world.house.nodes.solid_head()).number
        asked = [(ALICE, "5", "key-of-the-client-paid"), (BOB, "7", "key-of-the-client-sent")]
        await pay(world, wallet.id, *asked[0])
        await world.mine(BACKUP_AGE_BLOCKS)
        await world.settle()
        assert await on_chain(world, ALICE) == "5"
        await pay(world, wallet.id, *asked[1])
        await world.work()  # signed and sent, and then the store is gone
        lines = await SigningJournal.count()
        assert lines == 2

        await lose_everything_but_the_journal()
        again = await rebuilt(world, backup, height)
        async with again.http:
            await settled(again, [await pay(again, wallet.id, *each) for each in asked])
            assert await SigningJournal.count() == lines, "nothing was signed again"
            assert await on_chain(again, ALICE) == "5"
            assert await on_chain(again, BOB) == "7"
            assert await on_chain(again, purse) == "88"
            await settled(again, [await pay(again, wallet.id, ALICE, "1", "key-of-the-next-one")])
            assert await SafeMode.count() == 0, "it ended by itself"
            assert await on_chain(again, purse) == "87"

"""Which wallet pays when none is named, and what is made at the start."""

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr
from wallet_world import BOB, build_world, principal, rebuild

from tron_payment.http.principals import Role
from tron_payment.settings import ConfigurationError
from tron_payment.wallets import (
    OURSELVES,
    NoWallet,
    Wallet,
    WalletCannotSign,
    WalletExists,
    WalletFrozen,
    WalletKind,
    WalletNotFound,
)

KEY = "0" * 63 + "1"
KEY_ADDRESS = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC"


async def test_the_configured_keys_become_wallets_once(mongo: Any) -> None:
    keys = {
        "hot_wallet_private_key": SecretStr(KEY),
        "payout_router_private_key": SecretStr("0" * 63 + "2"),
    }
    world = await build_world(mongo, **keys)
    world = await rebuild(**keys)
    assert {row.label for row in await Wallet.find().to_list()} == {"treasury", "router operator"}
    chosen = await world.wallets.signing_wallet(None, principal(Role.MERCHANT))
    assert chosen.address == KEY_ADDRESS and not chosen.detached


async def test_a_configured_address_that_is_not_the_keys_is_refused(mongo: Any) -> None:
    with pytest.raises(ConfigurationError):
        await build_world(mongo, hot_wallet_private_key=SecretStr(KEY), hot_wallet_address=BOB)


async def test_the_only_funded_hot_wallet_pays(mongo: Any) -> None:
    world = await build_world(mongo)
    with pytest.raises(NoWallet):
        await world.wallets.signing_wallet(None, principal())
    one = await world.wallets.create(OURSELVES, label="one")
    two = await world.wallets.create(OURSELVES, label="two")
    with pytest.raises(NoWallet):
        await world.wallets.signing_wallet(None, principal())
    await world.fund(one.address, 1)
    assert (await world.wallets.signing_wallet(None, principal())).wallet_id == one.id
    await world.fund(two.address, 1, "USDT")
    with pytest.raises(NoWallet):
        await world.wallets.signing_wallet(None, principal())
    world.wallets.default_address = two.address  # type: ignore[assignment]
    assert (await world.wallets.signing_wallet(None, principal())).wallet_id == two.id


async def test_a_named_wallet_must_be_theirs_active_and_with_a_key(mongo: Any) -> None:
    world = await build_world(mongo)
    hot = await world.wallets.create(OURSELVES, label="hot")
    eyes = await world.wallets.watch(OURSELVES, label="eyes", address=BOB)
    assert (await world.wallets.signing_wallet(hot.id, principal())).address == hot.address
    with pytest.raises(WalletNotFound):
        await world.wallets.signing_wallet(hot.id, principal(Role.MERCHANT, "shop"))
    with pytest.raises(WalletNotFound):
        await world.wallets.signing_wallet("wal_none", principal())
    with pytest.raises(WalletCannotSign):
        await world.wallets.signing_wallet(eyes.id, principal())
    await world.wallets.update(principal(), hot.id, frozen=True)
    with pytest.raises(WalletFrozen):
        await world.wallets.signing_wallet(hot.id, principal())


async def test_a_watched_address_whose_key_comes_becomes_hot(mongo: Any) -> None:
    world = await build_world(mongo)
    eyes = await world.wallets.watch(OURSELVES, label="eyes", address=KEY_ADDRESS)
    hot = await world.wallets.ensure(KEY, "treasury")
    assert (hot.id, hot.kind) == (eyes.id, WalletKind.HOT)
    assert (await world.wallets.signing_wallet(hot.id)).address == KEY_ADDRESS


async def test_racing_imports_of_one_key_give_one_wallet(mongo: Any) -> None:
    world = await build_world(mongo)
    outcomes = await asyncio.gather(
        *(world.wallets.import_key(OURSELVES, label=str(n), private_key=KEY) for n in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, Wallet) for each in outcomes) == 1
    assert sum(isinstance(each, WalletExists) for each in outcomes) == 9
    assert await Wallet.count() == 1


async def test_many_wallets_made_at_once_share_the_journal(mongo: Any) -> None:
    world = await build_world(mongo)
    made = await asyncio.gather(
        *(world.wallets.create(OURSELVES, label=f"w{n}") for n in range(300))
    )
    view = await world.house.ledger.view()
    assert len(await view.holders([each.address for each in made])) == 300  # type: ignore[misc]
    assert view.seq < 20

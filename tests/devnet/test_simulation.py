"""A seeded life of a chain: whatever happens, no sun appears or is lost, and nothing is forgotten.

Transfers, tokens, stakes, delegations, votes, refusals, time jumps, forks and restarts come in an
order that the seed decides; it is printed with every failure.
"""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.devnet.client import Client, Wallet
from tron_payment.devnet import Devnet, DevnetConfig, params
from tron_payment.devnet.genesis import FAUCET_SUN, WITNESS_SUN
from tron_payment.devnet.records import Account, decode_value
from tron_payment.devnet.state import ACCOUNT

STEPS = 120
WALLETS = [Wallet(5_000 + number) for number in range(6)]
HOUR_MS = 3_600_000
AFTER_TIME = ("withdrawexpireunfreeze", "withdrawbalance", "cancelallunfreezev2")


def accounts_of(devnet: Devnet) -> dict[bytes, Account]:
    """All accounts, as the disk has them."""
    rows = devnet.store._db.execute(
        "SELECT key, value FROM state WHERE substr(key, 1, 1) = ?", (ACCOUNT,)
    )
    return {bytes(key)[1:]: decode_value(bytes(key), bytes(value)) for key, value in rows}


def total_sun(devnet: Devnet) -> int:
    """Everything that exists: balances, stakes, what waits, and what was burnt."""
    owned = sum(
        account.balance
        + sum(account.frozen)
        + sum(account.delegated)
        + sum(entry.amount for entry in account.unfreezing)
        for account in accounts_of(devnet).values()
    )
    return owned + params.read(devnet.chain.base.get, params.BURNT)


def check(devnet: Devnet, withdrawn_sun: int) -> None:
    genesis = FAUCET_SUN + 27 * WITNESS_SUN
    assert total_sun(devnet) == genesis + withdrawn_sun
    accounts = accounts_of(devnet)
    for address, account in accounts.items():
        assert account == devnet.chain.base.get(ACCOUNT + address)
        assert account.balance >= 0
    for kind in (0, 1):
        lent = sum(account.delegated[kind] for account in accounts.values())
        assert lent == sum(account.acquired[kind] for account in accounts.values())


async def act(client: Client, devnet: Devnet, dice: random.Random, only: str | None = None) -> None:
    """One thing that somebody does, or the thing named; a refusal is fine."""
    owner, other = dice.sample(WALLETS, 2)
    amount = dice.choice((1, 999_999, 1_000_000, 50_000_000, 10**15))
    resource = dice.choice(("ENERGY", "BANDWIDTH"))
    witness = (await client.wallet("listwitnesses"))["witnesses"][dice.randrange(27)]["address"]
    token = devnet.faucet.usdt
    assert token is not None
    data = "a9059cbb" + other.hex[2:].rjust(64, "0") + f"{amount:064x}"
    choices: list[tuple[str, dict[str, Any]]] = (
        [
            ("createtransaction", {"to_address": other.hex, "amount": amount}),
            ("triggersmartcontract", {"contract_address": token.hex(), "data": data,
                                      "fee_limit": dice.choice((0, 500_000, 10**8))}),
            ("freezebalancev2", {"frozen_balance": amount, "resource": resource}),
            ("unfreezebalancev2", {"unfreeze_balance": amount, "resource": resource}),
            ("delegateresource", {"receiver_address": other.hex, "balance": amount,
                                  "resource": resource, "lock": dice.random() < 0.3,
                                  "lock_period": 5}),
            ("undelegateresource", {"receiver_address": other.hex, "balance": amount,
                                    "resource": resource}),
            ("votewitnessaccount", {"votes": [{"vote_address": witness, "vote_count": 1}]}),
            ("withdrawbalance", {}),
            ("withdrawexpireunfreeze", {}),
            ("cancelallunfreezev2", {}),
        ]
    )  # fmt: skip
    path, body = (only, {}) if only else dice.choice(choices)
    built = await client.wallet(path, owner_address=owner.hex, **body)
    transaction = built.get("transaction", built)
    if "txID" in transaction:
        await client.send(transaction, owner)


def withdrawn(devnet: Devnet) -> int:
    """Rewards paid out: the only sun that is made after the genesis block."""
    chain = devnet.chain
    blocks = (chain.block(number) for number in range(chain.head.number + 1))
    return sum(r.withdraw_amount for block in blocks if block for r in block.receipts)


@pytest.mark.parametrize("seed", range(4))
async def test_no_sun_appears_or_is_lost(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    config = DevnetConfig(block_ms=0, seed=str(seed), data=tmp_path)
    devnet = Devnet(config)
    await devnet.start()
    client = Client(devnet)
    for wallet in WALLETS:
        await client.fund(wallet, "1000")
        await client.fund(wallet, "1000", "USDT")
    for step in range(STEPS):
        for _ in range(dice.randrange(4)):
            await act(client, devnet, dice)
        match dice.randrange(12):
            case 0:
                depth = dice.randint(1, 5)
                drop = [tx.txid.hex() for tx in devnet.chain.head.transactions[:1]]
                await client.post("/devnet/fork", depth=depth, drop=drop)
            case 1:
                await client.post("/devnet/time", advance_ms=dice.choice((1, 7, 25, 360)) * HOUR_MS)
                for _ in WALLETS:
                    await act(client, devnet, dice, dice.choice(AFTER_TIME))
            case 2:
                await client.http.aclose()
                await devnet.stop()
                devnet = Devnet(config)
                await devnet.start()
                client = Client(devnet)
            case _:
                await devnet.mine(dice.randint(1, 3))
        if step % 10 == 9:
            check(devnet, withdrawn(devnet))
    check(devnet, withdrawn(devnet))
    kinds = _kinds(devnet)
    assert len(kinds) >= 6, (seed, kinds)
    await client.http.aclose()
    await devnet.stop()


def _kinds(devnet: Devnet) -> dict[int, int]:
    """How many transactions of each type made it into blocks."""
    counted: dict[int, Any] = {}
    for number in range(1, devnet.chain.head.number + 1):
        block = devnet.chain.block(number)
        assert block is not None
        for tx in block.transactions:
            counted[tx.kind] = counted.get(tx.kind, 0) + 1
    return counted

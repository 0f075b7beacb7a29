"""A wallet's password: Argon2id, counted attempts, few at once."""

import asyncio
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from wallet_world import CHEAP, NOW, build_world, served

from tron_payment.core.clock import ManualClock
from tron_payment.wallets.passwords import (
    Cost,
    Deriver,
    NoPassword,
    PasswordLocked,
    Passwords,
    PasswordsBusy,
    PasswordWrong,
    WalletPassword,
    WeakPassword,
)

GOOD = "correct horse battery"
AT_MOST_S = 120


async def test_a_known_answer_of_argon2id() -> None:
    """From the reference implementation's own tests (test.c, Argon2id, version 19)."""
    derived = await Deriver().derive("password", b"somesalt", Cost(65_536, 2, 1))
    assert derived.hex() == "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"


async def test_the_default_cost_is_that_of_rfc_9106() -> None:
    assert Cost() == Cost(65_536, 3, 4) and Cost().is_sane()
    assert not Cost(memory_kib=2**20).is_sane()
    assert not Cost(iterations=11).is_sane()


@pytest.fixture
async def passwords(mongo: Any) -> Passwords:
    await mongo.connect([WalletPassword])
    return Passwords(ManualClock(NOW), Deriver(), CHEAP)


async def test_right_and_wrong(passwords: Passwords) -> None:
    await passwords.store(await passwords.hashed("wal_a", GOOD))
    assert await passwords.verify("wal_a", GOOD)
    assert not await passwords.verify("wal_a", GOOD + "!")
    assert not await passwords.verify("wal_a", "x" * 10_000)
    row = await passwords.find("wal_a")
    assert row is not None and GOOD.encode() not in row.digest and row.failures == 2
    with pytest.raises(NoPassword):
        await passwords.verify("wal_b", GOOD)
    await passwords.require("wal_b", None)
    with pytest.raises(PasswordWrong):
        await passwords.require("wal_a", None)
    await passwords.require("wal_a", GOOD)


@pytest.mark.parametrize("text", ["", "short12", "x" * 257])
async def test_a_weak_password_is_refused(passwords: Passwords, text: str) -> None:
    with pytest.raises(WeakPassword):
        await passwords.hashed("wal_a", text)


async def test_five_wrong_ones_lock_even_in_parallel(passwords: Passwords) -> None:
    await passwords.store(await passwords.hashed("wal_a", GOOD))
    tries = await asyncio.gather(
        *(passwords.verify("wal_a", f"guess {n}") for n in range(15)), return_exceptions=True
    )
    assert sum(isinstance(each, PasswordLocked) for each in tries) == 10
    with pytest.raises(PasswordLocked) as refusal:
        await passwords.verify("wal_a", GOOD)
    assert refusal.value.retry_after_s == 300
    clock = passwords._clock
    assert isinstance(clock, ManualClock)
    clock.advance(timedelta(minutes=5))
    assert await passwords.verify("wal_a", GOOD)


async def test_too_many_at_once_are_told_to_wait() -> None:
    deriver = Deriver()
    answers = await asyncio.gather(
        *(deriver.derive("x", b"s" * 16, CHEAP) for _ in range(30)), return_exceptions=True
    )
    assert sum(isinstance(each, PasswordsBusy) for each in answers) == 10


async def test_over_http(mongo: Any) -> None:
    world = await build_world(mongo)
    async with served(world) as client:
        made = await client.post("/wallets", json={"label": "x", "password": GOOD})
        assert made.status_code == 201 and GOOD not in made.text
        path = f"/wallets/{made.json()['wallet_id']}/verify-password"
        assert (await client.post(path, json={"password": GOOD})).json() == {"valid": True}
        wrong = await client.post(path, json={"password": "guess work"})
        assert (wrong.status_code, wrong.json()) == (200, {"valid": False})
        weak = await client.post("/wallets", json={"label": "x", "password": "1234"})
        assert (weak.status_code, weak.json()["code"]) == (422, "weak_password")
        bare = (await client.post("/wallets", json={"label": "y"})).json()["wallet_id"]
        none = await client.post(f"/wallets/{bare}/verify-password", json={"password": GOOD})
        assert (none.status_code, none.json()["code"]) == (409, "wallet_has_no_password")
        for _ in range(4):
            last = await client.post(path, json={"password": "guess work"})
        last = await client.post(path, json={"password": GOOD})
        assert (last.status_code, last.json()["code"]) == (429, "wallet_password_locked")
        assert int(last.headers["Retry-After"]) == 300


def test_derivations_at_once_do_not_wait_for_each_other_for_ever() -> None:
    """In a process of its own, so that a hang ends: OpenSSL shares the threads of its lanes."""
    code = (
        "import asyncio, os\n"
        "from tron_payment.wallets.passwords import Cost, Deriver\n"
        "async def main():\n"
        "    cost = Cost(memory_kib=8_192, iterations=1, lanes=4)\n"
        "    one, two = Deriver(), Deriver()\n"
        "    await asyncio.gather(*(\n"
        "        each.derive('a password', os.urandom(16), cost) for each in [one, two] * 10))\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=AT_MOST_S)

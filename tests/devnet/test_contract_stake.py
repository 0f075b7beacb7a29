"""Contracts that stake, lend, vote and ask: opcodes 0xd5 to 0xdf, built-in contracts of the chain.

A puppet runs the code of another contract as its own, so one account can do everything.
"""

from typing import Any

import pytest

from tests.devnet.client import ALICE, BOB, CAROL, Client, Wallet
from tests.devnet.test_contracts import call, deploy
from tests.devnet.tvm.world import ANSWER, asm
from tron_payment.devnet import Devnet
from tron_payment.devnet.keys import sha256, sign

TRX = 1_000_000
DAY_MS = 86_400_000
PUPPET = (
    "CALLDATASIZE PUSH0 PUSH0 CALLDATACOPY PUSH0 PUSH0 CALLDATASIZE PUSH0 PUSH0 CALLDATALOAD GAS "
    "DELEGATECALL POP RETURNDATASIZE PUSH0 PUSH0 RETURNDATACOPY RETURNDATASIZE PUSH0 RETURN"
)
ONE, TWO, THREE = ("PUSH1 20 CALLDATALOAD", "PUSH1 40 CALLDATALOAD", "PUSH1 60 CALLDATALOAD")
CODES = {
    "freeze": f"{ONE} {TWO} FREEZEBALANCEV2",
    "unfreeze": f"{ONE} {TWO} UNFREEZEBALANCEV2",
    "cancel": "CANCELALLUNFREEZEV2",
    "withdraw": "WITHDRAWEXPIREUNFREEZE",
    "reward": "WITHDRAWREWARD",
    "delegate": f"{ONE} {TWO} {THREE} DELEGATERESOURCE",
    "undelegate": f"{ONE} {TWO} {THREE} UNDELEGATERESOURCE",
    "vote": f"PUSH1 01 PUSH0 MSTORE {ONE} PUSH1 20 MSTORE PUSH1 01 PUSH1 40 MSTORE {TWO} "
    "PUSH1 60 MSTORE PUSH0 PUSH1 01 PUSH1 40 PUSH1 01 VOTEWITNESS",
    "vote in vain": f"{ONE} PUSH1 20 MSTORE PUSH0 PUSH1 01 PUSH1 40 PUSH1 01 VOTEWITNESS",
    "old freeze": f"{ONE} {TWO} {THREE} FREEZE",
    "old unfreeze": f"{ONE} {TWO} UNFREEZE",
    "old expiry": f"{ONE} {TWO} FREEZEEXPIRETIME",
    "end": f"{ONE} SUICIDE PUSH0",
}
ASK = (
    "PUSH1 40 CALLDATASIZE SUB PUSH1 40 PUSH0 CALLDATACOPY PUSH0 PUSH0 PUSH1 40 CALLDATASIZE SUB "
    f"PUSH0 {ONE} GAS STATICCALL POP RETURNDATASIZE PUSH0 PUSH0 RETURNDATACOPY RETURNDATASIZE "
    "PUSH0 RETURN"
)


def words(*values: int | bytes) -> str:
    """Numbers, and the last 20 bytes of addresses."""
    return "".join(
        (value[-20:].hex() if isinstance(value, bytes) else f"{value:x}").rjust(64, "0")
        for value in values
    )


class Puppet:
    """A contract with 1,000 TRX that does what it is told."""

    def __init__(self, client: Client, address: str) -> None:
        self.client, self.hex = client, address
        self.address = bytes.fromhex(address)
        self._codes: dict[str, str] = {}

    async def _code(self, code: str) -> bytes:
        if code not in self._codes:
            info = await deploy(self.client, ALICE, asm(code).hex())
            self._codes[code] = info["contract_address"]
        return bytes.fromhex(self._codes[code])

    async def do(self, what: str, *values: int | bytes) -> tuple[int, dict[str, Any]]:
        """What the operation answered, and the receipt."""
        code = await self._code(f"{CODES[what]} {ANSWER}")
        info = await call(self.client, ALICE, self.hex, words(code, *values))
        assert info["receipt"]["result"] == "SUCCESS"
        return int(info["contractResult"][0] or "0", 16), info

    async def ask(self, number: int, *values: int | bytes) -> list[int]:
        """The words that a built-in contract answers."""
        return await self.ask_raw(number, words(*values))

    async def ask_raw(self, number: int, data: str) -> list[int]:
        answer = await self.client.wallet(
            "triggerconstantcontract",
            owner_address=ALICE.hex,
            contract_address=self.hex,
            data=words(await self._code(ASK), number) + data,
        )
        (result,) = answer["constant_result"]
        return [int(result[i : i + 64], 16) for i in range(0, len(result), 64)]

    async def account(self) -> dict[str, Any]:
        return dict(await self.client.wallet("getaccount", address=self.hex))


@pytest.fixture
async def puppet(client: Client, devnet: Devnet) -> Puppet:
    await client.fund(ALICE, "100000")
    await client.fund(BOB, "1")
    address = (await deploy(client, ALICE, asm(PUPPET).hex()))["contract_address"]
    await call(client, ALICE, address, call_value=1_000 * TRX)
    return Puppet(client, address)


def notes(info: dict[str, Any]) -> list[str]:
    """What the steps of the puppet's own are called; * marks those that were refused."""
    return [
        bytes.fromhex(step["note"]).decode() + ("*" if step.get("rejected") else "")
        for step in info["internal_transactions"]
        if bytes.fromhex(step["note"]) != b"call"
    ]


def witness_of(devnet: Devnet) -> bytes:
    return devnet.chain.maker_at(devnet.chain.next_slot_ms())


async def test_a_contract_freezes_and_unfreezes(puppet: Puppet, devnet: Devnet) -> None:
    done, info = await puppet.do("freeze", 300 * TRX, 1)
    assert (done, notes(info)) == (1, ["freezeBalanceV2ForEnergy"])
    account = await puppet.account()
    assert account["balance"] == 700 * TRX
    assert {"type": "ENERGY", "amount": 300 * TRX} in account["frozenV2"]
    assert await puppet.ask(0x100000D, puppet.address, 1) == [300 * TRX]
    assert await puppet.ask(0x1000013, puppet.address, 1) == [300 * TRX]
    assert await puppet.ask(0x100000F, puppet.address, 1) == [300 * TRX]
    assert await puppet.ask(0x100000A, puppet.address) == [300]

    done, info = await puppet.do("unfreeze", 100 * TRX, 1)
    assert (done, notes(info)) == (1, ["unfreezeBalanceV2ForEnergy"])
    assert await puppet.ask(0x100000C, puppet.address) == [31]
    later_s = (devnet.chain.head.timestamp_ms + 14 * DAY_MS) // 1000
    assert await puppet.ask(0x100000E, puppet.address, later_s) == [100 * TRX]
    assert await puppet.ask(0x100000E, puppet.address, later_s - DAY_MS // 1000) == [0]
    assert (await puppet.do("withdraw"))[0] == 0
    await puppet.client.post("/devnet/time", advance_ms=14 * DAY_MS)
    done, info = await puppet.do("withdraw")
    assert (done, notes(info)) == (100 * TRX, ["withdrawExpireUnfreeze"])
    assert info["internal_transactions"][-1]["callValueInfo"] == [{"callValue": 100 * TRX}]
    assert (await puppet.account())["balance"] == 800 * TRX


async def test_a_contract_takes_its_unfreezing_back(puppet: Puppet) -> None:
    await puppet.do("freeze", 300 * TRX, 0)
    await puppet.do("unfreeze", 100 * TRX, 0)
    await puppet.client.post("/devnet/time", advance_ms=14 * DAY_MS)
    done, info = await puppet.do("unfreeze", 50 * TRX, 0)
    assert notes(info) == [
        "unfreezeBalanceV2ForBandwidth",
        "withdrawExpireUnfreezeWhileUnfreezing",
    ]
    done, info = await puppet.do("cancel")
    assert (done, notes(info)) == (1, ["cancelAllUnfreezeV2"])
    assert await puppet.ask(0x100000D, puppet.address, 0) == [200 * TRX]


async def test_a_contract_lends(puppet: Puppet) -> None:
    await puppet.do("freeze", 300 * TRX, 1)
    done, info = await puppet.do("delegate", BOB.address, 200 * TRX, 1)
    assert (done, notes(info)) == (1, ["delegateResourceOfEnergy"])
    assert info["internal_transactions"][-1]["transferTo_address"] == BOB.hex
    assert await puppet.ask(0x1000010, BOB.address, puppet.address, 1) == [200 * TRX]
    assert await puppet.ask(0x1000010, puppet.address, puppet.address, 1) == [100 * TRX]
    assert await puppet.ask(0x1000014, puppet.address, 1) == [200 * TRX]
    assert await puppet.ask(0x1000015, BOB.address, 1) == [200 * TRX]
    assert await puppet.ask(0x1000011, BOB.address, 50 * TRX, 1) == [50 * TRX, 0, 0]
    assert await puppet.ask(0x1000012, BOB.address, 1) == [0, 0]
    _, info = await puppet.do("end", CAROL.address)  # what is lent keeps it alive
    assert (await puppet.client.wallet("getcontract", value=puppet.hex))["bytecode"]
    done, info = await puppet.do("undelegate", BOB.address, 200 * TRX, 1)
    assert (done, notes(info)) == (1, ["unDelegateResourceOfEnergy"])
    assert await puppet.ask(0x1000015, BOB.address, 1) == [0]


async def test_energy_in_use_is_told_in_stake_and_seconds(puppet: Puppet, client: Client) -> None:
    await client.run("freezebalancev2", ALICE, frozen_balance=1_000 * TRX, resource="ENERGY")
    await puppet.do("freeze", 1_000 * TRX - 300 * TRX, 1)  # used Alice's energy
    used, seconds = await puppet.ask(0x1000012, ALICE.address, 1)
    assert 0 < used < TRX
    assert DAY_MS // 1000 - 60 < seconds <= DAY_MS // 1000
    free, busy, again = await puppet.ask(0x1000011, ALICE.address, 1_000 * TRX, 1)
    assert (free + busy, again) == (1_000 * TRX, seconds)
    assert abs(busy - used) <= 1


async def test_a_contract_votes_and_is_rewarded(puppet: Puppet, devnet: Devnet) -> None:
    witness = witness_of(devnet)
    await puppet.do("freeze", 500 * TRX, 0)
    done, info = await puppet.do("vote", witness, 400)
    assert (done, notes(info)) == (1, ["voteWitness"])
    assert await puppet.ask(0x1000006, witness) == [1]
    assert await puppet.ask(0x1000006, BOB.address) == [0]
    assert await puppet.ask(0x1000007, puppet.address, witness) == [400]
    assert await puppet.ask(0x1000008, puppet.address) == [400]
    votes = (await puppet.ask(0x1000009, witness))[0]
    for _ in range(3):
        await puppet.client.post("/devnet/time", advance_ms=6 * 3_600_000)
        await devnet.mine(30)
    assert await puppet.ask(0x1000009, witness) == [votes + 400]
    (reward,) = await puppet.ask(0x1000005)
    assert reward > 0
    before = (await puppet.account())["balance"]
    paid, info = await puppet.do("reward")
    assert paid >= reward and notes(info) == ["withdrawReward"]
    assert (await puppet.account())["balance"] == before + paid


@pytest.mark.parametrize(
    ("what", "values", "note"),
    [
        ("freeze", (2_000 * TRX, 1), "freezeBalanceV2ForEnergy*"),
        ("freeze", (1, 0), "freezeBalanceV2ForBandwidth*"),
        ("freeze", (TRX, 7), "freezeBalanceV2ForUnknownType*"),
        ("freeze", (1 << 64, 1), "freezeBalanceV2ForEnergy*"),
        ("unfreeze", (TRX, 1), "unfreezeBalanceV2ForEnergy*"),
        ("delegate", (BOB.address, TRX, 1), "delegateResourceOfEnergy*"),
        ("undelegate", (BOB.address, TRX, 1), "unDelegateResourceOfEnergy*"),
        ("vote", (BOB.address, 1), "voteWitness*"),
        ("vote", (BOB.address, 1 << 64), "voteWitness*"),
        ("old unfreeze", (BOB.address, 1), "unfreezeForEnergy*"),
    ],
)
async def test_what_cannot_be_is_answered_with_0(
    puppet: Puppet, what: str, values: tuple[int | bytes, ...], note: str
) -> None:
    done, info = await puppet.do(what, *values)
    assert (done, notes(info)) == (0, [note])
    assert (await puppet.account())["balance"] == 1_000 * TRX


async def test_the_old_stake_costs_and_does_nothing(puppet: Puppet) -> None:
    done, info = await puppet.do("old freeze", CAROL.address, TRX, 1)
    assert done == 0 and info["receipt"]["energy_usage_total"] > 45_000  # a new account's price
    assert (await puppet.do("old expiry", BOB.address, 1))[0] == 0


async def test_arrays_that_contradict_the_stack_are_no_vote(puppet: Puppet) -> None:
    """The inner call fails with all its energy; the puppet gets no answer."""
    answer, info = await puppet.do("vote in vain", BOB.address)
    assert answer == 0
    assert notes(info) == ["voteWitness*"]
    assert info["receipt"]["energy_usage_total"] > 500_000


async def test_parameters_and_questions_of_the_wrong_shape(puppet: Puppet) -> None:
    assert await puppet.ask(0x100000B, 1) == [43_200_000_000]
    assert await puppet.ask(0x100000B, 3) == [180_000_000_000]
    assert await puppet.ask(0x100000B, 5) == [14]
    assert await puppet.ask(0x100000B, 99) == [0]
    for number in range(0x1000006, 0x1000016):
        assert not any(await puppet.ask_raw(number, "00"))


@pytest.mark.parametrize(
    ("signers", "enough"),
    [((BOB, CAROL), 1), ((BOB,), 0), ((BOB, BOB), 0), ((BOB, ALICE), 0), ((), 0)],
)
async def test_signatures_are_weighed_by_permission(
    puppet: Puppet, client: Client, signers: tuple[Wallet, ...], enough: int
) -> None:
    account = await client.wallet("getaccount", address=ALICE.hex)
    keys = [{"address": wallet.hex, "weight": 1} for wallet in (BOB, CAROL)]
    active = account["active_permission"][0] | {"type": 2, "keys": keys, "threshold": 2}
    owner = {"type": 0} | account["owner_permission"]
    await client.run("accountpermissionupdate", ALICE, owner=owner, actives=[active])
    message = sha256(b"pay")
    digest = sha256(ALICE.address + (2).to_bytes(4, "big") + message)
    signatures = [sign(wallet.key, digest).hex().ljust(192, "0") for wallet in signers]
    count = len(signatures)
    heads = words(*(32 * count + 128 * i for i in range(count)))
    array = words(count) + heads + "".join(words(65) + each for each in signatures)
    data = words(ALICE.address, 2) + message.hex() + words(128) + array
    assert await puppet.ask_raw(0xA, data) == [enough]

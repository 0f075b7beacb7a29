"""Header bytes, ids, the trie and signatures, against a recorded block."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.devnet.client import ALICE, Client
from tron_payment.devnet import Devnet
from tron_payment.devnet.blocks import trie_root
from tron_payment.devnet.keys import recover, sha256
from tron_payment.devnet.proto import CONTRACT_RESULTS, HeaderRaw, Transaction

CASES = Path(__file__).parent / "conformance" / "cases.json"


def recorded(name: str) -> Any:
    return next(c["response"] for c in json.loads(CASES.read_text()) if c["case"] == name)


def header_of(block: dict[str, Any]) -> bytes:
    raw = block["block_header"]["raw_data"]
    return bytes(
        HeaderRaw(
            number=raw["number"],
            timestamp=raw["timestamp"],
            version=raw["version"],
            txTrieRoot=bytes.fromhex(raw["txTrieRoot"]),
            parentHash=bytes.fromhex(raw["parentHash"]),
            witness_address=bytes.fromhex(raw["witness_address"]),
        ).SerializeToString()
    )


def check(block: dict[str, Any]) -> None:
    """Everything that follows from a block's own fields."""
    header, raw = header_of(block), block["block_header"]["raw_data"]
    assert block["blockID"] == f"{raw['number']:016x}" + sha256(header).hex()[16:]
    signature = bytes.fromhex(block["block_header"]["witness_signature"])
    assert recover(sha256(header), signature).hex() == raw["witness_address"]
    leaves = []
    for transaction in block.get("transactions", []):
        message = Transaction(
            raw_data=bytes.fromhex(transaction["raw_data_hex"]),
            signature=[bytes.fromhex(part) for part in transaction["signature"]],
        )
        message.ret.add(contractRet=CONTRACT_RESULTS[transaction["ret"][0]["contractRet"]])
        leaves.append(sha256(message.SerializeToString()))
    assert trie_root(leaves).hex() == raw["txTrieRoot"]


@pytest.mark.parametrize("name", ["029-getblockbynum", "043-solid-getnowblock"])
def test_a_recorded_block_follows_from_its_fields(name: str) -> None:
    check(recorded(name))


async def test_our_blocks_follow_from_their_fields(client: Client, devnet: Devnet) -> None:
    for count in (1, 2, 5):
        for _ in range(count):
            await client.post("/devnet/faucet", address=ALICE.text, amount="1", currency="TRX")
        await devnet.mine()
        check(await client.wallet("getnowblock"))


async def test_every_representative_makes_his_blocks(client: Client, devnet: Devnet) -> None:
    await devnet.mine(54)
    witnesses = (await client.wallet("listwitnesses"))["witnesses"]
    assert len(witnesses) == 27
    assert all(witness["totalProduced"] >= 2 for witness in witnesses)


async def test_an_empty_slot_is_missed_by_whose_turn_it_was(client: Client, devnet: Devnet) -> None:
    async def missed() -> dict[str, int]:
        shown = (await client.wallet("listwitnesses"))["witnesses"]
        return {each["address"]: each.get("totalMissed", 0) for each in shown}

    await devnet.mine(3)
    assert not any((await missed()).values())
    slot_ms = devnet.chain.slot_ms
    skipped = devnet.chain.maker_at(devnet.chain.next_slot_ms())
    await devnet.mine(1, skip_ms=2 * slot_ms)
    assert {a: n for a, n in (await missed()).items() if n} == {skipped.hex(): 1}
    await devnet.mine(1, skip_ms=(2 * 27 + 1) * slot_ms)
    assert set((await missed()).values()) == {2, 3}


async def test_slots_after_a_maintenance_are_skipped_and_not_missed(
    client: Client, devnet: Devnet
) -> None:
    await client.post("/devnet/parameters", getMaintenanceTimeInterval=30_000)
    await client.post("/devnet/time", advance_ms=6 * 3_600_000)
    before = (await client.wallet("listwitnesses"))["witnesses"]
    await devnet.mine(40)
    assert devnet.chain.head.timestamp_ms > 5 * 30_000
    after = (await client.wallet("listwitnesses"))["witnesses"]
    assert [w.get("totalMissed", 0) for w in after] == [w.get("totalMissed", 0) for w in before]

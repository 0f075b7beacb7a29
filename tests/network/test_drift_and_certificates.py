"""Prices that change are noticed; what was read is certified and can be checked elsewhere."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.network.second_node import SecondNode
from tests.usdt.world import ALICE, World, world_of
from tron_payment.db.audit import AuditEntry
from tron_payment.db.ledger import WORLD, LedgerEntry, Posting
from tron_payment.network import Certificate
from tron_payment.network import documents as network_store
from tron_payment.network.certificates import SEGMENT_BLOCKS


async def page(world: World, path: str) -> list[dict[str, Any]]:
    answer = await world.get(f"/tron/network/{path}", role="viewer")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_a_price_that_changes_is_noticed_audited_and_in_the_next_quote(world: World) -> None:
    assert await page(world, "parameters/changes") == []
    world.devnet.chain.change_parameters({"getEnergyFee": 210, "getMemoFee": 2_000_000})
    await world.mine(2)
    world.clock.advance(timedelta(seconds=61))
    await world.work()
    await world.work()
    rows = {each["name"]: each for each in await page(world, "parameters/changes")}
    assert set(rows) == {"getEnergyFee", "getMemoFee"}
    assert (rows["getEnergyFee"]["before"], rows["getEnergyFee"]["after"]) == (100, 210)
    audited = await AuditEntry.find({"action": "chain.parameter_changed"}).to_list()
    assert sorted(each.object_id for each in audited) == ["getEnergyFee", "getMemoFee"]
    fees = (await world.get("/tron/network/fees")).json()
    assert (fees["energy_price_sun"], fees["memo_trx"]) == (210, "2")
    wish = {"from_address": world.hot, "to_address": ALICE, "amount": "1"}
    estimate = (await world.post("/usdt/estimate-gas", wish, key=None)).json()
    assert estimate["energy_price_sun"] == 210


async def test_what_was_read_is_certified_in_an_unbroken_chain(world: World) -> None:
    wish = {"wallet_id": await world.wallet_id(), "to_address": ALICE, "amount": "1"}
    assert (await world.post("/usdt/transfer", wish)).status_code == 202
    await world.settle()
    await world.mine(3 * SEGMENT_BLOCKS)
    await world.work()
    rows = await page(world, "certificates")
    assert len(rows) >= 3
    for newer, older in pairwise(rows):
        assert newer["from_block"] == older["to_block"] + 1
        assert newer["previous_hash"] == older["hash"]
    one = (await world.get("/tron/network/certificates", limit=1)).json()
    two = await world.get("/tron/network/certificates", limit=1, cursor=one["next_cursor"])
    assert two.json()["data"] == rows[1:2]
    first = rows[-1]
    started = (await world.house.cursors.load()).started_at_number
    assert first["from_block"] == started + 1 and first["previous_hash"] == "0" * 64
    assert first["reread_blocks"] == 0
    assert first["transactions"] == first["ours"] == 3, "two from the faucet and one payout"
    for row in rows:
        answer = await world.get(f"/tron/network/certificates/{row['from_block']}/check")
        assert answer.json()["agrees"] is True
    assert (await world.get("/tron/network/certificates/3/check")).status_code == 404


async def test_blocks_that_a_restart_forgot_are_read_again(world: World) -> None:
    await world.mine(SEGMENT_BLOCKS // 2)
    await world.work()
    certify = next(
        loop.step.__self__
        for module in world.modules
        for loop in module.loops
        if loop.name == "network.certify"
    )
    certify._seen.clear()
    await world.mine(SEGMENT_BLOCKS)
    await world.work()
    first = await Certificate.find_all().sort("_id").first_or_none()
    assert first.reread_blocks > 0
    answer = await world.get(f"/tron/network/certificates/{first.from_block}/check")
    assert answer.json()["agrees"] is True


async def test_a_second_node_confirms_or_contradicts(mongo: Any, tmp_path: Path) -> None:
    second = SecondNode()
    async with world_of(mongo, tmp_path, second_node=second) as world:
        await world.mine(SEGMENT_BLOCKS)
        await world.work()
        (row, *_) = await page(world, "certificates")
        path = f"/tron/network/certificates/{row['from_block']}/check"
        assert (await world.get(path, node="second")).json()["agrees"] is True
        second.lies = True
        lied = (await world.get(path, node="second")).json()
        assert (lied["agrees"], lied["node"]) == (False, "second")
        assert (await world.get(path, node="devnet")).json()["agrees"] is True
        unknown = await world.get(path, node="nobody")
        assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_node")


async def test_transactions_in_a_sum_are_counted_as_at_least_so_many(world: World) -> None:
    """The journal keeps of a sum how many they are, but not whether another has them, too."""

    def posting(ref: str) -> Posting:
        return Posting(WORLD, f"{ALICE}:available", "USDT", 5, ref)

    postings = [posting("ab:sum:21000"), posting("cd:log:0"), posting("ord_1"), posting("ab:sum:2")]
    for number, kept in enumerate((postings, [posting("ef:log:0")], [posting("ab:fee")])):
        entry = LedgerEntry(
            id=10**9 + number,
            cause=f"block:{10**9 + number}",
            at=world.house.clock.now(),
            postings=kept,
            block_number=10**9 + number,
            previous_hash="",
            hash="",
        )
        await entry.insert()
    counted = network_store.booked_transactions
    assert await counted(10**9, 10**9 + 2) == (21_001, False)
    assert await counted(10**9 + 1, 10**9 + 2) == (2, True)

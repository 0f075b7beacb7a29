"""A wallet's history: every solid movement once, with the order behind it."""

from typing import Any

from wallet_world import BOB, NOW, TEST_USDT, World, bearer, build_world, order, raw_of, served

from tron_payment import chain
from tron_payment.chain import SolidBlock, SolidTransaction, Transfer
from tron_payment.core.address import Address
from tron_payment.core.clock import to_ms
from tron_payment.db.cas import insert_once
from tron_payment.engine.documents import contract_document, stored
from tron_payment.engine.domain import Attempt
from tron_payment.wallets import OURSELVES

NOW_MS = to_ms(NOW)


def solid(number: int, *raws: bytes, fee_sun: int = 0) -> SolidBlock:
    transactions = tuple(
        SolidTransaction(
            raw,
            chain.Receipt(
                id=chain.txid(raw),
                block_number=number,
                block_timestamp_ms=NOW_MS + number * 3_000,
                fee_sun=fee_sun,
            ),
            index,
        )
        for index, raw in enumerate(raws)
    )
    block_id = f"{number:016x}" + "0" * 48
    return SolidBlock(number, block_id, "0" * 64, NOW_MS + number * 3_000, transactions)


def transfer(sender: str, recipient: str, sun: int, timestamp_ms: int) -> bytes:
    return chain.encode(
        chain.RawData(
            contract=Transfer(Address(sender), Address(recipient), sun),
            ref_block_bytes=b"\0\1",
            ref_block_hash=b"\2" * 8,
            expiration_ms=NOW_MS + 60_000,
            timestamp_ms=timestamp_ms,
        )
    )


async def test_movements_are_listed_newest_first_with_their_orders(mongo: Any) -> None:
    world: World = await build_world(mongo)
    hot = await world.wallets.create(OURSELVES, label="hot")
    deposits = await world.wallets.create_hd(OURSELVES, label="deposits")
    issued = await world.wallets.issue_address(deposits.id)
    it = order(
        hot,
        subject="pay_7",
        contract=contract_document(Transfer(Address(hot.address), issued.address, 5_500_000)),
    )
    ours = raw_of(it)
    it.attempts = [
        stored(Attempt(1, chain.txid(ours), ours, (b"\0" * 65,), 0, 1, 2, 1, NOW, None, None))
    ]
    await insert_once(it)
    arrives = transfer(BOB, hot.address, 9_000_000, 1)
    stranger = transfer(BOB, TEST_USDT, 1, 2)
    on_block = world.module.on_block
    assert on_block is not None
    for _ in range(2):
        await on_block(solid(1, arrives, stranger))
        await on_block(solid(2, ours, fee_sun=1_100))
    async with served(world) as client:
        path = f"/wallets/{hot.id}/transactions"
        rows = (await client.get(path)).json()["data"]
        assert [(row["kind"], row["direction"], row["amount"]) for row in rows][::-1][:1] == [
            ("transfer", "in", "9")
        ]
        assert {(r["kind"], r["direction"], r["amount"], r["subject"]) for r in rows[:2]} == {
            ("transfer", "out", "5.5", "pay_7"),
            ("fee", "out", "0.0011", "pay_7"),
        }
        assert len(rows) == 3 and rows[2]["counterparty"] == BOB
        assert rows[2]["block_number"] == 1 and rows[2]["order_id"] is None
        first = (await client.get(path, params={"limit": 2})).json()
        assert first["has_more"]
        rest = (await client.get(path, params={"cursor": first["next_cursor"]})).json()
        assert first["data"] + rest["data"] == rows
        (received,) = (await client.get(f"/wallets/{deposits.id}/transactions")).json()["data"]
        assert (received["address"], received["direction"]) == (issued.address, "in")
        assert received["counterparty"] == hot.address
        foreign = await client.get(path, headers=bearer("merchant", "shop"))
        assert foreign.status_code == 404


async def test_a_failed_transaction_shows_only_its_fee(mongo: Any) -> None:
    world: World = await build_world(mongo)
    hot = await world.wallets.create(OURSELVES, label="hot")
    raw = transfer(hot.address, BOB, 5, 1)
    receipt = chain.Receipt(id=chain.txid(raw), block_number=3, fee_sun=270, result="FAILED")
    assert world.module.on_block is not None
    await world.module.on_block(
        SolidBlock(3, "0" * 64, "0" * 64, NOW_MS, (SolidTransaction(raw, receipt, 0),))
    )
    async with served(world) as client:
        rows = (await client.get(f"/wallets/{hot.id}/transactions")).json()["data"]
    assert [(row["kind"], row["amount"]) for row in rows] == [("fee", "0.00027")]

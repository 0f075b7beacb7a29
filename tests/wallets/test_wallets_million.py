"""What is asked for each issued address and each block costs the same among very many addresses."""

from collections.abc import Awaitable, Callable
from typing import Any

from wallet_world import build_world

from tron_payment.core.address import address_bytes
from tron_payment.gateway import Payment
from tron_payment.gateway.documents import by_keys
from tron_payment.wallets import OURSELVES, HdAddress

MANY = 300


async def _looked_at(collection: Any, act: Callable[[], Awaitable[Any]]) -> int:
    """Documents that the server looked at in this collection while this was done."""
    database = collection.database
    await database.command({"profile": 2})
    await act()
    await database.command({"profile": 0})
    rows = database["system.profile"].find({"ns": collection.full_name})
    return sum([row.get("docsExamined", 0) async for row in rows])


async def test_issuing_for_a_subject_looks_at_few_of_many_addresses(mongo: Any) -> None:
    world = await build_world(mongo)
    wallet = await world.wallets.create_hd(OURSELVES, label="deposits")
    await world.wallets.addresses.fill(wallet, MANY)
    await world.wallets.issue_address(wallet.id, "inv_0")

    async def issue() -> None:
        first = await world.wallets.issue_address(wallet.id, "inv_1")
        assert await world.wallets.issue_address(wallet.id, "inv_1") == first

    looked_at = await _looked_at(HdAddress.get_pymongo_collection(), issue)
    assert looked_at < 10, f"{looked_at} of {MANY}"


async def test_the_invoice_of_an_address_is_found_without_looking_at_the_others(mongo: Any) -> None:
    world = await build_world(mongo)
    await mongo.connect([Payment])
    wallet = await world.wallets.create_hd(OURSELVES, label="deposits")
    rows = await HdAddress.find({"wallet_id": wallet.id}).to_list()
    keys = [address_bytes(row.id)[1:] for row in rows]  # type: ignore[arg-type]
    payments = Payment.get_pymongo_collection()
    await payments.insert_many([{"_id": str(n), "address_key": k} for n, k in enumerate(keys)])

    async def ask() -> None:
        assert await by_keys([bytes(20), bytes(19) + b"\1"]) == {}

    assert await _looked_at(payments, ask) == 0

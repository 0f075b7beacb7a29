"""Forgetting beside others who forget, and after a kill in the middle: no name comes back."""

import zlib
from typing import Any

import msgspec
import pytest

from tests.ops.test_keeping import OLD, YOUNG, World, all_of
from tests.ops.test_keeping import world as world
from tron_payment import keeping
from tron_payment.payouts.batch_documents import pack_refused


async def test_dying_in_the_middle_of_forgetting_payments_forgets_them_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What events and kept webhooks say of them, too: notes, and where the buyer was sent back."""
    notes = {"metadata": {"name": "alice"}, "return_url": "https://shop.example/alice"}
    await world.database["payments"].insert_one(
        {"_id": "inv_1", **notes, "created_at": OLD, "updated_at": OLD, "status": "settled"}
    )
    await world.database["events"].insert_one(
        {"_id": "evt_1", "seq": 1, "object_id": "inv_1", "data": {"amount": "5", **notes}}
    )
    told = {"data": {"amount": "5", **notes}}
    row = {"_id": "dlv_1", "endpoint_id": "end_1", "object_id": "inv_1", "status": "pending"}
    body = {"body": msgspec.json.encode(told), "since": YOUNG}
    await world.database["webhook_deliveries"].insert_one(row | body)

    async def dies(_: Any) -> None:
        raise ConnectionError("killed")

    with monkeypatch.context() as killed, pytest.raises(ConnectionError):
        killed.setattr(keeping, "_erase_events", dies)
        await world.keeping().step()
    await all_of(world.keeping())
    after = {"amount": "5", "metadata": {}, "return_url": None}
    assert (await world.database["events"].find_one())["data"] == after
    kept = await world.database["webhook_deliveries"].find_one()
    assert msgspec.json.decode(kept["body"])["data"] == after
    payment = await world.database["payments"].find_one()
    assert payment["metadata"] == {} and "return_url" not in payment


@pytest.mark.parametrize("meanwhile", ["retention", "another person"])
async def test_erasing_beside_others_writes_no_name_back(
    world: World, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    rows = [{"user_id": each, "amount": "1", "metadata": {}} for each in ("alice", "bob", "carol")]
    packed = zlib.compress(b"\n".join(map(msgspec.json.encode, rows)))
    batch = {"_id": "bat_1", "status": "completed", "stage": "done", "version": 3, "rows": packed}
    times = {"refused": pack_refused([]), "created_at": OLD, "updated_at": OLD}
    await world.database["batches"].insert_one(batch | times)
    real, once = keeping.forget_about, []

    async def slow(ids: Any) -> None:
        if not once:
            once.append(1)
            if meanwhile == "retention":
                await all_of(world.keeping())
            else:
                await world.keeping(0).erase("bob")
        await real(ids)

    monkeypatch.setattr(keeping, "forget_about", slow)
    await world.keeping(0).erase("alice")
    row = await world.database["batches"].find_one()
    left = zlib.decompress(row["rows"])
    assert b"alice" not in left and b"bob" not in left
    assert (b"carol" in left) == (meanwhile != "retention")

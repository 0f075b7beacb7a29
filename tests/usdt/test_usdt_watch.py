"""What the issuer of USDT does is noticed, told, and holds money back while it matters."""

from datetime import timedelta
from typing import Any

from tests.usdt.world import ALICE, BOB, SOLID, World
from tron_payment.db.audit import AuditEntry


async def send(world: World, to: str = ALICE) -> dict[str, Any]:
    body = {"wallet_id": await world.wallet_id(), "to_address": to, "amount": "1"}
    answer = await world.post("/usdt/transfer", body)
    assert answer.status_code == 202, answer.text
    return answer.json()


async def seen(world: World, transfer: dict[str, Any]) -> dict[str, Any]:
    return (await world.get(f"/usdt/transfers/{transfer['transfer_id']}")).json()


async def test_a_pause_holds_transfers_back_until_it_ends(world: World) -> None:
    await world.issuer("pause")
    assert (await world.get("/usdt/watch")).json()["paused"] is True
    transfer = await send(world)
    await world.work()
    waiting = await seen(world, transfer)
    assert (waiting["status"], waiting["waiting_for"]) == ("queued", "token_paused")

    await world.issuer("unpause")
    await world.mine(SOLID)
    await world.settle()
    assert (await seen(world, transfer))["status"] == "settled"
    notices = (await world.get("/usdt/watch")).json()["notices"]
    assert [each["kind"] for each in notices] == ["Unpause", "Pause"]
    audited = await AuditEntry.find({"action": {"$in": ["token.pause", "token.unpause"]}}).count()
    assert audited == 2


async def test_a_fee_would_shorten_payments_so_they_wait(world: World) -> None:
    await world.issuer("setParams", 10, 20)
    transfer = await send(world)
    await world.work()
    assert (await seen(world, transfer))["waiting_for"] == "token_fee_active"
    said = (await world.get("/usdt/watch")).json()
    assert (said["fee_basis_points"], said["paused"]) == (10, False)
    await world.issuer("setParams", 0, 0)
    await world.mine(SOLID)
    await world.settle()
    assert (await seen(world, transfer))["status"] == "settled"


async def test_who_is_blacklisted_after_acceptance_is_not_paid(world: World) -> None:
    body = {"wallet_id": await world.wallet_id(), "to_address": BOB, "amount": "1"}
    assert (await world.post("/usdt/transfer", body)).status_code == 202
    await world.issuer("addBlackList", BOB)
    await world.mine(SOLID)
    world.clock.advance(timedelta(seconds=6))
    await world.settle()
    (listed,) = (await world.get("/usdt/transfers")).json()["data"]
    assert (listed["status"], listed["waiting_for"]) == ("queued", "recipient_blacklisted")
    (notice,) = (await world.get("/usdt/watch")).json()["notices"]
    assert (notice["kind"], notice["details"]["address"]) == ("AddedBlackList", BOB)

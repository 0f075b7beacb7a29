"""What the issuer of USDT does is noticed, told, and holds money back while it matters."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from tests.conftest import Mongo
from tests.engine.network import TOKEN
from tests.usdt.world import ALICE, BOB, SOLID, World
from tron_payment.chain import SolidBlock, SolidTransaction
from tron_payment.chain.answers import LogPart, Receipt
from tron_payment.contracts import artifact
from tron_payment.core.address import address_bytes
from tron_payment.core.clock import ManualClock
from tron_payment.db.audit import Audit, AuditEntry
from tron_payment.db.faults import StoreUnavailable
from tron_payment.usdt import documents
from tron_payment.usdt.documents import TokenNotice
from tron_payment.usdt.watch import Watch

USDT = artifact("TestUSDT")


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


async def test_an_upgraded_token_moves_nothing(world: World) -> None:
    """Nobody here knows what the other contract does with a transfer, or what its events say."""
    successor = await world.deploy_token("Tether USD", "USDT", 6)
    await world.issuer("deprecate", successor)
    transfer = await send(world)
    await world.work()
    waiting = await seen(world, transfer)
    assert (waiting["status"], waiting["waiting_for"]) == ("queued", "token_deprecated")


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


async def test_what_the_issuer_did_is_in_the_audit_log_once_wherever_the_process_died(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mongo.connect([AuditEntry, TokenNotice])
    clock = ManualClock(datetime(2026, 11, 21, tzinfo=UTC))
    watch = Watch(
        ledger=cast("Any", None), audit=Audit(clock), screening=cast("Any", None), usdt=TOKEN
    )
    log = LogPart(address_bytes(TOKEN)[1:].hex(), [USDT.topic("Pause").hex()], "")
    paused = SolidTransaction(b"", Receipt(id="ab" * 32, log=[log]))
    block = SolidBlock(7, "07" * 32, "06" * 32, 21_000, (paused,))

    async def dies(*_: object) -> bool:
        raise StoreUnavailable("killed here")

    for name in ("insert_once", "append"):
        with monkeypatch.context() as patch:
            if name == "append":
                patch.setattr(Audit, name, dies)
            else:
                patch.setattr(documents, name, dies)
            with pytest.raises(StoreUnavailable):
                await watch.on_block(block)
    for _ in range(2):
        await watch.on_block(block)
    (entry,) = await AuditEntry.find_all().to_list()
    assert (entry.action, entry.after) == ("token.pause", {"block": 7, "txid": "ab" * 32})
    assert await TokenNotice.count() == 1

"""One key at two processes at once, near a limit: no answer is a refusal, whatever was counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.conftest import Mongo
from tests.gateway.test_deposits import PAYER
from tests.gateway.test_doors import UNIT, enforce, treasury
from tests.gateway.test_refunds import body, paid
from tests.gateway.world import Payer, World, again, somebody
from tron_payment.http.idempotency import StoredRequest
from tron_payment.payouts.limits import Ceiling, LimitEntry, Window

CAROL = somebody(0xCA201)
KEY = "one-and-the-same-key"
LIMITS = tuple(Ceiling("all", Window.DAY, each, 20 * UNIT) for each in ("USDT", "TRX"))


async def asked_of(world: World, door: str) -> tuple[str, dict[str, Any], str]:
    """A path, a body that takes more than half of the limit, and who asks."""
    match door:
        case "transfer":
            more = {"wallet_id": await treasury(world), "to_address": CAROL, "amount": "12.5"}
            return "/usdt/transfer", more, "operator"
        case "refund":
            return "/payments/refund", body(await paid(world), "12.5"), "merchant"
        case "contract":
            call = {"contract_address": CAROL, "data": "d09de08a", "call_value_trx": "12.5"}
            return "/payments/process", {"kind": door, **call}, "operator"
    return "/payments/process", {"kind": door, "to_address": CAROL, "amount": "12.5"}, "operator"


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


@asynccontextmanager
async def held_before(
    world: World, operations: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[asyncio.Event, asyncio.Event]]:
    """This process stands still before it stores its acceptance: it is there, and goes on."""
    there, go_on, insert = asyncio.Event(), asyncio.Event(), world.house.inserts.insert

    async def gated(document: Any) -> bool:
        if isinstance(document, StoredRequest) and document.operation in operations:
            there.set()
            await asyncio.wait_for(go_on.wait(), 60)
        return bool(await insert(document))

    monkeypatch.setattr(world.house.inserts, "insert", gated)
    try:
        yield there, go_on
    finally:
        go_on.set()


@pytest.mark.parametrize("door", ["transfer", "usdt", "trx", "contract", "refund"])
async def test_what_a_twin_has_counted_refuses_nobody(
    gateway: World, mongo: Mongo, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    path, asked, role = await asked_of(gateway, door)
    await enforce(gateway, ceilings=LIMITS)
    last = {  # what is accepted after the limit was counted
        "transfer": "usdt.transfer",
        "refund": "payments.refund",
        "contract": "payments.process",
    }.get(door, f"payments.{door}")
    async with again(mongo, gateway) as other, held_before(gateway, (last,), monkeypatch) as gate:
        there, go_on = gate
        first = asyncio.create_task(gateway.post(path, asked, role=role, key=KEY))
        await asyncio.wait_for(there.wait(), 60)
        early = await other.post(path, asked, role=role, key=KEY)
        assert told(early) == (409, "idempotency_in_flight")
        assert early.json()["retryable"] and early.headers["Retry-After"]
        go_on.set()
        accepted = await asyncio.wait_for(first, 60)
        assert accepted.status_code == 202, accepted.text
        repeated = await other.post(path, asked, role=role, key=KEY)
        assert repeated.status_code == 202, repeated.text
        assert repeated.json() == accepted.json()
        third = await other.post(path, asked, role=role, key="another-key-of-theirs")
        assert told(third) == (422, "limit_exceeded")
    assert await counted() == 12.5 * UNIT


@pytest.mark.parametrize("door", ["transfer", "trx", "refund"])
async def test_a_crowd_of_twins_at_two_processes_is_told_one_answer(
    gateway: World, mongo: Mongo, door: str
) -> None:
    path, asked, role = await asked_of(gateway, door)
    await enforce(gateway, ceilings=LIMITS)
    async with again(mongo, gateway) as other:

        async def send(world: World) -> httpx.Response:
            for _ in range(100):
                answer = await world.post(path, asked, role=role, key=KEY)
                if told(answer) != (409, "idempotency_in_flight"):
                    return answer
                await asyncio.sleep(0.02)
            raise AssertionError("never answered")

        answers = await asyncio.gather(*(send((gateway, other)[n % 2]) for n in range(16)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert await counted() == 12.5 * UNIT


async def counted() -> int:
    """Units that count against the limits in the end."""
    entries = await LimitEntry.find_all().to_list()
    held = sum(hold.units for entry in entries for hold in entry.holds or ())
    return held - sum(hold.units for entry in entries for hold in entry.releases or ())


async def test_a_whole_refund_is_not_refused_for_being_given_already(
    gateway: World, mongo: Mongo
) -> None:
    asked = body(await paid(gateway), "25")
    async with again(mongo, gateway) as other:
        answers = await asyncio.gather(
            *((gateway, other)[n % 2].post("/payments/refund", asked, key=KEY) for n in range(12))
        )
        assert {told(each) for each in answers} <= {(202, ""), (409, "idempotency_in_flight")}
        last = await other.post("/payments/refund", asked, key=KEY)
    assert last.status_code == 202
    assert last.headers["Idempotent-Replayed"] == "true"


async def test_a_refund_whose_acceptance_is_gone_is_known_by_its_own_part(gateway: World) -> None:
    invoice = await paid(gateway)
    asked = body(invoice, "25")
    first = await gateway.post("/payments/refund", asked, key=KEY)
    await StoredRequest.find({"operation": "payments.refund"}).delete()
    repeated = await gateway.post("/payments/refund", asked, key=KEY)
    assert (repeated.status_code, repeated.json()) == (202, first.json())
    await StoredRequest.find({"operation": "payments.refund"}).delete()
    other = await gateway.post("/payments/refund", body(invoice, "24"), key=KEY)
    assert told(other) == (422, "idempotency_key_reused")


async def test_refunds_at_once_do_not_pass_the_allow_list_together(gateway: World) -> None:
    invoice = await paid(gateway)  # 25, by PAYER
    other = Payer(0x7777)
    for amount, currency in (("1000", "TRX"), ("100", "USDT")):
        await gateway.fund(other.address, amount, currency)
        await gateway.devnet.mine()
    await gateway.pay(other, invoice["address"], "75")
    await gateway.solidify()
    await enforce(gateway, allow_list=True)
    back = body(invoice, "25", PAYER.address)
    answers = await asyncio.gather(*(gateway.post("/payments/refund", back) for _ in range(4)))
    assert sorted(map(told, answers)) == [(202, ""), *[(422, "recipient_not_allowed")] * 3]
    rest = await gateway.post("/payments/refund", body(invoice, "75", other.address))
    assert rest.status_code == 202, rest.text

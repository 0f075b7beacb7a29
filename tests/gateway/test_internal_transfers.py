"""TRX that contracts send to invoices, told by nodes that do not all keep it or are away.

Two of three have to agree; A and C keep internal transactions, B does not.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from tests.client_pool import ClientPool
from tests.conftest import Mongo
from tests.gateway.test_deposits import PAYER, word
from tests.gateway.test_reconciliation import run
from tests.gateway.world import SOLID_LAG, World, world
from tron_payment.chain import NodeClient, Nodes
from tron_payment.core.address import Address, address_of_hex
from tron_payment.db.faults import StoreUnavailable
from tron_payment.db.ledger import Pocket
from tron_payment.engine import InternalVerdict, OpeningRequest
from tron_payment.engine.internal import AHEAD_BLOCKS
from tron_payment.engine.internal_documents import ASK_PAUSE
from tron_payment.gateway import deposits

FORWARDS = "600f80600b6000396000f3" + "600060006000600034600035" + "5af100"
"""A contract that sends what it is called with to the address in its call data."""

AMOUNT_SUN = 25_000_000
BLOCK = timedelta(seconds=3)


class Node(httpx.AsyncBaseTransport):
    """The devnet as one node shows it."""

    def __init__(self, devnet: Any, keeps: bool) -> None:
        self._inner = httpx.ASGITransport(devnet.asgi)
        self.keeps = keeps
        self.away = False
        self.adds: list[Any] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("away")
        answer = await self._inner.handle_async_request(request)
        body = json.loads(await answer.aread() or b"{}")
        if isinstance(body, list) and not self.keeps:
            body = [
                {name: value for name, value in each.items() if name != "internal_transactions"}
                for each in body
            ]
        for each in body if isinstance(body, list) else ():
            if "internal_transactions" in each:
                each["internal_transactions"] += self.adds
        return httpx.Response(answer.status_code, json=body)


@dataclass
class Three:
    shop: World
    made: list[Node]
    nodes: Nodes
    forwarder: str

    def away(self, place: int, is_away: bool = True) -> None:
        self.made[place].away = is_away
        for member in self.nodes.members:
            member.breaker.succeeded()  # a test has no time to rest

    async def pays(self, invoice: Any) -> None:
        call = await self.shop.call(PAYER, self.forwarder, word(invoice["address"]), AMOUNT_SUN)
        await self.shop.send(PAYER, call)

    async def follow(self) -> None:
        """Whatever fails is tried again."""
        await self.shop.devnet.mine(SOLID_LAG + 2)
        for _ in range(4):
            try:
                await self.shop.work()
            except StoreUnavailable:
                continue
            return

    async def due(self) -> None:
        """What was asked for once may be asked for again."""
        await self.shop.devnet.mine(-(-ASK_PAUSE // BLOCK))

    async def later(self) -> None:
        """Past the block in which a late one counts."""
        for _ in range(AHEAD_BLOCKS // 10 + 2):
            await self.shop.devnet.mine(10)
            await self.shop.work()
        await self.shop.solidify()

    async def outcome(self, invoice: Any) -> tuple[str, str, bool]:
        """Status, what was received, and whether the books equal the chain."""
        await run(self.shop)
        await self.shop.devnet.mine()
        await self.shop.work()
        report = await run(self.shop)
        found = await self.shop.payment(invoice["payment_id"])
        return found["status"], found["received"], report["balanced"]


PAID = ("paid", "25", True)
WAITS = ("awaiting_payment", "0", False)


@pytest.fixture
async def three(mongo: Mongo) -> AsyncIterator[Three]:
    async with world(mongo) as shop:
        made = [Node(shop.devnet, keeps) for keeps in (True, False, True)]
        clients = []
        for place, each in enumerate(made):
            url = f"http://n{place}.example"
            pool = ClientPool(httpx.AsyncClient(transport=each, base_url=url))
            clients.append(NodeClient(f"node-{place}", url, url, pool, SecretStr(""), 15))
        nodes = Nodes(clients, 2)
        shop.assembly.follower._nodes = nodes
        shop.house.engine.internal._nodes = nodes
        await shop.fund(PAYER.address, "50000")
        await shop.solidify()
        built = await shop._wallet(
            "deploycontract",
            owner_address=PAYER.raw.hex(),
            name="F",
            abi="[]",
            bytecode=FORWARDS,
            fee_limit=10**10,
            consume_user_resource_percent=100,
            origin_energy_limit=10**7,
        )
        txid = await shop.send(PAYER, built)
        await shop.tick()
        info = await shop._wallet("gettransactioninfobyid", value=txid)
        yield Three(shop, made, nodes, address_of_hex(info["contract_address"]))


def dies_once(monkeypatch: pytest.MonkeyPatch, then: Any) -> None:
    """The process dies after the books have the block and before the invoice has it."""
    real, left = deposits.insert_many_once, [1]

    async def dying(documents: Any) -> Any:
        if left.pop() if left else 0:
            then()
            raise StoreUnavailable("killed here")
        return await real(documents)

    monkeypatch.setattr(deposits, "insert_many_once", dying)


async def test_it_is_credited_when_all_are_there(three: Three) -> None:
    invoice = await three.shop.invoice("25", "TRX")
    await three.pays(invoice)
    await three.follow()
    assert await three.outcome(invoice) == PAID


async def test_a_node_that_was_away_proves_it_later(three: Three) -> None:
    invoice = await three.shop.invoice("25", "TRX")
    three.away(2)
    await three.pays(invoice)
    await three.follow()
    assert await three.outcome(invoice) == WAITS
    (verdict,) = await InternalVerdict.find_all().to_list()
    assert verdict.counted_in is None and str(AMOUNT_SUN) in verdict.told[0]
    three.away(2, False)
    await three.later()
    assert await three.outcome(invoice) == PAID
    await three.later()
    assert await three.outcome(invoice) == PAID, "once"


async def test_the_process_dies_between_the_handlers_of_the_block_in_which_it_counts_late(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice = await three.shop.invoice("25", "TRX")
    three.away(2)
    await three.pays(invoice)
    await three.follow()
    three.away(2, False)
    dies_once(monkeypatch, lambda: three.away(2))
    with pytest.raises(StoreUnavailable):
        await three.later()
    await three.later()
    assert await three.outcome(invoice) == PAID


@pytest.mark.parametrize("first_away", [False, True])
async def test_books_and_invoice_say_the_same_wherever_the_process_dies(
    three: Three, monkeypatch: pytest.MonkeyPatch, first_away: bool
) -> None:
    invoice = await three.shop.invoice("25", "TRX")
    other = await three.shop.invoice("25", "TRX")
    three.away(2, first_away)
    dies_once(monkeypatch, lambda: three.away(2, not first_away))
    await three.shop.pay(PAYER, other["address"], "25", "TRX")  # so that handlers meet the block
    await three.pays(invoice)
    await three.follow()
    assert await three.outcome(invoice) == (WAITS if first_away else PAID)
    three.away(2, False)
    await three.later()
    assert await three.outcome(invoice) == PAID
    assert (await three.outcome(other))[0] == "paid"


async def test_a_reader_that_keeps_none_repeats_what_was_counted(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one node is enough, the next one may tell nothing at all."""
    one = Nodes([member.client for member in three.nodes.members][:2])
    three.shop.assembly.follower._nodes = one
    invoice = await three.shop.invoice("25", "TRX")
    dies_once(monkeypatch, lambda: three.away(0))
    await three.pays(invoice)
    await three.follow()
    assert await three.outcome(invoice) == PAID


async def opened(three: Three, invoice: Any) -> None:
    """Its books begin with what the chain says: as when a wallet is imported or restored."""
    await three.shop.house.openings.request(Address(invoice["address"]))
    await three.later()
    assert await OpeningRequest.find_all().to_list() == []


async def books(three: Three, invoice: Any) -> int:
    sides = (Address(invoice["address"]), Pocket.AVAILABLE, "TRX")
    return int(await three.shop.house.ledger.balance(*sides))


@pytest.fixture
async def unswept(three: Three) -> Three:
    three.shop.quiet = frozenset({"gateway.sweep"})
    return three


async def test_books_that_were_opened_before_take_it_late(unswept: Three) -> None:
    three = unswept
    invoice = await three.shop.invoice("25", "TRX")
    await opened(three, invoice)
    three.away(2)
    await three.pays(invoice)
    await three.follow()
    three.away(2, False)
    await three.later()
    assert await three.outcome(invoice) == PAID
    assert await books(three, invoice) == AMOUNT_SUN


@pytest.mark.parametrize("proved_before", [False, True])
async def test_an_opening_balance_that_holds_it_already_is_not_doubled(
    unswept: Three, proved_before: bool
) -> None:
    three = unswept
    invoice = await three.shop.invoice("25", "TRX")
    three.away(2)
    await three.pays(invoice)
    await three.follow()
    if proved_before:
        three.away(2, False)
        await three.due()
        assert await three.shop.house.engine.internal.step()
    await opened(three, invoice)
    three.away(2, False)
    await three.later()
    assert await books(three, invoice) == AMOUNT_SUN
    assert (await three.outcome(invoice))[2], "books equal chain"
    (verdict,) = await InternalVerdict.find_all().to_list()
    assert (verdict.counted_in is not None) == proved_before


async def test_what_one_node_tells_of_no_money_stops_nobody(three: Three) -> None:
    """Stakes of any size, and more than there is."""
    names = {"caller_address": "41" + "11" * 20, "transferTo_address": "41" + "22" * 20}
    three.made[0].adds = [
        {**names, "callValueInfo": [{"callValue": 10**25}], "note": b"freezeForEnergy".hex()},
        {**names, "callValueInfo": [{"callValue": 10**25}], "note": b"call".hex()},
        *[{**names, "callValueInfo": [{}], "note": b"call".hex()}] * 50_000,
    ]
    invoice = await three.shop.invoice("25", "TRX")
    await three.pays(invoice)
    await three.follow()
    assert await three.outcome(invoice) == PAID

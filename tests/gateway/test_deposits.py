"""Every way in which money comes to an invoice, or seems to."""

from dataclasses import asdict
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from tests.conftest import Mongo
from tests.gateway.world import SOLID_LAG, Payer, World, again
from tron_payment.chain import READ_AHEAD_BLOCKS, SolidTransaction
from tron_payment.core.address import address_bytes
from tron_payment.core.money import parse_units
from tron_payment.db.ledger import Holder
from tron_payment.gateway import Deposit, Payment
from tron_payment.gateway.deposits import EVENTS_STUCK_MAX, EVENTS_WAITING_MAX
from tron_payment.gateway.documents import Happening
from tron_payment.wallets import Wallets

PAYER = Payer(0xA11CE)


@pytest.fixture
async def shop(gateway: World) -> World:
    """A service, and a payer with money."""
    await gateway.fund(PAYER.address, "50000")
    await gateway.fund(PAYER.address, "5000", "USDT")
    await gateway.solidify()
    return gateway


def shown(payment: dict[str, Any]) -> tuple[str, str, str, str]:
    return payment["status"], payment["received"], payment["refunded"], payment["due"]


async def test_an_invoice_has_an_address_of_its_own_and_waits(shop: World) -> None:
    first, second = await shop.invoice("25"), await shop.invoice("25.50")
    assert first["status"] == "awaiting_payment"
    assert first["address"] != second["address"]
    assert (first["amount"], second["amount"]) == ("25", "25.5")
    assert shown(first) == ("awaiting_payment", "0", "0", "25")
    assert first["checkout_url"] == f"https://pay.example/checkout/{first['payment_id']}"
    assert first["payment_id"].startswith("inv_")


async def test_the_same_key_gives_the_same_invoice_and_address(shop: World) -> None:
    body = {"kind": "invoice", "amount": "5", "currency": "USDT"}
    key = "the-same-key-twice"
    first = await shop.post("/payments/process", body, key=key)
    second = await shop.post("/payments/process", body, key=key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    other = await shop.post("/payments/process", body | {"amount": "6"}, key=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await Payment.find_all().count() == 1


@pytest.mark.parametrize("currency", ["USDT", "TRX"])
async def test_paid_in_full_is_paid_once_the_block_is_solid_and_not_before(
    shop: World, currency: str
) -> None:
    invoice = await shop.invoice("25", currency)
    txid = await shop.pay(PAYER, invoice["address"], "25", currency)
    await shop.tick()
    early = await shop.payment(invoice["payment_id"])
    assert shown(early) == ("awaiting_payment", "0", "0", "25")
    assert [(each["txid"], each["amount"]) for each in early["seen"]] == [(txid, "25")]
    await shop.tick(SOLID_LAG - 1)
    assert (await shop.payment(invoice["payment_id"]))["status"] == "awaiting_payment"
    await shop.tick()
    paid = await shop.payment(invoice["payment_id"])
    assert shown(paid) == ("paid", "25", "0", "0")
    assert [each["outcome"] for each in paid["deposits"]] == ["credited"]
    assert paid["deposits"][0]["sender"] == PAYER.address
    assert paid["seen"] == []


async def test_in_parts_then_full(shop: World) -> None:
    invoice = await shop.invoice("25")
    await shop.pay(PAYER, invoice["address"], "10")
    await shop.solidify()
    assert shown(await shop.payment(invoice["payment_id"])) == ("partially_paid", "10", "0", "15")
    await shop.pay(PAYER, invoice["address"], "15")
    await shop.solidify()
    assert shown(await shop.payment(invoice["payment_id"])) == ("paid", "25", "0", "0")


async def test_too_much_and_twice_are_overpaid(shop: World) -> None:
    over, double = await shop.invoice("25"), await shop.invoice("25")
    await shop.pay(PAYER, over["address"], "25.000001")
    await shop.pay(PAYER, double["address"], "25")
    await shop.tick()
    await shop.pay(PAYER, double["address"], "25")
    await shop.solidify()
    assert shown(await shop.payment(over["payment_id"])) == ("overpaid", "25.000001", "0", "0")
    assert shown(await shop.payment(double["payment_id"])) == ("overpaid", "50", "0", "0")


async def test_it_expires_by_the_chains_clock_and_is_still_watched(shop: World) -> None:
    invoice = await shop.invoice("25", expires_in_s=600)
    await shop.wait(601)
    assert shown(await shop.payment(invoice["payment_id"])) == ("expired", "0", "0", "25")
    await shop.pay(PAYER, invoice["address"], "25")
    await shop.solidify()
    assert shown(await shop.payment(invoice["payment_id"])) == ("paid_late", "25", "0", "0")


async def test_in_time_is_what_the_block_says_whenever_we_hear_of_it(shop: World) -> None:
    """The payment stands in a block before the expiry; it is solid, and read, long after."""
    invoice = await shop.invoice("25", expires_in_s=600)
    await shop.pay(PAYER, invoice["address"], "25")
    await shop.devnet.mine()
    await shop.devnet.mine(40, skip_ms=45 * 60_000)
    await shop.work()
    assert shown(await shop.payment(invoice["payment_id"])) == ("paid", "25", "0", "0")


async def test_a_part_that_stays_a_part_expires_with_its_money_in_sight(shop: World) -> None:
    invoice = await shop.invoice("25", expires_in_s=600)
    await shop.pay(PAYER, invoice["address"], "10")
    await shop.wait(601)
    assert shown(await shop.payment(invoice["payment_id"])) == ("expired", "10", "0", "15")


async def test_another_currency_is_seen_and_not_credited(shop: World) -> None:
    invoice = await shop.invoice("25", "USDT")
    await shop.pay(PAYER, invoice["address"], "25", "TRX")
    await shop.solidify()
    payment = await shop.payment(invoice["payment_id"])
    assert shown(payment) == ("awaiting_payment", "0", "0", "25")
    (deposit,) = payment["deposits"]
    assert (deposit["outcome"], deposit["currency"]) == ("wrong_currency", "TRX")


async def test_a_token_that_calls_itself_usdt_is_nothing(shop: World) -> None:
    fake = await deploy_fake(shop)
    invoice = await shop.invoice("25")
    data = "a9059cbb" + word(invoice["address"]) + f"{parse_units(6, '25'):064x}"
    await shop.send(PAYER, await shop.call(PAYER, fake, data))
    await shop.solidify()
    payment = await shop.payment(invoice["payment_id"])
    assert shown(payment) == ("awaiting_payment", "0", "0", "25")
    (deposit,) = payment["deposits"]
    assert (deposit["outcome"], deposit["token"], deposit["amount"]) == (
        "unknown_token",
        fake,
        None,
    )


async def test_dust_zero_and_reverted_transfers_credit_nothing(shop: World) -> None:
    invoice = await shop.invoice("25")
    poor = Payer(0xB0B)
    await shop.fund(poor.address, "500")
    await shop.tick()
    await shop.pay(PAYER, invoice["address"], "0.000999")
    await shop.pay(PAYER, invoice["address"], "0")
    await shop.pay(poor, invoice["address"], "25")
    zero = word(PAYER.address) + word(invoice["address"]) + f"{0:064x}"
    await shop.send(poor, await shop.call(poor, shop.usdt, "23b872dd" + zero))
    await shop.solidify()
    payment = await shop.payment(invoice["payment_id"])
    assert shown(payment) == ("awaiting_payment", "0", "0", "25")
    assert [each["outcome"] for each in payment["deposits"]] == ["dust"]


async def test_what_we_send_ourselves_is_no_payment(shop: World) -> None:
    invoice = await shop.invoice("25")
    wallet = await shop.service(Wallets).find_by_address(shop.treasury)
    sent = await shop.post(
        "/usdt/transfer",
        {"wallet_id": wallet.id, "to_address": invoice["address"], "amount": "25"},
        role="operator",
    )
    assert sent.status_code == 202, sent.text
    await shop.tick(3)
    await shop.solidify()
    payment = await shop.payment(invoice["payment_id"])
    assert shown(payment) == ("awaiting_payment", "0", "0", "25")
    assert [each["outcome"] for each in payment["deposits"]] == ["own_wallet"]


async def test_twenty_in_one_block_to_one_address_are_twenty(shop: World) -> None:
    invoice = await shop.invoice("20")
    for number in range(20):
        await shop.pay(PAYER, invoice["address"], f"1.0000{number:02}")
    head = shop.devnet.chain.head.number
    await shop.solidify()
    payment = await shop.payment(invoice["payment_id"])
    assert {each["block_number"] for each in payment["deposits"]} == {head + 1}
    assert len(payment["deposits"]) == 20
    assert shown(payment) == ("overpaid", "20.00019", "0", "0")


async def test_a_crash_in_mid_block_neither_loses_nor_doubles(
    shop: World, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We die after each write of a block with three payments, and start again each time."""
    from tron_payment.gateway import deposits as module

    invoices = [await shop.invoice("10") for _ in range(3)]
    for invoice in invoices:
        await shop.pay(PAYER, invoice["address"], "10")
    await shop.devnet.mine(SOLID_LAG + 1)
    left = 0

    class Crash(BaseException):
        pass

    def burning(call: Any) -> Any:
        async def burn(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Crash
            answer = await call(*args, **kwargs)
            left -= 1
            if left == 0:
                raise Crash
            return answer

        return burn

    monkeypatch.setattr(module, "insert_many_once", burning(module.insert_many_once))
    monkeypatch.setattr(module, "compare_and_set_many", burning(module.compare_and_set_many))
    crashes = 0
    for point in range(1, 20):
        left = point
        async with again(mongo, shop) as world:
            try:
                while await world.assembly.follower.step():
                    pass
                break
            except Crash:
                crashes += 1
    left = -1
    async with again(mongo, shop) as last:
        await last.solidify()
        for invoice in invoices:
            assert shown(await last.payment(invoice["payment_id"])) == ("paid", "10", "0", "0")
    assert crashes == 4
    assert await Deposit.find_all().count() == 3


async def test_a_stop_of_forty_five_minutes_misses_nothing(shop: World, mongo: Mongo) -> None:
    invoices = [await shop.invoice("10", expires_in_s=7_200) for _ in range(4)]
    for invoice in invoices:
        await shop.pay(PAYER, invoice["address"], "10")
        await shop.devnet.mine(1, skip_ms=15 * 60_000)
    await shop.devnet.mine(SOLID_LAG + 2)
    async with again(mongo, shop) as later:
        await later.work()
        for invoice in invoices:
            assert shown(await later.payment(invoice["payment_id"])) == ("paid", "10", "0", "0")


async def test_a_merchant_sees_its_own_payments_only(shop: World) -> None:
    invoice = await shop.invoice("25")
    path = f"/payments/{invoice['payment_id']}"
    assert (await shop.get(path)).status_code == 200
    assert (await shop.get(path, sub="shop-2")).status_code == 404
    assert (await shop.get(path, role="auditor")).status_code == 200
    assert (await shop.get("/payments", sub="shop-2")).json()["data"] == []
    (row,) = (await shop.get("/payments?status=awaiting_payment")).json()["data"]
    assert row["payment_id"] == invoice["payment_id"]
    assert (await shop.get("/payments?status=paid")).json()["data"] == []
    assert (await shop.get("/payments?status=nonsense")).status_code == 422


async def test_a_canceled_invoice_takes_money_only_to_give_it_back(shop: World) -> None:
    invoice = await shop.invoice("25")
    path = f"/payments/{invoice['payment_id']}/cancel"
    for _ in range(2):
        assert (await shop.post(path, {})).json()["status"] == "canceled"
    await shop.pay(PAYER, invoice["address"], "25")
    await shop.solidify()
    assert shown(await shop.payment(invoice["payment_id"])) == ("paid_late", "25", "0", "0")
    assert (await shop.post(path, {})).json()["code"] == "invoice_not_open"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": 25}, "invalid_amount"),
        ({"amount": "0"}, "invalid_amount"),
        ({"amount": "1e3"}, "invalid_amount"),
        ({"amount": "1.0000001"}, "invalid_amount"),
        ({"currency": "EUR"}, "unknown_currency"),
        ({"kind": "gift"}, "invalid_field"),
        ({"expires_in_s": 0}, "invalid_field"),
        ({"return_url": "javascript:alert(1)"}, "invalid_url"),
        ({"return_url": "https://u:p@shop.example/"}, "invalid_url"),
        ({"colour": "red"}, "unknown_field"),
    ],
)
async def test_nonsense_is_refused(shop: World, change: dict[str, Any], code: str) -> None:
    body = {"kind": "invoice", "amount": "25", "currency": "USDT"} | change
    answer = await shop.post("/payments/process", body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


def word(address: str) -> str:
    return address_bytes(address)[1:].rjust(32, b"\0").hex()  # type: ignore[arg-type]


async def deploy_fake(shop: World) -> str:
    """The very code of the USDT, deployed by somebody else."""
    from tron_payment.contracts import artifact
    from tron_payment.core.address import address_of_hex

    code = artifact("TestUSDT")
    built = await shop.chain.post(
        "/wallet/deploycontract",
        json={
            "owner_address": PAYER.raw.hex(),
            "name": "TetherToken",
            "abi": "[]",
            "bytecode": code.init_code(10**15, "Tether USD", "USDT", 6).hex(),
            "fee_limit": 10_000_000_000,
            "consume_user_resource_percent": 100,
            "origin_energy_limit": 10_000_000,
        },
    )
    transaction = built.json()
    await shop.send(PAYER, transaction)
    await shop.tick()
    info = await shop.chain.post(
        "/wallet/gettransactioninfobyid", json={"value": transaction["txID"]}
    )
    return address_of_hex(info.json()["contract_address"])


async def _follow(process: World) -> None:
    """What stands in a block becomes final and is followed; no other loop runs."""
    await process.devnet.mine(SOLID_LAG + 2)
    while await process.assembly.follower.step():
        pass


async def _wallet_of_new_addresses(process: World) -> str:
    """Its addresses were never prepared before, so that they are new to every process."""
    body = {"label": uuid4().hex, "kind": "hd"}
    answer = await process.post("/wallets", body, role="operator")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["wallet_id"])


async def test_an_address_that_another_replica_issued_between_two_blocks_is_watched(
    shop: World, mongo: Mongo
) -> None:
    """The one that follows blocks hears of it from the journal alone."""
    for _ in range(2):
        await _follow(shop)  # it has filled its set by now
        async with again(mongo, shop) as other:
            wallet_id = await _wallet_of_new_addresses(other)
            invoice = await other.invoice("10", wallet_id=wallet_id)
            shop.keys = other.keys
        await shop.pay(PAYER, invoice["address"], "10")
        await _follow(shop)
        assert shown(await shop.payment(invoice["payment_id"])) == ("paid", "10", "0", "0")


async def test_issued_and_paid_while_the_follower_is_many_blocks_behind(
    shop: World, mongo: Mongo
) -> None:
    """Blocks are read ahead while replicas go on issuing; each is judged by what is known then."""
    await _follow(shop)
    follower, invoices = shop.assembly.follower, []
    for _ in range(3):
        await shop.devnet.mine(SOLID_LAG + 5 * READ_AHEAD_BLOCKS)
        for _ in range(3):  # it has read ahead, but not as far as what comes now
            assert await follower.step()
        async with again(mongo, shop) as other:
            wallet_id = await _wallet_of_new_addresses(other)
            invoices.append(await other.invoice("10", wallet_id=wallet_id, expires_in_s=86_400))
            shop.keys = other.keys
        await shop.pay(PAYER, invoices[-1]["address"], "10")
        position = await shop.house.cursors.load()
        assert position.number + 40 < (await shop.nodes.head()).number
    await _follow(shop)
    for invoice in invoices:
        assert shown(await shop.payment(invoice["payment_id"])) == ("paid", "10", "0", "0")


async def test_every_address_there_is_is_watched_although_the_books_lack_it(
    shop: World, mongo: Mongo
) -> None:
    """Parts of the store that were restored at different moments: the deposit is still seen."""
    invoice = await shop.invoice("10")
    await Holder.find({"_id": invoice["address"]}).delete()
    await shop.pay(PAYER, invoice["address"], "10")
    async with again(mongo, shop) as later:
        await _follow(later)
        assert shown(await later.payment(invoice["payment_id"])) == ("paid", "10", "0", "0")


async def test_thousands_of_worthless_deposits_in_one_block_leave_room_for_what_counts(
    shop: World,
) -> None:
    """Anybody may emit Transfer events; a payment holds its events until the outbox has them."""
    invoice = await shop.invoice("25")
    await shop.pay(PAYER, invoice["address"], "25")
    await shop.devnet.mine(SOLID_LAG + 2)
    follower = shop.assembly.follower
    real, worthless = follower._nodes.solid_block, 2_000

    async def with_dirt(number: int) -> Any:
        block = await real(number)
        made = []
        for each in block.transactions:
            if each.receipt.log:
                fake = msgspec.structs.replace(each.receipt.log[0], address="11" * 20)
                logs = [*[fake] * worthless, *each.receipt.log]
                receipt = msgspec.structs.replace(each.receipt, log=logs)
                made.append(SolidTransaction(each.raw, receipt, each.index))
            else:
                made.append(each)
        return block.only(made)

    follower._nodes.solid_block = with_dirt  # type: ignore[method-assign]
    follower.close()
    while await follower.step():
        pass
    payment = await Payment.get(invoice["payment_id"])
    assert payment is not None
    told = [each.data["deposit"] for each in payment.events if "deposit" in each.data]
    assert len(payment.events) <= EVENTS_WAITING_MAX + 1  # and its new status
    assert told[0]["outcome"] == "credited"
    assert told[-1]["more_in_block"] == worthless + 1 - len(told)
    assert payment.received_units == 25_000_000 and payment.status == "paid"


async def test_a_payment_that_can_tell_nothing_for_hours_has_room_for_its_statuses(
    shop: World,
) -> None:
    """The outbox is stuck, and somebody sends in every block."""
    invoice = await shop.invoice("25")
    payment = await Payment.get(invoice["payment_id"])
    assert payment is not None
    waits = asdict(Happening(1, "payment.created", payment.created_at))
    await Payment.get_pymongo_collection().update_one(
        {"_id": payment.id}, {"$set": {"events": [waits] * EVENTS_STUCK_MAX}}
    )
    await shop.pay(PAYER, invoice["address"], "25")
    await shop.devnet.mine(SOLID_LAG + 2)
    follower = shop.assembly.follower
    while await follower.step():
        pass
    payment = await Payment.get(invoice["payment_id"])
    assert payment is not None and payment.status == "paid"
    assert [each.type for each in payment.events[EVENTS_STUCK_MAX:]] == ["payment.paid"]

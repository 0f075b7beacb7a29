"""Quoted and billed fees agree within 1 %, and the maximum holds, wherever the energy comes from.

energy      burned; lent to the wallet; of its own stake; its own stake too small
recipient   has the token; has an account; has nothing
token       without, and with a dynamic penalty (two maintenance periods of heavy use)
"""

from typing import Any

from tests.gateway.world import Payer
from tests.payouts.world import Pay, person, wish
from tron_payment.chain import FreezeV2, Resource
from tron_payment.core.address import address_bytes
from tron_payment.core.money import parse_units
from tron_payment.engine import Spend, Wish
from tron_payment.wallets import Wallets

PERIOD_MS = 6 * 3_600_000
"""Of maintenance; and energy that was used comes back within four of them."""

ROUTES = (("v0", "USDT"), ("direct", "USDT"), ("direct", "TRX"))
LENT_TRX = 40_000
STAKED_SUN = 60_000_000_000
SMALL_SUN = 400_000_000


async def next_period(pay: Pay) -> None:
    await pay.world.devnet.travel(PERIOD_MS)
    await pay.world.devnet.mine(2)
    await pay.settle()


async def penalty(pay: Pay) -> None:
    """From the next period on the token and the router cost more."""
    await pay.world.chain.post("/devnet/parameters", json={"getDynamicEnergyThreshold": 10_000})
    for _ in range(2):
        await next_period(pay)
        await pay.pay(recipient_address=person())
        await pay.settle()
    await next_period(pay)


async def lend(pay: Pay) -> None:
    """Somebody else stakes and lends the energy to the treasury."""
    lender = Payer(0x1E4D)
    owner, treasury = lender.raw.hex(), address_bytes(pay.world.treasury).hex()
    await pay.world.fund(lender.address, str(2 * LENT_TRX))
    await pay.world.devnet.mine()
    amount = LENT_TRX * 1_000_000
    body: dict[str, Any] = {"owner_address": owner, "resource": "ENERGY"}
    for path, more in (
        ("freezebalancev2", {"frozen_balance": amount}),
        ("delegateresource", {"balance": amount, "receiver_address": treasury}),
    ):
        built = await pay.world.chain.post(f"/wallet/{path}", json=body | more)
        await pay.world.send(lender, built.json())
        await pay.world.devnet.mine()
    await pay.settle()


async def stake(pay: Pay, sun: int) -> None:
    """The treasury stakes for energy."""
    wallet = await pay.house.use(Wallets).signing_wallet(None)
    await pay.house.engine.place(
        Wish(
            order_id=f"ord_stake_{sun}",
            module="nobody",
            kind="nobody.stake",
            subject="stake",
            wallet_id=wallet.wallet_id,
            signer=wallet.address,
            contract=FreezeV2(wallet.address, sun, Resource.ENERGY),
            spends=(Spend(wallet.address, "TRX", sun),),
            max_fee_sun=10_000_000,
        )
    )
    await pay.settle()


async def agree(pay: Pay, source: str, *, dearer: bool) -> None:
    """Every route with every kind of recipient, quoted together and paid together."""
    rows, kinds = [], []
    for route, currency in ROUTES:
        for kind in ("hot", "cold", "unactivated"):
            address = person()
            if kind == "hot":
                await pay.world.fund(address, "5", currency)
            elif kind == "cold":
                await pay.world.fund(address, "1")
            rows.append(wish(recipient_address=address, currency=currency, route=route))
            kinds.append(kind)
    await pay.settle()
    dry = await pay.post("/payouts/batch?dry_run=true", {"payouts": rows}, key=None)
    assert dry.status_code == 200, dry.text
    quotes = dry.json()["quotes"]
    made = await pay.batch(rows)
    await pay.settle()
    seen = (await pay.get(f"/payouts/batch/{made['batch_id']}/rows?limit=50")).json()["data"]
    assert {row["status"] for row in seen} == {"settled"}, seen
    total_paid = total_expected = 0
    for kind, quote, row in zip(kinds, quotes, seen, strict=True):
        told, fee = row["fee"], quote["fee"]
        about = (row["route"], row["currency"], kind, fee, told)
        paid = parse_units(6, told["paid_trx"])
        assert paid <= parse_units(6, fee["max_fee_trx"]), about
        assert paid <= parse_units(6, told["max_fee_trx"]), about
        total_paid += paid
        total_expected += parse_units(6, fee["expected_trx"])
        if row["currency"] == "USDT":
            assert quote["recipient"] == kind and fee["source"] == source, about
            assert (fee["energy_penalty"] > 0) is dearer, about
            assert (row["fee"]["source"] == "burn") is (source == "burn"), about
    # whole transactions: which of them has the day's free bandwidth is up to their order
    assert abs(total_paid - total_expected) * 100 <= max(total_paid, 1), (total_paid, quotes)


async def test_fees_agree_from_every_source_with_and_without_a_penalty(pay: Pay) -> None:
    await pay.pay(recipient_address=person())
    await pay.settle()  # the router's own slots are warm
    await agree(pay, "burn", dearer=False)
    await penalty(pay)
    await agree(pay, "burn", dearer=True)
    await lend(pay)
    await agree(pay, "delegated", dearer=True)
    await stake(pay, STAKED_SUN)
    await agree(pay, "own_energy", dearer=True)


async def test_a_small_stake_pays_its_part(pay: Pay) -> None:
    """Whatever the mixture of own energy and burned TRX, the bill is as quoted."""
    await pay.world.chain.post(
        "/devnet/parameters", json={"getDynamicEnergyThreshold": 100_000_000_000}
    )
    await stake(pay, SMALL_SUN)
    rows = [wish(recipient_address=person(), user_id=f"node-{n}") for n in range(90)]
    dry = await pay.post("/payouts/batch?dry_run=true", {"payouts": rows}, key=None)
    assert dry.status_code == 200, dry.text
    total = parse_units(6, dry.json()["fee"]["expected_trx"])
    made = await pay.batch(rows)
    await pay.settle(2)
    exported = (await pay.get(f"/payouts/batch/{made['batch_id']}/rows?limit=100")).json()
    fees = [row["fee"] for row in exported["data"]]
    paid = sum(parse_units(6, fee["paid_trx"]) for fee in fees)
    assert len(fees) == 90 and abs(paid - total) * 100 <= max(paid, 1), (paid, total)
    assert all(parse_units(6, f["paid_trx"]) <= parse_units(6, f["max_fee_trx"]) for f in fees)

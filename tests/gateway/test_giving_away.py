"""The policy's limits are not left by giving the account itself away."""

from types import SimpleNamespace
from typing import Any

from tests.gateway.test_doors import UNIT, approvals, enforce, treasury
from tests.gateway.world import API, Payer, World
from tron_payment.core.address import address_bytes
from tron_payment.payouts.policy import Band, Cap

ALL = 50_000


async def test_one_treasurer_does_not_give_the_account_away_around_the_policy(
    gateway: World,
) -> None:
    eve = Payer(0xEEE1)
    await enforce(gateway, allow_list=True, bands=(Band("USDT", 0, 2),), caps=(Cap("USDT", UNIT),))
    wallet = await treasury(gateway)
    ours, hers = ({"address": each, "weight": 1} for each in (gateway.treasury, eve.address))
    wish = {
        "owner": {"threshold": 1, "keys": [ours, hers]},
        "actives": [{"threshold": 1, "keys": [ours], "allows": ["Transfer", "TriggerContract"]}],
    }

    async def ask(who: str) -> Any:
        headers = gateway.bearer("treasurer", who) | {"Idempotency-Key": f"give-it-all-away-{who}"}
        path = f"{API}/wallets/{wallet}/permissions"
        return await gateway.http.put(path, json=wish, headers=headers)

    for _ in range(2):
        refused = await ask("tr-1")
        assert (refused.status_code, refused.json()["code"]) == (409, "second_person_needed")
    assert await approvals(gateway) == []
    await gateway.work()
    await gateway.solidify()
    assert await take_all(gateway, eve) == "0"
    placed = await ask("tr-2")
    assert placed.status_code == 202, "two people may"
    await gateway.work()
    await gateway.solidify()
    await gateway.work()
    order = await gateway.house.engine.find(placed.json()["order_id"])
    assert order.status == "settled"
    assert await take_all(gateway, eve) == str(ALL), "what the second person was asked about"


async def take_all(gateway: World, eve: Payer) -> str:
    """What she has after she has signed for the account with her own key."""
    signer: Any = SimpleNamespace(raw=address_bytes(gateway.treasury), key=eve.key)
    data = address_bytes(eve.address)[1:].rjust(32, b"\0").hex() + f"{ALL * UNIT:064x}"
    built = await gateway.call(signer, gateway.usdt, "a9059cbb" + data)
    try:
        await gateway.send(signer, built)
    except AssertionError:
        return "0"  # no node takes it
    await gateway.solidify()
    path = f"/usdt/balance/{eve.address}"
    balance: str = (await gateway.get(path, role="operator", sub="op-1")).json()["balance"]
    return balance

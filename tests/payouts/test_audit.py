"""Requests that need a chain's state, by their real handlers: each leaves one entry in the log."""

from datetime import datetime
from typing import Any

import httpx
from coincurve import PrivateKey

from tests.acts import API, BESIDE_A_CHAIN, Story, fresh_address
from tests.payouts.test_quarantine import skipped
from tests.payouts.world import Pay, person, wish
from tron_payment.contracts import signer_address
from tron_payment.core.address import Address
from tron_payment.db.audit import AuditEntry
from tron_payment.engine import InternalVerdict
from tron_payment.payouts import Payout
from tron_payment.wallets import Wallets

DAY_S = 24 * 3600
KEY = bytes(31) + b"\x77"
OWN_TXID = "cd" * 32


class Callers(Story):
    """People who ask a service on a devnet."""

    def __init__(self, pay: Pay, paths: Any) -> None:
        super().__init__(paths)
        self.pay = pay

    def now(self) -> datetime:
        now: datetime = self.pay.world.clock.now()
        return now

    async def send(
        self, who: str, name: str, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> httpx.Response:
        headers = self.pay.world.bearer(who, f"audit-{who}{name}") | headers
        return await self.pay.world.http.request(method, path, json=body, headers=headers)

    async def order(self, who: str, route: str, body: Any = None) -> Any:
        """What becomes an order has a key of idempotency."""
        return await self.ask(who, route, body, key=f"audit-key-{len(self.asked):012}")


async def test_every_act_beside_a_chain_leaves_one_entry(pay: Pay) -> None:
    schema = await pay.world.http.get("/schema", headers=pay.world.bearer("admin"))
    it = Callers(pay, schema.json()["paths"])
    await of_stakes(it)
    await of_money_that_came(it)
    await of_other_keys(it)
    await of_what_went_wrong(it)
    await of_a_token(it)
    covered = {each.route.replace(API, "", 1) for each in it.asked}
    assert covered >= BESIDE_A_CHAIN, BESIDE_A_CHAIN - covered
    while await pay.world.assembly.journal.step():
        pass
    await it.must_be_in(AuditEntry.get_pymongo_collection())


async def of_stakes(it: Callers) -> None:
    treasury = await it.pay.house.use(Wallets).find_by_address(it.pay.world.treasury)
    at = {"wallet_id": treasury.id}
    energy = at | {"resource": "ENERGY"}
    friend = energy | {"receiver_address": person()}
    await it.pay.world.fund(friend["receiver_address"], "1")
    await it.order("treasurer", "POST /staking/stake", energy | {"amount": "1000"})
    await it.pay.settle()
    (witness, *_) = await it.pay.house.nodes.read(lambda node: node.witnesses())
    votes = [{"address": witness.address, "count": 500}]
    await it.order("treasurer", "POST /staking/vote", at | {"votes": votes})
    await it.order("treasurer", "POST /staking/delegate", friend | {"amount": "50"})
    await it.pay.settle()
    await it.order("treasurer", "POST /staking/unstake", energy | {"amount": "100"})
    await it.order("treasurer", "POST /staking/undelegate", friend | {"amount": "50"})
    await it.pay.settle()
    await it.order("treasurer", "POST /staking/cancel-unstake", at)
    await it.pay.world.wait(DAY_S)
    await it.pay.world.wait(DAY_S)
    await it.order("treasurer", "POST /staking/withdraw", at | {"what": "rewards"})
    await it.pay.settle()


async def of_money_that_came(it: Callers) -> None:
    asked = {"kind": "invoice", "amount": "5", "currency": "USDT"}
    invoice = await it.order("merchant", "POST /payments/process", asked)
    await it.pay.world.fund(invoice["address"], "5", "USDT")
    await it.pay.settle()
    back = {"payment_id": invoice["payment_id"], "amount": "2", "to_address": person()}
    await it.order("merchant", "POST /payments/refund", back)


async def of_other_keys(it: Callers) -> None:
    """A payout that a key outside signs, and a wallet whose account gets other permissions."""
    key = PrivateKey(KEY)
    vault = {"label": "audit-vault", "kind": "cold", "address": signer_address(key)}
    cold = await it.ask("operator", "POST /wallets", vault)
    hot = await it.ask("operator", "POST /wallets", {"label": "audit-hot"})
    for wallet in (cold, hot):
        await it.pay.world.fund(wallet["address"], "500")
    await it.pay.settle()
    body = wish(currency="TRX", recipient_address=person(), wallet_id=cold["wallet_id"])
    await it.order("operator", "POST /payouts/direct", body)
    mine = {"threshold": 1, "keys": [{"address": hot["address"], "weight": 1}]}
    change = {"owner": mine, "actives": [mine | {"allows": ["Transfer"]}]}
    await it.order("treasurer", f"PUT /wallets/{hot['wallet_id']}/permissions", change)
    for what in ("refuse", "agree"):
        asked = await asked_for(it, hot, what)
        decided = f"POST /wallets/permission-changes/{asked['change_id']}/{what}"
        seen = {"change_hash": asked["change_hash"]}
        ask = it.order if what == "agree" else it.ask
        await ask("treasurer", decided, seen)
    await it.pay.world.work()
    listed = await it.pay.get("/signing-requests?status=open", role="treasurer")
    (request,) = listed.json()["data"]
    given = key.sign_recoverable(bytes.fromhex(request["txid"]), hasher=None).hex()
    its = request["signing_request_id"]
    path = f"POST /signing-requests/{its}/signatures"
    await it.ask("treasurer", path, {"signature": given}, object_id=its)
    await it.pay.settle()


async def asked_for(it: Callers, wallet: dict[str, Any], what: str) -> Any:
    """What another treasurer wants: a stranger's key beside the account's own."""
    mine = {"threshold": 1, "keys": [{"address": wallet["address"]}, {"address": person()}]}
    change = {"owner": mine, "actives": [mine | {"allows": ["Transfer"]}]}
    path = f"{API}/wallets/{wallet['wallet_id']}/permissions"
    key = {"Idempotency-Key": f"what-another-one-wants-{what}"}
    refused = await it.send("treasurer", "-asks", "PUT", path, change, key)
    assert refused.json()["code"] == "second_person_needed", refused.text
    listed = await it.pay.get("/wallets/permission-changes?status=asked", role="treasurer")
    return listed.json()["data"][0]


async def of_what_went_wrong(it: Callers) -> None:
    made = await it.order("operator", "POST /payouts/initiate", wish(recipient_address=person()))
    lost = await Payout.get(made["payout_id"])
    assert lost is not None
    await it.pay.house.engine.refuse(lost.order_id, "attempts_exhausted")
    await it.pay.world.work()
    await it.order("operator", f"POST /payouts/{lost.id}/retry")
    its = await skipped(it.pay, "a-payout-of-the-audit", person(), "pay")
    proposal = {"outcome": "settled", "note": "looked at the router"}
    await it.ask("operator", f"POST /payouts/quarantine/{its}/propose", proposal, object_id=its)
    agreed = {"agree": True}
    await it.ask("treasurer", f"POST /payouts/quarantine/{its}/resolve", agreed, object_id=its)
    await it.pay.house.engine.safe_mode.note(OWN_TXID, fresh_address(), 7)
    path = f"POST /policy/unexplained/{OWN_TXID}/acknowledge"
    await it.ask("treasurer", path, object_id=OWN_TXID)
    now = it.now()
    await InternalVerdict(id=OWN_TXID, block_number=7, seen_at=now, looked_at=now).insert()
    path = f"POST /policy/unproved/{OWN_TXID}/accept"
    await it.ask("treasurer", path, {"reason": "nobody has it"}, object_id=OWN_TXID)


async def of_a_token(it: Callers) -> None:
    owner: Address = it.pay.world.treasury
    wallet = await it.pay.house.use(Wallets).find_by_address(owner)
    deployments = it.pay.world.assembly.deployments
    coin = (10**12, "Some Coin", "SOME", 3)
    order_id = await deployments.deploy("TestUSDT", coin, wallet.id, owner)
    await it.pay.settle()
    token = await deployments.address(order_id)
    await it.ask("operator", "POST /usdt/tokens", {"contract_address": token})

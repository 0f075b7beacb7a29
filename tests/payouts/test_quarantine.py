"""What is in quarantine gets out by two people and on the chain's proof only."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.chain import TriggerContract
from tron_payment.contracts import artifact, payment_id
from tron_payment.core.address import Address
from tron_payment.db.audit import AuditEntry
from tron_payment.db.cas import LostRace
from tron_payment.engine import Spend, Wish
from tron_payment.payouts import quarantine_documents as store
from tron_payment.payouts.orders import reference
from tron_payment.payouts.quarantine_documents import Case, CaseStatus
from tron_payment.wallets import Wallets

ROUTER = artifact("PayoutRouterV0")
UNITS = 12_500_000
QUARANTINE = "/payouts/quarantine"


async def skipped(pay: Pay, key: str, recipient: Address, function: str) -> str:
    """A payout whose id the router had closed before: paid or canceled by somebody's own call."""
    payout_id = pay.house.idempotency.object_id("pay", "op-1", key)
    ref = reference(payout_id)
    found = payment_id(
        chain_id=pay.house.deployment.chain_id,
        router=pay.v0,
        token=pay.house.deployment.usdt,
        reference=ref,
        recipient=recipient,
        units=UNITS,
    )
    args = (found,) if function == "cancel" else (ref, recipient, UNITS)
    wallets: Wallets = pay.house.use(Wallets)
    wallet = await wallets.signing_wallet(None)
    spends = () if function == "cancel" else (Spend(pay.v0, "USDT", UNITS),)
    await pay.house.engine.place(
        Wish(
            order_id=f"ord_{payout_id}",
            module="somebody",
            kind="somebody.call",
            subject=payout_id,
            wallet_id=wallet.wallet_id,
            signer=wallet.address,
            contract=TriggerContract(wallet.address, pay.v0, ROUTER.call_data(function, *args)),
            spends=spends,
            max_fee_sun=100_000_000,
        )
    )
    await pay.settle()
    made = await pay.post("/payouts/v0", wish(recipient_address=recipient), key=key)
    assert made.json()["payout_id"] == payout_id, made.text
    await pay.settle()
    shown = await pay.payout(payout_id)
    assert shown["status"] == "quarantined", shown
    return str(payout_id)


async def held(pay: Pay, object_id: str) -> Any:
    answer = await pay.get(f"{QUARANTINE}/{object_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("function", "proved", "wrong"), [("pay", "settled", "failed"), ("cancel", "failed", "settled")]
)
async def test_a_skipped_payout_ends_as_the_router_says(
    pay: Pay, function: str, proved: str, wrong: str
) -> None:
    recipient = person()
    payout_id = await skipped(pay, f"a-payout-to-{function}-twice", recipient, function)
    before = await pay.held(recipient)
    listed = (await pay.get(QUARANTINE)).json()
    assert payout_id in {each["object_id"] for each in listed}
    assert (await held(pay, payout_id))["proves"] == proved
    path = f"{QUARANTINE}/{payout_id}"
    early = await pay.post(f"{path}/resolve", {"agree": True}, role="treasurer", sub="tr-1")
    assert refusal(early)[:2] == (409, "nothing_proposed")
    note = {"note": "looked at the router"}
    against = await pay.post(f"{path}/propose", {"outcome": wrong, **note})
    assert refusal(against) == (409, "not_proved", "outcome")
    proposed = await pay.post(f"{path}/propose", {"outcome": proved, **note})
    assert proposed.status_code == 200, proposed.text
    assert proposed.json()["case"]["evidence"] == proposed.json()["evidence"] != []
    own = await pay.post(f"{path}/resolve", {"agree": True}, role="treasurer", sub="op-1")
    assert refusal(own)[:2] == (403, "own_proposal")
    no = await pay.post(f"{path}/resolve", {"agree": False}, role="treasurer", sub="tr-1")
    assert (no.status_code, no.json()["status"]) == (200, "rejected")
    assert (await pay.payout(payout_id))["status"] == "quarantined"
    await pay.post(f"{path}/propose", {"outcome": proved, **note})
    yes = await pay.post(f"{path}/resolve", {"agree": True}, role="treasurer", sub="tr-1")
    assert (yes.status_code, yes.json()["status"], yes.json()["decided_by"]) == (
        200,
        "resolved",
        "tr-1",
    )
    shown = await pay.payout(payout_id)
    assert shown["status"] == proved and "looked at the router" in shown["reason"]
    assert (shown["settled_at"] is not None) is (proved == "settled"), "reports go by it"
    again = await pay.post(f"{path}/resolve", {"agree": True}, role="treasurer", sub="tr-1")
    assert refusal(again)[:2] == (409, "nothing_proposed")
    assert (await pay.get(path)).status_code == 404
    assert await pay.held(recipient) == before, "deciding moves no money"
    await pay.assert_books_equal_chain()


async def test_who_carried_it_out_is_in_the_log_though_another_closed_the_case(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout_id = await skipped(pay, "a-payout-two-resolve", person(), "pay")
    path, real = f"{QUARANTINE}/{payout_id}", store.decide
    proposal = {"outcome": "settled", "note": "looked"}
    assert (await pay.post(f"{path}/propose", proposal)).status_code == 200

    async def overtaken(case: Case, target: CaseStatus, by: str, now: datetime) -> Case:
        await real(case, CaseStatus.REJECTED, "tr-2", now)
        raise LostRace("tr-2 said no in this moment")

    monkeypatch.setattr(store, "decide", overtaken)
    late = await pay.post(f"{path}/resolve", {"agree": True}, role="treasurer", sub="tr-1")
    assert refusal(late)[:2] == (409, "nothing_proposed")
    assert (await pay.payout(payout_id))["status"] == "settled"
    entries = await AuditEntry.find({"object_id": payout_id, "actor": "tr-1"}).to_list()
    assert [each.action for each in entries] == ["quarantine.resolve"]


async def test_who_may_do_what(pay: Pay) -> None:
    path = f"{QUARANTINE}/pay_unknown"
    body = {"outcome": "settled", "note": "?"}
    assert refusal(await pay.post(f"{path}/propose", body))[:2] == (404, "not_quarantined")
    for role in ("merchant", "viewer", "auditor", "treasurer"):
        assert (await pay.post(f"{path}/propose", body, role=role)).status_code == 403, role
    for role in ("merchant", "viewer", "operator", "auditor"):
        agree = await pay.post(f"{path}/resolve", {"agree": True}, role=role)
        assert agree.status_code == 403, role
    assert (await pay.get(QUARANTINE, role="merchant", sub="shop-1")).status_code == 403
    bad = await pay.post(f"{path}/propose", body | {"outcome": "queued"})
    assert bad.status_code == 422


async def test_what_is_not_in_quarantine_cannot_be_resolved(pay: Pay) -> None:
    made = await pay.pay(recipient_address=person())
    answer = await pay.get(f"{QUARANTINE}/{made['payout_id']}")
    assert refusal(answer)[:2] == (404, "not_quarantined")
    await pay.settle()
    body = {"outcome": "failed", "note": "?"}
    late = await pay.post(f"{QUARANTINE}/{made['payout_id']}/propose", body)
    assert refusal(late)[:2] == (404, "not_quarantined")


async def test_a_node_that_lags_behind_or_differs_proves_no_failure(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows nothing of the payment yet, and would say: not paid."""
    payout_id = await skipped(pay, "a-payout-seen-by-a-lagging-node", person(), "pay")
    path = f"{QUARANTINE}/{payout_id}"
    node = await pay.house.nodes.pick()
    real = node.solid_head

    async def behind() -> Any:
        head = await real()
        return replace(head, number=1)

    monkeypatch.setattr(type(node), "solid_head", lambda _: behind())
    body = {"outcome": "failed", "note": "?"}
    for answer in (await pay.get(path), await pay.post(f"{path}/propose", body)):
        assert refusal(answer)[:2] == (503, "nodes_unavailable"), answer.text

"""Every page of the console with very many payouts in the store, by HTTP, as the page is asked for.

Beside: the same page of the same service before the store was filled.
"""

import asyncio
import os
import time
from datetime import UTC, datetime
from typing import Any, Final

import httpx
from tests.e2e.service import Service, made, settled

from benchmarks import console_fill as fill
from benchmarks.cpu import CpuMeter
from benchmarks.payouts import UNLIMITED, recipient
from benchmarks.report import Row, percentile

PAYOUTS: Final = int(os.environ.get("BENCH_CONSOLE_PAYOUTS", "100000"))
BATCH_ROWS: Final = 100
INVOICES: Final = 5_000
WALLETS: Final = 24
ASKED, ASKED_BEFORE = 40, 10
"""Times that each page is asked for; before the filling there is less to learn."""

AIM_MS: Final = 100
SCAN_MIN: Final = 200
"""Documents; a smaller collection is read as quickly without an index."""

MOST_SHOWN: Final = 6
PAGE_S: Final = 300.0
BACKLOG_S: Final = 300.0
BELOW_BAND: Final = "12.5"
ABOVE_BAND: Final = "4500"
APPROVALS: Final = 5
PERSON: Final = "person-of-the-benchmark"
ONE, MANY = "operator", "auditor"

AFTERWARDS: Final = (
    "charts, with their figures",
    "one in quarantine, with what the chain proves",
    "a wallet, with what nodes say",
    "wallets, with their balances",
    "staking, with the plan",
    "books, with the last 30 days",
)
"""What a page fetches when it is there."""

FIRST_LOOKS: Final = (
    "overview",
    "charts",
    "charts, with their figures",
    "one in quarantine",
    "one in quarantine, with what the chain proves",
)

Pages = dict[str, tuple[str, str]]


async def run(profile: object) -> list[Row]:
    """One row for each page: median, beside it the median before the filling; p95 in the notes."""
    service = Service(**UNLIMITED, RATE_WRITE="1000000")
    try:
        service.start()
        await service.ready()
        world = await _world(service)
        before = await _measured(service, await _pages(service), ASKED_BEFORE)
        began = time.perf_counter()
        await _filled(service, world)
        filled_s = time.perf_counter() - began
        await _restarted(service)
        pages = await _pages(service)
        load = os.getloadavg()[0]
        first = await _first_look(service, pages)
        after = await _measured(service, pages, ASKED)
        spent = await _processor(service, pages)
        plans = await _plans(service, pages)
        await service.stop()
    finally:
        service.destroy()
    rows = [
        Row(
            what=f"console: {name}",
            figure=f"{percentile(after[name], 0.5):.0f} ms",
            beside=f"{percentile(before[name], 0.5):.0f} ms" if name in before else "",
            aim="" if name in AFTERWARDS else f"p95 < {AIM_MS} ms",
            notes=f"{_verdict(after[name])}: p95 {percentile(after[name], 0.95):.0f},"
            f" least {min(after[name]):.0f} ms of {len(after[name])};"
            f" processor {spent[name]:.0f} ms"
            + ("; fetched by a page that is there" if name in AFTERWARDS else ""),
        )
        for name in pages
    ]
    rows += _said({name: after[name] for name in pages if name not in AFTERWARDS})
    rows += plans
    for name, took_ms in first.items():
        rows.append(Row(what=f"console: {name}, first look ever", figure=f"{took_ms:.0f} ms"))
    rows.append(
        Row(
            what=f"console: filling with {PAYOUTS} payouts",
            figure=f"{filled_s:.0f} s",
            notes=f"load of the machine when it was measured: {load:.1f}",
        )
    )
    return rows


def _verdict(times_ms: list[float]) -> str:
    """Whether a page keeps the aim."""
    if percentile(times_ms, 0.95) < AIM_MS:
        return f"under {AIM_MS} ms"
    return f"median under {AIM_MS} ms" if percentile(times_ms, 0.5) < AIM_MS else "slower"


def _said(times_ms: dict[str, list[float]]) -> list[Row]:
    """One sentence for the median and one for the 95th percentile of all pages."""
    said = []
    for name, share in (("median", 0.5), ("p95", 0.95)):
        slow = [page for page, each in times_ms.items() if percentile(each, share) >= AIM_MS]
        said.append(
            Row(
                what=f"console: pages whose {name} is under {AIM_MS} ms",
                figure=f"{len(times_ms) - len(slow)} of {len(times_ms)}",
                notes="not: " + ", ".join(slow) if slow else "every page",
            )
        )
    return said


async def _world(service: Service) -> dict[str, Any]:
    """What goes the real way: a payout, a batch, an invoice, wallets, an endpoint, a policy."""
    payee = recipient("family", 0)
    async with service.client(ONE, "bench") as api, service.client("approver", "other") as other:
        wish = {"user_id": PERSON, "recipient_address": payee, "amount": BELOW_BAND}
        single = await made(api, "/api/v1/payouts/direct", {**wish, "currency": "USDT"})
        rows = "\n".join(f"{PERSON},{payee},{BELOW_BAND}" for _ in range(BATCH_ROWS))
        batch = await made(
            api,
            "/api/v1/payouts/batch",
            f"user_id,recipient_address,amount\n{rows}\n",
            media_type="text/csv",
        )
        page = f"/api/v1/payouts/batch/{batch['batch_id']}?limit={BATCH_ROWS}"
        async with asyncio.timeout(BACKLOG_S):
            while len(listed := (await api.get(page)).json()["data"]) < BATCH_ROWS:
                await asyncio.sleep(0.5)
        in_batch = [row["payout_id"] for row in listed]
        await settled(api, [single["payout_id"], *in_batch])
        bill = {"kind": "invoice", "amount": "5", "currency": "USDT"}
        canceled = await made(api, "/api/v1/payments/process", bill)
        await made(api, "/api/v1/payments/process", bill)
        await made(api, f"/api/v1/payments/{canceled['payment_id']}/cancel", {})
        for number in range(WALLETS):
            await made(api, "/api/v1/wallets/create", {"kind": "hot", "label": f"shop {number}"})
        policy = (await api.get("/api/v1/policy")).json()
        policy.pop("version")
        band = {"above": "4000", "approvals": 1, "currency": "USDT"}
        policy["approval_bands"] = [*policy["approval_bands"], band]
        proposal = await made(api, "/api/v1/policy/proposals", policy)
        where = f"/api/v1/policy/proposals/{proposal['proposal_id']}/approve"
        (await other.post(where)).raise_for_status()
        for _ in range(APPROVALS):
            await made(api, "/api/v1/payouts/initiate", {**wish, "amount": ABOVE_BAND})
    return {
        "single": single["payout_id"],
        "batch": in_batch,
        "invoice": canceled["payment_id"],
        "payee": payee,
    }


async def _filled(service: Service, world: dict[str, Any]) -> None:
    """Copies of all of that; then everything that follows the store has caught up."""
    async with service.mongo() as mongo:
        name = service.settings.payment_db_name
        store = mongo[name]
        copies = fill.Copies(store, PERSON, world["payee"])
        await copies.prepare()
        batches = PAYOUTS // 2 // BATCH_ROWS
        await copies.add(
            await fill.family(store, [world["single"]]), PAYOUTS - batches * BATCH_ROWS
        )
        await copies.add(await fill.family(store, world["batch"]), batches)
        await copies.add(await fill.invoice(store, world["invoice"]), INVOICES)
        await copies.flush()
        await fill.book(service.mongo_uri, name, copies)
        head = await store["events"].find_one(sort=[("seq", -1)])
        assert head is not None
        async with asyncio.timeout(BACKLOG_S):
            while (await store["webhook_feed"].find_one() or {"seq": 0})["seq"] < head["seq"]:
                await asyncio.sleep(1)
        async with service.client(ONE, "bench") as api:
            hook = {"url": "https://example.com/hook", "types": ["payment.paid"]}
            answer = await api.post("/api/v1/payments/webhook-endpoints", json=hook)
            assert answer.is_success, answer.text
        await fill.energy(store, datetime.now(UTC))
        await fill.deliveries(store, answer.json()["webhook_endpoint_id"], PAYOUTS)
        await store["payout_days"].delete_many({})  # closed while the past was still being written


async def _restarted(service: Service) -> None:
    """As after a night: the days that are over have been closed."""
    await service.stop()
    service.start()
    await service.ready()
    async with service.mongo() as mongo:
        days = mongo[service.settings.payment_db_name]["payout_days"]
        async with asyncio.timeout(BACKLOG_S):
            while await days.count_documents({}) < fill.DAYS // 2:
                await asyncio.sleep(1)


async def _pages(service: Service) -> Pages:
    """Name, role and path of every page that there is something for."""
    async with service.client(ONE, "bench") as api:

        async def data(path: str) -> list[dict[str, Any]]:
            answer = (await api.get(path)).json()
            found: list[dict[str, Any]] = answer if isinstance(answer, list) else answer["data"]
            return found

        payout = (await data("/api/v1/payouts/history?status=settled&limit=1"))[0]
        older = (await api.get("/api/v1/payouts/history?limit=25")).json()["next_cursor"]
        batch = (await data("/api/v1/payouts/batch?limit=1"))[0]["batch_id"]
        held = await data("/api/v1/payouts/quarantine")
        bills = await data("/api/v1/payments?limit=1")
        hooks = await data("/api/v1/payments/webhook-endpoints")
        wallets = await data("/api/v1/wallets?limit=100")
        payer = next(row for row in wallets if row["wallet_id"] == payout["wallet_id"])
    lists = "/console/payouts"
    pages = {
        "overview": (ONE, "/console"),
        "charts": (ONE, "/console/charts"),
        "charts, with their figures": (ONE, "/console/charts?look=1"),
        "payouts": (ONE, lists),
        "payouts, by status": (ONE, f"{lists}?status=failed"),
        "payouts, since a day": (ONE, f"{lists}?since={payout['created_at'][:10]}"),
        "payouts, a person": (ONE, f"{lists}?find={payout['user_id']}"),
        "payouts, an address": (ONE, f"{lists}?find={payout['recipient_address']}"),
        "payouts, a transaction": (ONE, f"{lists}?find={payout['txid']}"),
        "a payout": (ONE, f"{lists}/{payout['payout_id']}"),
        "batches": (ONE, "/console/batches"),
        "a batch": (ONE, f"/console/batches/{batch}"),
        "approvals": ("approver", "/console/approvals"),
        "quarantine": (ONE, "/console/quarantine"),
        "signing": (ONE, "/console/signing"),
        "payments in": (ONE, "/console/payments"),
        "a payment": (ONE, f"/console/payments/{bills[0]['payment_id']}"),
        "wallets": (ONE, "/console/wallets"),
        "wallets, with their balances": (ONE, "/console/wallets?look=1"),
        "a wallet": (ONE, f"/console/wallets/{payer['wallet_id']}"),
        "a wallet, with what nodes say": (ONE, f"/console/wallets/{payer['wallet_id']}?look=1"),
        "staking": (ONE, "/console/staking"),
        "staking, with the plan": (ONE, "/console/staking?look=1"),
        "books": (ONE, "/console/books"),
        "books, with the last 30 days": (ONE, "/console/books?look=1"),
        "policy": (ONE, "/console/policy"),
        "audit": (MANY, "/console/audit"),
        "audit, by act": (MANY, "/console/audit?by=action&find=batch.create"),
        "webhooks": (ONE, "/console/webhooks"),
        "events": (ONE, "/console/events"),
        "health": (ONE, "/console/health"),
    }
    if older:
        pages["payouts, second page"] = (ONE, f"{lists}?cursor={older}")
    if held:
        where = f"/console/quarantine/{held[0]['object_id']}"
        pages["one in quarantine"] = (ONE, where)
        pages["one in quarantine, with what the chain proves"] = (ONE, f"{where}?look=1")
    if hooks:
        pages["a webhook"] = (ONE, f"/console/webhooks/{hooks[0]['webhook_endpoint_id']}")
    return pages


async def _measured(service: Service, pages: Pages, times: int) -> dict[str, list[float]]:
    """Milliseconds of each page, asked for one after the other; the first time does not count."""
    found: dict[str, list[float]] = {}
    people = {role: await _signed_in(service, role) for role in {r for r, _ in pages.values()}}
    try:
        for number in range(times + 1):
            for name, (role, path) in pages.items():
                began = time.perf_counter()
                answer = await people[role].get(path)
                assert answer.status_code == 200, (path, answer.status_code)
                if number:
                    found.setdefault(name, []).append((time.perf_counter() - began) * 1000)
    finally:
        for browser in people.values():
            await browser.aclose()
    return found


async def _processor(service: Service, pages: Pages) -> dict[str, float]:
    """Milliseconds of processor time of service and store for each page, whatever else runs.

    What both do besides (a block every 200 ms) is in it.
    """
    found: dict[str, float] = {}
    for name, (role, path) in pages.items():
        browser = await _signed_in(service, role)
        try:
            await browser.get(path)
            meter = CpuMeter(service)
            for _ in range(ASKED_BEFORE):
                (await browser.get(path)).raise_for_status()
            spent = meter.spent()
        finally:
            await browser.aclose()
        found[name] = 1000 * (spent["service"] + spent["MongoDB"]) / ASKED_BEFORE
    return found


async def _plans(service: Service, pages: Pages) -> list[Row]:
    """What the server's profiler says of every page's queries: which read a whole collection, and
    which read most."""
    found: list[tuple[int, str]] = []
    scans: list[str] = []
    async with service.mongo() as mongo:
        store = mongo[service.settings.payment_db_name]
        for name, (role, path) in pages.items():
            browser = await _signed_in(service, role, f"profiled-{role}")
            await store.command("profile", 2)
            try:
                (await browser.get(path)).raise_for_status()
            finally:
                await store.command("profile", 0)
                await browser.aclose()
            async for seen in store["system.profile"].find({"planSummary": {"$exists": True}}):
                read = max(seen.get("docsExamined", 0), seen.get("keysExamined", 0))
                what = f"{name}: {seen['ns'].partition('.')[2]} {seen['planSummary']}"
                found.append((read, f"{what} reads {read} in {seen.get('millis', 0)} ms"))
                if "COLLSCAN" in seen["planSummary"] and read > SCAN_MIN:
                    scans.append(what)
            await store.drop_collection("system.profile")
    most = list(dict.fromkeys(text for _, text in sorted(found, reverse=True)))[:MOST_SHOWN]
    return [
        Row(
            what=f"console: queries that read a whole collection of more than {SCAN_MIN}",
            figure=f"{len(scans)}",
            notes=", ".join(sorted(set(scans))),
        ),
        *(Row(what="console: reads most", figure="", notes=text) for text in most),
    ]


async def _first_look(service: Service, pages: Pages) -> dict[str, float]:
    """Milliseconds of the pages that keep figures, for somebody who has never looked."""
    browser = await _signed_in(service, ONE, "newcomer")
    try:
        found = {}
        for name in FIRST_LOOKS:
            began = time.perf_counter()
            (await browser.get(pages[name][1])).raise_for_status()
            found[name] = (time.perf_counter() - began) * 1000
        return found
    finally:
        await browser.aclose()


async def _signed_in(service: Service, role: str, who: str = "") -> httpx.AsyncClient:
    browser = httpx.AsyncClient(
        base_url=service.url, headers={"Origin": service.url}, trust_env=False, timeout=PAGE_S
    )
    token = service.token(role, who or f"console-{role}")
    answer = await browser.post("/console/sign-in", data={"token": token})
    assert answer.status_code == 303, answer.text
    return browser

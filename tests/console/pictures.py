"""Takes the pictures of docs/console.md: `make pictures`, or `OUT=somewhere EVERY=1 make pictures`
for every page on a desktop and a phone, light and dark.

A service with a month of invented payouts behind it does some real work in front of the camera.
Whoever has changed a template takes them anew, and looks at every one.
"""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks import console_fill as fill
from benchmarks.payouts import UNLIMITED, recipient

from tests.console import world
from tests.console.browsing import browse, installed
from tests.e2e.service import Service, made, settled

OUT: Final = Path(os.environ.get("OUT") or "docs/screenshots").resolve()
MONTH: Final = 12_000
"""Invented payouts of the last thirty days."""

PERSON: Final = "person-of-the-month"
ROLES: Final = ("operator", "approver", "auditor")
NODES: Final = 26
PEOPLE: Final = ("dr-strand", "studio-7", "museum-west", "ada.k", "harbour-cafe", "node-0815")
SHOTS_S: Final = 900.0

REFUSED: Final = """node-0027,not-an-address,14.00
node-0028,{payee},0.01
"""


async def main() -> int:
    """Exit status 0 when every picture was taken."""
    await installed()
    os.environ["SHOTS"] = str(OUT)
    service = Service(**UNLIMITED, RATE_WRITE="1000000", DEVNET_BLOCK_MS="1000")
    try:
        service.start()
        await service.ready()
        await _month(service)
        async with world.receiver() as (hook, _):
            facts = await world.things(service, hook)
            await _story(service)
            await _pages(service)
            await _decisions(service, facts)
    finally:
        service.destroy()
    print(f"{len(list(OUT.glob('*.png')))} pictures in {OUT}: look at each")
    return 0


async def _month(service: Service) -> None:
    """Copies of one real payout, over thirty days."""
    payee = recipient("family", 0)
    wish = {"user_id": PERSON, "recipient_address": payee, "amount": "12.5", "currency": "USDT"}
    async with service.client("operator", "payroll") as api:
        one = (await made(api, "/api/v1/payouts/direct", wish))["payout_id"]
        await settled(api, [one])
    async with service.mongo() as mongo:
        name = service.settings.payment_db_name
        copies = fill.Copies(mongo[name], PERSON, payee, quarantined=0)
        await copies.prepare()
        await copies.add(await fill.family(mongo[name], [one]), MONTH)
        await copies.flush()
        await fill.book(service.mongo_uri, name, copies)
        await fill.energy(mongo[name], datetime.now(UTC))


async def _story(service: Service) -> None:
    """A batch to thirty people, singles, a policy, and what waits for somebody."""
    async with (
        service.client("operator", "payroll") as api,
        service.client("approver", "anna") as other,
    ):
        policy = (await api.get("/api/v1/policy")).json()
        policy.pop("version")
        band = {"above": "4000", "approvals": 1, "currency": "USDT"}
        policy["approval_bands"] = [*policy["approval_bands"], band]
        proposal = await made(api, "/api/v1/policy/proposals", policy)
        where = f"/api/v1/policy/proposals/{proposal['proposal_id']}/approve"
        (await other.post(where)).raise_for_status()

        batch = await made(api, "/api/v1/payouts/batch", _rows(NODES), media_type="text/csv")
        singles = [
            await made(api, "/api/v1/payouts/direct", _wish(name, f"{12 + 3 * n}.50"))
            for n, name in enumerate(PEOPLE)
        ]
        await settled(api, [each["payout_id"] for each in singles])
        async with asyncio.timeout(SHOTS_S):
            while True:
                seen = (await api.get(f"/api/v1/payouts/batch/{batch['batch_id']}")).json()
                if seen["status"] == "completed":
                    break
                await asyncio.sleep(1)
        await made(api, "/api/v1/payouts/initiate", _wish("museum-west", "4500"))
        await made(
            api, "/api/v1/payments/process", {"kind": "invoice", "amount": "49", "currency": "USDT"}
        )
        (
            await api.get("/api/v1/payments/reconciliation", params={"run": "true"})
        ).raise_for_status()


def _wish(user: str, amount: str) -> dict[str, str]:
    payee = recipient("pictures", sum(user.encode()))
    return {"user_id": user, "recipient_address": payee, "amount": amount, "currency": "USDT"}


def _rows(count: int, more: str = "", after: int = 0) -> str:
    rows = "".join(
        f"node-{n:04},{recipient('pictures', n)},{12 + n * 7 % 23}.{n * 37 % 100:02}\n"
        for n in range(after + 1, after + count + 1)
    )
    return f"user_id,recipient_address,amount\n{rows}{more}"


async def _pages(service: Service) -> None:
    tokens = service.folder / "people.json"
    tokens.write_text(json.dumps({role: service.token(role, f"{role}-1") for role in ROLES}))
    csv = service.folder / "november.csv"
    csv.write_text(_rows(4, REFUSED.format(payee=recipient("pictures", 1)), after=NODES + 2))
    await browse("shots.mjs", service.url, str(tokens), str(csv), within_s=SHOTS_S)


async def _decisions(service: Service, facts: dict[str, Any]) -> None:
    found = await world.decided(service, facts)
    assert found.get("error") is None, found["error"]


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

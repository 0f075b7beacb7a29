"""What people find at the console who decide: made the real way, before they come."""

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
from coincurve import PrivateKey

from tests.console.browsing import browse
from tests.e2e.addresses import fresh_address
from tests.e2e.service import SETTLE_S, Service, new_key, settled
from tron_payment.console.pages import MENU
from tron_payment.contracts import signer_address
from tron_payment.http.principals import Role

RECIPIENT: Final = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC"
ROWS: Final = f"""user_id,recipient_address,amount
ann,{RECIPIENT},11
bob,nobody,11
cid,{RECIPIENT},0.01
"""
BIG_ROWS: Final = f"""user_id,recipient_address,amount
dee,{RECIPIENT},4500
"""
MAIN_ROLES: Final = ("operator", "approver", "auditor", "viewer")


async def browsed(service: Service, folder: Path) -> dict[str, dict[str, Any]]:
    """What two browsers report: `main` of the main jobs, `decide` of what people decide.

    Both are open at once, for most of the time goes by while blocks are waited for.
    """
    async with receiver() as (address, came):
        facts = await things(service, address)
        (folder / "batch.csv").write_text(ROWS)
        (folder / "big.csv").write_text(BIG_ROWS)
        files = [str(folder / name) for name in ("batch.csv", "big.csv")]
        main = json.dumps({role: service.token(role, f"browser-{role}") for role in MAIN_ROLES})
        first, second = await asyncio.gather(
            browse("main.mjs", service.url, main, *files), decided(service, facts)
        )
        return {"main": first, "decide": {**second, "came": came}}


async def decided(service: Service, facts: dict[str, Any]) -> dict[str, Any]:
    """What a browser reports of people who decide about `things`."""
    roles = json.dumps({r.value: service.token(r, f"decides-{r}") for r in Role})
    return await browse("decide.mjs", service.url, roles, json.dumps(facts))


async def things(service: Service, hook: str) -> dict[str, Any]:
    """What the decisions are about, and as `places` one more of each for every role to look at."""
    async with service.client("operator", "integrator") as api:
        endpoint = await api.post(
            "/api/v1/payments/webhook-endpoints", json={"url": hook, "types": ["payment.late"]}
        )
        assert endpoint.status_code == 201, endpoint.text
    set_aside, paid = await asyncio.gather(
        asyncio.gather(*(contradicted(service) for _ in range(2))),
        asyncio.gather(*(paid_invoice(service) for _ in range(2))),
    )
    signing = [await detached(service) for _ in range(2)]
    lost, change = await failed(service, 2), await asked_change(service)
    await told_by_too_few(service)
    world = {
        "quarantined": set_aside[0],
        "failed": lost[0],
        "paid": paid[0],
        "payer": fresh_address(),
        "endpoint": endpoint.json()["webhook_endpoint_id"],
        "change": change,
        **signing[0],
    }
    places = [path for _, path, _ in MENU] + [
        "/console/glossary",
        f"/console/quarantine/{set_aside[1]}?look=1",
        f"/console/payouts/{lost[1]}",
        f"/console/payments/{paid[1]}",
        f"/console/signing/{signing[1]['signing']}",
        f"/console/permission-changes/{change}",
        f"/console/webhooks/{world['endpoint']}",
    ]
    return {**world, "places": places}


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[str, list[str]]]:
    """Somebody's webhook receiver on this machine: its address, and the ids of what came."""
    came: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(SETTLE_S):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = re.search(r"(?i)content-length: *([0-9]+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                came.extend(re.findall(r"(?i)\nwebhook-id: *(\S+)", head))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", came
    finally:
        server.close()


async def pay(service: Service, **more: Any) -> dict[str, Any]:
    """A payout, just asked for."""
    wish = {"user_id": "alice", "recipient_address": RECIPIENT, "amount": "12.5", **more}
    async with service.client("operator", "payer") as http:
        answer = await http.post(
            "/api/v1/payouts/initiate", json=wish, headers={"Idempotency-Key": uuid4().hex}
        )
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def contradicted(service: Service) -> str:
    """A payout that settled, set aside in the store as if its proof had been another one."""
    made = await pay(service)
    async with service.client("operator", "payer") as api:
        await settled(api, [made["payout_id"]])
    async with _stores(service) as stores:
        for store in stores:
            await store["payouts"].update_one(
                {"_id": made["payout_id"]},
                {"$set": {"status": "quarantined", "reason": "its event is missing"}},
            )
    found: str = made["payout_id"]
    return found


async def told_by_too_few(service: Service, what: str = f"5000000 sun to {RECIPIENT}") -> str:
    """The txid of TRX that one node told, written down in the store as the service does."""
    txid, now = secrets.token_hex(32), datetime.now(UTC)
    told = {"told": [what], "told_by": "main", "seen_at": now, "looked_at": now}
    row = {"_id": txid, "block_number": 7, "counted_in": None, "proposal": "", **told}
    async with _stores(service) as stores:
        for store in stores:
            await store["internal_verdicts"].insert_one({**row, "accepted_by": ""})
    return txid


@asynccontextmanager
async def _stores(service: Service) -> AsyncIterator[list[Any]]:
    mongo = service.mongo()
    try:
        names = await mongo.list_database_names()
        yield [mongo[name] for name in names if name not in ("admin", "config", "local")]
    finally:
        await mongo.close()


async def asked_change(service: Service, by: str = "asks") -> str:
    """A change of permissions that one treasurer asks for: a stranger's key beside the own one."""
    async with (
        service.client("operator", "custodian") as api,
        service.client("treasurer", by) as asks,
        service.devnet() as devnet,
    ):
        made = (await api.post("/api/v1/wallets", json={"label": "shared", "kind": "hot"})).json()
        money = {"address": made["address"], "amount": "200", "currency": "TRX"}
        (await devnet.post("/devnet/faucet", json=money)).raise_for_status()
        own, strange = {"address": made["address"]}, {"address": fresh_address()}
        active = {"threshold": 1, "keys": [own], "allows": ["Transfer", "TriggerContract"]}
        wish = {"owner": {"threshold": 1, "keys": [own, strange]}, "actives": [active]}
        answer = await asks.put(
            f"/api/v1/wallets/{made['wallet_id']}/permissions",
            json=wish,
            headers={"Idempotency-Key": new_key()},
        )
        assert answer.json()["code"] == "second_person_needed", answer.text
        rows = (await asks.get("/api/v1/wallets/permission-changes?status=asked")).json()["data"]
    (found,) = [each["change_id"] for each in rows if each["wallet_id"] == made["wallet_id"]]
    return str(found)


async def paid_invoice(service: Service) -> str:
    """An invoice of 5 USDT that was paid."""
    async with service.client("operator", "seller") as api, service.devnet() as devnet:
        wish = {"kind": "invoice", "amount": "5", "currency": "USDT"}
        key = {"Idempotency-Key": new_key()}
        made = (await api.post("/api/v1/payments/process", json=wish, headers=key)).json()
        money = {"address": made["address"], "amount": "5", "currency": "USDT"}
        (await devnet.post("/devnet/faucet", json=money)).raise_for_status()
        path = f"/api/v1/payments/{made['payment_id']}"
        async with asyncio.timeout(SETTLE_S):
            while (await api.get(path)).json()["status"] != "paid":
                await asyncio.sleep(0.2)
    found: str = made["payment_id"]
    return found


async def detached(service: Service, currency: str = "TRX") -> dict[str, str]:
    """A payout whose key is with us here: its request, a signature of it, and a wrong one."""
    key, other = PrivateKey(secrets.token_bytes(32)), PrivateKey(secrets.token_bytes(32))
    address = signer_address(key)
    async with (
        service.client("operator", "custodian") as api,
        service.client("treasurer", "looks") as desk,
        service.devnet() as devnet,
    ):
        for asset in ("TRX", "USDT"):
            money = {"address": address, "amount": "1000", "currency": asset}
            (await devnet.post("/devnet/faucet", json=money)).raise_for_status()
        body = {"label": "vault", "kind": "cold", "address": address}
        wallet = (await api.post("/api/v1/wallets", json=body)).json()["wallet_id"]
        wish = {
            "user_id": "frank",
            "recipient_address": fresh_address(),
            "amount": "12.5",
            "currency": currency,
            "wallet_id": wallet,
        }
        answer = await api.post(
            "/api/v1/payouts/direct", json=wish, headers={"Idempotency-Key": new_key()}
        )
        assert answer.status_code == 202, answer.text
        async with asyncio.timeout(SETTLE_S):
            while True:
                rows = (await desk.get("/api/v1/signing-requests?status=open")).json()["data"]
                mine = [each for each in rows if each["manifest"]["from_address"] == address]
                if mine:
                    break
                await asyncio.sleep(0.2)
    request = mine[0]

    def sign(by: PrivateKey) -> str:
        return by.sign_recoverable(bytes.fromhex(request["txid"]), hasher=None).hex()

    return {
        "signing": request["signing_request_id"],
        "signature": sign(key),
        "wrongSignature": sign(other),
        "detached": answer.json()["payout_id"],
    }


async def failed(service: Service, count: int) -> list[str]:
    """Payouts that have failed on the chain: the token was paused when their bytes arrived."""
    made = [await detached(service, "USDT") for _ in range(count)]
    async with (
        service.client("treasurer", "signer") as api,
        service.devnet() as devnet,
    ):
        await _owner(devnet, "pause")
        try:
            for each in made:
                given = await api.post(
                    f"/api/v1/signing-requests/{each['signing']}/signatures",
                    json={"signature": each["signature"]},
                )
                assert given.is_success, given.text
            ended = await settled(api, [each["detached"] for each in made])
        finally:
            await _owner(devnet, "unpause")
    assert [each["status"] for each in ended] == ["failed"] * count, ended
    return [each["detached"] for each in made]


async def _owner(devnet: httpx.AsyncClient, function: str) -> None:
    body = {"function": function, "arguments": []}
    (await devnet.post("/devnet/usdt", json=body)).raise_for_status()

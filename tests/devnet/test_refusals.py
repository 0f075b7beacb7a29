"""What a broadcast refuses, with java-tron's codes, in java-tron's order."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.devnet.client import ALICE, BOB, CAROL, Client
from tron_payment.devnet import Devnet, DevnetConfig
from tron_payment.devnet.keys import sha256, sign
from tron_payment.devnet.proto import MESSAGES
from tron_payment.devnet.transactions import TRANSFER, build_raw, encode

DAY_MS = 86_400_000


def raw_of(devnet: Devnet, **changes: Any) -> bytes:
    """raw_data of a transfer from Alice to Bob."""
    solid, head = devnet.chain.solid_block, devnet.chain.head.timestamp_ms
    message = MESSAGES["TransferContract"](
        owner_address=ALICE.address, to_address=BOB.address, amount=changes.pop("amount", 1)
    )
    fields: dict[str, Any] = {
        "ref_block_bytes": solid.id[6:8],
        "ref_block_hash": solid.id[8:16],
        "expiration": head + 60_000,
        "timestamp": head,
    }
    return build_raw(TRANSFER, message, **(fields | changes))


async def broadcast(client: Client, raw: bytes, *signatures: bytes) -> Any:
    signed = signatures or (sign(ALICE.key, sha256(raw)),)
    return await client.wallet("broadcasthex", transaction=encode(raw, signed).hex())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda head: {"expiration": head + 2_999}, "TRANSACTION_EXPIRATION_ERROR"),
        (lambda head: {"expiration": head + 3_000}, "SUCCESS"),
        (lambda head: {"expiration": head + DAY_MS}, "SUCCESS"),
        (lambda head: {"expiration": head + DAY_MS + 1}, "TRANSACTION_EXPIRATION_ERROR"),
        (lambda head: {"ref_block_hash": b"\1" * 8}, "TAPOS_ERROR"),
        (lambda head: {"ref_block_bytes": b"\xff\xff"}, "TAPOS_ERROR"),
        (lambda head: {"amount": 10**15}, "CONTRACT_VALIDATE_ERROR"),
        (lambda head: {"amount": 0}, "CONTRACT_VALIDATE_ERROR"),
        (lambda head: {"data": b"m" * 512_000}, "TOO_BIG_TRANSACTION_ERROR"),
        (lambda head: {"permission_id": 9}, "SIGERROR"),
    ],
)
async def test_one_wrong_thing_is_named(
    client: Client, devnet: Devnet, change: Callable[[int], dict[str, Any]], code: str
) -> None:
    await client.fund(ALICE)
    await client.fund(BOB)
    head = devnet.chain.head.timestamp_ms
    answer = await broadcast(client, raw_of(devnet, **change(head)))
    assert answer["code"] == code, answer
    assert answer["result"] is (code == "SUCCESS")
    assert len(devnet.chain.pending) == (code == "SUCCESS")


async def test_signatures_are_recovered_with_both_forms_of_v(
    client: Client, devnet: Devnet
) -> None:
    await client.fund(ALICE)
    for offset in (0, 27):
        raw = raw_of(devnet, timestamp=offset + 1)
        signature = bytearray(sign(ALICE.key, sha256(raw)))
        signature[64] += offset
        assert (await broadcast(client, raw, bytes(signature)))["result"]


async def test_a_foreign_missing_or_short_signature_is_refused(
    client: Client, devnet: Devnet
) -> None:
    await client.fund(ALICE)
    raw = raw_of(devnet)
    foreign = await broadcast(client, raw, sign(BOB.key, sha256(raw)))
    assert foreign["code"] == "SIGERROR"
    assert foreign["message"].endswith("but it is not contained of permission.")
    short = await broadcast(client, raw, b"\1" * 64)
    assert short["message"] == "Validate signature error: Signature size is 64"
    unsigned = await client.wallet("broadcasthex", transaction=encode(raw, ()).hex())
    assert unsigned["message"] == "Validate signature error: miss sig or contract"


async def test_an_id_is_taken_once_however_often_it_is_sent(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    raw = raw_of(devnet)
    assert (await broadcast(client, raw))["result"]
    assert (await broadcast(client, raw))["message"] == "Dup transaction."
    await devnet.mine()
    assert (await broadcast(client, raw))["code"] == "DUP_TRANSACTION_ERROR"
    wrong = await broadcast(client, raw, sign(BOB.key, sha256(raw)))
    assert wrong["code"] == "SIGERROR"
    await devnet.mine(30)
    late = await broadcast(client, raw)
    assert late["code"] == "TRANSACTION_EXPIRATION_ERROR"
    assert len(devnet.chain.block(4).transactions) == 1  # type: ignore[union-attr]


async def test_the_id_cache_remembers_even_what_was_refused() -> None:
    devnet = Devnet(DevnetConfig(block_ms=0, trx_cache=True, usdt=False))
    await devnet.start()
    async with Client(devnet) as client:
        raw = raw_of(devnet)
        assert (await broadcast(client, raw))["code"] == "CONTRACT_VALIDATE_ERROR"
        assert (await broadcast(client, raw))["message"] == "Transaction already exists."
    await devnet.stop()


async def test_a_full_pool_is_busy() -> None:
    devnet = Devnet(DevnetConfig(block_ms=0, max_pending=1, usdt=False))
    await devnet.start()
    async with Client(devnet) as client:
        await client.fund(ALICE)
        assert (await broadcast(client, raw_of(devnet)))["result"]
        answer = await broadcast(client, raw_of(devnet, amount=2))
        assert answer["code"] == "SERVER_BUSY"
    await devnet.stop()


async def test_an_account_that_cannot_pay_its_bytes_is_refused(
    client: Client, devnet: Devnet
) -> None:
    await client.fund(ALICE, "2")
    await client.fund(BOB, "1")
    for amount in range(1, 3):  # 600 free bytes are two transfers
        assert (await broadcast(client, raw_of(devnet, amount=amount)))["result"]
    drained = raw_of(devnet, amount=1_750_000)
    assert (await broadcast(client, drained))["code"] == "CONTRACT_VALIDATE_ERROR"
    assert (await broadcast(client, raw_of(devnet, amount=1_700_000)))["result"]
    assert (await broadcast(client, raw_of(devnet, amount=5)))["code"] == "BANDWITH_ERROR"


async def test_unknown_fields_are_hashed_as_they_came(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    raw = raw_of(devnet) + bytes.fromhex("a00601")  # field 100, varint 1
    answer = await broadcast(client, raw)
    assert answer["result"], answer
    assert answer["txid"] == sha256(raw).hex()


async def test_json_whose_addresses_do_not_match_visible_loses_its_contract(
    client: Client, devnet: Devnet
) -> None:
    await client.fund(ALICE)
    built = await client.wallet(
        "createtransaction",
        owner_address=ALICE.text,
        to_address=CAROL.text,
        amount=1,
        visible=True,
    )
    answer = await client.send(built | {"visible": False}, ALICE)
    assert answer["code"] == "CONTRACT_VALIDATE_ERROR"
    assert bytes.fromhex(answer["message"]).endswith(b"No contract!")
    garbage = built | {"txID": "00" * 32}
    signed = client.signed(built, ALICE)
    answer = await client.wallet("broadcasttransaction", **(signed | garbage | {
        "signature": signed["signature"], "raw_data_hex": "00"}))  # fmt: skip
    assert answer == {"result": True, "txid": built["txID"]}

"""Signed heads: what proves the log when nobody can trust the database."""

import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tron_payment.core.clock import ManualClock
from tron_payment.db.audit import Act, Audit, AuditEntry, BadEntry, Fault, Head, linked
from tron_payment.db.audit_heads import (
    BadHead,
    HeadExport,
    HeadSigner,
    contradiction,
    read_head,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CLOCK = ManualClock(NOW)
SIGNER = HeadSigner(Ed25519PrivateKey.from_private_bytes(b"\x07" * 32))
STRANGER = HeadSigner(Ed25519PrivateKey.from_private_bytes(b"\x08" * 32))
HEAD = Head(42, "ab" * 32)


def act(n: int) -> Act:
    return Act(actor="usr_1", role="treasurer", action="payout.approve", object_id=f"o{n}")


@pytest.fixture
async def raw(mongo: Any) -> Any:
    """The collection with entries 1 to 30."""
    store = await mongo.connect([AuditEntry])
    await Audit(CLOCK).append_many([act(n) for n in range(1, 31)])
    return store.database["audit"]


def test_a_head_is_read_again_as_it_was_signed() -> None:
    signed = SIGNER.sign(HEAD, CLOCK)
    text = json.dumps(signed.as_json())
    assert read_head(text, SIGNER.public_key) == signed
    assert read_head(text, SIGNER.public_key.upper()) == signed
    assert read_head(text, None).head == HEAD
    assert SIGNER.public_key in repr(SIGNER) and "0707" not in repr(SIGNER)


def test_the_key_comes_from_its_seed() -> None:
    assert HeadSigner.of("") is None
    made = HeadSigner.of("07" * 32)
    assert made is not None and made.public_key == SIGNER.public_key


CHANGES: list[dict[str, Any]] = [
    {"seq": 43},
    {"seq": 0},
    {"seq": True},
    {"seq": "42"},
    {"hash": "cd" * 32},
    {"hash": "AB" * 32},
    {"at": "2026-11-20T12:00:01.000Z"},
    {"at": None},
    {"kind": "tron-payment/audit-head/v2"},
    {"signature": "00" * 64},
    {"signature": ""},
    {"public_key": STRANGER.public_key},
    {"public_key": "ff" * 32},
    {"more": 1},
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("pinned", [True, False])
def test_a_changed_head_is_refused(change: dict[str, Any], pinned: bool) -> None:
    text = json.dumps(SIGNER.sign(HEAD, CLOCK).as_json() | change)
    with pytest.raises(BadHead):
        read_head(text, SIGNER.public_key if pinned else None)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "5", '{"seq": 1}', "[" * 900, "x" * 5000])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(BadHead):
        read_head(text, None)


def test_another_key_s_head_is_refused() -> None:
    text = json.dumps(STRANGER.sign(HEAD, CLOCK).as_json())
    with pytest.raises(BadHead, match="another key"):
        read_head(text, SIGNER.public_key)


def test_two_heads_of_one_number_contradict() -> None:
    assert contradiction([HEAD, Head(43, "00" * 32), HEAD]) is None
    other = Head(42, "00" * 32)
    assert contradiction([HEAD, other]) == BadEntry(42, Fault.REWRITTEN)


async def test_kept_heads_show_a_log_that_was_computed_anew(raw: Any) -> None:
    """Somebody who may write everything changes entry 12 and every hash after it."""
    log = Audit(CLOCK)
    kept = [Head(row["seq"], row["hash"]) async for row in raw.find({"seq": {"$in": [5, 15, 25]}})]
    assert await log.verify(known=kept) is None
    before = AuditEntry.model_validate(await raw.find_one({"seq": 11}))
    for seq in range(12, 31):
        entry = AuditEntry.model_validate(await raw.find_one({"seq": seq}))
        changed = entry.model_copy(update={"actor": "usr_2"} if seq == 12 else {})
        before = linked(changed, before)
        await raw.update_one(
            {"seq": seq},
            {"$set": {"actor": before.actor, "prev_hash": before.prev_hash, "hash": before.hash}},
        )
    assert await log.verify() is None, "the chain alone is sound again"
    assert await log.verify(known=kept) == BadEntry(15, Fault.REWRITTEN), "12 is after 5, up to 15"
    await raw.delete_many({"seq": {"$gt": 20}})
    assert await log.verify(known=kept[2:]) == BadEntry(21, Fault.CUT_OFF)


@pytest.mark.parametrize("seed", range(25))
async def test_any_one_tampering_is_found_at_its_entry(raw: Any, seed: int) -> None:
    """A random change, removal or swap, each named with its number and its kind."""
    chance = random.Random(seed)
    seq = chance.randint(1, 29)
    kind = chance.choice(["changed", "removed", "reordered"])
    if kind == "changed":
        name = chance.choice(["actor", "role", "action", "object_id", "request_id", "prev_hash"])
        await raw.update_one({"seq": seq}, {"$set": {name: "tampered"}})
    elif kind == "removed":
        await raw.delete_one({"seq": seq})
    else:
        other = chance.randint(seq + 1, 30)
        for source, target in ((seq, 99), (other, seq), (99, other)):
            await raw.update_one({"seq": source}, {"$set": {"seq": target}})
    assert await Audit(CLOCK).verify() == BadEntry(seq, Fault(kind))


async def test_new_heads_leave_by_the_log_and_old_ones_do_not_again(raw: Any) -> None:
    log = Audit(CLOCK)
    export = HeadExport(log, CLOCK, SIGNER)
    with structlog.testing.capture_logs() as logs:
        assert not await export.step()
        assert not await export.step()
        await log.append(act(31))
        assert not await export.step()
    sent = [each for each in logs if each["event"] == "audit.head_signed"]
    assert [each["seq"] for each in sent] == [30, 31]
    members = {
        "kind": "tron-payment/audit-head/v1",
        "seq": sent[1]["seq"],
        "hash": sent[1]["hash"],
        "at": sent[1]["at"],
        "public_key": SIGNER.public_key,
        "signature": sent[1]["signed"],
    }
    head = read_head(json.dumps(members), SIGNER.public_key).head
    assert await log.verify(known=head) is None


async def test_nothing_leaves_of_an_empty_log(mongo: Any) -> None:
    await mongo.connect([AuditEntry])
    with structlog.testing.capture_logs() as logs:
        await HeadExport(Audit(CLOCK), CLOCK, SIGNER).step()
    assert logs == []

"""`tron-payment audit` on a running installation: heads out, tampering found at its entry."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pymongo import MongoClient

from tests.ops.live import Live
from tron_payment.core.clock import SystemClock
from tron_payment.db.audit import Head
from tron_payment.db.audit_heads import HeadSigner
from tron_payment.operator.report import Exit

SEED = "07" * 32


@pytest.fixture
def secrets(live: Live, tmp_path: Path) -> dict[str, str]:
    """The installation's secrets and the key that signs heads."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for path in Path(live.environment["SECRETS_DIR"]).iterdir():
        (folder / path.name).write_text(path.read_text())
        (folder / path.name).chmod(0o600)
    (folder / "audit_signing_key").write_text(SEED)
    (folder / "audit_signing_key").chmod(0o600)
    return {"SECRETS_DIR": str(folder)}


def log_of(live: Live, secrets: dict[str, str]) -> Any:
    uri = (Path(secrets["SECRETS_DIR"]) / "mongodb_uri").read_text().strip()
    name = live.environment.get("PAYMENT_DB_NAME", "tron_payment")
    return MongoClient(uri)[name]["audit"]


def test_signed_heads_prove_the_log(live: Live, secrets: dict[str, str], tmp_path: Path) -> None:
    live.call("POST", "/api/v1/policy/kill-switch", role="treasurer", on=True, reason="a test")
    live.call("POST", "/api/v1/policy/kill-switch", role="treasurer", on=False, reason="over")
    code, data = live.command_json("audit", "head", **secrets)
    assert code == Exit.OK and data["signed"]["seq"] == data["head"]["seq"] >= 2, data
    kept = tmp_path / "kept.jsonl"
    kept.write_text(json.dumps(data["signed"]) + "\n\n")
    key = data["signed"]["public_key"]

    code, data = live.command_json("audit", "verify", "--heads", str(kept), "--public-key", key)
    assert code == Exit.OK and (data["kept"], data["bad"]) == (1, None), data
    code, data = live.command_json("audit", "verify", "--heads", str(kept), **secrets)
    assert code == Exit.OK, data
    code, data = live.command_json("audit", "verify", "--heads", str(kept))
    assert code == Exit.USAGE and "public-key" in data["error"]["detail"]
    code, data = live.command_json("audit", "verify", "--heads", str(tmp_path / "none"), **secrets)
    assert code == Exit.USAGE
    code, data = live.command_json(
        "audit", "verify", "--heads", str(kept), "--public-key", "00" * 32
    )
    assert (code, data["error"]["code"]) == (Exit.FAILED, "bad_audit_head")

    signer = HeadSigner(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEED)))
    other = signer.sign(Head(2, "0" * 64), SystemClock()).as_json()
    with kept.open("a") as file:
        file.write(json.dumps(other) + "\n")
    code, data = live.command_json("audit", "verify", "--heads", str(kept), **secrets)
    assert code == Exit.FAILED
    assert data["bad"] == {"seq": 2, "fault": "rewritten"}


@pytest.mark.parametrize("fault", ["changed", "removed", "reordered"])
def test_tampering_is_named_with_its_entry(live: Live, secrets: dict[str, str], fault: str) -> None:
    """Somebody past the service touches entry 1 of a real log; it is put back afterwards."""
    live.call("POST", "/api/v1/policy/kill-switch", role="treasurer", on=True, reason="a test")
    live.call("POST", "/api/v1/policy/kill-switch", role="treasurer", on=False, reason="over")
    log = log_of(live, secrets)
    first, second = log.find_one({"seq": 1}), log.find_one({"seq": 2})
    try:
        if fault == "changed":
            log.update_one({"seq": 1}, {"$set": {"actor": "nobody"}})
        elif fault == "removed":
            log.delete_one({"seq": 1})
        else:
            log.update_one({"_id": first["_id"]}, {"$set": {"seq": -1}})
            log.update_one({"_id": second["_id"]}, {"$set": {"seq": 1}})
            log.update_one({"_id": first["_id"]}, {"$set": {"seq": 2}})
        code, data = live.command_json("audit", "verify")
        assert code == Exit.FAILED
        assert data["bad"] == {"seq": 1, "fault": fault}
        code, _, said = live.command("audit", "verify")
        assert code == Exit.FAILED and f"entry 1 is {fault}" in said
    finally:
        log.delete_many({"_id": {"$in": [first["_id"], second["_id"]]}})
        log.insert_many([first, second])
        log.database.client.close()
    code, data = live.command_json("audit", "verify")
    assert code == Exit.OK, data


def test_entries_that_never_were_are_not_called_removed(live: Live) -> None:
    live.settled(live.pay())
    _, data = live.command_json("audit", "head")
    last = data["head"]["seq"]
    code, data = live.command_json("audit", "verify", "--from", str(last))
    assert code == Exit.OK and data["bad"] is None
    code, out, said = live.command("audit", "verify", "--from", "99999999")
    told = out + said
    assert code == Exit.FAILED and "removed" not in told and "runbooks" not in told
    assert "the log has only" in told and "none from 99999999 on" in told
    code, data = live.command_json("audit", "verify", "--from", "99999999")
    assert code == Exit.FAILED and data["bad"] is None and data["entries"] >= last
    known = ("--known", f"99999999:{'0' * 64}")
    code, data = live.command_json("audit", "verify", "--from", "99999999", *known)
    assert code == Exit.FAILED and data["bad"]["fault"] == "cut_off", "a head says that there were"

"""A release that knows less than the store: it says so, and leaves everything as it is."""

from pathlib import Path
from typing import Any

from pymongo import MongoClient

from tests.ops.live import Live
from tron_payment.db.migrations import SCHEMA_VERSION
from tron_payment.operator.report import Exit

NEWER = SCHEMA_VERSION + 1
OTHER = "newer"


def test_it_is_refused_before_it_changes_anything(live: Live) -> None:
    uri = (Path(live.environment["SECRETS_DIR"]) / "mongodb_uri").read_text()
    with MongoClient[dict[str, Any]](uri) as client:
        row = client["tron_payment"]["installation"].find_one({})
        assert row is not None
        database = client[OTHER]
        shape = {"schema_version": NEWER, "schema_floor": NEWER}
        database["installation"].insert_one(row | shape)
        try:
            code, data = live.command_json("reconcile", PAYMENT_DB_NAME=OTHER)
            assert code == Exit.FAILED and data["error"]["code"] == "installation_mismatch", data
            assert database.list_collection_names() == ["installation"]
            assert client[OTHER + "_signer"].list_collection_names() == []
            code, data = live.command_json("doctor", PAYMENT_DB_NAME=OTHER)
            failed = [each for each in data["findings"] if each["level"] == "fail"]
            assert code == Exit.FAILED and [each["check"] for each in failed] == ["store"], data
            assert str(NEWER) in failed[0]["detail"] and failed[0]["advice"]
        finally:
            client.drop_database(OTHER)


def test_the_doctor_says_that_a_step_which_failed_has_taken_the_turn_away(live: Live) -> None:
    """The newer release wrote that into the leases, and died before its step was done."""
    uri = (Path(live.environment["SECRETS_DIR"]) / "mongodb_uri").read_text()
    with MongoClient[dict[str, Any]](uri) as client:
        row = client["tron_payment"]["installation"].find_one({})
        assert row is not None
        database = client[OTHER]
        database["installation"].insert_one(row)
        lease = {"_id": "background", "owner": "", "epoch": 1, "beat": 1, "floor": NEWER}
        database["leases"].insert_one(lease)
        try:
            _, data = live.command_json("doctor", PAYMENT_DB_NAME=OTHER)
            (failed,) = [each for each in data["findings"] if each["level"] == "fail"]
            assert failed["check"] == "store" and str(NEWER) in failed["detail"], data
            assert "$unset" in failed["advice"]
        finally:
            client.drop_database(OTHER)

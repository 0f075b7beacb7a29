"""A release that is not the store's: it says so, and leaves everything as it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from tests.ops.live import Live
from tron_payment.db.migrations import SCHEMA_VERSION
from tron_payment.operator.report import Exit

NEWER = SCHEMA_VERSION + 1
OLDER = SCHEMA_VERSION - 2
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


LOOKING = (
    ("monitor", "--once"),
    ("payouts", "list"),
    ("payouts", "explain", "pay_nothing"),
    ("wallets", "list"),
    ("audit", "head"),
    ("safe-mode", "show"),
)


@contextmanager
def other(live: Live) -> Iterator[Any]:
    """A database of its own beside the service's, gone afterwards."""
    uri = (Path(live.environment["SECRETS_DIR"]) / "mongodb_uri").read_text()
    with MongoClient[dict[str, Any]](uri) as client:
        try:
            yield client[OTHER]
        finally:
            client.drop_database(OTHER)
            client.drop_database(OTHER + "_signer")


def test_a_command_of_a_newer_release_leaves_the_store_to_the_older_one(live: Live) -> None:
    """The processes that do the work would lose their turn, and nobody would take it up."""
    with other(live) as database:
        row = database.client["tron_payment"]["installation"].find_one({})
        shape = {"schema_version": OLDER, "schema_floor": OLDER}
        database["installation"].insert_one(row | shape)
        lease = {"_id": "background", "owner": "runs", "epoch": 1, "beat": 1}
        database["leases"].insert_one(lease)
        before = database["installation"].find_one({})
        for argv in (*LOOKING, ("deploy-contracts", "--only", "v0")):
            code, data = live.command_json(*argv, PAYMENT_DB_NAME=OTHER)
            assert code == Exit.FAILED, argv
            assert data["error"]["code"] == "installation_mismatch", (argv, data)
            assert "start the service of this one first" in data["error"]["detail"], (argv, data)
        assert database["installation"].find_one({}) == before
        assert database["leases"].find_one({}) == lease, "its turn is not taken away"
        assert set(database.list_collection_names()) == {"installation", "leases"}
        code, data = live.command_json("doctor", PAYMENT_DB_NAME=OTHER)
        told = [each for each in data["findings"] if f"schema {OLDER}" in each["detail"]]
        assert code == Exit.OK and [each["level"] for each in told] == ["warn"], data


def test_a_new_store_is_begun_by_whichever_command_comes_first(live: Live) -> None:
    """With its indexes before all else: one that has begun without them is refused."""
    with other(live) as database:
        code, data = live.command_json("wallets", "list", PAYMENT_DB_NAME=OTHER)
        assert code == Exit.OK, data
        assert database["installation"].find_one({})["schema_version"] == SCHEMA_VERSION
        unique = database["permission_changes"].index_information()
        assert unique["asked"]["unique"]
        database["permission_changes"].drop_index("asked")
        code, data = live.command_json("wallets", "list", PAYMENT_DB_NAME=OTHER)
        assert code == Exit.UNAVAILABLE and "unique indexes" in data["error"]["detail"], data
        assert "asked" not in database["permission_changes"].index_information()


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

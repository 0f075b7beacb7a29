"""The configuration is checked at start, all problems at once; secrets come from files."""

import os
from pathlib import Path

import pytest

from tron_payment.configuration import load
from tron_payment.settings import ConfigurationError, Environment, Network

DEVELOPMENT = {"LUCID_ENV": "development"}
SECRET = "s" * 32
ADDRESS = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A secrets folder with what production needs."""
    for name, text in (
        ("jwt_secret_key", SECRET),
        ("wallet_encryption_key", "ab" * 32),
        ("mongodb_uri", "mongodb://user:pass@mongo-1,mongo-2/?replicaSet=rs0"),
    ):
        secret(tmp_path, name, text)
    return tmp_path


def secret(folder: Path, name: str, text: str, mode: int = 0o600) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(mode)


def problems(environ: dict[str, str], folder: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        load(environ, secrets_dir=folder)
    return refused.value.problems


def test_development_needs_nothing(tmp_path: Path) -> None:
    settings = load(DEVELOPMENT, secrets_dir=tmp_path)
    assert settings.is_development
    assert settings.tron_network is Network.DEVNET
    assert settings.port == 8090
    assert settings.node_urls == ("http://127.0.0.1:9090",)
    assert settings.listen_host == "127.0.0.1"


def test_nobody_falls_into_development_by_forgetting_a_variable(folder: Path) -> None:
    settings = load({}, secrets_dir=folder)
    assert settings.lucid_env is Environment.PRODUCTION
    assert settings.tron_network is Network.MAINNET
    assert settings.listen_host == "0.0.0.0"


def test_production_without_anything_names_everything_that_is_missing(tmp_path: Path) -> None:
    found = "\n".join(problems({}, tmp_path))
    for name in ("JWT_SECRET_KEY", "WALLET_ENCRYPTION_KEY", "MONGODB_URI"):
        assert name in found
    assert found.endswith("beside `make run`: LUCID_ENV=development")
    told = "\n".join(problems({"LUCID_ENV": "production"}, tmp_path))
    assert "make run" not in told, "who names production means it"


def test_a_secret_in_the_environment_refuses_production(folder: Path) -> None:
    found = problems({"JWT_SECRET_KEY": SECRET}, folder)
    assert len(found) == 1
    assert found[0].startswith("JWT_SECRET_KEY is in the environment")
    assert SECRET not in found[0]


def test_development_takes_secrets_from_the_environment(tmp_path: Path) -> None:
    settings = load({**DEVELOPMENT, "JWT_SECRET_KEY": SECRET}, secrets_dir=tmp_path)
    assert settings.jwt_secret_key.get_secret_value() == SECRET


@pytest.mark.parametrize(("mode", "word"), [(0o644, "world-readable"), (0o622, "world-writable")])
def test_a_secret_that_is_open_to_everybody_is_refused(folder: Path, mode: int, word: str) -> None:
    secret(folder, "hot_wallet_private_key", "11" * 32, mode=mode)
    (found,) = problems({}, folder)
    assert word in found
    assert "11" * 32 not in found


def test_a_secret_file_that_cannot_be_used_is_a_problem_with_words(folder: Path) -> None:
    (folder / "jwt_secret_key").unlink()
    (folder / "jwt_secret_key").mkdir()
    assert any("is not a file" in found for found in problems({}, folder))
    (folder / "jwt_secret_key").rmdir()
    (folder / "jwt_secret_key").write_bytes(b"\xff\xfe" * 32)
    (folder / "jwt_secret_key").chmod(0o600)
    assert any("is not text" in found for found in problems({}, folder))


def test_a_secret_file_of_somebody_else_is_a_problem_with_words(folder: Path) -> None:
    (folder / "jwt_secret_key").chmod(0)
    whoever = os.geteuid()
    if whoever == 0:
        os.seteuid(65532)
    try:
        assert any("cannot be read (Permission" in found for found in problems({}, folder))
    finally:
        os.seteuid(whoever)


@pytest.mark.parametrize("uri", ["mongo:27017", "mongodb://u:p@ss@mongo/?replicaSet=rs0"])
@pytest.mark.parametrize("name", ["MONGODB_URI", "SIGNER_JOURNAL_URI"])
def test_a_store_that_cannot_be_named_so_is_said_without_its_password(
    folder: Path, name: str, uri: str
) -> None:
    (folder / "mongodb_uri").unlink()
    environ = {"MONGODB_URI": "mongodb://mongo/?replicaSet=rs0", name: uri}
    (found,) = problems(environ, folder)
    assert found.startswith(f"{name}: mongodb://USER") and "p@ss" not in found


@pytest.mark.parametrize("option", ["tlsCAFile", "tlsCertificateKeyFile"])
@pytest.mark.parametrize("name", ["MONGODB_URI", "SIGNER_JOURNAL_URI"])
def test_a_file_that_the_store_needs_and_that_is_not_there_is_a_problem_with_words(
    folder: Path, name: str, option: str
) -> None:
    (folder / "mongodb_uri").unlink()
    uri = f"mongodb://u:p@mongo/?replicaSet=rs0&tls=true&{option}={folder}/none"
    (found,) = problems({"MONGODB_URI": "mongodb://mongo/?replicaSet=rs0", name: uri}, folder)
    assert found.startswith(f"{name}: a file that it names (tlsCAFile") and "u:p" not in found


def test_no_secret_is_shown_by_the_settings_themselves(folder: Path) -> None:
    shown = repr(load({}, secrets_dir=folder))
    for text in (SECRET, "ab" * 32, "user:pass"):
        assert text not in shown


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"MONGODB_URI": "mongodb://a", "MONGO_URL": "mongodb://b"}, "MONGO_URL"),
        ({"TRON_NODE_URL": "http://a", "TRON_FULL_NODE_URL": "http://b"}, "TRON_FULL_NODE_URL"),
        ({"TRON_NODE_URL": "http://a", "NODE_AGREEMENT": "2"}, "NODE_AGREEMENT"),
        ({"TRON_NODE_URL": "http://a,http://b", "NODE_DISSENT": "set_apart"}, "NODE_DISSENT"),
        ({"NODE_DISSENT": "believe"}, "NODE_DISSENT"),
        ({"TRON_NODE_URL": "http://a,http://A/"}, "TRON_NODE_URL"),
        (
            {"TRON_NODE_URL": "http://a,http://b", "TRON_SOLIDITY_NODE_URL": "http://c,http://c"},
            "TRON_SOLIDITY_NODE_URL",
        ),
        (
            {"TRON_NODE_URL": "http://a,http://b", "TRON_SOLIDITY_NODE_URL": "http://a"},
            "TRON_SOLIDITY_NODE_URL",
        ),
        ({"TRON_NETWORK": "private"}, "TRON_NODE_URL"),
        ({"TRON_NETWORK": "bitcoin"}, "TRON_NETWORK"),
        ({"MIN_PAYOUT_AMOUNT": "ten"}, "MIN_PAYOUT_AMOUNT"),
        ({"MIN_PAYOUT_AMOUNT": "20", "MAX_PAYOUT_AMOUNT": "10"}, "MIN_PAYOUT_AMOUNT"),
        ({"MAX_PAYOUT_AMOUNT": "1e4"}, "MAX_PAYOUT_AMOUNT"),
        ({"HOT_WALLET_ADDRESS": ADDRESS[:-1] + "x"}, "HOT_WALLET_ADDRESS"),
        ({"USDT_CONTRACT_ADDRESS": "0x00"}, "USDT_CONTRACT_ADDRESS"),
        ({"JWT_SECRET_KEY": "short"}, "JWT_SECRET_KEY"),
        ({"PORT": "70000"}, "PORT"),
        ({"PAYOUT_TIMEOUT": "5"}, "PAYOUT_TIMEOUT"),
        ({"PAYOUT_BATCH_SIZE": "101"}, "PAYOUT_BATCH_SIZE"),
        ({"RATE_READ": "0"}, "RATE_READ"),
        ({"LUCID_ENV": "staging"}, "LUCID_ENV"),
    ],
)
def test_a_setting_that_cannot_be_right_is_named(
    tmp_path: Path, changes: dict[str, str], named: str
) -> None:
    assert named in "\n".join(problems({**DEVELOPMENT, **changes}, tmp_path))


TWO_NODES = {**DEVELOPMENT, "TRON_NETWORK": "private", "NODE_AGREEMENT": "2"}


@pytest.mark.parametrize(
    "urls",
    [
        "http://a,http://a:80",
        "https://a.example,https://A.example:443/",
        "https://a.example./x/,https://a.example/x",
        "http://[::1]:8090,http://[0:0::1]:8090",
        "http://me:secret@a:8090,http://a:8090",
    ],
)
def test_one_node_written_in_two_ways_has_one_voice(tmp_path: Path, urls: str) -> None:
    found = problems({**TWO_NODES, "TRON_NODE_URL": urls}, tmp_path)
    assert found[0] == "TRON_NODE_URL: the same node twice has one voice, not two"
    assert "secret" not in "".join(found)


@pytest.mark.parametrize("other", ["http://a:8091", "http://a:8090/x", "http://b:8090"])
def test_two_nodes_have_two_voices(tmp_path: Path, other: str) -> None:
    urls = f"http://a:8090,{other}"
    settings = load({**TWO_NODES, "TRON_NODE_URL": urls}, secrets_dir=tmp_path)
    assert settings.node_agreement == 2


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    found = problems(
        {
            **DEVELOPMENT,
            "MIN_PAYOUT_AMOUNT": "ten",
            "HOT_WALLET_ADDRESS": "nowhere",
            "JWT_SECRET_KEY": "short",
        },
        tmp_path,
    )
    assert len(found) == 3


@pytest.mark.parametrize(
    ("changes", "network"),
    [
        ({"TRON_NETWORK": "testnet"}, Network.NILE),
        ({"TRON_NETWORK": "shasta"}, Network.SHASTA),
        ({"TRON_NETWORK": ""}, Network.DEVNET),
    ],
)
def test_network_names(tmp_path: Path, changes: dict[str, str], network: Network) -> None:
    assert load({**DEVELOPMENT, **changes}, secrets_dir=tmp_path).tron_network is network


def test_the_last_of_the_six_former_ports_is_ours(tmp_path: Path) -> None:
    former = {"TRON_CLIENT_PORT": "8085", "PAYMENT_GATEWAY_PORT": "18090"}
    assert load({**DEVELOPMENT, **former}, secrets_dir=tmp_path).port == 18090
    both = {**DEVELOPMENT, **former, "PORT": "19090"}
    assert load(both, secrets_dir=tmp_path).port == 19090


def test_several_nodes_are_comma_separated(tmp_path: Path) -> None:
    settings = load(
        {**DEVELOPMENT, "TRON_NODE_URL": "http://a/, http://b", "NODE_AGREEMENT": "2"},
        secrets_dir=tmp_path,
    )
    assert settings.node_urls == ("http://a", "http://b")
    assert settings.solidity_urls == settings.node_urls


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hot_wallet_private_key", "0x" + "5a" * 32),
        ("hot_wallet_private_key", "5a" * 31),
        ("hot_wallet_private_key", "zz" * 32),
        ("payout_router_private_key", "00" * 32),
        ("kyc_attestation_private_key", "ff" * 32),
        ("wallet_encryption_key", "correct horse battery staple"),
        ("wallet_encryption_key", f"k1:{'5a' * 32},k1:{'6b' * 32}"),
        ("wallet_encryption_key", f"k2:{'5a' * 32},{'6b' * 16}"),
        ("wallet_encryption_key", f"k-2:{'5a' * 32}"),
    ],
)
def test_a_key_of_another_form_is_refused_at_the_start_and_not_shown(
    folder: Path, name: str, text: str
) -> None:
    secret(folder, name, text)
    (found,) = problems({}, folder)
    assert found.startswith(f"{name.upper()}: 64 hex digits")
    assert text not in found and "5a" not in found


@pytest.mark.parametrize(
    "text", ["AB" * 32, f"k2:{'5a' * 32}, k1:{'6b' * 32}", f"{'5a' * 32},k2:{'6b' * 32}"]
)
def test_keys_of_the_right_forms_are_taken(folder: Path, text: str) -> None:
    secret(folder, "wallet_encryption_key", text)
    secret(folder, "hot_wallet_private_key", "5A" * 32)
    assert load({}, secrets_dir=folder).wallet_encryption_key.get_secret_value() == text

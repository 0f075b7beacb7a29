"""In production nothing is reached but the neighbours, whoever asks and in whatever way."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ops import attempts
from tron_payment import egress
from tron_payment.configuration import load
from tron_payment.egress import EgressRefused, Guard
from tron_payment.peers import is_private
from tron_payment.settings import ConfigurationError, Settings

SECRETS = {
    "jwt_secret_key": "s" * 32,
    "wallet_encryption_key": "a" * 64,
    "mongodb_uri": "mongodb://u:p@mongo-1:27017,mongo-2/?replicaSet=rs0",
}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    for name, value in SECRETS.items():
        (tmp_path / name).write_text(value)
        (tmp_path / name).chmod(0o600)
    return tmp_path


def production(secrets: Path, **environ: str) -> Settings:
    return load({"TRON_NETWORK": "mainnet", **environ}, secrets_dir=secrets)


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    """A neighbour's and a stranger's; both listen."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        yield one.getsockname()[1], two.getsockname()[1]


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_every_way_out_is_refused_but_the_proxy(
    secrets: Path, ports: tuple[int, int], loop: str
) -> None:
    argv = [sys.executable, attempts.__file__, str(secrets), *map(str, ports), loop]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'connect':" in done.stdout


def test_neighbours_are_the_store_the_gateway_redis_and_the_proxy(secrets: Path) -> None:
    settings = production(
        secrets, API_GATEWAY_URL="http://gateway:8080", REDIS_URL="redis://redis", TOR_PROXY=""
    )
    assert egress.neighbours(settings) == {
        ("mongo-1", 27017),
        ("mongo-2", 27017),
        ("gateway", 8080),
        ("redis", 6379),
        ("tor-proxy", 9050),
    }


def test_production_has_a_proxy_even_when_none_is_given(secrets: Path) -> None:
    settings = production(secrets)
    assert settings.socks_proxy == settings.node_proxy == "socks5://tor-proxy:9050"
    assert ("api.trongrid.io", 443) not in egress.neighbours(settings)


@pytest.mark.parametrize(
    ("url", "direct"),
    [
        ("http://10.1.2.3:8090", True),
        ("http://java-tron:8090", True),
        ("http://node.internal:8090", True),
        ("http://[fd00::1]:8090", True),
        ("http://10.1.2.3:8090,https://api.trongrid.io", False),
        ("http://8.8.8.8:8090", False),
        ("http://abcdefgh.onion", False),
    ],
)
def test_only_nodes_of_our_own_network_are_called_without_a_proxy(
    secrets: Path, url: str, direct: bool
) -> None:
    assert (production(secrets, TRON_NODE_URL=url).node_proxy is None) is direct
    through = production(secrets, TRON_NODE_URL=url, TOR_PROXY="socks5://10.0.0.9:9050")
    assert through.node_proxy == "socks5://10.0.0.9:9050", "a given proxy is taken by all"


def test_own_nodes_beside_a_proxy_need_a_word_of_their_own(secrets: Path) -> None:
    both = {"TOR_PROXY": "socks5://tor:9050", "TRON_NODES_DIRECT": "true"}
    settings = production(secrets, TRON_NODE_URL="http://10.1.2.3:8090", **both)
    assert settings.node_proxy is None and settings.socks_proxy == "socks5://tor:9050"
    with pytest.raises(ConfigurationError, match="TRON_NODES_DIRECT"):
        production(secrets, TRON_NODE_URL="https://api.trongrid.io", **both)


@pytest.mark.parametrize(
    "wrong",
    [
        {"TOR_PROXY": "http://tor:9050"},
        {"TOR_PROXY": "socks5://tor"},
        {"TOR_PROXY": "socks5://tor:notaport"},
        {"API_GATEWAY_URL": "gateway"},
        {"TRON_NODE_URL": "node:x"},
    ],
)
def test_a_malformed_way_out_refuses_the_start(secrets: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        production(secrets, **wrong)


def test_srv_records_would_ask_a_name_server(secrets: Path) -> None:
    (secrets / "mongodb_uri").write_text("mongodb+srv://u:p@cluster.example.org/")
    with pytest.raises(ConfigurationError, match="name the members"):
        production(secrets)


def test_addresses_of_a_neighbours_name_pass_on_its_port_only() -> None:
    guard = Guard([("mongo", 27017)])
    guard.check_lookup("Mongo.")
    with pytest.raises(EgressRefused):
        guard.check_connect(("10.0.0.5", 27017))
    guard.learn("mongo", 27017, [(2, 1, 6, "", ("10.0.0.5", 27017))])
    guard.learn("stranger", 27017, [(2, 1, 6, "", ("10.0.0.6", 27017))])
    guard.learn("mongo", 22, [(2, 1, 6, "", ("10.0.0.5", 22))])
    guard.check_connect(("10.0.0.5", 27017))
    for stranger in (("10.0.0.5", 22), ("10.0.0.6", 27017), ("mongo.evil", 27017)):
        with pytest.raises(EgressRefused):
            guard.check_connect(stranger)
    with pytest.raises(EgressRefused):
        guard.check_lookup("mongo.evil")
    assert guard.blocked == {"connect": 4, "lookup": 1}


def test_what_is_ours_and_what_is_the_internets() -> None:
    assert all(map(is_private, ["127.0.0.1", "10.0.0.1", "172.16.0.9", "[::1]", "tor-proxy"]))
    assert not any(map(is_private, ["8.8.8.8", "0.0.0.0", "api.trongrid.io", "x.onion", "2606::1"]))

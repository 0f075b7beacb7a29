"""What can be said of image and compose without a container engine."""

import os
import re
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tron_payment.healthcheck import where
from tron_payment.settings import SECRET_NAMES, Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILES = [ROOT / "deploy" / "Dockerfile", ROOT / "deploy" / "tor" / "Dockerfile"]

TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT, "uniqueItems": True}
MAPPING = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
SERVICE = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        *("image", "networks", "deploy", "read_only", "cap_drop", "security_opt", "ulimits")
    ],
    "properties": {
        "image": TEXT,
        "build": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"context": TEXT, "dockerfile": TEXT, "args": MAPPING},
        },
        "user": TEXT,
        "environment": MAPPING,
        "secrets": TEXTS,
        "networks": TEXTS,
        "expose": TEXTS,
        "tmpfs": TEXTS,
        "volumes": TEXTS,
        "profiles": TEXTS,
        "command": {"type": "array", "items": TEXT},
        "entrypoint": {"type": "array", "items": TEXT},
        "depends_on": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["condition"],
                "properties": {
                    "condition": {
                        "enum": [
                            "service_started",
                            "service_healthy",
                            "service_completed_successfully",
                        ]
                    }
                },
            },
        },
        "healthcheck": {
            "type": "object",
            "additionalProperties": False,
            "required": ["test"],
            "properties": {
                "test": {"type": "array", "items": TEXT},
                "interval": TEXT,
                "timeout": TEXT,
                "start_period": TEXT,
                "retries": {"type": "integer"},
            },
        },
        "stop_grace_period": TEXT,
        "restart": {"enum": ["unless-stopped", "on-failure", "always", "no"]},
        "read_only": {"const": True},
        "cap_drop": {"const": ["ALL"]},
        "security_opt": {"const": ["no-new-privileges:true"]},
        "ulimits": {"const": {"core": {"soft": 1, "hard": 1}}},
        "logging": {"type": "object"},
        "deploy": {
            "type": "object",
            "required": ["resources"],
            "properties": {
                "resources": {
                    "type": "object",
                    "required": ["limits"],
                    "properties": {
                        "limits": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["cpus", "memory", "pids"],
                            "properties": {
                                "cpus": TEXT,
                                "memory": {"type": "string", "pattern": "^[0-9]+[mg]$"},
                                "pids": {"type": "integer"},
                            },
                        }
                    },
                }
            },
        },
    },
}
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["name", "services", "networks", "secrets"],
    "patternProperties": {"^x-": {}},
    "additionalProperties": False,
    "properties": {
        "name": TEXT,
        "services": {"type": "object", "additionalProperties": SERVICE},
        "networks": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"internal": {"type": "boolean"}},
            },
        },
        "volumes": {
            "type": "object",
            "additionalProperties": {"type": "object", "maxProperties": 0},
        },
        "secrets": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["file"],
                "properties": {"file": TEXT},
            },
        },
    },
}
"""The part of the compose specification that we use, and our own rules for every container."""


def test_compose_is_what_the_specification_and_our_rules_allow() -> None:
    errors = [
        f"{list(error.instance_path)}: {error.message}"
        for error in jsonschema_rs.validator_for(SCHEMA).iter_errors(COMPOSE)
    ]
    assert not errors


def test_everything_that_is_named_exists() -> None:
    for name, service in SERVICES.items():
        assert set(service["networks"]) <= set(COMPOSE["networks"]), name
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"]), name
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).is_file() and volume.endswith(":ro"), volume
            else:
                assert source in COMPOSE["volumes"], volume
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])


def test_only_tor_has_a_way_out() -> None:
    networks = COMPOSE["networks"]
    outer = {name for name, network in networks.items() if not network.get("internal")}
    assert outer == {"outer"}
    assert [n for n, s in SERVICES.items() if outer & set(s["networks"])] == [
        "tor-proxy",
        "tor-gateway",
    ]
    assert not any("ports" in service for service in SERVICES.values())
    assert SERVICES["mongodb"]["networks"] == ["store"]


def test_the_service_is_configured_by_names_that_exist() -> None:
    service = SERVICES["tron-payment"]
    names = {name.upper() for name in Settings.model_fields}
    assert set(service["environment"]) <= names
    assert not {n.lower() for n in service["environment"]} & {*SECRET_NAMES, "mongodb_uri"}
    assert set(service["secrets"]) <= {name.lower() for name in names}
    assert service["user"] == "65532:65532"
    database = SERVICES["mongo-init"]["environment"]["PAYMENT_DB_NAME"]
    assert database == Settings.model_fields["payment_db_name"].default
    limits = service["deploy"]["resources"]["limits"]
    assert (limits["cpus"], limits["memory"]) == ("0.5", "1g")


def test_nobody_starts_before_what_he_needs() -> None:
    waits = {
        name: {other: rule["condition"] for other, rule in service["depends_on"].items()}
        for name, service in SERVICES.items()
        if "depends_on" in service
    }
    assert waits["tron-payment"]["mongo-init"] == "service_completed_successfully"
    assert waits["mongo-init"] == {"mongodb": "service_healthy"}
    for name, others in waits.items():
        for other, condition in others.items():
            if condition == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} would wait for ever"
            if condition == "service_completed_successfully":
                assert SERVICES[other]["restart"] == "on-failure", f"{other} never ends"


def test_mongod_lets_nobody_in_without_a_password() -> None:
    """A key file asks clients for theirs as well; the root user is made before anybody can come."""
    mongodb = SERVICES["mongodb"]
    command = mongodb["command"]
    assert command[0] == "mongod" and "--noauth" not in command
    key_file = command[command.index("--keyFile") + 1]
    assert key_file == "/run/secrets/mongo_keyfile" and "mongo_keyfile" in mongodb["secrets"]
    made = mongodb["environment"]
    assert made["MONGO_INITDB_ROOT_USERNAME"] == "root"
    assert made["MONGO_INITDB_ROOT_PASSWORD_FILE"] == "/run/secrets/mongo_root_password"


def test_images_have_a_version() -> None:
    for name, service in SERVICES.items():
        tag = service["image"].rpartition(":")[2]
        assert re.search(r"\d", tag) and tag != "latest", name


def test_tor_isolates_and_serves_nobody_else() -> None:
    text = (ROOT / "deploy" / "tor" / "torrc").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if line.startswith("SocksPort")] == [
        "SocksPort 0.0.0.0:9050 IsolateSOCKSAuth IsolateDestAddr"
    ]
    assert [line.removeprefix("SocksPolicy ") for line in lines if "SocksPolicy" in line] == [
        *("accept 10.0.0.0/8", "accept 172.16.0.0/12", "accept 192.168.0.0/16", "reject *")
    ]
    assert {"ExitRelay 0", "ClientOnly 1", "ClientRejectInternalAddresses 1"} <= set(lines)
    assert not [line for line in lines if line.startswith(("ORPort", "DirPort", "ExitPolicy"))]
    assert "HiddenService" not in text, "Tor ends where the gateway has no name; payouts need it"
    gateway = (ROOT / "deploy" / "tor" / "torrc-gateway").read_text()
    for rule in ("SocksPort 0", "ExitRelay 0", "HiddenServicePort 80 api-gateway:8080"):
        assert rule in gateway
    volumes = {tuple(SERVICES[name]["volumes"]) for name in ("tor-proxy", "tor-gateway")}
    assert len(volumes) == 2, "a data directory has one Tor"
    for control in (text, gateway):
        assert "\nControlPort 127.0.0.1:9051\nCookieAuthentication 1\n" in control


def _control_port(answer: bytes, heard: list[bytes]) -> tuple[socket.socket, Thread]:
    """Tor's side of one health check (control-spec: a line for each command, then the end)."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(10)

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(10)
            said = b""
            while b"QUIT\r\n" not in said:
                said += connection.recv(1_000)
            heard.append(said)
            connection.sendall(b"250 OK\r\n" + answer + b"250 OK\r\n250 closing connection\r\n")

    thread = Thread(target=serve, daemon=True)
    thread.start()
    return server, thread


@pytest.mark.parametrize(("established", "healthy"), [(b"1", True), (b"0", False)])
def test_tor_is_healthy_when_it_has_circuits(
    tmp_path: Path, established: bytes, healthy: bool
) -> None:
    script = ROOT / "deploy" / "tor" / "healthcheck"
    assert "/etc/tor/healthcheck" in DOCKERFILES[1].read_text()
    cookie = tmp_path / "cookie"
    cookie.write_bytes(bytes(range(32)))
    heard: list[bytes] = []
    answer = b"250-status/circuit-established=" + established + b"\r\n"
    server, thread = _control_port(answer, heard)
    argv = ["bash", str(script), str(server.getsockname()[1]), str(cookie)]
    with server:
        done = subprocess.run(argv, capture_output=True, timeout=20, check=False)
        thread.join(10)
    assert (done.returncode == 0) is healthy, done.stderr
    assert heard[0].startswith(b"AUTHENTICATE " + bytes(range(32)).hex().encode() + b"\r\n")
    done = subprocess.run(argv, capture_output=True, timeout=20, check=False)
    assert done.returncode != 0, "nobody listens any more"


def test_the_owner_of_every_secret_file_is_who_reads_it() -> None:
    rows = re.findall(
        r"^\| (`[a-z_`, ]+`) \| ([0-9]+) \|", (ROOT / "docs" / "operations.md").read_text(), re.M
    )
    owners = {name: uid for names, uid in rows for name in re.findall(r"[a-z_]+", names)}
    assert set(COMPOSE["secrets"]) <= set(owners)
    for service in SERVICES.values():
        for name in service.get("secrets", []):
            assert service["user"].partition(":")[0] == owners[name], name


def test_nothing_here_names_another_system_of_the_owner() -> None:
    others = re.compile(
        r"blockchain[_-]core|lucid[_-]blocks|on[_-]system[_-]chain|block[_-]manager"
    )
    listed = subprocess.run(
        ["git", "ls-files", "src", "deploy", "docker-compose.yml", ".env.example"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    paths = [ROOT / name for name in listed] or [*(ROOT / "src").rglob("*.py")]
    for path in (p for p in paths if p.is_file() and p.suffix != ".json"):
        assert not others.search(path.read_text(errors="replace").lower()), path


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/live" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def test_the_health_check_needs_no_shell(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.2", 0), _Answer)  # not where it would ask by itself
    Thread(target=server.serve_forever, daemon=True).start()
    settings = tmp_path / "settings.env"
    settings.write_text(f"LOG_LEVEL=INFO\nHOST='127.0.0.2'\nPORT={server.server_port}\n")

    def check(*argv: str) -> int:
        argv = (sys.executable, "-m", "tron_payment.healthcheck", *argv)
        env = {**os.environ, "SETTINGS_FILE": str(settings)}
        return subprocess.run(argv, env=env, capture_output=True, check=False).returncode

    try:
        assert (check(), check("ready"), check("what")) == (0, 1, 2)
    finally:
        server.shutdown()
        server.server_close()
    assert check() == 1


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({}, ("127.0.0.1", 8090)),
        ({"HOST": "0.0.0.0", "PORT": "80"}, ("127.0.0.1", 80)),
        ({"host": "::", "port": "80"}, ("::1", 80)),
        ({"HOST": "10.0.0.7", "PORT": ""}, ("10.0.0.7", 8090)),
        ({"PAYMENT_GATEWAY_PORT": "81"}, ("127.0.0.1", 81)),
        ({"PORT": "none", "SETTINGS_FILE": "/nonexistent"}, ("127.0.0.1", 8090)),
    ],
)
def test_the_health_check_asks_where_the_service_listens(
    environ: dict[str, str], place: tuple[str, int]
) -> None:
    assert where(environ) == place

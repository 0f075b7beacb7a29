"""What each Dockerfile says, and that all it copies is in the context that the engine is given."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.ops.test_deploy import DOCKERFILES, ROOT, SERVICES
from tron_payment import cli

IGNORED: Final = (ROOT / ".dockerignore").read_text()


def steps(path: Path) -> list[tuple[str, str]]:
    """Instruction and rest of each line, joined where it goes on."""
    text = re.sub(r"\\\n", " ", path.read_text())
    lines = [line.split(None, 1) for line in text.splitlines() if line and line[0] not in "#"]
    return [(kind, rest) for kind, rest in lines]


def in_context(path: str, rules: str = IGNORED) -> bool:
    """Whether the engine is sent this file, by the rules of a .dockerignore: the last one that
    names it, or a folder that it lies in, decides."""
    folders = path.split("/")
    names = ["/".join(folders[: n + 1]) for n in range(len(folders))]
    kept = True
    for line in rules.split():
        pattern = re.escape(line.removeprefix("!").strip("/"))
        pattern = pattern.replace(r"\*\*/", "(.*/)?").replace(r"\*\*", ".*")
        pattern = pattern.replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
        if any(re.fullmatch(pattern, name) for name in names):
            kept = line.startswith("!")
    return kept


def copied(path: Path) -> Iterator[str]:
    """Files that a Dockerfile takes from its context, those of a folder one by one."""
    for kind, rest in steps(path):
        if kind != "COPY" or rest.startswith("--from"):
            continue
        *sources, _ = rest.split()
        for source in sources:
            at = ROOT / source
            found = [at] if at.is_file() else [f for f in at.rglob("*") if f.is_file()]
            assert found, f"{path} copies {source}, which is not there"
            yield from (str(f.relative_to(ROOT)) for f in found if "__pycache__" not in f.parts)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_all_that_is_copied_is_in_the_build_context(path: Path) -> None:
    files = list(copied(path))
    assert files and [name for name in files if not in_context(name)] == []


@pytest.mark.parametrize(
    "path",
    [
        *("deploy/secrets/mongodb_uri", "var/secrets/jwt_secret_key", ".env", ".git/config"),
        "src/tron_payment/__pycache__/serve.cpython-311.pyc",
    ],
)
def test_no_secret_and_nothing_compiled_is_in_the_build_context(path: str) -> None:
    assert not in_context(path)


@pytest.mark.parametrize(
    ("rules", "kept"),
    [("**", False), ("** !a", True), ("** !a/b/c", True), ("** !a/b/d", False), ("!a **/c", False),
     ("a/*", False), ("*", False), ("b", True)],
)  # fmt: skip
def test_the_last_rule_that_names_a_file_or_its_folder_decides(rules: str, kept: bool) -> None:
    assert in_context("a/b/c", rules) is kept


def test_every_image_of_ours_is_built_by_somebody() -> None:
    """The engine looks for any other one at a registry, where somebody else may have put it."""
    built = {service["image"] for service in SERVICES.values() if "build" in service}
    others = {service["image"].partition(":")[0] for service in SERVICES.values()} - {
        image.partition(":")[0] for image in built
    }
    assert others == {"mongo", "redis", "prom/prometheus", "grafana/grafana"}
    assert {s["image"] for s in SERVICES.values() if s["image"].startswith("tron-")} == built
    assert {ROOT / s["build"]["dockerfile"] for s in SERVICES.values() if "build" in s} == set(
        DOCKERFILES
    )


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_dockerfiles_keep_the_rules(path: Path) -> None:
    text, lines = path.read_text(), steps(path)
    bases = dict(step[1].split("=", 1) for step in lines if step[0] == "ARG")
    for step in (s for s in lines if s[0] == "FROM"):
        name = step[1].split()[0].strip("${}")
        assert ":" in bases[name] and not bases[name].endswith("latest")
    for kind, rest in lines:
        assert kind not in ("ADD", "VOLUME", "ONBUILD", "MAINTAINER")
        if kind in ("CMD", "ENTRYPOINT", "HEALTHCHECK"):
            assert "[" in rest, "exec form: there is no shell"
        if kind == "RUN" and "apt-get install" in rest:
            assert "--no-install-recommends" in rest and "rm -rf /var/lib/apt/lists" in rest
        assert "sudo" not in rest and "curl" not in rest and "wget" not in rest
    final = text[text.rindex("\nFROM") :]
    user = re.search(r"^USER (\S+)$", final, re.MULTILINE)
    assert user is not None and user.group(1) in ("65532:65532", "debian-tor")


def test_the_image_of_the_service_has_no_shell_and_no_mongod() -> None:
    text = DOCKERFILES[0].read_text()
    runtime = text[text.rindex("\nFROM") :]
    assert "distroless/python3-debian12:nonroot" in text
    assert "\nRUN " not in runtime and "COPY --from=build /app /app" in runtime
    lock = (ROOT / "deploy" / "requirements.lock").read_text()
    assert "--hash=sha256:" in lock
    for stranger in ("fiftyone", "pycurl", "pytest", "hypothesis", "ledgerblue", "trezor"):
        assert not re.search(rf"^{stranger}", lock, re.MULTILINE)


def test_the_lock_holds_every_dependency_in_the_version_that_was_tested() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / name).read_text()
        return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==(\S+)", text, re.MULTILINE))

    image, tested = pins("deploy/requirements.lock"), pins("requirements.lock")
    assert image and {name: tested.get(name) for name in image} == image


def test_the_manual_starts_commands_as_the_image_does() -> None:
    """It has no program `tron-payment`: a command is an argument of the entry point."""
    text = (ROOT / "docs" / "operations.md").read_text()
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    lines = re.sub(r"\\\n\s*", "", blocks).splitlines()
    final = dict(steps(DOCKERFILES[0]))
    entry = " ".join(json.loads(final["ENTRYPOINT"]))
    image = SERVICES["tron-payment"]["image"]
    started = [line.partition("#")[0].split(" > ")[0] for line in lines if "docker " in line]
    commands = set()
    for line in started:
        before, name, command = re.split(rf" ({image}|{entry}|tron-payment)(?= [a-z])", line)[:3]
        if name == entry:
            assert before == "docker compose exec tron-payment"
        elif name == image:
            assert before.startswith("docker run --rm -it --read-only --cap-drop ALL --network ")
        else:
            assert before.startswith("docker compose run --rm")
        given = cli.build_parser().parse_args(shlex.split(command))
        commands.add(given.command)
        writes = {"backup": "/backups/", "restore": "/backups/"}.get(given.command)
        assert not writes or (f'"$PWD{writes[:-1]}:{writes[:-1]}' in before and writes in command)
    assert commands >= {"doctor", "deploy-contracts", "audit", "backup", "restore", "payouts"}
    assert "/app/bin" in final["RUN"]

"""Builds the image's root folder without a container engine, from the Dockerfile's own lines.

`python3.11 deploy/assemble.py FOLDER` (as root, on Debian 12, or wherever apt knows its packages)
leaves `FOLDER/root`, what a container would see, and `FOLDER/image.json`, how it would be run.
The base images are stood in for by the Debian packages that they are made of, unpacked and not
configured; every other line of the Dockerfile is carried out as it stands there. Wheels are
fetched before, by their hashes, so that the build itself needs no network. What only an engine
can show (its own bases by digest, layers, seccomp, cgroups) is in docs/operations.md.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

SOURCE: Final = Path(__file__).resolve().parents[1]
DOCKERFILE: Final = SOURCE / "deploy" / "Dockerfile"

SLIM: Final = ("base-files", "bash", "coreutils", "dash", "findutils", "libc-bin", "sed")
"""Of debian:12-slim, what the build stage's commands use."""

DISTROLESS: Final = (
    *("base-files", "netbase", "tzdata", "ca-certificates", "libc6", "libgcc-s1", "libgomp1"),
    *("libstdc++6", "libssl3", "libbz2-1.0", "libcom-err2", "libcrypt1", "libdb5.3", "libexpat1"),
    *("libffi8", "libgssapi-krb5-2", "libk5crypto3", "libkeyutils1", "libkrb5-3"),
    *("libkrb5support0", "liblzma5", "libncursesw6", "libnsl2", "libreadline8", "libsqlite3-0"),
    *("libtinfo6", "libtirpc3", "libuuid1", "zlib1g", "libpython3.11-minimal"),
    *("libpython3.11-stdlib", "python3.11-minimal"),
)
"""The packages of gcr.io/distroless/python3-debian12; without shell, dpkg or apt."""

NONROOT: Final = 65_532
SPARED: Final = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian")
WHEELS: Final = "wheels"


@dataclass
class Stage:
    """One FROM and what follows it."""

    base: str
    folder: Path
    name: str = ""
    workdir: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def inside(self, path: str) -> Path:
        """A path of the container, here."""
        return self.folder / os.path.normpath(os.path.join(self.workdir, path)).lstrip("/")


def lines(text: str) -> list[tuple[str, str]]:
    """The Dockerfile's instructions."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    return [
        (kind, rest.strip())
        for kind, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def build(folder: Path) -> None:
    """Carry out the Dockerfile; the last stage becomes `root`."""
    folder.mkdir(parents=True, exist_ok=True)
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for kind, rest in lines(DOCKERFILE.read_text()):
        print(f"{kind} {rest}", file=sys.stderr)
        if kind == "ARG":
            name, _, value = rest.partition("=")
            arguments[name] = value
            continue
        if kind == "FROM":
            base, *named = rest.split()
            base = arguments.get(base.strip("${}"), base)
            stage = Stage(base, folder / f"stage-{len(stages)}", named[1] if named else "")
            stages.append(stage)
            _from(stage, folder)
            continue
        _instruction(stages, kind, rest, folder)
    final = stages[-1]
    _slim(final.folder)
    final.folder.rename(folder / "root")
    config = {"base": final.base, "environment": final.environment, **final.config}
    (folder / "image.json").write_text(json.dumps(config, indent=2) + "\n")
    for stage in stages[:-1]:
        shutil.rmtree(stage.folder)


def _instruction(stages: list[Stage], kind: str, rest: str, folder: Path) -> None:
    stage = stages[-1]
    if kind == "ENV":
        stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
    elif kind == "WORKDIR":
        stage.workdir = rest
        stage.inside(".").mkdir(parents=True, exist_ok=True)
        stage.config["workdir"] = rest
    elif kind == "COPY":
        _copy(stages, rest)
    elif kind == "RUN":
        _run(stage, rest, folder)
    elif kind in ("ENTRYPOINT", "CMD"):
        stage.config[kind.lower()] = json.loads(rest)
    elif kind == "HEALTHCHECK":
        stage.config["healthcheck"] = json.loads(rest[rest.index("[") :])
    elif kind in ("USER", "EXPOSE", "STOPSIGNAL"):
        stage.config[kind.lower()] = rest
    elif kind != "LABEL":
        raise SystemExit(f"not understood: {kind} {rest}")


def _from(stage: Stage, folder: Path) -> None:
    """Stand in for a base image by its Debian packages."""
    distroless = "distroless" in stage.base
    _unpack(DISTROLESS if distroless else closure(SLIM), stage.folder, folder)
    for name in ("tmp", "proc", "dev", "sys", "run", "home/nonroot"):
        (stage.folder / name).mkdir(parents=True, exist_ok=True)
    (stage.folder / "tmp").chmod(0o1777)
    etc = stage.folder / "etc"
    etc.joinpath("passwd").write_text(
        "root:x:0:0:root:/root:/sbin/nologin\n"
        f"nonroot:x:{NONROOT}:{NONROOT}:nonroot:/home/nonroot:/sbin/nologin\n"
    )
    etc.joinpath("group").write_text(f"root:x:0:\nnonroot:x:{NONROOT}:\n")
    etc.joinpath("nsswitch.conf").write_text("hosts: files dns\n")
    os.chown(stage.folder / "home" / "nonroot", NONROOT, NONROOT)


def _copy(stages: list[Stage], rest: str) -> None:
    *options, source, target = rest.split()
    origin = SOURCE / source
    for option in options:
        name = option.removeprefix("--from=")
        (other,) = (each for each in stages if each.name == name)
        origin = other.folder / source.lstrip("/")
    to = stages[-1].inside(target)
    if origin.is_dir():
        ignore = shutil.ignore_patterns("__pycache__") if not options else None
        shutil.copytree(origin, to, ignore=ignore, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy2(origin, to / origin.name if target.endswith("/") else to)


def _run(stage: Stage, command: str, folder: Path) -> None:
    """A command in the stage's root; packages come unpacked instead of by apt-get."""
    if found := re.search(r"apt-get install -y --no-install-recommends ([^&|;]+)", command):
        _unpack(closure(tuple(found.group(1).split())), stage.folder, folder)
        return
    wheels = stage.folder / WHEELS
    if "pip install" in command and not wheels.exists():
        _download_wheels(wheels)
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", **stage.environment}
    environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"/{WHEELS}"}
    dev = stage.folder / "dev"
    script = (
        'mount --make-rprivate / && mount -t proc proc "$0/proc" && mount --rbind /dev "$1"'
        ' && exec chroot "$0" /usr/bin/env -i "${@:4}"'
        ' /bin/sh -c \'cd "$0" && eval "$1"\' "$2" "$3"'
    )
    pairs = [f"{name}={value}" for name, value in environment.items()]
    argv = ["unshare", "--mount", "--pid", "--fork", "bash", "-euc", script]
    subprocess.run([*argv, stage.folder, dev, stage.workdir, command, *pairs], check=True)


def _download_wheels(to: Path) -> None:
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes"]
    lock = SOURCE / "deploy" / "requirements.lock"
    subprocess.run([*argv, "--only-binary=:all:", "-r", lock, "-d", to], check=True)


def closure(names: tuple[str, ...]) -> tuple[str, ...]:
    """Packages with all that they depend on, without what is only recommended."""
    without = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    argv = ["apt-cache", "depends", "--recurse", *(f"--no-{each}" for each in without), *names]
    out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    found = {line for line in out.splitlines() if re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", line)}
    return tuple(sorted(found))


def _unpack(names: tuple[str, ...], root: Path, folder: Path) -> None:
    """Fetch packages by apt, which checks their signatures, and unpack them."""
    store = folder / "packages"
    store.mkdir(parents=True, exist_ok=True)
    root.mkdir(parents=True, exist_ok=True)
    have = {path.name.split("_")[0] for path in store.glob("*.deb")}
    if missing := [name for name in names if name not in have]:
        argv = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root"]
        subprocess.run([*argv, *_real(missing)], cwd=store, check=True)
    for path in sorted(store.glob("*.deb")):
        if path.name.split("_")[0] in names:
            subprocess.run(["dpkg", "-x", path, root], check=True)


def _real(names: list[str]) -> list[str]:
    """Without packages that only others provide."""
    out = subprocess.run(
        ["apt-cache", "policy", *names], check=True, capture_output=True, text=True
    ).stdout
    candidates = re.findall(r"^(\S+):\n(?:  .*\n)*?  Candidate: (\S+)", out, re.MULTILINE)
    return [name for name, candidate in candidates if candidate != "(none)"]


def _slim(root: Path) -> None:
    """What the distroless base leaves out of its packages, too."""
    for name in SPARED:
        shutil.rmtree(root / name, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    if os.geteuid() != 0 or sys.version_info[:2] != (3, 11):
        raise SystemExit("needs root (chroot) and Python 3.11 (the image's, for its wheels)")
    build(given.folder.resolve())


if __name__ == "__main__":
    main()

"""Runs the image's root folder as a container engine would: its own namespaces, nothing writable.

`contained.py FOLDER SECRETS [HOST:PLACE...] COMMAND...` with the environment that the container
shall have, and the host's folders that `-v` would mount. Mount, process, IPC and host name spaces
are new; the network and its name server are the caller's. The root is read-only, with
a small `/tmp`; the process is UID 65532 without capabilities and can never have any. Kernel
interfaces only: what an engine adds (seccomp, cgroups, its own networks) is not here.
"""

import ctypes
import json
import os
import signal
import sys
from itertools import takewhile
from pathlib import Path
from typing import Final

USER: Final = 65_532
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 4096, 16384, 1 << 18
_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC, _CLONE_NEWPID = 1 << 17, 1 << 26, 1 << 27, 1 << 29
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_CAPABILITIES_MAX: Final = 64

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    text = (source.encode(), str(target).encode(), kind.encode())
    _call("mount", *text, ctypes.c_ulong(flags), options.encode())


def furnish(root: Path, secrets: Path, volumes: list[str]) -> None:
    """The mounts of docker-compose.yml, and what an engine always mounts."""
    mount("none", Path("/"), "none", _MS_REC | _MS_PRIVATE)
    mount(str(root), root, "none", _MS_BIND)
    safe = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    mount("tmpfs", root / "dev", "tmpfs", _MS_NOSUID | _MS_NOEXEC, "size=64k,mode=755")
    for name in ("null", "zero", "urandom", "random"):
        (root / "dev" / name).touch()
        mount(f"/dev/{name}", root / "dev" / name, "none", _MS_BIND)
    for volume in volumes:
        host, _, place = volume.partition(":")
        (root / place.lstrip("/")).mkdir(exist_ok=True)
        mount(host, root / place.lstrip("/"), "none", _MS_BIND)
    mount("proc", root / "proc", "proc", safe)
    mount("tmpfs", root / "tmp", "tmpfs", safe, "size=16m,mode=1777")
    resolver = root / "etc" / "resolv.conf"
    resolver.touch()
    mount("/etc/resolv.conf", resolver, "none", _MS_BIND)
    mount("tmpfs", root / "run", "tmpfs", safe, "size=64k,mode=755")
    (root / "run" / "secrets").mkdir()
    mount(str(secrets), root / "run" / "secrets", "none", _MS_BIND)
    for target in (root, resolver, root / "run" / "secrets", root / "run", root / "dev"):
        kept = _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID
        mount("none", target, "none", kept | (_MS_BIND if target.name != "run" else 0))


def drop(root: Path, workdir: str) -> None:
    """Enter the root for ever, as nobody who matters."""
    os.chroot(root)
    os.chdir(workdir)
    for capability in range(_CAPABILITIES_MAX):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # the kernel knows no more
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def main(folder: Path, secrets: Path, given: list[str]) -> int:
    """Run the command as the container's first process; its exit status."""
    volumes = list(takewhile(lambda word: word.startswith("/") and ":" in word, given))
    command = given[len(volumes) :]
    image = json.loads((folder / "image.json").read_text())
    environment = {"PATH": "/usr/bin", "HOME": "/home/nonroot", **image["environment"]}
    environment |= {name: value for name, value in os.environ.items() if name.isupper()}
    environment["PATH"], environment["PYTHONPATH"] = "/usr/bin", image["environment"]["PYTHONPATH"]
    argv = [*image["entrypoint"], *(command or image["cmd"])]
    if command[:1] == ["--"]:
        argv = command[1:]
    _call("unshare", _CLONE_NEWNS | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        furnish(folder / "root", secrets, volumes)
        drop(folder / "root", image["workdir"])
        os.execve(argv[0], argv, environment)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    while True:
        try:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        except InterruptedError:
            continue


if __name__ == "__main__":
    sys.exit(abs(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])))

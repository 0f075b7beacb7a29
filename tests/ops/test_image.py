"""The image's content, assembled without an engine, serves as nobody, read-only, without a shell.

`deploy/assemble.py` carries out the Dockerfile's lines; the root that it leaves runs in namespaces
of its own (tests/ops/contained.py) beside MongoDB, with the node behind a SOCKS proxy.
IMAGE_FOLDER names a folder that was assembled before.
"""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ops import netns
from tests.ops.installation import until
from tests.ops.test_only_through_the_proxy import (
    SOCKS_PORT,
    Installation,
    Processes,
    furnished,
)

ROOT = Path(__file__).parents[2]
ASSEMBLE_S = 900
CONTAINED = Path(__file__).with_name("contained.py")


def why_not() -> str:
    """What is missing; empty when it can run."""
    for program in ("apt-get", "apt-cache", "dpkg", "unshare"):
        if shutil.which(program) is None:
            return f"needs {program}, on Debian 12"
    if 'VERSION_ID="12"' not in Path("/etc/os-release").read_text():
        return "needs Debian 12, whose packages the image is made of"
    return netns.why_not()


pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(1_500),
    pytest.mark.skipif(bool(reason := why_not()), reason=reason or "all is here"),
]


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """The folder with `root` and `image.json`."""
    if given := os.environ.get("IMAGE_FOLDER"):
        yield Path(given)
        return
    folder = Path(tempfile.mkdtemp(prefix="tron-payment-image-"))
    try:
        argv = [sys.executable, ROOT / "deploy" / "assemble.py", folder]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=ASSEMBLE_S, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_it_holds_no_shell_no_installer_and_nothing_setuid(image: Path) -> None:
    names: set[str] = set()
    for path in (image / "root").rglob("*"):
        mode = path.lstat().st_mode
        assert not stat.S_ISREG(mode) or not mode & (stat.S_ISUID | stat.S_ISGID), path
        if (stat.S_ISREG(mode) and mode & 0o111) or stat.S_ISLNK(mode):
            names.add(path.name)
    assert not names & {"sh", "bash", "dash", "busybox", "apt-get", "dpkg", "pip", "pip3", "mongod"}
    app = {path.name for path in (image / "root" / "app").iterdir()}
    assert "tron_payment" in app and not app & {"pytest", "hypothesis", "bin", "pip", "fiftyone"}
    ours = image / "root" / "app" / "tron_payment"
    assert list(ours.rglob("*.pyc")), "compiled once, for everybody"
    for path in ours.rglob("*"):
        assert not path.lstat().st_mode & 0o222 or path.stat().st_uid == 0, path


@pytest.fixture
def contained(image: Path) -> Iterator[Installation]:
    """The service of the image; it begins when a test says so."""
    folder = Path(tempfile.mkdtemp(prefix="tron-payment-contained-"))
    processes = Processes(folder)
    try:
        with netns.world(folder, {"node.tron.example": "127.0.0.1"}) as world:
            here = furnished(Installation(world, folder, processes))
            for path in Path(here.environment["SECRETS_DIR"]).iterdir():
                os.chown(path, 65_532, 65_532)
            start(here, image)
            yield here
    except BaseException:
        print((folder / "service.log").read_text()[-3000:], file=sys.stderr)
        raise
    finally:
        processes.end()
        shutil.rmtree(folder)


def inside(here: Installation, image: Path, *command: str) -> list[str]:
    """A command line that runs in the image's root, in the service's network."""
    space = ["ip", "netns", "exec", here.world.inside.name]
    secrets = here.environment["SECRETS_DIR"]
    return [*space, sys.executable, str(CONTAINED), str(image), secrets, *command]


def environment(here: Installation) -> dict[str, str]:
    """Of compose, as far as it goes: no path of this machine."""
    ours = dict(here.environment) | {"PATH": os.environ["PATH"]}
    for name in ("PYTHONPATH", "SECRETS_DIR", "VAR_DIR", "HOME"):
        ours.pop(name, None)
    return ours


def start(here: Installation, image: Path) -> None:
    argv = inside(here, image)
    here.service = here.processes.spawn(argv, "service.log", environment(here))
    until(lambda: here.call("GET", "/health").status_code == 200, "the service", 120)


PROBE = """
import json, os, socket, subprocess
said = {"uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups(), "pid": os.getpid()}
status = dict(l.split(":", 1) for l in open("/proc/self/status").read().splitlines() if ":" in l)
names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
said |= {name: int(status[name], 16) for name in names}
def writes(path):
    try:
        open(path + "/x", "w").close()
    except OSError as error:
        return error.errno
    return 0
places = ("/", "/app", "/etc", "/run", "/run/secrets", "/dev", "/tmp")
said["writes"] = {place: writes(place) for place in places}
try:
    subprocess.run("true", shell=True)
    said["shell"] = True
except FileNotFoundError:
    said["shell"] = False
said["interfaces"] = sorted(name for _, name in socket.if_nameindex())
said["resolver"] = open("/etc/resolv.conf").read()
for leak in (lambda: socket.create_connection(("1.1.1.1", 443), 1),
             lambda: socket.getaddrinfo("api.trongrid.io", 443)):
    try:
        leak()
        said["out"] = True
    except OSError:
        said.setdefault("out", False)
print(json.dumps(said))
"""


def test_it_pays_from_a_read_only_root_as_nobody(contained: Installation, image: Path) -> None:
    here = contained
    here.settled(here.pay())

    argv = inside(here, image, "--", "/usr/bin/python3.11", "-m", "tron_payment.healthcheck")
    env = environment(here)
    for which in ("live", "ready"):
        assert subprocess.run([*argv, which], env=env, timeout=30, check=False).returncode == 0
    proxy = f"ip 6 {netns.OUTSIDE_ADDRESS} {SOCKS_PORT}"
    assert here.world.left() - {netns.ARP} == {proxy}, "only ARP and the proxy"
    argv = inside(here, image, "--", "/usr/bin/python3.11", "-c", PROBE)
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["uid"] == said["gid"] == [65_532] * 3 and said["groups"] == [] and said["pid"] == 1
    assert {said[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert said["NoNewPrivs"] == 1
    writes = said["writes"]
    assert writes.pop("/tmp") == 0 and set(writes.values()) <= {13, 30} and said["shell"] is False
    assert len(said["interfaces"]) == 2 and said["resolver"] == netns.RESOLVER
    assert said["out"] is False, "nobody is there"
    leaks = {"ip 6 1.1.1.1 443", f"ip 17 {netns.NAME_SERVER} 53"}
    assert here.world.left() - {netns.ARP, proxy} == leaks, "what asks past the proxy shows"

    code = _command(here, image, "doctor")
    assert code in (0, 1), "it runs, whatever it finds"
    _backs_up(here, image)
    assert here.service is not None
    here.service.send_signal(signal.SIGTERM)
    assert here.service.wait(timeout=30) == 0


def _backs_up(here: Installation, image: Path) -> None:
    """As docs/operations.md says it: into a folder of the host's, which belongs to 65532."""
    kept, elsewhere = here.folder / "backups", here.folder / "of-root"
    for folder in (kept, elsewhere):
        folder.mkdir(mode=0o700)
    (kept / "password").write_text("correct horse battery staple\n")
    for path in (kept, kept / "password"):
        os.chown(path, 65_532, 65_532)
    volumes = (f"{kept}:/backups", f"{elsewhere}:/elsewhere")
    word = ("--password-file", "/backups/password")
    assert _command(here, image, *volumes, "backup", "/backups/keys", *word) == 0
    found = (kept / "keys").stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (65_532, 0o600) and found.st_size > 100
    assert _command(here, image, *volumes, "backup", "/elsewhere/keys", *word) != 0
    assert _command(here, image, *volumes, "restore", "/backups/keys", *word) == 0
    assert _command(here, image, *volumes, "restore", "/tmp/keys", *word) == 2, (
        "nothing stays there"
    )


def _command(here: Installation, image: Path, *argv: str) -> int:
    done = subprocess.run(
        inside(here, image, *argv),
        env=environment(here),
        capture_output=True,
        timeout=120,
        check=False,
    )
    return done.returncode

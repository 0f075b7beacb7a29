"""Network namespaces: `inside` where the service lives, `outside` where the internet begins.

Inside has a default route and a name server, as an open network gives them, so that whatever goes
past the proxy really leaves; there it finds nobody. No IPv6. Names of the outside are known there
only. Everything that inside sends is recorded by a raw socket.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

INSIDE_ADDRESS: Final = "10.231.77.2"
OUTSIDE_ADDRESS: Final = "10.231.77.1"
NAME_SERVER: Final = "203.0.113.53"
"""Behind the default route, where nobody answers."""

ARP: Final = "0x806"
RESOLVER: Final = f"nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n"
READY_LOOKS_MAX: Final = 400
_CLONE_NEWNET: Final = 0x40000000

T = TypeVar("T")

SNIFFER: Final = """
import socket, struct, sys
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
raw.bind((sys.argv[1], 0))
seen = set()
print("ready", flush=True)
while True:
    packet, (_, _, kind, _, _) = raw.recvfrom(65535)
    if kind != socket.PACKET_OUTGOING:
        continue
    ether = struct.unpack("!H", packet[12:14])[0]
    line = hex(ether)
    if ether == 0x0800:
        ip = packet[14:]
        line = f"ip {ip[9]} {socket.inet_ntoa(ip[16:20])}"
        if ip[9] in (6, 17):
            line += f" {struct.unpack('!H', ip[(ip[0] & 15) * 4 + 2:][:2])[0]}"
    if line not in seen:
        seen.add(line)
        print(line, flush=True)
"""


def why_not() -> str:
    """What is missing for these tests; empty when they can run."""
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    for program in ("ip", "microsocks"):
        if shutil.which(program) is None:
            return f"needs {program} (apt-get install iproute2 microsocks)"
    name = f"try{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return "the kernel gives no network namespaces"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


@dataclass
class Space:
    """One namespace."""

    name: str
    children: list[subprocess.Popen[str]] = field(default_factory=list)

    def spawn(self, *argv: str, **options: Any) -> subprocess.Popen[str]:
        """A process inside, ended with the namespace."""
        child = subprocess.Popen(["ip", "netns", "exec", self.name, *argv], text=True, **options)
        self.children.append(child)
        return child

    def do(self, act: Callable[[], T]) -> T:
        """Call a function whose sockets are made inside."""

        def enter() -> None:
            with open(f"/run/netns/{self.name}") as handle:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(handle.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")

        with ThreadPoolExecutor(1, initializer=enter) as thread:
            return thread.submit(act).result()


@dataclass
class World:
    """Both sides, and what has left inside."""

    inside: Space
    outside: Space
    packets: Path

    def left(self) -> set[str]:
        """Kinds of packets that inside has sent: `ip PROTOCOL ADDRESS PORT`, or an ether type."""
        return set(self.packets.read_text().split("\n")) - {"", "ready"}


@contextmanager
def world(folder: Path, names: dict[str, str]) -> Iterator[World]:
    """Two namespaces; `names` are the hosts that only the outside knows."""
    tag = f"{os.getpid() % 100_000}"
    inside, outside = Space(f"tpi{tag}"), Space(f"tpo{tag}")
    with ExitStack() as stack:
        for space in (inside, outside):
            _ip("netns", "add", space.name)
            stack.callback(_remove, space)
            _ip("-n", space.name, "link", "set", "lo", "up")
            etc = Path("/etc/netns") / space.name
            etc.mkdir(parents=True)
            stack.callback(shutil.rmtree, etc)
            (etc / "resolv.conf").write_text(RESOLVER)
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in names.items())]
        (etc / "hosts").write_text("\n".join(lines) + "\n")
        _ip("link", "add", f"i{tag}", "netns", inside.name, "type", "veth",
            "peer", "name", f"o{tag}", "netns", outside.name)  # fmt: skip
        for space, link, address in (
            (inside, f"i{tag}", INSIDE_ADDRESS),
            (outside, f"o{tag}", OUTSIDE_ADDRESS),
        ):
            knob = Path(f"/proc/sys/net/ipv6/conf/{link}/disable_ipv6")
            if knob.parent.parent.is_dir():
                space.do(lambda knob=knob: knob.write_text("1"))
            _ip("-n", space.name, "addr", "add", f"{address}/24", "dev", link)
            _ip("-n", space.name, "link", "set", link, "up")
        _ip("-n", inside.name, "route", "add", "default", "via", OUTSIDE_ADDRESS)
        packets = folder / "packets"
        with packets.open("w") as out:
            inside.spawn(sys.executable, "-c", SNIFFER, f"i{tag}", stdout=out)
        _until_ready(packets)
        yield World(inside, outside, packets)


def _until_ready(packets: Path) -> None:
    """Nothing may leave before it is recorded."""
    for _ in range(READY_LOOKS_MAX):
        if "ready" in packets.read_text():
            return
        time.sleep(0.05)
    raise AssertionError("the recorder does not begin")


def _ip(*argv: str) -> None:
    subprocess.run(["ip", *argv], check=True)


def _remove(space: Space) -> None:
    for child in reversed(space.children):
        child.kill()
        child.wait()
    _ip("netns", "del", space.name)

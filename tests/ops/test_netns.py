"""The namespaces would show a leak: what leaves past the proxy is recorded, whatever makes it."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.ops import netns
from tests.ops.installation import until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(reason := netns.why_not()), reason=reason or "all is here"),
]

NAMES = """
import ctypes
libc = ctypes.CDLL(None)
libc.getaddrinfo(b"api.trongrid.io", None, None, ctypes.byref(ctypes.c_void_p()))
"""
"""By the C library, as an extension module would ask: no guard inside Python sees it."""

DATAGRAM = "import socket; socket.socket(type=2).sendto(b'.', ('192.0.2.7', 123))"
STREAM = """
import socket
stream = socket.socket()
stream.settimeout(0.2)
stream.connect_ex(("192.0.2.8", 443))
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[netns.World]:
    with netns.world(tmp_path_factory.mktemp("netns"), {}) as made:
        yield made


@pytest.mark.parametrize(
    ("leak", "packet"),
    [
        pytest.param(NAMES, f"ip 17 {netns.NAME_SERVER} 53", id="a name"),
        pytest.param(DATAGRAM, "ip 17 192.0.2.7 123", id="a datagram"),
        pytest.param(STREAM, "ip 6 192.0.2.8 443", id="a connection"),
    ],
)
def test_what_leaves_past_the_proxy_is_recorded(world: netns.World, leak: str, packet: str) -> None:
    assert packet not in world.left()
    argv = ["ip", "netns", "exec", world.inside.name, sys.executable, "-c", leak]
    subprocess.run(argv, timeout=30, check=True)
    until(lambda: packet in world.left(), packet, within_s=10)

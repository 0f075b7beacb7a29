"""Ports for servers that a test stops and starts again.

The kernel lends any port from 32768 up to outgoing connections, so a port from there that a
stopped server left may be taken, for minutes, before its next start. Those below stay free.
"""

import contextlib
import random
import socket
from typing import Final

HOST: Final = "127.0.0.1"
LOWEST, HIGHEST = 10_000, 32_000
TRIES: Final = 1_000

_chance: Final = random.SystemRandom()


def free_port() -> int:
    """A port whose neighbour above (the devnet's solidity node) is free too.

    Raises:
        OSError: None was found in `TRIES`.
    """
    for _ in range(TRIES):
        port = _chance.randrange(LOWEST, HIGHEST, 2)
        with socket.socket() as one, socket.socket() as two, contextlib.suppress(OSError):
            one.bind((HOST, port))
            two.bind((HOST, port + 1))
            return port
    raise OSError("no free port")

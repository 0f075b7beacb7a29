"""Whether the ports that we want to listen on are free; said before anything is started."""

import asyncio
import socket
from typing import Final

import structlog

from tron_payment.core.errors import Unavailable

EARLIER_S: Final = 10.0
"""How long an earlier process of ours may take to let go of the port."""

POLL_S: Final = 0.1

log = structlog.get_logger()


class PortInUse(Unavailable, code="port_in_use"):
    """Another process listens where the service should."""


async def free(host: str, port: int, setting: str) -> None:
    """Wait until the port can be listened on.

    Args:
        host: An IP address or name of this machine.
        port: TCP.
        setting: What an operator sets to have another port.

    Raises:
        PortInUse: It is still taken after `EARLIER_S`, or not ours to take.
    """
    deadline = asyncio.get_running_loop().time() + EARLIER_S
    told = False
    while (problem := _problem(host, port)) is not None:
        if asyncio.get_running_loop().time() > deadline:
            raise PortInUse(f"port {port} of {host}: {problem}; set {setting} to another")
        if not told:
            log.info("port.awaited", host=host, port=port, problem=problem)
            told = True
        await asyncio.sleep(POLL_S)


def _problem(host: str, port: int) -> str | None:
    """Why asyncio could not listen there: the probe has the options of its `create_server`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror
    return None

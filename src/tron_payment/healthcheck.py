"""`python -m tron_payment.healthcheck`: exit status 0 when the service of this container lives.

For an image without a shell. It asks where HOST and PORT say that the service listens, as the
environment or SETTINGS_FILE has them, and touches nothing else.
"""

import http.client
import os
import sys
from collections.abc import Mapping
from typing import Final

from tron_payment.settings_files import settings_file

TIMEOUT_S: Final = 3.0
DEFAULT_PORT: Final = 8090
LOOPBACK: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""Whoever listens everywhere is asked here."""

PORTS: Final = ("port", "payment_gateway_port")
PATHS: Final = {"live": "/health/live", "ready": "/health/ready"}


def where(environ: Mapping[str, str]) -> tuple[str, int]:
    """The host and port to ask; what the configuration refuses is the service's to say."""
    every = settings_file(environ, (*PORTS, "host"), []) | dict(environ)
    given = {name.lower(): value for name, value in every.items() if value}
    port = next((given[name] for name in PORTS if name in given), "")
    host = given.get("host", "")
    return LOOPBACK.get(host, host), int(port) if port.isdecimal() else DEFAULT_PORT


def main(argv: list[str]) -> int:
    """Ask `live`, or `ready` when that is the argument."""
    path = PATHS.get(argv[0] if argv else "live")
    if path is None:
        print("healthcheck [live|ready]", file=sys.stderr)
        return 2
    connection = http.client.HTTPConnection(*where(os.environ), timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return 0 if connection.getresponse().status == http.client.OK else 1
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

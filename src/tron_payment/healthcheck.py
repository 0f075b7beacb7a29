"""`python -m tron_payment.healthcheck`: exit status 0 when the service of this container lives.

For an image without a shell. It asks the own loopback only, and touches nothing else.
"""

import http.client
import os
import sys
from typing import Final

TIMEOUT_S: Final = 3.0
DEFAULT_PORT: Final = 8090
PATHS: Final = {"live": "/health/live", "ready": "/health/ready"}


def main(argv: list[str]) -> int:
    """Ask `live`, or `ready` when that is the argument."""
    path = PATHS.get(argv[0] if argv else "live")
    if path is None:
        print("healthcheck [live|ready]", file=sys.stderr)
        return 2
    port = int(os.environ.get("PORT") or DEFAULT_PORT)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return 0 if connection.getresponse().status == http.client.OK else 1
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

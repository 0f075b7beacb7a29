"""The world of the wallets' tests serves these too, and the makers' own libraries are at hand.

ledgerblue wants an older protobuf than the service, so both libraries stand in a folder of their
own, made by `make test` from requirements-devices.lock. Here they come last on the path: what the
service has stays as it is. The command `tron-payment sign` gets them first, as at a treasurer's.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARIES = Path(os.environ.get("DEVICE_LIBRARIES", ROOT / ".venv-devices"))

sys.path.append(str(Path(__file__).parents[1] / "wallets"))
sys.path.append(str(LIBRARIES))


# Never skipped: a device that nobody has tried with the real library does not work.
if not (LIBRARIES / "ledgerblue").is_dir() or not (LIBRARIES / "trezorlib").is_dir():
    raise RuntimeError(f"{LIBRARIES} lacks ledgerblue or trezorlib: `make test` installs them")

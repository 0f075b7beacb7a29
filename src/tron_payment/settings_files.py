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
        problems: Gets a line when others can use the file, when we cannot, or when it is no file
            (an engine makes a folder where the file to mount is missing) or too large.
    """
    for path in (folder / name, folder / name.upper()):
        try:
            if path.exists():
                return _read_secret(path, problems)
        except OSError as error:
            problems.append(f"{path} cannot be read ({error.strerror}): it must be ours, mode 0400")
            return None
        except UnicodeDecodeError:  # its text would quote a byte of the secret
            problems.append(f"{path} is not text")
            return None
    return None


def _read_secret(path: Path, problems: list[str]) -> str | None:
    if not path.is_file():
        problems.append(f"{path} is not a file")
    elif path.stat().st_mode & stat.S_IROTH:
        problems.append(f"{path} is world-readable: chmod o-r it")
    elif path.stat().st_mode & stat.S_IWOTH:
        problems.append(f"{path} is world-writable: chmod o-w it")
    elif path.stat().st_size > SECRET_FILE_BYTES_MAX:
        problems.append(f"{path} is larger than {SECRET_FILE_BYTES_MAX} bytes")
    else:
        return path.read_text().strip()
    return None

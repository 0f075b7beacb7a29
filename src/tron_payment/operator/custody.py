"""`keys rotate`, `backup` and `restore`."""

import argparse
import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tron_payment.gateway import Gateway
from tron_payment.http.step_up import StepUp
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import assembled
from tron_payment.settings import Settings
from tron_payment.wallets import Custody, Who, build_sealing

OPERATOR: Final = Who("command-line", "operator", on_host=True)
BACKUP_BYTES_MAX: Final = 64 * 1024 * 1024
DRAFT_BYTES: Final = 8


async def keys(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Wrap every data key under the first key of WALLET_ENCRYPTION_KEY: of wallets, second factors
    and webhooks' secrets."""
    async with assembled(settings) as assembly:
        house = assembly.house
        done = await house.use(Custody).rotate()
        factors = StepUp(house.clock, build_sealing(settings), house.audit, required=False)
        resealed = await factors.reseal()
        roots = await house.use(Gateway).webhooks.reseal()
    unreadable = [*done.unreadable, *roots.unreadable]
    data = {
        "rewrapped": done.rewrapped,
        "current": done.current,
        "second_factors": resealed,
        "webhooks": roots.resealed,
        "unreadable": unreadable,
    }
    lines = [f"{done.rewrapped} keys wrapped anew, {done.current} were already"]
    if unreadable:
        lines.append(f"do not open: {', '.join(unreadable)}; keep the old key configured")
        return Report(data, lines, Exit.FAILED)
    lines.append("older keys may leave WALLET_ENCRYPTION_KEY once every process has started anew")
    return Report(data, lines)


async def backup(arguments: argparse.Namespace, settings: Settings) -> Report:
    """One encrypted file with every key; made whole or not at all.

    It is on the disk before its keys are noted as backed up, and has its name after that.
    """
    target = Path(arguments.file)
    if (refusal := _no_room(target)) is not None:
        return refusal
    if (password := _password(arguments)) is None:
        return _no_password(arguments)
    try:
        with _file(target) as keep:
            async with assembled(settings) as assembly:
                text = await assembly.house.use(Custody).backup_all(password, OPERATOR, keep)
    except FileExistsError:
        return failure("exists", f"{target} exists by now; this backup is not kept", Exit.FAILED)
    line = f"{target}: keep it and its password apart, and try `restore` on another machine"
    return Report({"file": str(target), "bytes": len(text.encode())}, (line,))


async def restore(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Bring back the wallets of a backup; doing it again changes nothing."""
    source = Path(arguments.file)
    if (text := _read(source)) is None:
        return failure("no_backup", f"{source} is no backup", Exit.USAGE)
    if (password := _password(arguments)) is None:
        return _no_password(arguments)
    async with assembled(settings) as assembly:
        wallets = await assembly.house.use(Custody).restore(
            OPERATOR, backup=text, password=password, wallet_id=arguments.wallet
        )
    shown = [{"wallet_id": w.id, "address": w.address, "label": w.label} for w in wallets]
    lines = [f"{w['wallet_id']} {w['address']} {w['label']}" for w in shown]
    return Report({"wallets": shown}, [*lines, f"{len(shown)} wallets are here"])


def _password(arguments: argparse.Namespace) -> str | None:
    """The first line of the password's file; None where it cannot be read."""
    try:
        return Path(arguments.password_file).read_text().split("\n", 1)[0]
    except (OSError, UnicodeDecodeError):
        return None


def _no_password(arguments: argparse.Namespace) -> Report:
    detail = f"{arguments.password_file}: the password cannot be read there"
    return failure("no_password", detail, Exit.USAGE)


def _no_room(target: Path) -> Report | None:
    """Why no file can be made there; seen before any key is touched."""
    if os.path.lexists(target):
        return failure("exists", f"{target} exists; a backup never overwrites", Exit.USAGE)
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK | os.X_OK):
        detail = f"{target.parent}: no folder that this user may write into"
        return failure("no_folder", detail, Exit.USAGE)
    return None


def _read(source: Path) -> str | None:
    try:
        if not source.is_file() or source.stat().st_size > BACKUP_BYTES_MAX:
            return None
        return source.read_text()
    except (OSError, UnicodeDecodeError):
        return None


@contextmanager
def _file(target: Path) -> Iterator[Callable[[str], None]]:
    """What is kept is on the disk at once, readable by its owner only, and has its name when all
    has gone well; a name has one backup.

    Raises:
        FileExistsError: Somebody else's backup has taken the name meanwhile; it stays.
    """
    draft = target.with_name(f".{target.name}.{secrets.token_hex(DRAFT_BYTES)}")
    kept: list[str] = []

    def keep(text: str) -> None:
        _write_new(draft, text)
        kept.append(text)

    try:
        yield keep
        _name(draft, target, *kept)
    finally:
        draft.unlink(missing_ok=True)


def _name(draft: Path, target: Path, text: str) -> None:
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError:  # no second names on this file system, as on a stick: in its place at once
        _write_new(target, text)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    except OSError as error:  # not every file system knows that of a folder
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(folder)


def _write_new(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()  # ours, and no backup: half of one would keep the name
        raise

"""`keys rotate`, `backup` and `restore`."""

import argparse
import errno
import os
import secrets
from pathlib import Path
from typing import Final

from tron_payment.http.step_up import StepUp
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import assembled
from tron_payment.settings import Settings
from tron_payment.wallets import Custody, Who, build_sealing

OPERATOR: Final = Who("command-line", "operator", on_host=True)
BACKUP_BYTES_MAX: Final = 64 * 1024 * 1024
DRAFT_BYTES: Final = 8


async def keys(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Wrap every data key under the first key of WALLET_ENCRYPTION_KEY."""
    async with assembled(settings) as assembly:
        house = assembly.house
        done = await house.use(Custody).rotate()
        factors = StepUp(house.clock, build_sealing(settings), house.audit, required=False)
        resealed = await factors.reseal()
    data = {
        "rewrapped": done.rewrapped,
        "current": done.current,
        "second_factors": resealed,
        "unreadable": list(done.unreadable),
    }
    lines = [f"{done.rewrapped} keys wrapped anew, {done.current} were already"]
    if done.unreadable:
        lines.append(f"do not open: {', '.join(done.unreadable)}; keep the old key configured")
        return Report(data, lines, Exit.FAILED)
    lines.append("older keys may leave WALLET_ENCRYPTION_KEY once every process has started anew")
    return Report(data, lines)


async def backup(arguments: argparse.Namespace, settings: Settings) -> Report:
    """One encrypted file with every key; made whole or not at all."""
    target = Path(arguments.file)
    if _exists(target):
        return failure("exists", f"{target} exists; a backup never overwrites", Exit.USAGE)
    password = _password(arguments)
    async with assembled(settings) as assembly:
        text = await assembly.house.use(Custody).backup_all(password, OPERATOR)
    try:
        _write(target, text)
    except FileExistsError:
        return failure("exists", f"{target} exists by now; this backup is not kept", Exit.FAILED)
    line = f"{target}: keep it and its password apart, and try `restore` on another machine"
    return Report({"file": str(target), "bytes": len(text.encode())}, (line,))


async def restore(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Bring back the wallets of a backup; doing it again changes nothing."""
    source = Path(arguments.file)
    if (text := _read(source)) is None:
        return failure("no_backup", f"{source} is no backup", Exit.USAGE)
    password = _password(arguments)
    async with assembled(settings) as assembly:
        wallets = await assembly.house.use(Custody).restore(
            OPERATOR, backup=text, password=password, wallet_id=arguments.wallet
        )
    shown = [{"wallet_id": w.id, "address": w.address, "label": w.label} for w in wallets]
    lines = [f"{w['wallet_id']} {w['address']} {w['label']}" for w in shown]
    return Report({"wallets": shown}, [*lines, f"{len(shown)} wallets are here"])


def _password(arguments: argparse.Namespace) -> str:
    return Path(arguments.password_file).read_text().split("\n", 1)[0]


def _exists(target: Path) -> bool:
    return target.exists()


def _read(source: Path) -> str | None:
    if not source.is_file() or source.stat().st_size > BACKUP_BYTES_MAX:
        return None
    return source.read_text()


def _write(target: Path, text: str) -> None:
    """On the disk before it has its name, readable by its owner only; a name has one backup.

    Raises:
        FileExistsError: Somebody else's backup has taken the name meanwhile; it stays.
    """
    draft = target.with_name(f".{target.name}.{secrets.token_hex(DRAFT_BYTES)}")
    try:
        _write_new(draft, text)
        try:
            os.link(draft, target)
        except FileExistsError:
            raise
        except OSError:  # no second names on this file system, as on a stick: in its place at once
            _write_new(target, text)
    finally:
        draft.unlink(missing_ok=True)
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

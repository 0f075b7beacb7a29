"""`token`, `console-link`: who one is in the development mode, where no gateway says it."""

import argparse
import os
from pathlib import Path
from typing import Final

from tron_payment.development import secrets_made, with_secrets
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import assembled
from tron_payment.settings import Settings
from tron_payment.welcome import make_link, make_token

OWNER_ONLY: Final = 0o600
NEEDS_DEVELOPMENT: Final = (
    "your gateway makes tokens; only beside `make run`, with LUCID_ENV=development, "
    "this command does"
)


async def token(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Print a token that the service of this folder believes for twelve hours."""
    if (refusal := _refusal(settings)) is not None:
        return refusal
    subject = arguments.subject or f"demo-{arguments.role}"
    made = make_token(with_secrets(settings), subject, arguments.role)
    if arguments.out is not None:
        return _kept(arguments.out, made, subject, arguments.role)
    return Report({"token": made, "subject": subject, "role": arguments.role}, (made,))


async def console_link(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Print an address that signs a browser in at the console, once."""
    if (refusal := _refusal(settings)) is not None:
        return refusal
    subject = arguments.subject or f"demo-{arguments.role}"
    async with assembled(settings) as assembly:
        link = await make_link(assembly, subject, arguments.role)
    return Report({"link": link, "subject": subject, "role": arguments.role}, (link,))


def _kept(path: Path, made: str, subject: str, role: str) -> Report:
    """Write it where nobody else reads it; a file that is there is closed to others first."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, OWNER_ONLY)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, OWNER_ONLY)
            file.truncate()
            file.write(made + "\n")
    except OSError as error:
        return failure("file", f"{error.filename or path}: {error.strerror}", Exit.USAGE)
    data = {"file": str(path), "subject": subject, "role": role}
    return Report(data, (f"{path}: the token of {subject}, for twelve hours",))


def _refusal(settings: Settings) -> Report | None:
    """Why nothing can be made here."""
    if not settings.is_development:
        return failure("development_only", NEEDS_DEVELOPMENT, Exit.USAGE)
    if not secrets_made(settings):
        detail = f"no service was started in {settings.var_dir}: run `make run` here first"
        return failure("not_started", detail, Exit.USAGE)
    return None

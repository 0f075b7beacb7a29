"""`token`: a caller's token for the development mode, where no gateway makes one."""

import argparse

from tron_payment.development import make_token, secrets_made, with_secrets
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.settings import Settings

NEEDS_DEVELOPMENT = (
    "tokens are made by your gateway; only beside `make run`, with LUCID_ENV=development, "
    "this command makes them"
)


async def token(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Print a token that the service of this folder believes for twelve hours."""
    if not settings.is_development:
        return failure("development_only", NEEDS_DEVELOPMENT, Exit.USAGE)
    if not secrets_made(settings):
        detail = f"no service was started in {settings.var_dir}: run `make run` here first"
        return failure("not_started", detail, Exit.USAGE)
    subject = arguments.subject or f"demo-{arguments.role}"
    made = make_token(with_secrets(settings), subject, arguments.role)
    return Report({"token": made, "subject": subject, "role": arguments.role}, (made,))

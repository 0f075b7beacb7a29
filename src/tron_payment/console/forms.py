"""What forms bring: fields, and the one file of an upload."""

import secrets
from typing import Any, Final
from urllib.parse import parse_qs

from litestar import Request
from litestar.datastructures import UploadFile

from tron_payment.console.pages import PAGE_OPT

FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
FORM_OPT: Final[dict[str, Any]] = {**PAGE_OPT, "consumes": (FORM,)}
UPLOAD_OPT: Final[dict[str, Any]] = {**PAGE_OPT, "consumes": (MULTIPART,), "body": "batch"}
KEY_BYTES: Final = 18


def new_key() -> str:
    """An Idempotency-Key for a form, so that a button pressed twice acts once."""
    return "console-" + secrets.token_urlsafe(KEY_BYTES)


async def form_of(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The fields of a form; of repeated ones the first."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0].strip() for name, values in fields.items()}


async def upload_of(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The same of a form with files; a file is its text, as UTF-8."""
    found: dict[str, str] = {}
    for name, value in (await request.form()).multi_items():
        if isinstance(value, UploadFile):
            content = await value.read()
            await value.close()
            found.setdefault(name, content.decode("utf-8-sig", "replace"))
        else:
            found.setdefault(name, str(value))
    return found

"""The one door for buttons: looks the action up, calls the API, and shows the page again."""

import re
from typing import Any, Final

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER

from tron_payment.console.actions_table import ACTIONS
from tron_payment.console.api import at
from tron_payment.console.desk import Desk
from tron_payment.console.forms import FORM_OPT, form_of
from tron_payment.http.limits import KEY_LENGTH_MAX, KEY_PATTERN

RECONCILE: Final = "books.reconcile"
CODE_FIELD: Final = "totp_code"
"""Of the forms that approve, where the installation asks for a second factor."""


@post("/console/do/{name:str}", opt=FORM_OPT)
async def act(
    name: FromPath[str], request: Request[Any, Any, Any], desk: NamedDependency[Desk]
) -> Response[Any]:
    """Do what a button says, as this person; the API refuses what they may not."""
    action = ACTIONS.get(name)
    fields = await form_of(request)
    if action is None:
        raise NotFoundException
    try:
        path = at(action.path, **fields)
    except KeyError:
        raise NotFoundException from None
    made = ""
    if name == RECONCILE:
        await desk.api.get(path, run="true")
    else:
        body = None if action.body is None else action.body(fields)
        key = _key(name, fields.get("id", "")) if action.keyed else None
        code = fields.get(CODE_FIELD, "").encode("ascii", "replace").decode()  # "?" is no code
        answer = await desk.api.call(action.method, path, body, key=key, code=code)
        made = str(answer.get("payout_id", ""))
    shown = at(action.page, **{"id": "", **fields, "made": made})
    return Redirect(f"{shown}?done={name}", status_code=HTTP_303_SEE_OTHER)


def _key(name: str, thing: str) -> str:
    """The Idempotency-Key of what a button does with a thing.

    Raises:
        NotFoundException: The id has what no id of ours has, nor any header.
    """
    key = f"console-{name}-{thing}"
    if len(key) > KEY_LENGTH_MAX or not re.fullmatch(KEY_PATTERN, key):
        raise NotFoundException
    return key


HANDLERS: Final = (act,)

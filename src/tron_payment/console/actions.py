"""The one door for buttons: looks the action up, calls the API, and shows the page again."""

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
        key = f"console-{name}-{fields.get('id', '')}" if action.keyed else None
        answer = await desk.api.call(
            action.method, path, body, key=key, code=fields.get(CODE_FIELD)
        )
        made = str(answer.get("payout_id", ""))
    shown = at(action.page, **{"id": "", **fields, "made": made})
    return Redirect(f"{shown}?done={name}", status_code=HTTP_303_SEE_OTHER)


HANDLERS: Final = (act,)

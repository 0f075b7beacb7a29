"""Policy: what is in force, what is proposed, who may be paid, and the kill switch."""

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER

from tron_payment.console.desk import Desk
from tron_payment.console.forms import FORM_OPT, form_of
from tron_payment.console.overview import Text
from tron_payment.console.pages import PAGE_OPT

POLICY: Final = "/api/v1/policy"


@get("/console/policy", opt=PAGE_OPT)
async def policy(desk: NamedDependency[Desk], done: Text = None) -> Any:
    """The policy in force and everything that would change it."""
    current = await desk.api.get(POLICY)
    proposals, allowed, switches = await desk.api.all(
        f"{POLICY}/proposals", f"{POLICY}/allow-list", f"{POLICY}/kill-switch"
    )
    return desk.page(
        "policy.html",
        "/console/policy",
        done=done,
        policy=current,
        proposals=proposals["data"] if proposals else [],
        allowed=allowed["data"] if allowed else [],
        switches=switches["data"] if switches else [],
    )


@post("/console/policy", opt=FORM_OPT)
async def propose_band(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk]
) -> Response[Any]:
    """Propose the policy in force with one more approval band; the rest of it stays."""
    fields = await form_of(request)
    wish = await desk.api.get(POLICY)
    wish.pop("version")
    band = {
        "above": fields.get("above", ""),
        "approvals": int(fields["approvals"]) if fields.get("approvals", "").isdecimal() else 0,
        "currency": fields.get("currency", "USDT"),
    }
    wish["approval_bands"] = [*wish["approval_bands"], band]
    await desk.api.call("POST", f"{POLICY}/proposals", wish)
    return Redirect("/console/policy?done=policy.propose", status_code=HTTP_303_SEE_OTHER)


HANDLERS: Final = (policy, propose_band)

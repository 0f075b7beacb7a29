"""The console's pages: sign in, look, act. Each asks the API as the person who is signed in."""

from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER

from tron_payment.console import (
    actions,
    batches,
    charts,
    finance,
    gateway,
    glossary,
    live,
    overview,
    payouts,
    policy,
    review,
    staking,
    wallets,
    webhooks,
)
from tron_payment.console.api import Api, ApiProblem
from tron_payment.console.desk import Desk
from tron_payment.console.forms import FORM_OPT, form_of
from tron_payment.console.pages import PAGE_OPT, page, static_file
from tron_payment.console.sessions import SESSION_LIFETIME, Sessions, Visitor
from tron_payment.core.errors import Forbidden
from tron_payment.http.exchange import exchange_of
from tron_payment.settings import Settings

COOKIE: Final = "tronpay_console"
SIGN_IN: Final = "/console/sign-in"
STATIC: Final = {
    "mark.svg": "image/svg+xml",
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
}
LINK_OVER: Final = (
    "This link was used already, or is older than 15 minutes. Paste a token instead, or make "
    "another link."
)
VISITOR: Final = "console_visitor"
PAGES: Final = (
    overview, payouts, batches, gateway, wallets, staking, finance, policy, review, webhooks,
    charts, live, actions, glossary,
)  # fmt: skip


class SignInNeeded(Exception):
    """Nobody is signed in; the browser is sent to the sign-in page."""


class ForeignForm(Forbidden, code="foreign_form"):
    """This form was sent from another site."""


def console_router(sessions: Sessions, settings: Settings) -> Router:
    """All pages."""
    secure = settings.base_url.startswith("https:")

    async def visitor(request: Request[Any, Any, Any]) -> Visitor:
        if request.method != "GET":
            check_origin(request)
        found = await sessions.find(request.cookies.get(COOKIE))
        if found is None:
            raise SignInNeeded
        request.scope["state"][VISITOR] = found
        return found

    def api(request: Request[Any, Any, Any], visitor: NamedDependency[Visitor]) -> Api:
        return Api(request.app, visitor, exchange_of(request.scope).request_id)

    def desk(visitor: NamedDependency[Visitor], api: NamedDependency[Api]) -> Desk:
        return Desk(visitor, api, settings.tron_network, settings.step_up_required)

    @get("/console/sign-in", opt=PAGE_OPT)
    async def sign_in_page() -> Response[str]:
        return page("sign_in.html", None, problem=None)

    @post("/console/sign-in", opt=FORM_OPT)
    async def sign_in(request: Request[Any, Any, Any]) -> Response[Any]:
        check_origin(request)
        token = (await form_of(request)).get("token", "").strip().removeprefix("Bearer ")
        return await _enter(request, Visitor("", "", token))

    @get("/console/link/{code:str}", opt=PAGE_OPT)
    async def sign_in_by_link(
        request: Request[Any, Any, Any], code: FromPath[str]
    ) -> Response[Any]:
        found = await sessions.use_link(code)
        if found is None:
            return page("sign_in.html", None, status=401, problem=LINK_OVER)
        return await _enter(request, found)

    async def _enter(request: Request[Any, Any, Any], who: Visitor) -> Response[Any]:
        try:
            me = await api(request, who).get("/api/v1/me")
        except ApiProblem as refusal:
            return page("sign_in.html", None, status=401, problem=refusal.detail)
        person = Visitor(me["principal_id"], me["role"], who.token, frozenset(me["permissions"]))
        code = await sessions.open(person)
        answer = Redirect("/console", status_code=HTTP_303_SEE_OTHER)
        answer.set_cookie(
            COOKIE,
            code,
            max_age=int(SESSION_LIFETIME.total_seconds()),
            path="/console",
            httponly=True,
            secure=secure,
            samesite="lax",
        )
        return answer

    @post("/console/sign-out", opt=FORM_OPT)
    async def sign_out(request: Request[Any, Any, Any]) -> Response[Any]:
        check_origin(request)
        await sessions.close(request.cookies.get(COOKIE, ""))
        answer = Redirect(SIGN_IN, status_code=HTTP_303_SEE_OTHER)
        answer.delete_cookie(COOKIE, path="/console")
        return answer

    @get("/console/static/{name:str}", opt={"open": True, "produces": ("*/*",)})
    async def static(name: FromPath[str]) -> Response[bytes]:
        if name not in STATIC:
            raise NotFoundException
        return Response(
            static_file(name),
            media_type=STATIC[name],
            headers={"Cache-Control": "public, max-age=300"},
        )

    return Router(
        "/",
        route_handlers=[
            sign_in_page,
            sign_in,
            sign_in_by_link,
            sign_out,
            static,
            *(handler for each in PAGES for handler in each.HANDLERS),
        ],
        dependencies={
            "visitor": Provide(visitor),
            "api": Provide(api, sync_to_thread=False),
            "desk": Provide(desk, sync_to_thread=False),
        },
        exception_handlers={SignInNeeded: _to_sign_in, ApiProblem: _show_problem},
        include_in_schema=False,
    )


def check_origin(request: Request[Any, Any, Any]) -> None:
    """A form counts only when our own page sent it.

    Raises:
        ForeignForm: The Origin is missing or another host's.
    """
    try:
        origin = urlsplit(request.headers.get("origin", "")).netloc
    except ValueError:  # half an IPv6 address, say
        raise ForeignForm from None
    if origin != request.headers.get("host", ""):
        raise ForeignForm


def _to_sign_in(request: Request[Any, Any, Any], __: Exception) -> Response[Any]:
    if request.headers.get("hx-request"):
        return Response(None, status_code=401, headers={"HX-Redirect": SIGN_IN})
    return Redirect(SIGN_IN, status_code=HTTP_303_SEE_OTHER)


def _show_problem(request: Request[Any, Any, Any], problem: Exception) -> Response[Any]:
    assert isinstance(problem, ApiProblem)
    if problem.status == 401:
        return _to_sign_in(request, problem)
    visitor = request.scope["state"].get(VISITOR)
    return page("problem.html", visitor, status=problem.status, problem=problem)

"""Every request that may change something is one act, which `Journal` brings into the audit log.

Middleware behind the gate: it knows who calls and by which route, before the handler runs, and it
sees the answer's status before it leaves. What a handler's ``opt["audit"]`` says:

    absent      the act is stored first, and written before the answer; nothing for open handlers
    "act"       so also where the handler is open: somebody signs with a link
    "request"   the handler runs through `Idempotency.run`, whose record carries the act
    "none"      it changes nothing, whatever its method: quotes and estimates
"""

from functools import partial
from typing import Any, Final

from litestar.types import ASGIApp, Message, Receive, Send

from tron_payment.core.ids import new_id
from tron_payment.db.acts import Doing, under_way
from tron_payment.http.exchange import Exchange, exchange_of
from tron_payment.http.journal import Journal
from tron_payment.http.problems import problem_of

OPTION: Final = "audit"
ACT: Final = "act"
REQUEST: Final = "request"
NONE: Final = "none"
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
ANYBODY: Final = "-"


def kind_of(opt: dict[str, Any], method: str) -> str:
    """How a handler's success comes into the audit log."""
    if method in READING:
        return NONE
    kind: str = opt.get(OPTION, NONE if opt.get("open") else ACT)
    assert kind in (ACT, REQUEST, NONE), kind
    return kind


class Acting:
    """Stores and ends acts."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """The middleware."""
        return partial(self.handle, app)

    async def handle(self, app: ASGIApp, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request and bring into the log what it did."""
        method, handler = scope["method"], scope["route_handler"]
        if method in READING or (kind := kind_of(handler.opt, method)) == NONE:
            await app(scope, receive, send)
            return
        now = _doing(scope, exchange_of(scope), handler.opt)
        with under_way(now):
            if kind == REQUEST:
                await app(scope, receive, send)
            else:
                await self._through(now, app, scope, receive, send)

    async def _through(
        self, now: Doing, app: ASGIApp, scope: Any, receive: Receive, send: Send
    ) -> None:
        """A crash, a 5xx and a caller who hangs up leave the stored act: its recovery tells.

        A refusal takes it away, unless something comes of the request all the same.
        """
        pending, status = now.entry_id, 0
        await self._journal.begin(now)

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status < 400 or (now.stays and status < 500):
                    await self._journal.finish(now, pending)
            await send(message)

        try:
            await app(scope, receive, watch)
        except Exception as error:
            if not status and now.stays and problem_of(error).status < 500:
                await self._journal.finish(now, pending)
            status = status or problem_of(error).status
            raise
        finally:
            if 400 <= status < 500 and not now.stays:
                await self._journal.drop(pending)


def _doing(scope: Any, exchange: Exchange, opt: dict[str, Any]) -> Doing:
    principal = exchange.principal
    permission = opt.get("permission", scope["route_handler"].handler_name)
    return Doing(
        entry_id=new_id("aud"),
        actor=principal.id if principal else "",
        role=principal.role.value if principal else ANYBODY,
        action=permission.replace(":", "."),
        route=f"{scope['method']} {scope.get('path_template', '')}",
        request_id=exchange.request_id,
        api_key=(principal.token_id or "") if principal and principal.via == "api_key" else "",
        object_id="/".join(str(each) for each in scope.get("path_params", {}).values()),
    )

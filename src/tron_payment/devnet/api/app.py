"""The ASGI application: finds the handler of a path, applies fault rules, writes the answer."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

from tron_payment.devnet.api import (
    broadcast,
    builders,
    calls,
    jsonrpc,
    reads,
    signing,
    stake,
    trongrid,
)
from tron_payment.devnet.api.answers import (
    GRID,
    Answer,
    lying,
    no_such_path,
    preflight,
    spoilt,
    wrong_method,
)
from tron_payment.devnet.api.controls import control
from tron_payment.devnet.api.query import Query, View, full_view, solid_view
from tron_payment.devnet.chain import Chain
from tron_payment.devnet.errors import BadRequest, Refusal
from tron_payment.devnet.faults import Rule
from tron_payment.devnet.node import Node

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_BODY: Final = 4 * 1024 * 1024
WALLET: Final = "/wallet/"
SOLIDITY: Final = "/walletsolidity/"

Reader = Callable[[View, Query], Any]
Builder = Callable[[View, Query, int], Any]

_BOTH: Final[dict[str, Reader]] = {
    "getnowblock": reads.getnowblock,
    "getblock": reads.getblock,
    "getblockbynum": reads.getblockbynum,
    "getblockbyid": reads.getblockbyid,
    "getblockbylimitnext": reads.getblockbylimitnext,
    "getblockbylatestnum": reads.getblockbylatestnum,
    "gettransactionbyid": reads.gettransactionbyid,
    "gettransactioninfobyid": reads.gettransactioninfobyid,
    "gettransactioninfobyblocknum": reads.gettransactioninfobyblocknum,
    "gettransactioncountbyblocknum": reads.gettransactioncountbyblocknum,
    "getaccount": reads.getaccount,
    "listwitnesses": reads.listwitnesses,
    "getReward": reads.get_reward,
    "getBrokerage": reads.get_brokerage,
    "getenergyprices": reads.getenergyprices,
    "getbandwidthprices": reads.getbandwidthprices,
    "getburntrx": reads.getburntrx,
    "getnodeinfo": reads.getnodeinfo,
    "estimateenergy": calls.estimateenergy,
    "getdelegatedresource": reads.nothing,
    "getdelegatedresourceaccountindex": stake.getdelegatedresourceaccountindex,
    "getdelegatedresourcev2": stake.getdelegatedresourcev2,
    "getdelegatedresourceaccountindexv2": stake.getdelegatedresourceaccountindexv2,
    "getcandelegatedmaxsize": stake.getcandelegatedmaxsize,
    "getavailableunfreezecount": stake.getavailableunfreezecount,
    "getcanwithdrawunfreezeamount": stake.getcanwithdrawunfreezeamount,
}
_WALLET: Final[dict[str, Reader]] = _BOTH | {
    "gettransactionfrompending": reads.gettransactionfrompending,
    "gettransactionlistfrompending": reads.gettransactionlistfrompending,
    "getpendingsize": reads.getpendingsize,
    "getaccountresource": reads.getaccountresource,
    "getaccountnet": reads.getaccountnet,
    "validateaddress": reads.validateaddress,
    "getcontract": reads.getcontract,
    "getcontractinfo": reads.getcontractinfo,
    "getchainparameters": reads.getchainparameters,
    "getmemofee": reads.getmemofee,
    "getnextmaintenancetime": reads.getnextmaintenancetime,
    **dict.fromkeys(reads.WITHOUT_ENTRIES, reads.nothing),
    "getsignweight": signing.getsignweight,
    "getapprovedlist": signing.getapprovedlist,
}
_BUILDERS: Final[dict[str, Builder]] = {
    "triggersmartcontract": builders.triggersmartcontract,
    "deploycontract": builders.deploycontract,
    **{path: partial(builders.build, kind=kind) for path, kind in builders.PATHS.items()},
}
_CONSTANT: Final = "triggerconstantcontract"
_BROADCASTS: Final = {
    "broadcasttransaction": broadcast.broadcasttransaction,
    "broadcasthex": broadcast.broadcasthex,
}
_POST_ONLY: Final = frozenset((*_BROADCASTS, *_BUILDERS, _CONSTANT, "estimateenergy"))


class App:
    """The full node with the solidity paths beside it, or the solidity node alone."""

    def __init__(self, node: Node, *, solid_only: bool = False) -> None:
        self._node = node
        self._solid_only = solid_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        path, method = scope["path"], scope["method"]
        body = await _read_body(receive)
        if path.startswith("/devnet/"):
            await _write(send, await self._control(scope, body), private=True)
            return
        if method == "OPTIONS":
            await _write(send, preflight())
            return
        rules = self._node.faults.strike(path)
        if "drop_request" in rules:
            await _hang_up(receive)
            return
        if (delay := rules.get("delay")) is not None:
            await asyncio.sleep(delay.delay_ms / 1000)
        answer = spoilt(path, rules) or self._answer(
            method, path, scope["query_string"], body, rules
        )
        if "drop_answer" in rules:
            await _hang_up(receive)
            return
        if "truncate" in rules:
            answer.body = answer.body[: len(answer.body) // 2]
        if (lie := rules.get("lie")) is not None:
            answer = lying(answer, lie)
        await _write(send, answer)

    async def _control(self, scope: Scope, body: bytes | None) -> Answer:
        """Controls take a JSON object, or the same names in the query string."""
        try:
            values = Query.read("POST", b"", body or b"").body
            values |= Query.read("GET", scope["query_string"], b"").body
        except BadRequest:
            return Answer.of({"error": "the body is a JSON object"}, 400)
        status, value = await control(self._node, scope["method"], scope["path"], values)
        return Answer.of(value, status)

    def _answer(
        self,
        method: str,
        path: str,
        query_string: bytes,
        body: bytes | None,
        rules: dict[str, Rule],
    ) -> Answer:
        if body is None:
            return Answer.of({"Error": "class java.lang.Exception : body is too big"}, 413)
        if path.startswith(GRID) and not self._solid_only:
            return self._grid(method, path, query_string)
        if path == jsonrpc.PATH and method == "POST" and not self._solid_only:
            return Answer.of(
                jsonrpc.answer(self._node, _view(self._node.chain, False, rules), body)
            )
        if path.startswith(SOLIDITY):
            name, solid = path[len(SOLIDITY) :], True
        elif path.startswith(WALLET) and not self._solid_only:
            name, solid = path[len(WALLET) :], False
        else:
            return no_such_path(method, path)
        known = name in _BOTH or name == _CONSTANT or (not solid and _known(name))
        if not known:
            return no_such_path(method, path)
        if method not in ("GET", "POST") or (method == "GET" and name in _POST_ONLY):
            return wrong_method(method, path)
        try:
            query = Query.read(method, query_string, body)
            return Answer.of(self._dispatch(name, query, solid, rules))
        except Refusal as refused:
            return Answer.of({"Error": refused.error})

    def _grid(self, method: str, path: str, query_string: bytes) -> Answer:
        if method != "GET":
            error = {"success": False, "error": "Method Not Allowed", "statusCode": 405}
            return Answer.of(error, 405)
        query = dict(parse_qsl(query_string.decode("latin-1")))
        status, value = trongrid.answer(self._node, path, query)
        return Answer.of(value, status)

    def _dispatch(self, name: str, query: Query, solid: bool, rules: dict[str, Rule]) -> Any:
        node = self._node
        if not solid and name in _BROADCASTS:
            return _broadcast(node.chain, name, query, rules.get("refuse"))
        view = _view(node.chain, solid, rules)
        if name == _CONSTANT:
            return calls.triggerconstantcontract(view, query, node.stamp_ms())
        if not solid and name in _BUILDERS:
            return _BUILDERS[name](view, query, node.stamp_ms())
        return (_BOTH if solid else _WALLET)[name](view, query)


def _view(chain: Chain, solid: bool, rules: dict[str, Rule]) -> View:
    lag = rules["lag"].blocks if "lag" in rules else 0
    if solid:
        return solid_view(chain, lag)
    ghostly = "flap" in rules and rules["flap"].used % 2 == 0
    return full_view(chain, lag, ghostly=ghostly)


def _broadcast(chain: Chain, name: str, query: Query, refuse: Rule | None) -> Any:
    if refuse is None:
        return _BROADCASTS[name](chain, query)
    tx = broadcast.read(name, query)
    if refuse.accepted:
        chain.push(tx)
    return broadcast.refused(name, query, tx, refuse.code, refuse.message)


def _known(name: str) -> bool:
    return name in _WALLET or name in _BUILDERS or name in _BROADCASTS


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body; None when it is longer than `MAX_BODY`."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(parts)
        part = message.get("body", b"")
        size += len(part)
        if size <= MAX_BODY:
            parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts) if size <= MAX_BODY else None


async def _write(send: Send, answer: Answer, *, private: bool = False) -> None:
    """Send an answer; the controls are not for pages of other origins."""
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", str(len(answer.body)).encode()),
        *answer.headers,
    ]
    if not private:
        headers.append((b"access-control-allow-origin", b"*"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _hang_up(receive: Receive) -> None:
    """Close the connection without an answer.

    uvicorn's `receive` is bound to the cycle that owns the transport. In the same process there
    is no connection; the exception is the one that httpx raises for a closed one.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        import httpx  # slow to load, and only tests come here

        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
    transport.abort()
    while True:
        if (await receive())["type"] == "http.disconnect":
            return

"""HTTP servers that stand before a devnet and behave, one by one, as bad nodes do.

A fault is what an operator would see of it: a closed port, no answer, statuses and rubbish, the
state of another chain (a copy of the devnet that has stopped or gone its own way), or an answer
that was changed. They run in a thread of the test; the service is a process of its own.
"""

import asyncio
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.ports import free_port

HEAD_BYTES_MAX: Final = 64 * 1024
UPSTREAM_S: Final = 20.0
NEVER_S: Final = 600.0
START_S: Final = 60.0

Lie = Callable[[str, dict[str, Any], Any], Any]
"""(path, question, true answer) -> what is answered instead."""

TROUBLES: Final = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 13\r\n\r\n<html></html>",
    b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n\x00{not json at al",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n" + b'{"blockID": "00',
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
)
"""Status, proxy's page, rubbish, cut off, rate limit, nothing."""

CUT_OFF: Final = (1, 3)
"""Which of them end before they have said as much as they promised."""


class BadNode:
    """One node: honest until it is told otherwise. The methods are the test's, from its thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, upstream: str) -> None:
        self.honest = upstream
        self.upstream = upstream
        self.lie: Lie | None = None
        self.silent = False
        self.broken = False
        self.swallows = False
        """Broadcasts are answered with SUCCESS and go nowhere."""

        self.asked = 0
        self._loop = loop
        self._troubles = itertools.cycle(range(len(TROUBLES)))
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None
        self._http: httpx.AsyncClient | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # ---- what it is told ---------------------------------------------------------------------

    def heal(self) -> None:
        """Honest again, whatever it was."""
        self.upstream, self.lie = self.honest, None
        self.silent = self.broken = self.swallows = False
        self._do(self._listen())

    def down(self) -> None:
        """The port is closed, and so is every connection."""
        self._do(self._close())

    def slow(self) -> None:
        """Takes requests and never answers them."""
        self.silent = True

    def error(self) -> None:
        """Every kind of trouble in turn."""
        self.broken = True

    def lies(self, lie: Lie, *, swallows: bool = False) -> None:
        self.lie, self.swallows = lie, swallows

    def shows(self, other: str) -> None:
        """Answers what another devnet answers: one that has stopped, or forked."""
        self.upstream = other

    # ---- how it does it ----------------------------------------------------------------------

    def _do(self, what: Any) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(START_S)

    async def _listen(self) -> None:
        if self._http is None:
            self._http = httpx.AsyncClient(timeout=UPSTREAM_S, verify=False, trust_env=False)
        if self._server is None:
            self._server = await asyncio.start_server(
                self._connected, "127.0.0.1", self.port, limit=HEAD_BYTES_MAX
            )
        else:
            self._hang_up()  # whoever still waits for a silent node

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._hang_up()

    async def _end(self) -> None:
        await self._close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.aclose()

    def _hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(
                OSError, asyncio.IncompleteReadError, httpx.HTTPError, asyncio.CancelledError
            ):
                while await self._request(reader, writer):
                    pass
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection stays."""
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        body = await reader.readexactly(length)
        self.asked += 1
        if self.silent:
            await asyncio.sleep(NEVER_S)
            return False
        if self.broken:
            trouble = next(self._troubles)
            writer.write(TROUBLES[trouble])
            await writer.drain()
            return trouble not in CUT_OFF
        content = await self._answer(path, body)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ")
        writer.write(str(len(content)).encode() + b"\r\n\r\n" + content)
        await writer.drain()
        return True

    async def _answer(self, path: str, body: bytes) -> bytes:
        assert self._http is not None
        if self.swallows and path.endswith("/broadcasthex"):
            return b'{"result": true, "code": "SUCCESS", "txid": ""}'
        answer = await self._http.post(self.upstream + path, content=body)
        if self.lie is None:
            return answer.content
        question = json.loads(body or b"{}")
        told = await asyncio.to_thread(self.lie, path, question, answer.json())  # it may look
        return json.dumps(told).encode()


@contextmanager
def standing_before(upstream: str, count: int = 3) -> Iterator[list[BadNode]]:
    """Honest nodes before one devnet, in a thread; all of it ends with the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    nodes = [BadNode(loop, upstream) for _ in range(count)]
    try:
        for node in nodes:
            node.heal()
        yield nodes
    finally:
        for node in nodes:
            with suppress(TimeoutError):
                node._do(node._end())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_S)


# ---- lies -------------------------------------------------------------------------------------

BLOCK: Final = "/walletsolidity/getblockbynum"
RECEIPTS: Final = "/walletsolidity/gettransactioninfobyblocknum"
BALANCE_OF: Final = "70a08231"
TOO_MUCH: Final = 1_000
AHEAD_BLOCKS: Final = 5_000
AHEAD_MS: Final = 3_600_000


def about_everything_but_blocks(path: str, question: dict[str, Any], answer: Any) -> Any:
    """Balances a thousandfold, heads far ahead, no transaction found by its id."""
    name = path.rpartition("/")[2]
    if name == "getaccount" and "balance" in answer:
        return answer | {"balance": answer["balance"] * TOO_MUCH}
    if name == "triggerconstantcontract" and str(question.get("data", "")).startswith(BALANCE_OF):
        units = int(answer["constant_result"][0], 16) * TOO_MUCH
        return answer | {"constant_result": [f"{units:064x}"]}
    if name in ("gettransactioninfobyid", "gettransactionbyid"):
        return {}
    if name == "getblock" and "id_or_num" not in question:
        raw = answer["block_header"]["raw_data"]
        number = raw["number"] + AHEAD_BLOCKS
        answer["blockID"] = f"{number:016x}" + answer["blockID"][16:]
        raw |= {"number": number, "timestamp": raw["timestamp"] + AHEAD_MS}
    return answer


@dataclass
class Hidden:
    """Transactions that concern an address are in no block."""

    account: str
    """20 bytes in hex."""

    def __call__(self, path: str, question: dict[str, Any], answer: Any) -> Any:
        if path == BLOCK and "transactions" in answer:
            kept = [t for t in answer["transactions"] if self.account not in t["raw_data_hex"]]
            return answer | {"transactions": kept}
        if path == RECEIPTS:
            return [receipt for receipt in answer if self.account not in json.dumps(receipt)]
        return answer


@dataclass
class Changed:
    """What a transfer to an address moved, or whether it worked."""

    account: str
    failed: bool = False

    def __call__(self, path: str, question: dict[str, Any], answer: Any) -> Any:
        if path == BLOCK and self.failed:
            for each in answer.get("transactions", ()):
                if self.account in each["raw_data_hex"]:
                    each["ret"] = [{"contractRet": "REVERT"}]
        if path == RECEIPTS:
            for receipt in answer:
                if self.account in json.dumps(receipt):
                    self._change(receipt)
        return answer

    def _change(self, receipt: dict[str, Any]) -> None:
        if self.failed:
            receipt.pop("log", None)
            receipt |= {"result": "FAILED", "receipt": receipt["receipt"] | {"result": "REVERT"}}
            return
        for log in receipt.get("log", ()):
            log["data"] = f"{int(log['data'], 16) * TOO_MUCH:064x}"


@dataclass
class Invented:
    """One more transfer in every block: a true one's bytes with another recipient."""

    transaction: dict[str, Any]
    """As a block shows it."""

    receipt: dict[str, Any]
    was: str
    """The true recipient, 20 bytes in hex."""

    account: str
    txid: str
    """Of the invention: the hash of its bytes, or another that looks as good."""

    time_of: Callable[[int], int | None]
    """Milliseconds of a solidified block; None when there is none yet."""

    def __call__(self, path: str, question: dict[str, Any], answer: Any) -> Any:
        if path == BLOCK and "block_header" in answer:
            more = json.loads(json.dumps(self.transaction).replace(self.was, self.account))
            more["txID"] = self.txid
            return answer | {"transactions": [*answer.get("transactions", ()), more]}
        if path == RECEIPTS and (time_ms := self.time_of(number := int(question["num"]))):
            more = json.loads(json.dumps(self.receipt).replace(self.was, self.account))
            more |= {"id": self.txid, "blockNumber": number, "blockTimeStamp": time_ms}
            return [*answer, more]
        return answer

"""Scripted nodes for the tests: small ASGI apps that answer as java-tron would, or as told.

`ScriptedChain` holds blocks; `ScriptedNode` serves them, with planted faults.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from tests.client_pool import ClientPool
from tron_payment import chain
from tron_payment.core.address import Address, address_of

Reply = tuple[int, bytes]
Handler = Callable[[str, dict[str, Any]], Awaitable[Reply]]

GENESIS_MS = 1_795_173_000_000
BLOCK_MS = 3_000
ALICE = address_of(bytes([0xA1]) * 20)
BOB = address_of(bytes([0xB0]) * 20)


def client_of(
    handler: Handler,
    alias: str = "test",
    deadline_s: float = 5.0,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> chain.NodeClient:
    """A node client whose HTTP goes to the handler."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive()).get("more_body") or message.get("body"):
            body += message["body"]
            if not message.get("more_body"):
                break
        status, content = await handler(scope["path"], json.loads(body or b"{}"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), trust_env=False)
    full, solid = f"http://full.{alias}", f"http://solid.{alias}"
    return chain.NodeClient(alias, full, solid, ClientPool(http), None, deadline_s)


def fixed(answer: Any, status: int = 200) -> Handler:
    """Always this answer: bytes as they are, anything else as JSON."""

    async def handler(path: str, body: dict[str, Any]) -> Reply:
        return status, answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    return handler


@dataclass(frozen=True)
class ScriptedTransaction:
    raw: bytes
    receipt: dict[str, Any] = field(default_factory=dict)
    contract_ret: str = "SUCCESS"

    @property
    def txid(self) -> str:
        return chain.txid(self.raw)


@dataclass(frozen=True)
class ScriptedBlock:
    number: int
    parent_id: str
    timestamp_ms: int
    transactions: tuple[ScriptedTransaction, ...] = ()
    salt: str = ""

    @property
    def block_id(self) -> str:
        seed = f"{self.number}{self.parent_id}{self.timestamp_ms}{self.salt}"
        seed += "".join(each.txid for each in self.transactions)
        return f"{self.number:016x}" + hashlib.sha256(seed.encode()).hexdigest()[16:]

    def json(self) -> dict[str, Any]:
        header: dict[str, Any] = {"parentHash": self.parent_id, "timestamp": self.timestamp_ms}
        if self.number:
            header["number"] = self.number
        answer: dict[str, Any] = {
            "blockID": self.block_id,
            "block_header": {"raw_data": header, "witness_signature": "00"},
        }
        if self.transactions:
            answer["transactions"] = [
                {
                    "ret": [{"contractRet": each.contract_ret}],
                    "signature": ["00" * 65],
                    "txID": each.txid,
                    "raw_data": {"contract": [{"type": "TransferContract"}]},
                    "raw_data_hex": each.raw.hex(),
                }
                for each in self.transactions
            ]
        return answer

    def receipts(self) -> list[dict[str, Any]]:
        common = {"blockNumber": self.number, "blockTimeStamp": self.timestamp_ms}
        return [
            {"id": each.txid, **common, "receipt": {}, **each.receipt} for each in self.transactions
        ]


def transfer(amount_sun: int, at_ms: int, owner: Address = ALICE, to: Address = BOB) -> bytes:
    return chain.encode(
        chain.RawData(
            contract=chain.Transfer(owner, to, amount_sun),
            ref_block_bytes=b"\0\1",
            ref_block_hash=bytes(8),
            expiration_ms=at_ms + 60_000,
            timestamp_ms=at_ms,
        )
    )


class ScriptedChain:
    """Blocks from genesis on, each with one transfer of as many sun as its number."""

    def __init__(self, blocks: int = 0, salt: str = "") -> None:
        self.blocks = [ScriptedBlock(0, "0" * 64, 0)]
        self.grow(blocks, salt=salt)

    def grow(self, blocks: int, salt: str = "") -> None:
        for _ in range(blocks):
            last = self.blocks[-1]
            number = last.number + 1
            at_ms = GENESIS_MS + number * BLOCK_MS
            transactions = (ScriptedTransaction(transfer(number, at_ms)),)
            self.blocks.append(ScriptedBlock(number, last.block_id, at_ms, transactions, salt))

    def fork_at(self, number: int, salt: str) -> "ScriptedChain":
        """The same chain up to before this block, another one from it on."""
        other = ScriptedChain()
        other.blocks = self.blocks[:number]
        other.grow(len(self.blocks) - number, salt=salt)
        return other


@dataclass
class ScriptedNode:
    """Serves a chain; everything in it may be changed by a test while it runs."""

    chain: ScriptedChain
    alias: str = "a"
    solid: int = -1
    """Number of the solid head; negative counts from the end."""
    down: bool = False
    slow: asyncio.Event | None = None
    replies: dict[str, Any] = field(default_factory=dict)
    """Fixed answers by the last part of the path."""
    asked: list[str] = field(default_factory=list)
    told: list[bytes] = field(default_factory=list)

    def client(self) -> chain.NodeClient:
        return client_of(self.handle, self.alias)

    @property
    def _solid_number(self) -> int:
        return self.solid if self.solid >= 0 else len(self.chain.blocks) + self.solid

    async def handle(self, path: str, body: dict[str, Any]) -> Reply:
        name = path.rpartition("/")[2]
        self.asked.append(f"{name} {body.get('num', body.get('id_or_num', ''))}".strip())
        if self.slow is not None:
            await self.slow.wait()
        if self.down:
            return 503, b"<html>down</html>"
        answer = self.replies.get(name)
        if answer is None:
            answer = self._answer(name, body, solid="/walletsolidity/" in path)
        return 200, json.dumps(answer).encode()

    def _answer(self, name: str, body: dict[str, Any], solid: bool) -> Any:
        limit = self._solid_number if solid else len(self.chain.blocks) - 1
        match name:
            case "getblock":
                number = int(body.get("id_or_num", limit))
                if number > limit:
                    return {}
                return replace(self.chain.blocks[number]).json()
            case "getblockbynum":
                return self.chain.blocks[body["num"]].json() if body["num"] <= limit else {}
            case "gettransactioninfobyblocknum":
                return self.chain.blocks[body["num"]].receipts() if body["num"] <= limit else []
            case "broadcasthex":
                self.told.append(bytes.fromhex(body["transaction"]))
                return {"result": True, "code": "SUCCESS", "txid": "", "message": ""}
        raise AssertionError(name)

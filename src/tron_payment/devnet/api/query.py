"""One request, read as java-tron reads it, and the view of the chain that answers it."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from tron_payment.devnet.archive import Branch
from tron_payment.devnet.blocks import Block
from tron_payment.devnet.chain import Chain
from tron_payment.devnet.codec import NULL_POINTER
from tron_payment.devnet.errors import BadRequest, parse_error
from tron_payment.devnet.keys import from_base58check
from tron_payment.devnet.state import Get

JSON_ERROR: Final = "com.alibaba.fastjson.JSONException"


@dataclass(slots=True)
class Query:
    """The parameters of a request. `source` is their compact JSON, for columns in complaints."""

    body: dict[str, Any]
    visible: bool
    params: dict[str, str]

    @classmethod
    def read(cls, method: str, query_string: bytes, body: bytes) -> "Query":
        """Merge the query string and a JSON or form-encoded body.

        Raises:
            BadRequest: The body is neither.
        """
        params = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
        if method == "GET":
            values: dict[str, Any] = {key: _typed(value) for key, value in params.items()}
            return cls(values, params.get("visible") == "true", params)
        values = _body(body)
        visible = values.get("visible")
        return cls(values, visible is True or visible == "true", params)

    def column(self, name: str) -> int:
        """Where java-tron's parser stands when it reads this value."""
        source, mark = msgspec.json.encode(self.body), b'"%s":' % name.encode()
        return source.find(mark) + len(mark) + 1

    def integer(self, name: str, default: int = 0) -> int:
        value = self.body.get(name, default)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        raise parse_error(
            f'{1}:{self.column(name)}: Couldn\'t parse integer: For input string: "{shown}"'
        )

    def hex(self, name: str) -> bytes:
        """Bytes; empty when absent."""
        value = self.body.get(name, "")
        try:
            return bytes.fromhex(str(value).removeprefix("0x"))
        except ValueError:
            raise parse_error(f"1:{self.column(name)}: INVALID hex String") from None

    def address(self, name: str) -> bytes:
        """An address in the form that `visible` says; empty when absent."""
        if name not in self.body:
            return b""
        if not self.visible:
            return self.hex(name)
        raw = from_base58check(str(self.body[name]))
        if raw is None:
            raise BadRequest(NULL_POINTER, "java.lang.NullPointerException")
        return raw


def _typed(value: str) -> Any:
    """Query parameters are text; numbers and booleans are what they look like."""
    if value in ("true", "false"):
        return value == "true"
    if value.removeprefix("-").isdigit() and len(value) < 20:
        return int(value)
    return value


def _body(body: bytes) -> dict[str, Any]:
    text = body.strip()
    if not text:
        return {}
    if text[:1] not in (b"{", b"["):
        pairs = parse_qsl(text.decode("latin-1"), keep_blank_values=True)
        if not pairs:
            raise BadRequest("syntax error, pos 1", JSON_ERROR)
        return {key: _typed(value) for key, value in pairs}
    try:
        values = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"syntax error, {error}", JSON_ERROR) from None
    if not isinstance(values, dict):
        raise BadRequest("can not cast to JSONObject.", JSON_ERROR)
    return values


@dataclass(slots=True, frozen=True)
class View:
    """The chain as one kind of path sees it: with pending transactions, solid, or lagging."""

    chain: Chain
    get: Get
    number: int
    """The highest block that exists for this view."""
    pending: bool
    solid: bool
    ghost: Branch | None = None
    """The other history, when this answer comes from a node that still follows it."""

    def block(self, number: int) -> Block | None:
        if not 0 <= number <= self.number:
            return None
        if self.ghost is not None and number > self.ghost.fork:
            return self.ghost.blocks[number]
        return self.chain.block(number)

    @property
    def head(self) -> Block:
        block = self.block(self.number)
        assert block is not None
        return block

    @property
    def solid_block(self) -> Block:
        return self.head if self.solid else self.chain.solid_block

    def find(self, txid: bytes) -> tuple[Block, int] | None:
        """The block that holds a transaction, and its position there."""
        found = self.ghost.found.get(txid) if self.ghost is not None else None
        found = found or self.chain.find(txid)
        return found if found is not None and self._has(found[0]) else None

    def block_by_id(self, block_id: bytes) -> Block | None:
        number = int.from_bytes(block_id[:8], "big")
        block = self.block(number)
        return block if block is not None and block.id == block_id else None

    def _has(self, block: Block) -> bool:
        shown = self.block(block.number)
        return shown is not None and shown.id == block.id


def full_view(chain: Chain, lag: int = 0, *, ghostly: bool = False) -> View:
    """What ``/wallet`` sees; `lag` blocks behind the head, as a slow node does."""
    if ghostly and chain.ghost is not None:
        return View(chain, chain.ghost.get, max(chain.ghost.blocks), False, False, chain.ghost)
    if lag:
        number = max(chain.head.number - lag, chain.oldest_state)
        return View(chain, chain.state_at(number), number, False, False)
    return View(chain, chain.state.get, chain.head.number, True, False)


def solid_view(chain: Chain, lag: int = 0) -> View:
    """What ``/walletsolidity`` sees."""
    number = max(chain.solid_number - lag, chain.oldest_state)
    return View(chain, chain.state_at(number), number, False, True)

"""``/devnet/*``: the faucet, blocks, time, parameters and failures."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tron_payment.devnet import ledger, params
from tron_payment.devnet.archive import TooDeep
from tron_payment.devnet.config import MAX_BLOCK_MS
from tron_payment.devnet.errors import Refusal
from tron_payment.devnet.faucet import OWNER_CALLS, BadAmount, NoToken, parse_amount
from tron_payment.devnet.faults import BadRule
from tron_payment.devnet.keys import from_base58check
from tron_payment.devnet.node import Node

MAX_MINE: Final = 100_000
MAX_TRAVEL_MS: Final = 10 * 365 * 86_400_000
MAX_FORK: Final = 100
MAX_PARAMETER: Final = (1 << 63) - 1
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")

Answer = tuple[int, Any]


class BadControl(ValueError):
    """The body of a control request does not fit."""


def _int(body: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadControl(f"{name} is a whole number from {low} to {high}")
    return value


def _address(text: Any) -> bytes:
    raw = from_base58check(text) if isinstance(text, str) else None
    if raw is None and isinstance(text, str) and len(text) == 42:
        try:
            raw = bytes.fromhex(text)
        except ValueError:
            raw = None
    if raw is None or not ledger.is_address(raw):
        raise BadControl("address is a TRON address")
    return raw


async def info(node: Node, body: dict[str, Any]) -> Answer:
    return 200, node.info()


async def faucet(node: Node, body: dict[str, Any]) -> Answer:
    to, amount = _address(body.get("address")), parse_amount(body.get("amount"))
    currency = body.get("currency", "TRX")
    if currency == "TRX":
        tx = node.faucet.send_trx(to, amount, node.now_ms())
    elif currency == "USDT":
        tx = node.faucet.send_usdt(to, amount, node.now_ms())
    else:
        raise BadControl("currency is TRX or USDT")
    return 200, {"txid": tx.txid.hex()}


async def usdt(node: Node, body: dict[str, Any]) -> Answer:
    """What the token's owner does: ``{"function": "addBlackList", "arguments": ["T..."]}``."""
    function, given = body.get("function"), body.get("arguments", [])
    if not isinstance(function, str) or function not in OWNER_CALLS:
        raise BadControl(f"function is one of {', '.join(OWNER_CALLS)}")
    kinds = OWNER_CALLS[function][1]
    if not isinstance(given, list) or len(given) != len(kinds):
        raise BadControl(f"{function} takes {len(kinds)} arguments")
    arguments: list[Any] = []
    for kind, value in zip(kinds, given, strict=True):
        number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
        if kind != "address" and not number:
            raise BadControl("an amount is a whole number of the smallest unit")
        arguments.append(_address(value) if kind == "address" else value)
    tx = node.faucet.administer_usdt(function, arguments, node.now_ms())
    return 200, {"txid": tx.txid.hex()}


async def mine(node: Node, body: dict[str, Any]) -> Answer:
    await node.mine(
        _int(body, "blocks", 1, 1, MAX_MINE), skip_ms=_int(body, "skip_ms", 0, 0, MAX_TRAVEL_MS)
    )
    return 200, node.info()


async def pace(node: Node, body: dict[str, Any]) -> Answer:
    if node.config.block_ms == 0:
        return 409, {"error": "this devnet makes its blocks by hand"}
    node.set_pace(_int(body, "block_ms", 0, 0, MAX_BLOCK_MS))
    return 200, node.info()


async def travel(node: Node, body: dict[str, Any]) -> Answer:
    await node.travel(_int(body, "advance_ms", 0, 1, MAX_TRAVEL_MS))
    return 200, node.info()


async def parameters(node: Node, body: dict[str, Any]) -> Answer:
    for name in body:
        if name not in params.NAMES:
            raise BadControl(f"{name} is no chain parameter")
        _int(body, name, 0, 0, MAX_PARAMETER)
    node.chain.change_parameters(body)
    if node.config.block_ms == 0:
        await node.mine()
    return 200, {"block": node.chain.head.number + (1 if node.config.block_ms else 0)}


async def fork(node: Node, body: dict[str, Any]) -> Answer:
    depth = _int(body, "depth", 1, 1, MAX_FORK)
    wait_blocks = _int(body, "wait_blocks", 0, 0, MAX_FORK)
    wanted = body.get("drop", [])
    try:
        drop = frozenset(bytes.fromhex(txid) for txid in wanted)
    except (TypeError, ValueError):
        raise BadControl("drop is a list of transaction ids") from None
    loose = await node.fork(depth, drop=drop, wait_blocks=wait_blocks)
    return 200, node.info() | {"taken_back": [tx.txid.hex() for tx in loose]}


def _name(body: dict[str, Any]) -> str:
    name = body.get("name", "default")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadControl("name has 1 to 40 letters, digits, - or _")
    return name


async def snapshot(node: Node, body: dict[str, Any]) -> Answer:
    await node.snapshot(_name(body))
    return 201, node.info()


async def restore(node: Node, body: dict[str, Any]) -> Answer:
    if not await node.restore(_name(body)):
        return 404, {"error": "no such snapshot"}
    return 200, node.info()


async def faults_add(node: Node, body: dict[str, Any]) -> Answer:
    return 201, node.faults.add(body).view()


async def faults_list(node: Node, body: dict[str, Any]) -> Answer:
    return 200, {"faults": node.faults.list()}


async def faults_clear(node: Node, body: dict[str, Any]) -> Answer:
    rule_id = _int(body, "id", 0, 0, MAX_PARAMETER)  # 0, which no rule has: all of them
    return 200, {"removed": node.faults.clear(rule_id or None)}


ROUTES: Final[dict[tuple[str, str], Callable[[Node, dict[str, Any]], Awaitable[Answer]]]] = {
    ("GET", "/devnet/info"): info,
    ("POST", "/devnet/faucet"): faucet,
    ("POST", "/devnet/usdt"): usdt,
    ("POST", "/devnet/mine"): mine,
    ("POST", "/devnet/pace"): pace,
    ("POST", "/devnet/time"): travel,
    ("POST", "/devnet/parameters"): parameters,
    ("POST", "/devnet/fork"): fork,
    ("POST", "/devnet/snapshot"): snapshot,
    ("POST", "/devnet/restore"): restore,
    ("POST", "/devnet/faults"): faults_add,
    ("GET", "/devnet/faults"): faults_list,
    ("DELETE", "/devnet/faults"): faults_clear,
}


async def control(node: Node, method: str, path: str, body: dict[str, Any]) -> Answer:
    """Carry out one control; a refusal is (status, {"error"})."""
    handler = ROUTES.get((method, path))
    if handler is None:
        known = any(path == route for _, route in ROUTES)
        return (405, {"error": "method"}) if known else (404, {"error": "no such control"})
    try:
        return await handler(node, body)
    except (BadControl, BadAmount, BadRule) as error:
        return 400, {"error": str(error)}
    except (NoToken, TooDeep) as error:
        return 409, {"error": str(error)}
    except Refusal as error:
        return 409, {"error": error.message, "code": error.code}

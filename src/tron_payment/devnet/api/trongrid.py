"""TronGrid's v1: histories of accounts and contracts, page by page.

Not part of java-tron. Every answer is ``{"data": [...], "success": true, "meta": {...}}``; a page
is continued with the same filters and the `fingerprint` of the page before.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from tron_payment.devnet import ledger, render
from tron_payment.devnet.api.pages import BadQuery, Filters, Place, page
from tron_payment.devnet.blocks import Block
from tron_payment.devnet.events import values
from tron_payment.devnet.involved import EMITTER, FROM, INTERNAL, TO, TOKEN_EVENTS, TRC20
from tron_payment.devnet.keys import PREFIX, base58check, from_base58check
from tron_payment.devnet.node import Node
from tron_payment.devnet.receipts import LogRecord

MAX_TOKENS_SCAN: Final = 5_000
"""Transactions looked at to find the tokens of an account."""


def _address(text: str) -> bytes:
    raw = from_base58check(text)
    if raw is None and len(text) == 42:
        try:
            raw = bytes.fromhex(text)
        except ValueError:
            raw = None
    if raw is None or not ledger.is_address(raw):
        raise BadQuery("Invalid address provided")
    return raw


def answer(node: Node, path: str, query: dict[str, str]) -> tuple[int, Any]:
    """(status, body) of a GET below ``/v1``."""
    parts = path.strip("/").split("/")[1:]
    try:
        match parts:
            case ["accounts", address]:
                return 200, _account(node, _address(address), query)
            case ["accounts", address, "transactions"]:
                return 200, _transactions(node, path, _address(address), query)
            case ["accounts", address, "transactions", "trc20"]:
                return 200, _trc20(node, path, _address(address), query)
            case ["contracts", address, "events"]:
                return 200, _events(node, path, _address(address), query)
            case ["blocks", number, "events"]:
                return 200, _block_events(node, path, number, query)
            case ["transactions", txid, "events"]:
                return 200, _transaction_events(node, txid)
    except BadQuery as error:
        return 400, {"success": False, "error": str(error), "statusCode": 400}
    return 404, {"success": False, "error": "Not Found", "statusCode": 404}


def _places(
    node: Node, address: bytes, roles: tuple[str, ...], filters: Filters
) -> Iterator[tuple[Block, int]]:
    for number, position in node.store.involving(
        address, roles, descending=filters.descending, lowest=filters.lowest,
        highest=filters.highest,
    ):  # fmt: skip
        block = node.chain.block(number)
        if block is not None and filters.admits(block):
            yield block, position


def _account(node: Node, address: bytes, query: dict[str, str]) -> dict[str, Any]:
    chain = node.chain
    solid = query.get("only_confirmed") == "true"
    get = chain.state_at(chain.solid_number) if solid else chain.base.get
    found = ledger.account(get, address)
    data = []
    if found is not None:
        shown = render.account(get, found, True, stored=True)
        shown["address"] = address.hex()
        shown["trc20"] = _tokens(node, address)
        data.append(shown)
    meta = {"at": node.now_ms(), "page_size": len(data)}
    return {"data": data, "success": True, "meta": meta}


def _tokens(node: Node, address: bytes) -> list[dict[str, str]]:
    filters = Filters(0, True, 1, node.chain.head.number, 0, 1 << 62, None)
    seen: dict[bytes, None] = {}
    for count, (block, position) in enumerate(_places(node, address, (TRC20,), filters)):
        if count >= MAX_TOKENS_SCAN:
            break
        for log in block.receipts[position].logs:
            if _names(log, address):
                seen[PREFIX + log.address] = None
    balances = ((token, node.events.balance(token, address)) for token in seen)
    return [{base58check(token): str(units)} for token, units in balances if units]


def _names(log: LogRecord, address: bytes) -> bool:
    """Whether a token's event names the account."""
    known = len(log.topics) >= 3 and log.topics[0] in TOKEN_EVENTS
    return known and any(topic[12:] == address[1:] for topic in log.topics[1:3])


def _transactions(node: Node, path: str, address: bytes, query: dict[str, str]) -> dict[str, Any]:
    filters = Filters.read(node, query)
    roles: tuple[str, ...] = (FROM, TO)
    if query.get("search_internal", "true") == "true":
        roles = (*roles, INTERNAL)
    if query.get("only_to") == "true":
        roles = (TO,)
    elif query.get("only_from") == "true":
        roles = (FROM,)
    entries = (
        ((block.number, position, 0), _transaction(block, position))
        for block, position in _places(node, address, roles, filters)
    )
    return page(node, path, query, filters, entries)


def _transaction(block: Block, position: int) -> dict[str, Any]:
    tx, receipt = block.transactions[position], block.receipts[position]
    shown = render.transaction(tx, False, receipt.contract_ret)
    shown["ret"][0]["fee"] = receipt.fee
    return shown | {
        "blockNumber": block.number,
        "block_timestamp": block.timestamp_ms,
        "net_fee": receipt.net_fee,
        "net_usage": receipt.net_usage,
        "energy_fee": receipt.energy_fee,
        "energy_usage": receipt.energy_usage,
        "energy_usage_total": receipt.energy_total,
        "internal_transactions": render.internal(receipt, False),
    }


def _logs(
    places: Iterator[tuple[Block, int]], filters: Filters, wanted: Callable[[LogRecord], bool]
) -> Iterator[tuple[Place, Block, LogRecord]]:
    for block, position in places:
        logs = list(enumerate(block.receipts[position].logs))
        for index, log in reversed(logs) if filters.descending else logs:
            if wanted(log):
                yield (block.number, position, index), block, log


def _trc20(node: Node, path: str, address: bytes, query: dict[str, str]) -> dict[str, Any]:
    filters = Filters.read(node, query)
    contract = query.get("contract_address")
    token = _address(contract)[1:] if contract else None
    side = {"only_from": 1, "only_to": 2}
    sides = [index for name, index in side.items() if query.get(name) == "true"] or [1, 2]

    def wanted(log: LogRecord) -> bool:
        if len(log.topics) < 3 or log.topics[0] not in TOKEN_EVENTS:
            return False
        named = any(log.topics[index][12:] == address[1:] for index in sides)
        return named and (token is None or log.address == token)

    entries = (
        (place, _transfer(node, block, place, log))
        for place, block, log in _logs(_places(node, address, (TRC20,), filters), filters, wanted)
    )
    return page(node, path, query, filters, entries)


def _transfer(node: Node, block: Block, place: Place, log: LogRecord) -> dict[str, Any]:
    """One token transfer; no block number and no index, as TronGrid."""
    contract = PREFIX + log.address
    return {
        "transaction_id": block.transactions[place[1]].txid.hex(),
        "token_info": node.events.token(contract) | {"address": base58check(contract)},
        "block_timestamp": block.timestamp_ms,
        "from": base58check(PREFIX + log.topics[1][12:]),
        "to": base58check(PREFIX + log.topics[2][12:]),
        "type": TOKEN_EVENTS[log.topics[0]],
        "value": str(int.from_bytes(log.data[:32], "big")),
    }


def _events(node: Node, path: str, contract: bytes, query: dict[str, str]) -> dict[str, Any]:
    filters = Filters.read(node, query)
    wanted_name = query.get("event_name")

    def wanted(log: LogRecord) -> bool:
        if log.address != contract[1:]:
            return False
        event = node.events.of(contract, log)
        return wanted_name is None or (event is not None and event.name == wanted_name)

    entries = (
        (place, _event(node, block, place, log))
        for place, block, log in _logs(
            _places(node, contract, (EMITTER,), filters), filters, wanted
        )
    )
    return page(node, path, query, filters, entries)


def _event(node: Node, block: Block, place: Place, log: LogRecord) -> dict[str, Any]:
    contract = PREFIX + log.address
    event = node.events.of(contract, log)
    tx = block.transactions[place[1]]
    caller = getattr(tx.message, "contract_address", b"") or contract
    shown: dict[str, Any] = {
        "block_number": block.number,
        "block_timestamp": block.timestamp_ms,
        "caller_contract_address": base58check(bytes(caller)),
        "contract_address": base58check(contract),
        "event_index": place[2],
        "event_name": event.name if event else "",
        "result": values(event, log) if event else {},
        "result_type": {name: kind for name, kind, _ in event.inputs if name} if event else {},
        "event": event.text if event else "",
        "transaction_id": tx.txid.hex(),
    }
    if block.number > node.chain.solid_number:
        shown["_unconfirmed"] = True
    return shown


def _block_events(node: Node, path: str, which: str, query: dict[str, str]) -> dict[str, Any]:
    """All events of one block, by number or ``latest``."""
    filters = Filters.read(node, query)
    number = filters.highest if which == "latest" else int(which) if which.isdecimal() else -1
    block = node.chain.block(number)
    if number < 0:
        raise BadQuery("Invalid block identifier")
    places = [] if block is None else [(block, n) for n in range(len(block.transactions))]
    if filters.descending:
        places.reverse()
    entries = (
        (place, _event(node, block, place, log))
        for place, block, log in _logs(iter(places), filters, lambda log: True)
    )
    return page(node, path, query, filters, entries)


def _transaction_events(node: Node, txid: str) -> dict[str, Any]:
    try:
        found = node.chain.find(bytes.fromhex(txid))
    except ValueError:
        raise BadQuery("Invalid transaction id") from None
    data = []
    if found is not None:
        block, position = found
        data = [
            _event(node, block, (block.number, position, index), log)
            for index, log in enumerate(block.receipts[position].logs)
        ]
    meta = {"at": node.now_ms(), "page_size": len(data)}
    return {"data": data, "success": True, "meta": meta}

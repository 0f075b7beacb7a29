"""``eth_getLogs``: events by address and topics over a range of blocks.

Source: LogFilter, LogFilterWrapper and LogMatch of java-tron 4.8.0.
"""

from collections.abc import Iterator
from typing import Any, Final

from tron_payment.devnet.api import jsonviews
from tron_payment.devnet.api.jsonviews import INVALID_PARAMS, TOO_MANY, RpcError
from tron_payment.devnet.api.query import View
from tron_payment.devnet.blocks import Block
from tron_payment.devnet.involved import EMITTER
from tron_payment.devnet.receipts import LogRecord
from tron_payment.devnet.store import Store

MAX_BLOCK_RANGE: Final = 5_000
MAX_SUB_TOPICS: Final = 1_000
MAX_TOPICS: Final = 4
MAX_RESULT: Final = 10_000
MAX_ADDRESSES: Final = 1_000
"""java-tron 4.8.0 has no bound here; a bound of ours."""

Topics = list[frozenset[bytes] | None]


def logs(store: Store, view: View, given: Any) -> list[dict[str, Any]]:
    """
    Raises:
        RpcError: The filter is malformed, reaches too far, or finds too much.
    """
    if not isinstance(given, dict):
        raise RpcError(INVALID_PARAMS, "method parameters invalid")
    addresses, topics = _addresses(given.get("address")), _topics(given.get("topics"))
    lowest, highest = _range(view, given)
    found: list[dict[str, Any]] = []
    for block, position in _places(store, view, addresses, lowest, highest):
        records = block.receipts[position].logs
        if not records:
            continue
        entries = jsonviews.log_entries(block, position)
        for record, entry in zip(records, entries, strict=True):
            if _matches(record, addresses, topics):
                found.append(entry)
        if len(found) > MAX_RESULT:
            raise RpcError(TOO_MANY, f"query returned more than {MAX_RESULT} results")
    return found


def _addresses(given: Any) -> frozenset[bytes]:
    """The 20 bytes of each address; none of them means every one."""
    if given is None:
        return frozenset()
    if isinstance(given, str):
        try:
            return frozenset((jsonviews.address(given)[1:],))
        except RpcError as error:
            raise RpcError(INVALID_PARAMS, f"invalid address: {error}") from None
    if not isinstance(given, list) or len(given) > MAX_ADDRESSES:
        raise RpcError(INVALID_PARAMS, "invalid addresses in query")
    found = set()
    for index, text in enumerate(given):
        try:
            found.add(jsonviews.address(text)[1:])
        except RpcError as error:
            complaint = f"invalid address at index {index}: [{error}]"
            raise RpcError(INVALID_PARAMS, complaint) from None
    return frozenset(found)


def _topic(given: Any) -> bytes:
    try:
        return jsonviews.hash32(given)
    except RpcError:
        raise RpcError(INVALID_PARAMS, "invalid topic(s): invalid topic") from None


def _topics(given: Any) -> Topics:
    """For each position the topics of which one must stand there; None lets everything pass."""
    if given is None:
        return []
    if not isinstance(given, list):
        raise RpcError(INVALID_PARAMS, "invalid topic(s)")
    if len(given) > MAX_TOPICS:
        raise RpcError(INVALID_PARAMS, f"topics size should be <= {MAX_TOPICS}")
    wanted: Topics = []
    for each in given:
        if isinstance(each, list):
            if len(each) > MAX_SUB_TOPICS:
                raise RpcError(INVALID_PARAMS, f"exceed max topics: {MAX_SUB_TOPICS}")
            wanted.append(frozenset(map(_topic, each)) or None)
        else:
            wanted.append(None if each is None else frozenset((_topic(each),)))
    return wanted


def _range(view: View, given: dict[str, Any]) -> tuple[int, int]:
    """The first and the last block; without both the newest one."""
    head = view.number
    if (block_hash := given.get("blockHash")) is not None:
        if given.get("fromBlock") is not None or given.get("toBlock") is not None:
            raise RpcError(
                INVALID_PARAMS,
                "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other",
            )
        block = view.block_by_id(jsonviews.hash32(block_hash))
        if block is None:
            raise RpcError(INVALID_PARAMS, "invalid blockHash")
        return block.number, block.number
    first, last = given.get("fromBlock"), given.get("toBlock")
    highest = _bound(view, last, head) if last else head
    lowest = _bound(view, first, head) if first else min(highest, head)
    if lowest > highest:
        raise RpcError(INVALID_PARAMS, "please verify: fromBlock <= toBlock")
    highest = min(highest, head)
    if highest - lowest > MAX_BLOCK_RANGE:
        raise RpcError(INVALID_PARAMS, f"exceed max block range: {MAX_BLOCK_RANGE}")
    return lowest, highest


def _bound(view: View, tag: Any, head: int) -> int:
    text = str(tag).lower()
    if text == "latest":
        return head
    if text == "earliest":
        return 0
    if text == "finalized":
        return view.chain.solid_number
    if text == "pending":
        raise RpcError(INVALID_PARAMS, "TAG pending not supported")
    return jsonviews.number(tag, "invalid block number")


def _places(
    store: Store, view: View, addresses: frozenset[bytes], lowest: int, highest: int
) -> Iterator[tuple[Block, int]]:
    """Transactions that may hold such events, in order; by the index of emitters where it can."""
    if addresses and view.ghost is None:
        known = {
            place
            for address in addresses
            for place in store.involving(
                b"A" + address, (EMITTER,), descending=False, lowest=lowest, highest=highest
            )
        }
        for number, position in sorted(known):
            block = view.block(number)
            if block is not None:
                yield block, position
        return
    for number in range(lowest, highest + 1):
        block = view.block(number)
        for position in range(len(block.transactions) if block is not None else 0):
            assert block is not None
            yield block, position


def _matches(log: LogRecord, addresses: frozenset[bytes], topics: Topics) -> bool:
    if addresses and log.address not in addresses:
        return False
    if len(topics) > len(log.topics):
        return False
    return all(
        wanted is None or topic in wanted for wanted, topic in zip(topics, log.topics, strict=False)
    )

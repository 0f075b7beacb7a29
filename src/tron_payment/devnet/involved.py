"""Which addresses a block's transactions name, for the history queries of TronGrid's v1."""

from collections.abc import Iterator
from typing import Final

from tron_payment.devnet.blocks import Block
from tron_payment.devnet.keys import PREFIX

FROM: Final = "f"
TO: Final = "t"
TRC20: Final = "e"
"""Named by a Transfer or Approval event."""
EMITTER: Final = "c"
INTERNAL: Final = "i"
_TRANSFER: Final = bytes.fromhex("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")
_APPROVAL: Final = bytes.fromhex("8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925")
TOKEN_EVENTS: Final = {_TRANSFER: "Transfer", _APPROVAL: "Approval"}
_TARGETS: Final = ("to_address", "contract_address", "receiver_address", "account_address")


def involved(block: Block) -> Iterator[tuple[bytes, int, str]]:
    """(address, position, role) of every address that a transaction of the block names."""
    for position, (tx, receipt) in enumerate(zip(block.transactions, block.receipts, strict=True)):
        yield tx.owner, position, FROM
        for name in _TARGETS:
            target = getattr(tx.message, name, None)
            if target:
                yield bytes(target), position, TO
        for log in receipt.logs:
            yield PREFIX + log.address, position, EMITTER
            if len(log.topics) >= 3 and log.topics[0] in TOKEN_EVENTS:
                for topic in log.topics[1:3]:
                    yield PREFIX + topic[12:], position, TRC20
        for step in receipt.internal:
            yield step.caller, position, INTERNAL
            if step.to:
                yield step.to, position, INTERNAL

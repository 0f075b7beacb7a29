"""Watching USDT's issuer: pause, fee rate, blacklist, upgrade. Any of them changes what we may do.

Blocks tell what happened (`on_block`); the gate holds orders back while a transfer would revert
or arrive with less than it says, or while nobody knows what it would do.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import structlog

from tron_payment.chain import SolidBlock, SolidTransaction
from tron_payment.contracts import artifact
from tron_payment.core.address import Address, address_bytes
from tron_payment.core.clock import from_ms
from tron_payment.core.errors import Unavailable
from tron_payment.db.audit import Act, Audit
from tron_payment.db.ledger import Ledger
from tron_payment.engine import Order
from tron_payment.usdt import documents as store
from tron_payment.usdt.documents import TokenNotice, movement_id
from tron_payment.usdt.screening import Screening, TokenState
from tron_payment.usdt.trc20 import TRANSFER

NOTICES: Final = (
    "Pause",
    "Unpause",
    "Params",
    "AddedBlackList",
    "RemovedBlackList",
    "DestroyedBlackFunds",
    "Deprecate",
)
PAUSED: Final = "token_paused"
FEE_ACTIVE: Final = "token_fee_active"
DEPRECATED: Final = "token_deprecated"
BLACKLISTED: Final = "recipient_blacklisted"
CONTRACT_CALL: Final = "TriggerContract"

_USDT: Final = artifact("TestUSDT")
_TOPICS: Final = {_USDT.topic(name).hex(): name for name in NOTICES}

log = structlog.get_logger()


class Watch:
    """Notices what the issuer does, and holds orders back while it matters."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        audit: Audit,
        screening: Screening,
        usdt: Address,
    ) -> None:
        self._ledger = ledger
        self._audit = audit
        self._screening = screening
        self._usdt = usdt
        self._bare_hex = address_bytes(usdt)[1:].hex()

    async def on_block(self, block: SolidBlock) -> None:
        """Write down what the issuer did in this block; harmless when repeated."""
        notices = [
            TokenNotice(
                id=movement_id(block.number, transaction.index, number),
                txid=transaction.txid,
                block_number=block.number,
                at=from_ms(block.timestamp_ms),
                kind=_TOPICS[(entry := transaction.receipt.log[number]).topics[0]],
                details=_details(entry.topics, entry.data),
            )
            for transaction, number in self._noticed(block)
        ]
        for notice in notices:
            await self._write_down(notice)  # first: who dies now sees the block again
            if await store.remember_notice(notice):
                await self._tell(notice)

    def passes(self, block: SolidBlock) -> bool:
        """False when the issuer did something in this block."""
        return not any(self._noticed(block))

    def _noticed(self, block: SolidBlock) -> Iterator[tuple[SolidTransaction, int]]:
        """The issuer's events: transactions and places among their logs."""
        for transaction in block.transactions:
            for number, entry in enumerate(transaction.receipt.log):
                if entry.address == self._bare_hex and entry.topics and entry.topics[0] in _TOPICS:
                    yield transaction, number

    async def gate(self, orders: Sequence[Order]) -> Mapping[str, str]:
        """Hold back orders that call contracts while USDT is paused, charges a fee or hands its
        calls to another contract, and our own transfers to somebody who was blacklisted."""
        calls = [order for order in orders if order.contract["type"] == CONTRACT_CALL]
        if not calls:
            return {}
        try:
            state = await self._screening.token_state()
            if reason := _why_not(state):
                return {order.id: reason for order in calls if self._moves_usdt(order)}
            recipients = {o.id: r for o in calls if (r := self._recipient(o)) is not None}
            await self._screening.look(list(recipients.values()))
            waiting = {}
            for order_id, recipient in recipients.items():
                if await self._screening.blacklisted(recipient):
                    waiting[order_id] = BLACKLISTED
            return waiting
        except Unavailable:
            return {order.id: "node" for order in calls}

    async def _write_down(self, notice: TokenNotice) -> None:
        """Into the audit log, once, however often the block is seen."""
        await self._audit.append(
            Act(
                actor="service",
                role="service",
                action=f"token.{notice.kind.lower()}",
                object_id=self._usdt,
                after={**notice.details, "txid": notice.txid, "block": notice.block_number},
                entry_id=f"aud_{notice.id}",
            )
        )

    async def _tell(self, notice: TokenNotice) -> None:
        """A warning; an alarm when it is about us."""
        address = notice.details.get("address")
        ours = address is not None and await (await self._ledger.view()).holders([Address(address)])
        report = log.critical if ours else log.warning
        report("token.noticed", kind=notice.kind, txid=notice.txid, ours=bool(ours))

    def _moves_usdt(self, order: Order) -> bool:
        """Whether an order's expectations or calls concern USDT."""
        assets = {spend.asset for spend in order.wanted_spends}
        return "USDT" in assets or order.contract["contract"] == self._usdt

    def _recipient(self, order: Order) -> Address | None:
        """Of a plain USDT transfer."""
        if order.contract["contract"] != self._usdt or order.contract["data"][:4] != TRANSFER:
            return None
        expects = order.wanted_expects
        return expects[0].recipient if expects else None


def _why_not(state: TokenState) -> str:
    """Why no USDT is moved as things stand; empty when it may be."""
    if state.deprecated:
        return DEPRECATED
    if state.paused:
        return PAUSED
    return FEE_ACTIVE if state.basis_points else ""


def _details(topics: Sequence[str], data: str) -> dict[str, Any]:
    """The event's arguments, addresses as text and numbers as decimal text."""
    event = _USDT.decode_log([bytes.fromhex(each) for each in topics], bytes.fromhex(data))
    if event is None:
        return {}
    found = {}
    for name, value in event.args.items():
        is_address = isinstance(value, str)
        found["address" if is_address else name.strip("_")] = str(value)
    return found

"""`resume --from-block`: after a restore whose parts are of two moments, read the chain once more.

The books are counted anew from the journal, openings that it lacks are asked for (those of tokens
by the service when it starts), modules hear once more what has become of their orders since, safe
mode begins, and the cursor goes back. Every block from there
on is then applied as after the restore of a whole backup from that time: what the journal has
booked it books no more, and what it lacks it books now.
"""

from dataclasses import dataclass
from typing import Any

from tron_payment.chain import MongoCursors, Nodes, Position
from tron_payment.core.clock import from_ms
from tron_payment.db.audit import Act, Audit
from tron_payment.db.ledger import Ledger
from tron_payment.db.ledger_cache import take_back
from tron_payment.engine import Openings, SafeModes, tell_since
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.usdt import Token


@dataclass(frozen=True, slots=True)
class Reread:
    """What it takes."""

    nodes: Nodes
    ledger: Ledger
    openings: Openings
    safe_modes: SafeModes
    audit: Audit

    async def from_block(self, number: int) -> Report:
        """Safe to repeat after dying anywhere; the cursor goes back last.

        Raises:
            LostRace: The service works meanwhile: stop it first.
            Unavailable: Too few nodes show the block.
        """
        cursors = MongoCursors()
        at = await cursors.load()
        if at is None:
            return failure("nothing_followed", "no block was ever followed", Exit.FAILED)
        first, last = at.started_at_number + 1, at.number
        known = at.journal, at.journal_hash
        if not await self.ledger.has(*known):  # what was booked behind it is known to nobody
            known = await self.ledger.last()
            last = min(last, max(await self.ledger.last_block(), at.started_at_number))
        if not first <= number <= last + 1:
            detail = f"--from-block is one of {first} to {last + 1}, and older than the dump"
            return failure("usage", detail, Exit.USAGE)
        head = await self.nodes.solid_header(number - 1)
        to = Position(
            head.number,
            head.block_id,
            head.timestamp_ms,
            at.started_at_number,
            journal=known[0],
            journal_hash=known[1],
        )
        data: dict[str, Any] = {"from_block": number, "stood_at": at.number, "halted": at.halted}
        act = Act(
            actor="command-line",
            role="operator",
            action="follower.rewound",
            object_id=str(number),
            before={"block_number": at.number, "halted": at.halted},
            after={"block_number": to.number},
        )
        await self.audit.append(act)
        rebuilt = await self.ledger.rebuild()
        await self.openings.open_anew(list(rebuilt.unopened))
        await take_back(rebuilt.unopened)
        await Token.ask_again()
        await self.safe_modes.begin(to, "rewound")
        await tell_since(from_ms(to.timestamp_ms))
        await cursors.go_back(at, to)
        lines: tuple[str, ...] = (
            f"balances counted anew from the journal; {rebuilt.wrong} were wrong",
            f"following goes on with block {number}; it stood at {at.number}",
            "safe mode is on until the chain is past what may have been signed before the restore",
        )
        if rebuilt.unopened:
            lines += (f"opened anew, for the journal lacks it: {len(rebuilt.unopened)} addresses",)
        data |= {"balances_wrong": rebuilt.wrong, "opened_anew": len(rebuilt.unopened)}
        return Report(data, lines)

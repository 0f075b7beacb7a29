"""`wallets debug WALLET`: the ledger against the chain, in sum and movement by movement.

The sums are those of a reconciliation, at one solidified block. The movements are read anew from
the nodes, block by block, and put beside the postings of the same transaction: what the address
gained or lost on the chain must be what its accounts gained or lost in the journal.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tron_payment.chain import SolidBlock
from tron_payment.console.pages import EXPLORERS
from tron_payment.core.address import Address, parse_address
from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.core.errors import AppError
from tron_payment.db.faults import store_errors
from tron_payment.db.ledger import Ledger, LedgerEntry, Pocket, account
from tron_payment.engine import Movement, MovementKind, Order, as_counted, movements
from tron_payment.gateway import Reconciliations
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import assembled
from tron_payment.operator.wallet_list import listed
from tron_payment.settings import Settings
from tron_payment.usdt import TokenRegistry
from tron_payment.wallets import Wallet, WalletMovement

BLOCKS: Final = 25
BLOCKS_MAX: Final = 200
MOVEMENTS_MAX: Final = 2_000
"""Rows of the wallet's history that are looked at to find its newest blocks."""

READ_MS: Final = 10_000

Sums = dict[tuple[str, str, Pocket], int]
"""What one address gained (lost, if negative), by txid, asset and pocket, smallest units."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One transaction's effect on one asset and pocket: what the chain did and what we booked."""

    block_number: int
    at: str
    txid: str
    asset: str
    pocket: Pocket
    chain_units: int
    ledger_units: int
    entry: int | None
    order_id: str | None
    transactions: int = 1
    """More when the journal has only their sum: `txid` is the first one's."""

    @property
    def matches(self) -> bool:
        return self.chain_units == self.ledger_units


async def wallets(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Compare the sums, then the newest blocks that touched the address; or list all wallets."""
    if arguments.action == "list":
        return await listed(settings)
    if arguments.wallet is None:
        return failure("usage", "say which WALLET", Exit.USAGE)
    count = BLOCKS if arguments.blocks is None else arguments.blocks
    if not 1 <= count <= BLOCKS_MAX:
        return failure("usage", f"--blocks is from 1 to {BLOCKS_MAX}", Exit.USAGE)
    async with assembled(settings) as assembly:
        house = assembly.house
        address = await _address(arguments.wallet)
        if address is None or not await house.ledger.is_holder(address):
            return failure("not_found", "no wallet and no address with books", Exit.FAILED)
        rows, solid = await house.use(Reconciliations).of_one(address)
        opened, numbers = await _blocks(house.ledger, address, solid, count)
        tokens = house.use(TokenRegistry).by_contract
        compared: list[Compared] = []
        for number in numbers:
            block = await house.nodes.solid_block(number)
            compared += await _compare(block, address, tokens)
    explorer = EXPLORERS.get(settings.tron_network.value, "")
    wrong = [each for each in compared if not each.matches]
    good = not wrong and not any(row.difference for row in rows)
    data: dict[str, Any] = {
        "address": address,
        "solid_block": solid,
        "books_since_block": opened,
        "balances": [
            {
                "asset": row.asset,
                "pocket": row.pocket,
                "ledger_units": str(row.ledger_units),
                "chain_units": str(row.chain_units),
                "matches": row.difference == 0,
            }
            for row in rows
        ],
        "blocks": len(numbers),
        "movements": [_shown(each, explorer) for each in compared],
        "wrong": len(wrong),
    }
    return Report(data, _lines(data), Exit.OK if good else Exit.FAILED)


def _shown(each: Compared, explorer: str) -> dict[str, Any]:
    return {
        "block_number": each.block_number,
        "block_time": each.at,
        "txid": each.txid,
        "asset": each.asset,
        "pocket": each.pocket.value,
        "chain_units": str(each.chain_units),
        "ledger_units": str(each.ledger_units),
        "entry": each.entry,
        "order_id": each.order_id,
        "transactions": each.transactions,
        "matches": each.matches,
        "explorer": explorer + each.txid if explorer else None,
    }


def _lines(data: Mapping[str, Any]) -> list[str]:
    lines = [f"{data['address']} at solidified block {data['solid_block']}, smallest units:"]
    for row in data["balances"]:
        lines.append(
            f"{_mark(row)} {row['asset']:<6} {row['pocket']:<10} "
            f"ledger {row['ledger_units']:>20}  chain {row['chain_units']:>20}"
        )
    lines.append(f"the newest {data['blocks']} blocks that touched it, newest first:")
    for each in data["movements"]:
        lines.append(
            f"{_mark(each)} {each['block_time']} block {each['block_number']} {each['asset']:<6} "
            f"{each['pocket']:<10} chain {each['chain_units']:>18}  ledger "
            f"{each['ledger_units']:>18}  entry {each['entry'] or '-'}  {each['txid']}"
            + (f"  {each['order_id']}" if each["order_id"] else "")
            + _others(each["transactions"])
            + (f"  {each['explorer']}" if each["explorer"] else "")
        )
    same = all(row["matches"] for row in data["balances"]) and not data["wrong"]
    lines.append(
        "ledger = chain" if same else "ledger is not the chain: see docs/runbooks/money.md"
    )
    return lines


def _others(transactions: int) -> str:
    more = f"  and {transactions - 1} more of this block: the journal keeps only their sum"
    return more if transactions > 1 else ""


def _mark(row: Mapping[str, Any]) -> str:
    return "ok   " if row["matches"] else "WRONG"


async def _address(text: str) -> Address | None:
    with store_errors():
        wallet = await Wallet.find_one({"_id": text})
    if wallet is not None:
        return Address(wallet.address)
    try:
        return parse_address(text)
    except AppError:
        return None


async def _blocks(
    ledger: Ledger, address: Address, solid: int, count: int
) -> tuple[int, list[int]]:
    """The block that the books begin after, and the newest ones since then that touched them.

    Both sides are asked: the journal, and the history that was written from the blocks
    themselves; so neither can leave out what the other has.
    """
    opened = (await (await ledger.view()).holders([address]))[address]
    found: set[int] = set()
    with store_errors():
        entries = LedgerEntry.get_pymongo_collection().find(
            {"block_number": {"$gt": opened, "$lte": solid}, **_touching(address)},
            {"block_number": 1},
        )
        newest = entries.sort("block_number", -1).limit(count).max_time_ms(READ_MS)
        found |= {each["block_number"] async for each in newest}
        wallet = await Wallet.find_one({"address": address})
        if wallet is not None:
            rows = WalletMovement.get_pymongo_collection().find(
                {"wallet_id": wallet.id}, {"address": 1, "block_number": 1}
            )
            newest = rows.sort([("created_at", -1), ("_id", -1)]).limit(MOVEMENTS_MAX)
            found |= {row["block_number"] async for row in newest if row["address"] == address}
    return opened, sorted((n for n in found if opened < n <= solid), reverse=True)[:count]


def _touching(address: Address) -> dict[str, Any]:
    names = [account(address, pocket) for pocket in Pocket]
    return {
        "$or": [
            {"postings.source": {"$in": names}},
            {"postings.destination": {"$in": names}},
        ]
    }


async def _compare(
    block: SolidBlock, address: Address, tokens: Mapping[Address, str]
) -> list[Compared]:
    """Every transaction of the block that the chain or the journal says touched the address. What
    contracts have moved is compared in the block in which it counts."""
    block = await as_counted(block)
    with store_errors():
        entry = await LedgerEntry.find_one({"block_number": block.number})
        txids = [each.txid for each in block.transactions]
        orders = await Order.find({"attempts.txid": {"$in": txids}}).to_list()
    present = set(txids)
    order_of = {
        attempt["txid"]: order.id
        for order in orders
        for attempt in order.attempts
        if attempt["txid"] in present
    }
    on_chain = chain_sums(movements(block, tokens), address)
    booked = ledger_sums(entry, address, {order: txid for txid, order in order_of.items()})
    summed = together(on_chain, booked) if entry is not None and _has_sums(entry) else {}
    return [
        Compared(
            block_number=block.number,
            at=rfc3339(from_ms(block.timestamp_ms)),
            txid=key[0],
            asset=key[1],
            pocket=key[2],
            chain_units=on_chain.get(key, 0),
            ledger_units=booked.get(key, 0),
            entry=entry.id if entry is not None else None,
            order_id=order_of.get(key[0]),
            transactions=summed.get(key, 1),
        )
        for key in sorted(on_chain.keys() | booked.keys())
    ]


def _has_sums(entry: LedgerEntry) -> bool:
    return any(posting.transactions > 1 for posting in entry.postings)


def together(on_chain: Sums, booked: Sums) -> dict[tuple[str, str, Pocket], int]:
    """Put in one, on either side, what a journal of sums cannot tell transaction by transaction.

    That is, of each asset and pocket, what is not the same on either side.

    Returns:
        How many of the chain's transactions are behind each sum.
    """
    unlike: dict[tuple[str, Pocket], list[tuple[str, str, Pocket]]] = defaultdict(list)
    for key in sorted(on_chain.keys() | booked.keys()):
        if on_chain.get(key) != booked.get(key):
            unlike[key[1:]].append(key)
    counts: dict[tuple[str, str, Pocket], int] = {}
    for keys in unlike.values():
        first = next((key for key in keys if key in booked), keys[0])
        counts[first] = sum(key in on_chain for key in keys)
        for side in (on_chain, booked):
            side[first] = sum(side.pop(key, 0) for key in keys)
    return counts


WITHIN: Final = {
    MovementKind.STAKE: (Pocket.AVAILABLE, Pocket.STAKED),
    MovementKind.UNSTAKE: (Pocket.STAKED, Pocket.UNFREEZING),
    MovementKind.WITHDRAW_UNSTAKED: (Pocket.UNFREEZING, Pocket.AVAILABLE),
    MovementKind.CANCEL_UNSTAKE: (Pocket.UNFREEZING, Pocket.STAKED),
}
"""Which pockets of its holder a movement empties and fills."""


def chain_sums(moves: Iterable[Movement], address: Address) -> Sums:
    """What the chain's movements did to an address."""
    sums: Sums = defaultdict(int)
    for move in moves:
        leaves, arrives = WITHIN.get(move.kind, (Pocket.AVAILABLE, Pocket.AVAILABLE))
        if move.sender == address:
            sums[(move.txid, move.asset, leaves)] -= move.units
        if move.recipient == address:
            sums[(move.txid, move.asset, arrives)] += move.units
    return {key: units for key, units in sums.items() if units}


def ledger_sums(
    entry: LedgerEntry | None, address: Address, txid_of_order: Mapping[str, str]
) -> Sums:
    """What a block's entry did to an address; what is reserved counts as available.

    A posting that is no transaction's of the block stands under its own reference.
    """
    sums: Sums = defaultdict(int)
    for posting in entry.postings if entry is not None else ():
        txid = txid_of_order.get(posting.ref) or posting.ref.partition(":")[0]
        for name, units in (
            (posting.source, -posting.units),
            (posting.destination, posting.units),
        ):
            holder, _, pocket = name.rpartition(":")
            if holder == address:
                kept = Pocket.AVAILABLE if pocket == Pocket.RESERVED else Pocket(pocket)
                sums[(txid, posting.asset, kept)] += units
    return {key: units for key, units in sums.items() if units}

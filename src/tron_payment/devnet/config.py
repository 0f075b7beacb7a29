"""What a devnet can be told at its start. Everything else is a chain parameter or a control."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_PORT: Final = 9090
SLOT_MS: Final = 3_000
"""A slot of the main net: blocks, and the unit in which bandwidth and energy recover."""
MAX_BLOCK_MS: Final = 600_000
"""The longest time between two blocks."""
WITNESSES: Final = 27
FIRST_VOTES: Final = 1_500_000_000
HISTORY_PACE_MS: Final = 50
MAX_PENDING: Final = 2_000
"""java-tron's maxTransactionPendingSize; a node with more answers SERVER_BUSY."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevnetConfig:
    """One devnet. With ``block_ms=0`` only `Devnet.mine` and ``/devnet/mine`` make blocks."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    block_ms: int = SLOT_MS
    data: Path | None = None
    """Folder of the chain; None keeps it in memory."""
    seed: str | None = None
    """Decides the genesis block, so the chain id; random when None."""
    start_ms: int | None = None
    """Chain time of the first block when blocks are made by hand; else the wall clock."""
    history_ms: int = 0
    """A new chain begins so long ago and catches up at `HISTORY_PACE_MS` a block, so that the
    first transactions are solidified within a second."""
    witnesses: int = WITNESSES
    trx_cache: bool = False
    """java-tron's node.trxCacheEnable: an id that was ever seen answers "already exists"."""
    max_pending: int = MAX_PENDING
    usdt: bool = True
    """Deploy the test USDT in the first block when its artifact is there."""
    witness_keys: tuple[bytes, ...] = ()
    """Private keys of the representatives; well-known ones when empty."""
    witness_votes: int = FIRST_VOTES
    """Votes of the first representative in the genesis block; the next ones have a bit less."""
    balances: tuple[tuple[bytes, int], ...] = ()
    """More accounts of the genesis block: 21 bytes of address and sun."""
    parameters: tuple[tuple[str, int], ...] = ()
    """Chain parameters that differ from the main net's."""
    active_operations: bytes = b""
    """Operations of a new account's active permission; the main net's when empty."""

    @property
    def history_blocks(self) -> int:
        """How many blocks of a new chain are made at the quick pace."""
        return self.history_ms // self.slot_ms

    @property
    def slot_ms(self) -> int:
        """Milliseconds of chain time between two blocks."""
        return self.block_ms or SLOT_MS


def parse_args(argv: list[str], controls: str = "") -> DevnetConfig:
    """Read the command line of ``tron-payment devnet``.

    Args:
        controls: The commands that steer a running devnet, for ``--help``.
    """
    parser = argparse.ArgumentParser(
        prog="tron-payment devnet",
        usage="%(prog)s [options]\n       %(prog)s CONTROL [arguments] [--url URL]",
        description="A TRON node for one machine, until it is interrupted; or, with the name of "
        "a control, a request to one that runs.",
        epilog=f"controls (each has --help):\n{controls}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 127.0.0.1")
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="9090; the solidity node is at port + 1"
    )
    parser.add_argument(
        "--block-ms", type=int, default=SLOT_MS, help="between blocks, 3000; 0: by hand only"
    )
    parser.add_argument("--data", type=Path, default=None, help="folder that keeps the chain")
    parser.add_argument("--seed", default=None, help="decides the genesis block and chain id")
    parser.add_argument(
        "--history-ms", type=int, default=0, help="a new chain begins so long ago and catches up"
    )
    parser.add_argument(
        "--max-pending", type=int, default=MAX_PENDING, help="with more, SERVER_BUSY; 2000"
    )
    parser.add_argument("--trx-cache", action="store_true", help="java-tron's trxCacheEnable")
    parser.add_argument("--no-usdt", action="store_true", help="do not deploy the test USDT")
    args = parser.parse_args(argv)
    if not 0 <= args.block_ms <= MAX_BLOCK_MS or args.max_pending < 1:
        parser.error(f"--block-ms is 0 to {MAX_BLOCK_MS}, --max-pending 1 or more")
    return DevnetConfig(
        host=args.host,
        port=args.port,
        block_ms=args.block_ms,
        data=args.data,
        history_ms=max(args.history_ms, 0),
        seed=args.seed,
        trx_cache=args.trx_cache,
        max_pending=args.max_pending,
        usdt=not args.no_usdt,
    )

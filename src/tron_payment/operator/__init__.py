"""The operator's commands: what each is called, what it takes, and where its work is.

Nothing heavy is imported here, so that `tron-payment --help` is quick. Every command answers a
`Report`; `--json` prints its data, else its lines are for people. Exit codes are in report.py.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TIMEOUT_S: Final = 900
URL: Final = "http://127.0.0.1:8090"
WATCH_S: Final = 3_600
REMOTE_PAYOUTS: Final = ("send", "cancel", "retry")
"""What is done to payouts by the API."""

ROLES: Final = (
    *("viewer", "merchant", "operator", "approver", "treasurer", "compliance", "admin", "auditor"),
)


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `work` is ``module:function``; the function takes (arguments, settings)."""

    help: str
    work: str
    arguments: Callable[[argparse.ArgumentParser], None] | None = None
    without_configuration: bool = False
    """It looks at a broken configuration too: the function gets None for settings."""


def _deploy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--owner", help="who may pause and withdraw; the signer by default")
    parser.add_argument("--treasury", help="where withdrawals go; the owner by default")
    parser.add_argument("--operator", help="who may pay; the signer by default")
    parser.add_argument("--wallet", help="the wallet that signs; HOT_WALLET_ADDRESS by default")
    parser.add_argument("--only", choices=("v0", "kyc"), help="one of the two routers")
    _timeout(parser)


def _audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("verify", "head"))
    parser.add_argument(
        "--from",
        dest="from_seq",
        type=int,
        default=1,
        metavar="SEQ",
        help="verify: the first entry",
    )
    parser.add_argument("--known", metavar="SEQ:HASH", help="a head that was kept elsewhere")
    parser.add_argument("--heads", metavar="FILE", help="signed heads, one JSON object a line")
    parser.add_argument("--public-key", metavar="HEX", help="who signed them; else our own key")


def _resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--force",
        action="store_true",
        help="use a node again that does not show the block any more about which it was outvoted",
    )
    parser.add_argument(
        "--from-block",
        type=int,
        metavar="NUMBER",
        help="after a restore without the oplog, with the service stopped: count the balances "
        "anew from the journal and read the chain once more from this block, older than the dump",
    )


def _safe_mode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("show", "end"))
    parser.add_argument("--reason", help="end: what you know that makes it safe; is written down")


def _keys(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("rotate",))


def _backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="is made; must not exist")
    _password(parser)


def _restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="as backup has made it")
    parser.add_argument("--wallet", metavar="WALLET_ID", help="only this one")
    _password(parser)


def _erase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user_id", help="as the merchants name the person")


def _release(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("principal", help="whose factor it is")
    parser.add_argument("fingerprint", help="as its owner was shown it and has told you")


def _payouts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("explain", "list", *REMOTE_PAYOUTS))
    parser.add_argument(
        "payout_id",
        nargs="?",
        metavar="PAYOUT_ID|FILE.csv",
        help="explain, cancel, retry: which payout (explain: or a txid); send: the file, with the "
        "columns user_id,recipient_address,amount,…",
    )
    parser.add_argument("--status", help="list: only these, with commas, such as queued,failed")
    parser.add_argument("--user", metavar="USER_ID", help="list: only of this person")
    parser.add_argument("--limit", type=int, help="list: how many of the newest; 20 by default")
    _remote(parser, "send, cancel, retry: ")
    parser.add_argument(
        "--yes", action="store_true", help="send, cancel, retry: do it after the check, do not ask"
    )
    parser.add_argument("--no-wait", action="store_true", help="send: do not wait for the end")
    _watching(parser, "send: ")


def _token(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--role", default="operator", choices=ROLES, help="what it may do (%(default)s)"
    )
    parser.add_argument("--subject", help="who it is; demo-ROLE by default")


def _token_out(parser: argparse.ArgumentParser) -> None:
    _token(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="into a file of yours only")


def _trace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id", metavar="ID", help="of a payout, order, payment, transaction, request"
    )


def _wallets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("debug", "list"))
    parser.add_argument(
        "wallet", nargs="?", metavar="WALLET", help="debug: its id, or an address with books"
    )
    parser.add_argument("--blocks", type=int, help="debug: how many of the newest; 25 by default")


def _monitor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="look once; so does --json")
    parser.add_argument(
        "--every", type=int, default=2, metavar="SECONDS", help="looks (%(default)s)"
    )
    parser.add_argument("--seconds", type=int, default=WATCH_S, help="then end (%(default)s)")


def _batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("watch",))
    parser.add_argument("batch_id", metavar="BATCH_ID")
    _remote(parser)
    _watching(parser)


def _remote(parser: argparse.ArgumentParser, of: str = "") -> None:
    """What the commands take that speak to a service by its API (remote.py).

    Args:
        of: Of which actions, where a command has others.
    """
    parser.add_argument("--url", default=URL, help=f"{of}the service (%(default)s)")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"{of}its first line is the token; else the variable TOKEN is",
    )


def _watching(parser: argparse.ArgumentParser, of: str = "") -> None:
    """What the commands take that show a batch until it has ended."""
    parser.add_argument(
        "--result",
        type=Path,
        metavar="FILE",
        help=f"{of}a CSV with what became of every row; is made",
    )
    parser.add_argument(
        "--watch-seconds",
        type=int,
        default=WATCH_S,
        metavar="SECONDS",
        help=f"{of}then end, the batch goes on (%(default)s)",
    )


def is_remote(arguments: argparse.Namespace) -> bool:
    """Whether a command speaks to a service by its API and needs no configuration here."""
    return arguments.command == "batch" or getattr(arguments, "action", "") in REMOTE_PAYOUTS


def _energy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("plan",))
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--wallet", help="whose payouts; HOT_WALLET_ADDRESS by default")
    whose.add_argument("--address", help="the same of any address")
    parser.add_argument("--days", type=int, help="how long a time; 30 by default")
    parser.add_argument("--payouts-per-day", type=int, help="planned; else as lately")
    parser.add_argument(
        "--cold-percent", type=int, help="of recipients without USDT; 50 by default"
    )
    parser.add_argument("--keep-trx", default="0", help="that must not be staked")
    parser.add_argument("--rent-sun-per-energy", type=int, help="what a lender asks for a day")
    parser.add_argument(
        "--capital-cost-bps", type=int, help="what TRX earns elsewhere in a year, in 1/100 percent"
    )


def _password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password-file", required=True, metavar="FILE", help="its first line is the password"
    )


def _timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        type=int,
        default=TIMEOUT_S,
        metavar="SECONDS",
        help="then end, unfinished (%(default)s)",
    )


COMMANDS: Final[Mapping[str, Command]] = {
    "doctor": Command(
        "look at everything the service needs and say what to do",
        "doctor:run",
        without_configuration=True,
    ),
    "deploy-contracts": Command("put the payout routers on the chain", "deploy:run", _deploy),
    "audit": Command("verify the audit log, or show its head", "audit:run", _audit),
    "reconcile": Command("compare ledger and chain now", "books:reconcile", _timeout),
    "resume": Command("follow the chain again after a contradiction", "resume:resume", _resume),
    "safe-mode": Command(
        "show: why nothing is signed, until when; end: now, before its time",
        "safe_mode:safe_mode",
        _safe_mode,
    ),
    "keys": Command(
        "rotate: wrap all keys under the first key of WALLET_ENCRYPTION_KEY", "custody:keys", _keys
    ),
    "backup": Command("write all keys into one encrypted file", "custody:backup", _backup),
    "restore": Command("bring wallets back from such a file", "custody:restore", _restore),
    "energy": Command("plan: what payouts cost and what to stake", "energy:energy", _energy),
    "release-factor": Command(
        "let a person's new second factor count", "factors:release", _release
    ),
    "erase": Command("take one person's name out of what has ended", "erase:erase", _erase),
    "payouts": Command(
        "explain: why is a payout where it is; list: the newest; send: check, price, send a CSV; "
        "cancel: call one back; retry: pay anew what has failed",
        "explain:payouts",
        _payouts,
    ),
    "token": Command("a caller's token for the development mode", "token:token", _token_out),
    "console-link": Command(
        "a link that signs a browser in once, for the development mode",
        "token:console_link",
        _token,
    ),
    "wallets": Command(
        "list: every wallet with its money; debug: ledger against chain, by movement",
        "wallet_debug:wallets",
        _wallets,
    ),
    "monitor": Command(
        "what is under way, what it waits for, how far the chain is followed; live",
        "monitor:monitor",
        _monitor,
    ),
    "trace": Command(
        "one timeline from the API request to block, books and webhook", "trace:trace", _trace
    ),
    "batch": Command("watch: a batch's progress to its end", "remote:run", _batch),
}

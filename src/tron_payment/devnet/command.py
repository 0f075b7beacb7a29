"""``tron-payment devnet CONTROL``: the controls of a running devnet from a shell.

Each command is one request to ``/devnet/*`` and prints its answer as JSON. The exit status is 0, 1
when the devnet refuses or is not there, 2 for arguments that make no sense.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tron_payment.devnet.config import DEFAULT_PORT

DEFAULT_URL: Final = f"http://127.0.0.1:{DEFAULT_PORT}"
ANSWER_S: Final = 120.0
"""Long enough for 100,000 blocks."""
EXIT_OK, EXIT_REFUSED = 0, 1

Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Control:
    """One control: its words for ``--help``, its arguments, and the request they make."""

    help: str
    define: Callable[[argparse.ArgumentParser], None]
    path: str = ""
    method: str = "POST"
    body: Callable[[Arguments], Arguments] = lambda given: given


def _nothing(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def _faucet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", help="who gets it, T...")
    parser.add_argument("amount", help='a decimal, such as "12.5"')
    parser.add_argument("currency", nargs="?", default="TRX", choices=("TRX", "USDT"))


def _usdt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("function", help="such as addBlackList, pause, setParams, issue")
    parser.add_argument("arguments", nargs="*", type=_number_or_text, help="addresses, numbers")


def _mine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("blocks", nargs="?", type=int, default=1)
    parser.add_argument("--skip-ms", type=int, default=0, help="chain time before the first")


def _pace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("block_ms", type=int, help="time between blocks; 0 pauses")


def _time(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("advance_ms", type=int, help="how far the clock goes forward")


def _parameters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "settings", nargs="+", metavar="NAME=VALUE", type=_setting, help="getEnergyFee=210"
    )


def _fork(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("depth", nargs="?", type=int, default=1, help="blocks to replace")
    parser.add_argument("--drop", nargs="*", default=[], metavar="TXID", help="to lose for good")
    parser.add_argument("--wait-blocks", type=int, default=0, help="before the others come back")


def _named(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", default="default")


def _fault(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", help="drop_answer, delay, status, lag, flap and others")
    parser.add_argument("--path", help='pattern such as "/wallet/broadcast*"; all when absent')
    parser.add_argument("--times", type=int, help="answers until it is used up; for ever")
    parser.add_argument("--probability", type=float)
    parser.add_argument("--delay-ms", type=int)
    parser.add_argument("--status", type=int, help="403, 429 or 503")
    parser.add_argument("--retry-after-s", type=int)
    parser.add_argument("--blocks", type=int, help="of lag")
    parser.add_argument("--answer", type=json.loads, help="JSON that overwrites the true answer")
    parser.add_argument("--code", help="of a refused broadcast")
    parser.add_argument("--message", help="of a refused broadcast")
    parser.add_argument("--accepted", action="store_true", default=None, help="it is in the pool")


def _clear(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", type=int, help="one rule; all when absent")


def _number_or_text(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _setting(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    return name, int(value)


CONTROLS: Final[dict[str, Control]] = {
    "info": Control("what the devnet is and where it stands", _nothing, method="GET"),
    "faucet": Control("send TRX or test USDT to an address", _faucet),
    "usdt": Control("call a function of the token's owner", _usdt),
    "mine": Control("make blocks now", _mine),
    "pace": Control("change the time between blocks", _pace),
    "time": Control("move the clock forward and make a block there", _time),
    "parameters": Control(
        "set chain parameters with the next block",
        _parameters,
        body=lambda given: dict(given["settings"]),
    ),
    "fork": Control("replace the newest blocks by another history", _fork),
    "snapshot": Control("keep the whole chain under a name", _named),
    "restore": Control("go back to a snapshot", _named),
    "fault": Control("add a failure rule", _fault, "faults"),
    "faults": Control("list the failure rules", _nothing, method="GET"),
    "clear": Control("remove failure rules", _clear, "faults", "DELETE"),
}


def listing() -> str:
    """The controls, one a line, for the help of ``tron-payment devnet``."""
    return "\n".join(f"  {name:12}{control.help}" for name, control in CONTROLS.items())


def run(argv: Sequence[str]) -> int:
    """Carry out ``CONTROL [arguments] [--url URL]``; returns the exit status."""
    import httpx  # slow to load, and a node that only runs does not need it

    name, control = argv[0], CONTROLS[argv[0]]
    parser = argparse.ArgumentParser(
        prog=f"tron-payment devnet {name}", description=f"{control.help.capitalize()}."
    )
    control.define(parser)
    parser.add_argument("--url", default=DEFAULT_URL, help=f"of the devnet; {DEFAULT_URL}")
    given: Arguments = vars(parser.parse_args(argv[1:]))
    url = f"{given.pop('url').rstrip('/')}/devnet/{control.path or name}"
    body = control.body({name: value for name, value in given.items() if value is not None})
    try:
        answer = httpx.request(
            control.method,
            url,
            json=body if control.method == "POST" else None,
            params=body if control.method == "DELETE" else None,
            timeout=ANSWER_S,
            trust_env=False,
        )
        shown = json.dumps(answer.json(), indent=2)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        print(f"devnet: nothing at {url} answers as a devnet does: {error}", file=sys.stderr)
        return EXIT_REFUSED
    print(shown, file=sys.stderr if answer.is_error else sys.stdout)
    return EXIT_REFUSED if answer.is_error else EXIT_OK

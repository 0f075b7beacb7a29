"""The operator's command line: `tron-payment --help`."""

import argparse
import asyncio
import json
import resource
import sys
from collections.abc import Callable, Sequence
from typing import Final

from tron_payment import operator
from tron_payment.core.terminal import printable

CORE_BYTES_MAX: Final = 1
EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
FOR_PROGRAMS: Final = "one JSON object, for programs"
FIRST_STEPS: Final = """\
beside `make run`, in the same folder:
  export LUCID_ENV=development      without it, the configuration is production's
  export TOKEN=$(tron-payment token)
  tron-payment console-link
  tron-payment payouts list

docs/operations.md has every command and what the exit codes mean."""


def build_parser() -> argparse.ArgumentParser:
    """All commands with their arguments, but for those that read their own."""
    parser = argparse.ArgumentParser(
        prog="tron-payment",
        description="USDT and TRX on TRON: paid out, taken in, kept. COMMAND --help tells more.",
        epilog=FIRST_STEPS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (summary, _) in COMMANDS.items():
        simple = commands.add_parser(
            name, help=summary, description=_sentence(summary), add_help=name not in OWN_ARGUMENTS
        )
        if name in ANSWERS:
            simple.add_argument("--json", action="store_true", help=FOR_PROGRAMS)
    for name, command in operator.COMMANDS.items():
        described = commands.add_parser(
            name, help=command.help, description=_sentence(command.help)
        )
        if command.arguments is not None:
            command.arguments(described)
        described.add_argument("--json", action="store_true", help=FOR_PROGRAMS)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its status."""
    forbid_core_dumps()
    parser = build_parser()
    arguments = list(sys.argv[1:] if argv is None else argv)
    known, rest = parser.parse_known_args(arguments)
    if rest and known.command not in OWN_ARGUMENTS:
        parser.error(f"unknown arguments: {' '.join(rest)}")
    if known.command in operator.COMMANDS and operator.is_remote(known):
        from tron_payment.operator import remote

        sys.exit(remote.run(known))
    if known.command in operator.COMMANDS:
        from tron_payment.operator import runner

        sys.exit(runner.run(known))
    if known.command in ANSWERS and known.json:
        rest = ["--json"]
    sys.exit(COMMANDS[known.command][1](rest))


def forbid_core_dumps() -> None:
    """A crash of this process, or of one that it starts, writes its memory nowhere: keys are in it.

    One byte, not zero: a limit of zero keeps no program from getting the dump that the host's
    ``core_pattern`` pipes to; one byte does (Linux, ``fs/coredump.c``), and no file is that small.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if most == 0 else CORE_BYTES_MAX
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def _serve(_: Sequence[str]) -> int:
    from tron_payment import configuration, egress
    from tron_payment.core.errors import AppError
    from tron_payment.serve import serve
    from tron_payment.settings import ConfigurationError

    try:
        settings = configuration.load()
    except ConfigurationError as error:
        print("The configuration has problems:", file=sys.stderr)
        for problem in error.problems:
            print(f"  - {printable(problem)}", file=sys.stderr)
        return EXIT_USAGE
    try:
        egress.run(settings, serve(settings))
    except AppError as error:
        print(f"The service cannot run: {printable(error.detail)}", file=sys.stderr)
        print("`tron-payment doctor` looks at everything it needs.", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK


def _devnet(rest: Sequence[str]) -> int:
    from tron_payment import devnet

    return devnet.main(list(rest))


def _demo(rest: Sequence[str]) -> int:
    from tron_payment.demo import run

    return asyncio.run(run(as_json="--json" in rest))


def _sign(rest: Sequence[str]) -> int:
    from tron_payment.devices import command

    return command.main(rest)


def _permissions(rest: Sequence[str]) -> int:
    from tron_payment.http.permissions import PERMISSIONS, markdown_table

    if "--json" in rest:
        table = {name: sorted(roles) for name, roles in PERMISSIONS.items()}
        print(json.dumps({"ok": True, "permissions": table}, indent=2))
    else:
        print(markdown_table(), end="")
    return EXIT_OK


COMMANDS: Final[dict[str, tuple[str, Callable[[Sequence[str]], int]]]] = {
    "serve": ("run the service", _serve),
    "devnet": ("run a TRON node for one machine", _devnet),
    "demo": ("tell the whole story once, end to end", _demo),
    "sign": ("sign what waits with a Ledger or Trezor on this computer", _sign),
    "permissions": ("print who may do what, as a table", _permissions),
}
OWN_ARGUMENTS: Final = frozenset({"devnet", "sign"})
"""Commands that read their arguments themselves."""

ANSWERS: Final = frozenset({"demo", "permissions"})
"""Commands of this file that answer something, so that they take `--json`."""


if __name__ == "__main__":
    main()

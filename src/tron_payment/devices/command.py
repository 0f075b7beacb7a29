"""``tron-payment sign``: run on the computer that has the device, not on the server."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tron_payment.bearer import LOOPBACK, NoToken, token_of
from tron_payment.core.errors import AppError, Refused
from tron_payment.core.terminal import printable
from tron_payment.devices.agent import Agent, Outcome, Request, Tokens, parse_token
from tron_payment.devices.ledger import LedgerWallet
from tron_payment.devices.ledger_transport import HidTransport, TcpTransport
from tron_payment.devices.plan import Clarity
from tron_payment.devices.service_client import ServiceClient
from tron_payment.devices.trezor import WEBUSB, TrezorWallet
from tron_payment.devices.wallet import PROMPT_S, HardwareWallet

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
URL: Final = "http://127.0.0.1:8090"
API: Final = "/api/v1"


def main(arguments: Sequence[str]) -> int:
    """Sign what waits; 0 when everything that was asked for is signed."""
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(options))
    except AppError as error:
        _failed(options, error.code, str(error.detail))
        return EXIT_USAGE if isinstance(error, Refused) else EXIT_FAILED
    except OSError as error:
        _failed(options, "file_unreadable", f"{options.token_file}: {error.strerror}")
        return EXIT_USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tron-payment sign",
        description="Sign what waits with a Ledger or Trezor. Run it on the computer that has the "
        "device, not on the server.",
    )
    device = parser.add_mutually_exclusive_group(required=True)
    device.add_argument("--ledger", action="store_true", help="a Ledger on USB")
    device.add_argument("--trezor", action="store_true", help="a Trezor on USB")
    parser.add_argument(
        "request_id",
        nargs="?",
        metavar="REQUEST_ID",
        help="only this signing request; all open ones by default",
    )
    parser.add_argument("--url", default=URL, help="of the service (%(default)s)")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="its first line is the token, which may read and sign requests; else the variable "
        "TOKEN is",
    )
    parser.add_argument("--path", help="of the key; what the request says by default")
    parser.add_argument("--show-address", action="store_true", help="show the address and stop")
    parser.add_argument("--yes", action="store_true", help="do not ask here, only on the device")
    parser.add_argument(
        "--token",
        action="append",
        default=[],
        metavar="CONTRACT=CODE:DECIMALS",
        help="a token that you know, so that its transfers are shown in words",
    )
    parser.add_argument(
        "--allow-blind", action="store_true", help="sign calls that the device cannot show"
    )
    parser.add_argument(
        "--allow-hash", action="store_true", help="sign what the device shows as a hash only"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object on standard output; words and questions go to standard error",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=PROMPT_S,
        metavar="SECONDS",
        help="that a person has at the device (%(default)s)",
    )
    parser.add_argument(
        "--emulator",
        metavar="HOST:PORT",
        help="an emulated device on this computer, by TCP (Ledger) or UDP (Trezor)",
    )
    return parser


async def _run(options: argparse.Namespace) -> int:
    device = device_of(options)
    try:
        if options.show_address:
            return await _show_address(device, options)
        tokens = Tokens(dict(parse_token(text) for text in options.token))
        async with ServiceClient(_api(options.url), _token(options)) as service:
            agent = Agent(
                service,
                device,
                tokens,
                show=_to_person if options.json else _to_output,
                agree=_always if options.yes else _ask,
                path=options.path,
                timeout_s=options.timeout,
            )
            outcomes = await agent.run(options.request_id)
    finally:
        await device.close()
    return _report(outcomes, as_json=options.json)


def device_of(options: argparse.Namespace) -> HardwareWallet:
    """The device that the options name.

    Raises:
        Refused: An emulator that is not on this computer.
    """
    allow = []
    if options.allow_blind:
        allow.append(Clarity.BLIND)
    if options.allow_hash:
        allow.append(Clarity.BY_HASH)
    if options.emulator is None:
        return LedgerWallet(HidTransport, allow) if options.ledger else TrezorWallet(WEBUSB, allow)
    host, _, port = options.emulator.rpartition(":")
    if host not in LOOPBACK or not port.isdigit():
        raise Refused(f"{options.emulator}: an emulator is on this computer: 127.0.0.1:PORT")
    if options.ledger:
        return LedgerWallet(lambda: TcpTransport(host, int(port)), allow)
    return TrezorWallet(f"udp:{host}:{port}", allow)


async def _show_address(device: HardwareWallet, options: argparse.Namespace) -> int:
    from tron_payment.devices.paths import DEFAULT_PATH

    path = options.path or DEFAULT_PATH
    address = await device.address(path)
    line = f"{path}: {address}; compare it with the device's screen"
    (_to_person if options.json else _to_output)(line)
    await device.address(path, display=True, timeout_s=options.timeout)
    if options.json:
        _answer(True, path=path, address=address)
    return EXIT_OK


def _api(url: str) -> str:
    """The API of a service, as other commands find it; an address with a path stays as it is."""
    return url if urlsplit(url).path.strip("/") else url.rstrip("/") + API


def _token(options: argparse.Namespace) -> str:
    """
    Raises:
        Refused: Nothing says who asks, or it is no token.
    """
    try:
        return token_of(options)
    except NoToken as missing:
        raise Refused(str(missing)) from None


def _ask(request: Request) -> bool:
    print("  sign this on the device? [y/N] ", end="", file=sys.stderr, flush=True)
    return input().strip().lower() in ("y", "yes")


def _always(request: Request) -> bool:
    return True


def _report(outcomes: Sequence[Outcome], *, as_json: bool) -> int:
    failed = [each for each in outcomes if each.error is not None]
    if as_json:
        _answer(not failed, requests=[_row(each) for each in outcomes])
        return EXIT_FAILED if failed else EXIT_OK
    if not outcomes:
        print("no signing request is open")
    for each in failed:
        assert each.error is not None
        _to_person(f"{each.request_id}: {each.error.code}: {each.error.detail}")
    return EXIT_FAILED if failed else EXIT_OK


def _row(outcome: Outcome) -> dict[str, Any]:
    error = outcome.error
    return {
        "signing_request_id": outcome.request_id,
        "txid": outcome.txid or None,
        "status": outcome.status or None,
        "error": None if error is None else {"code": error.code, "detail": str(error.detail)},
    }


def _answer(ok: bool, **data: Any) -> None:
    print(json.dumps({"ok": ok, **data}, indent=2), flush=True)


def _failed(options: argparse.Namespace, code: str, detail: str) -> None:
    if options.json:
        _answer(False, error={"code": code, "detail": detail})
    else:
        _to_person(detail)


def _to_person(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)


def _to_output(line: str) -> None:
    print(printable(line), flush=True)

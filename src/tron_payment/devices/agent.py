"""Signs the service's open requests with the device on this computer, and trusts nothing of them.

Of a request only its bytes count. Transaction id, words and payer are read from them here; where
the service says otherwise, the request is refused and its device is not asked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tron_payment import chain
from tron_payment.core.address import Address, parse_address
from tron_payment.core.errors import AppError, Refused
from tron_payment.core.money import USDT, Asset
from tron_payment.core.terminal import printable
from tron_payment.devices.errors import AddressMismatch
from tron_payment.devices.paths import DEFAULT_PATH
from tron_payment.devices.plan import Clarity
from tron_payment.devices.service_client import ServiceClient, checked_id, words
from tron_payment.devices.wallet import HardwareWallet
from tron_payment.wallets import Currencies, Manifest, manifest_of

MAIN_NET_USDT: Final = Address("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")
RAW_BYTES_MAX: Final = 500_000


class RequestContradicts(Refused, code="request_contradicts_its_bytes"):
    """The service says something else than the bytes; do not sign, and find out why."""


class Tokens:
    """The tokens that the person at the device has named; the main net's USDT is known."""

    def __init__(self, named: Mapping[Address, Asset] | None = None) -> None:
        assets = {MAIN_NET_USDT: USDT, **(named or {})}
        self._assets = {asset.code: asset for asset in assets.values()}
        self.by_contract: Mapping[Address, str] = {
            contract: asset.code for contract, asset in assets.items()
        }

    def asset(self, code: str) -> Asset:
        return self._assets[code]


def parse_token(text: str) -> tuple[Address, Asset]:
    """Read ``CONTRACT=CODE:DECIMALS``.

    Raises:
        InvalidAddress
        Refused: Another form.
    """
    contract, _, rest = text.partition("=")
    code, _, decimals = rest.partition(":")
    if not code.isalnum() or not decimals.isdigit() or int(decimals) > 30:
        raise Refused(f"{text!r} is not CONTRACT=CODE:DECIMALS")
    return parse_address(contract), Asset(code, int(decimals))


@dataclass(frozen=True, slots=True)
class Request:
    """A signing request as it is after our own reading."""

    id: str
    raw: bytes
    path: str
    manifest: Manifest
    signers: frozenset[Address]
    """Keys that may still sign, as the service says; the device's own must be one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request."""

    request_id: str
    txid: str = ""
    error: AppError | None = None
    status: str = ""


class Agent:
    """Takes requests to a device.

    Args:
        show: Prints a line for the person; is given nothing that a terminal would obey.
        agree: Asks the person before the device is asked; True to go on.
        path: Overrides the path that a request names.
    """

    def __init__(
        self,
        service: ServiceClient,
        device: HardwareWallet,
        tokens: Tokens,
        *,
        show: Callable[[str], None],
        agree: Callable[[Request], bool] = lambda _: True,
        path: str | None = None,
        timeout_s: float,
    ) -> None:
        self._service = service
        self._device = device
        self._currencies = Currencies(tokens)
        self._show = show
        self._agree = agree
        self._path = path
        self._timeout_s = timeout_s

    async def run(self, request_id: str | None = None) -> list[Outcome]:
        """One request, or all that are open."""
        if request_id is not None:
            found: Sequence[Mapping[str, Any]] = [await self._service.request(request_id)]
        else:
            found = await self._service.open_requests()
        outcomes = []
        for view in found:
            outcome = await self._one(view)
            outcomes.append(outcome)
            if outcome.error is not None:
                self._say(f"  not signed. {outcome.error.detail}")
            if self._device.pending:
                break
        return outcomes

    async def _one(self, view: Mapping[str, Any]) -> Outcome:
        request_id = words(view.get("signing_request_id", "?"))
        try:
            request = self._read(view)
            for line in lines_of(request):
                self._say(line)
            plan = self._device.check(request.raw)
            if plan.clarity is not Clarity.CLEAR:
                self._say(f"  on the device: {plan.clarity}: {plan.why}")
            if not self._agree(request):
                return Outcome(request.id, request.manifest.txid, status="skipped")
            address = await self._device.address(request.path)
            if address not in request.signers:
                raise AddressMismatch(
                    f"the device has {address} at {request.path}; "
                    f"{' or '.join(sorted(request.signers)) or 'nobody'} has to sign"
                )
            self._say(f"  look at the {self._device.kind} and compare, then approve there")
            signature = await self._device.sign(
                request.path, request.raw, expect=address, timeout_s=self._timeout_s
            )
            after = await self._service.give(request.id, signature)
            status = words(after.get("status"))
            self._say(f"  signed by {address}; the request is {status}")
            return Outcome(request.id, request.manifest.txid, status=status)
        except AppError as error:
            return Outcome(request_id, error=error)

    def _say(self, line: str) -> None:
        """The only way to the person: what the service or a memo says moves no cursor."""
        self._show(printable(line))

    def _read(self, view: Mapping[str, Any]) -> Request:
        """Recompute everything from the bytes.

        Raises:
            RequestContradicts: The service's words differ, or it sent no transaction.
            Refused: Its id is none.
        """
        try:
            raw = bytes.fromhex(view["raw_data_hex"])
            if len(raw) > RAW_BYTES_MAX:
                raise ValueError("too long")
            manifest = manifest_of(raw, self._currencies)
            signers = frozenset(parse_address(key["address"]) for key in view["missing"])
            told = {"txid": view["txid"], "payer": view["address"], "status": view["status"]}
        except (KeyError, TypeError, ValueError) as error:
            raise RequestContradicts(f"this is not a signing request: {words(error)}") from None
        found = {"txid": chain.txid(raw), "payer": manifest.from_address, "status": "open"}
        for name, value in found.items():
            if told[name] != value:
                raise RequestContradicts(
                    f"the service says {name} {words(told[name])!r}, but the bytes say {value}"
                )
        request_id = checked_id(str(view.get("signing_request_id")))
        path = str(self._path or words(view.get("path") or DEFAULT_PATH))
        return Request(request_id, raw, path, manifest, signers)


def lines_of(request: Request) -> list[str]:
    """The request in plain words, from its bytes. A memo in it is a stranger's text."""
    said = request.manifest
    rows = {
        "what": said.what,
        "from": said.from_address,
        "to": said.to_address,
        "contract": said.contract,
        "data": said.data,
        "memo": said.memo,
        "fee limit": f"{said.fee_limit_trx} TRX",
        "permission": str(said.permission_id) if said.permission_id else None,
        "valid until": said.expires_at,
        "transaction": said.txid,
    }
    lines = [f"{request.id}"]
    lines += [f"  {name:<11} {text}" for name, text in rows.items() if text]
    if said.blind:
        lines.append("  WARNING: nobody can say from these bytes what the contract will do")
    return lines

"""Direct mode: a device at the server itself signs what waits for it; a person approves there.

An option for a service on a computer with USB. Only what the device shows in clear is signed this
way; the rest, and multisig wallets, are for `tron-payment sign`. The signature takes the way of
every other one: it has to recover to an allowed key for exactly the request's bytes.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog

from tron_payment.core.errors import AppError
from tron_payment.devices.errors import (
    AddressMismatch,
    DriverMissing,
    NotAllowedByPolicy,
    UnsupportedTransaction,
    UserRefused,
)
from tron_payment.devices.ledger import LedgerWallet
from tron_payment.devices.ledger_transport import HidTransport, TcpTransport
from tron_payment.devices.paths import DEFAULT_PATH
from tron_payment.devices.trezor import WEBUSB, TrezorWallet
from tron_payment.devices.wallet import PROMPT_S, HardwareWallet
from tron_payment.loops import Loop
from tron_payment.settings import Settings
from tron_payment.wallets import SigningRequest, SigningRequests, WalletKind

IDLE_S: Final = 3.0
AGAIN_S: Final = 30.0
"""After a trouble such as a locked device the same request is tried again."""

REFUSED_S: Final = 3_600.0
"""What a person or the device has refused is not shown again for so long."""

REMEMBERED_MAX: Final = 10_000
_FOR_LONG: Final = (UserRefused, NotAllowedByPolicy, UnsupportedTransaction, AddressMismatch)

log = structlog.get_logger()


class DirectSigner:
    """Takes the open requests of one kind of device to it, the oldest first, one at a time.

    Args:
        monotonic: Seconds, for when a request is tried again.
        timeout_s: How long a person may take.
    """

    def __init__(
        self,
        signing: SigningRequests,
        kind: WalletKind,
        device: HardwareWallet,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        timeout_s: float = PROMPT_S,
    ) -> None:
        self._signing = signing
        self._kind = kind
        self._device = device
        self._monotonic = monotonic
        self._timeout_s = timeout_s
        self._not_before: OrderedDict[str, float] = OrderedDict()

    async def step(self) -> bool:
        """For the loop: one request to the device; True when one was signed."""
        if self._device.pending:
            return False
        for request in await self._signing.waiting(self._kind):
            if self._not_before.get(request.id, 0.0) <= self._monotonic():
                return await self._one(request)
        return False

    async def _one(self, request: SigningRequest) -> bool:
        path = request.path or DEFAULT_PATH
        try:
            address = await self._device.address(path)
            if address not in {key.address for key in request.missing}:
                raise AddressMismatch(f"the device has {address} at {path}: not a key of this one")
            signature = await self._device.sign(
                path, request.raw, expect=address, timeout_s=self._timeout_s
            )
            await self._signing.accept_from_key(request.id, signature.hex())
        except AppError as refusal:
            self._put_off(request.id, REFUSED_S if isinstance(refusal, _FOR_LONG) else AGAIN_S)
            if isinstance(refusal, DriverMissing):
                log.error("device.driver_missing", device=self._kind, detail=refusal.detail)
            else:
                log.warning(
                    "device.refused",
                    device=self._kind,
                    request_id=request.id,
                    code=refusal.code,
                    detail=refusal.detail,
                )
            return False
        log.info("device.signed", device=self._kind, request_id=request.id, txid=request.txid)
        return True

    def _put_off(self, request_id: str, for_s: float) -> None:
        self._not_before[request_id] = self._monotonic() + for_s
        self._not_before.move_to_end(request_id)
        while len(self._not_before) > REMEMBERED_MAX:
            self._not_before.popitem(last=False)


def direct_loops(settings: Settings, signing: SigningRequests) -> tuple[Loop, ...]:
    """One loop for each device that the settings enable; none without HARDWARE_WALLET_ENABLED."""
    devices: dict[WalletKind, HardwareWallet] = {}
    if settings.hardware_wallet_enabled and settings.ledger_enabled:
        devices[WalletKind.LEDGER] = LedgerWallet(_ledger_transport(settings.ledger_emulator))
    if settings.hardware_wallet_enabled and settings.trezor_enabled:
        where = settings.trezor_emulator
        devices[WalletKind.TREZOR] = TrezorWallet(f"udp:{where}" if where else WEBUSB)
    return tuple(
        Loop(f"devices.{kind}", DirectSigner(signing, kind, device).step, IDLE_S, "wallet-manager")
        for kind, device in devices.items()
    )


def _ledger_transport(emulator: str) -> Callable[[], HidTransport | TcpTransport]:
    if not emulator:
        return HidTransport
    host, _, port = emulator.rpartition(":")
    return lambda: TcpTransport(host, int(port))

"""A Trezor with firmware that knows TRON, through trezorlib (imported when it is used).

trezorlib drops every field that it has no model for, and the device then signs other bytes. So
whatever would be dropped is refused before the prompt, by us and by encoding again what trezorlib
has understood.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Final

import structlog

from tron_payment import chain
from tron_payment.core.address import Address
from tron_payment.devices.errors import (
    DeviceBusy,
    DeviceDisconnected,
    DeviceError,
    DeviceFault,
    DeviceLocked,
    DeviceNotFound,
    DriverMissing,
    FirmwareTooOld,
    PathRefused,
    UnsupportedTransaction,
    UserRefused,
)
from tron_payment.devices.paths import LEVELS_OF_AN_ADDRESS, Path
from tron_payment.devices.plan import Clarity, SignPlan
from tron_payment.devices.trezor_codec import encoded_again
from tron_payment.devices.wallet import DeviceInfo, HardwareWallet, read

APP_NAME: Final = "tron-payment"
STANDARD_WALLET: Final = ""
WEBUSB: Final = "webusb"

VERSION_MIN: Final = (2, 11, 0)
VERSION_VOTE: Final = (2, 11, 1)
VERSION_REWARD: Final = (2, 12, 2)
MODELS: Final = frozenset({"T2T1", "T2B1", "T3B1", "T3T1", "T3W1"})

FEE_LIMIT_MAX_SUN: Final = 15_000_000_000
MEMO_BYTES_MAX: Final = 256
VOTES_MAX: Final = 9
TOKEN_CALLS: Final = (bytes.fromhex("a9059cbb"), bytes.fromhex("095ea7b3"))
TOKEN_CALL_BYTES: Final = 68
SHOWN_TOKENS: Final = frozenset(
    {
        Address("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"),
        Address("TG3XXyExBkPp9nzdajDZsozEu4BkaSJozs"),
    }
)
"""USDT of the main net and of Shasta. The firmware knows 16 more; we take those for unknown."""

log = structlog.get_logger()


class TrezorWallet(HardwareWallet):
    """One Trezor.

    Args:
        where: `WEBUSB`, or ``udp:127.0.0.1:21324`` for an emulator on this computer.
        on_prompt: Told when the device waits for its person.
    """

    kind = "trezor"

    def __init__(
        self,
        where: str = WEBUSB,
        allow: Collection[Clarity] = (),
        on_prompt: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(allow)
        self._where = where
        self._on_prompt = on_prompt
        self._client: Any = None
        self._session: Any = None
        self._cancel = self._cancel_prompt

    def check(self, raw: bytes) -> SignPlan:
        said = read(raw)
        return said if isinstance(said, SignPlan) else _plan(said)

    def _info(self) -> DeviceInfo:
        with _Translated(self):
            features = self._open().features
            version = ".".join(map(str, self._client.version))
            return DeviceInfo(
                self.kind,
                f"Trezor {features.internal_model or features.model}",
                version,
                locked=features.unlocked is False,
            )

    def _address(self, path: Path, *, display: bool) -> str:
        if len(path) != LEVELS_OF_AN_ADDRESS:
            raise PathRefused("a Trezor gives keys at five-level paths only: m/44'/195'/0'/0/0")
        with _Translated(self):
            from trezorlib import tron

            session = self._wallet_session()
            text: str = tron.get_address(session, list(path), show_display=display)
            return text

    def _sign(self, path: Path, raw: bytes, plan: SignPlan) -> bytes:
        with _Translated(self):
            from trezorlib import tron
            from trezorlib.tools import Address as Levels

            session = self._wallet_session()
            self._require_version(raw)
            tx, contract = tron.from_raw_data(raw)
            if encoded_again(tx, contract) != raw:
                raise UnsupportedTransaction(
                    "the device would sign other bytes: it drops a part of this transaction"
                )
            return bytes(tron.sign_tx(session, tx, contract, Levels(list(path))).signature)

    def _require_version(self, raw: bytes) -> None:
        wanted = VERSION_MIN
        match chain.decode(raw).contract:
            case chain.Vote():
                wanted = VERSION_VOTE
            case chain.WithdrawReward():
                wanted = VERSION_REWARD
        if self._client.version < wanted:
            raise FirmwareTooOld(
                f"the firmware is {_dotted(self._client.version)}: "
                f"this needs {_dotted(wanted)}; update it in Trezor Suite"
            )

    def _open(self) -> Any:
        if self._client is not None:
            return self._client
        from trezorlib.client import AppManifest, get_client

        manifest = AppManifest(app_name=APP_NAME, button_callback=self._prompted)
        client = get_client(manifest, self._transport())
        client.__enter__()
        self._client = client
        return client

    def _transport(self) -> Any:
        """Never all of trezorlib's transports: looking for Bluetooth takes long and is noisy."""
        from trezorlib.transport.udp import UdpTransport
        from trezorlib.transport.webusb import WebUsbTransport

        if self._where != WEBUSB:
            return UdpTransport.find_by_path(self._where)
        found = list(WebUsbTransport.enumerate())
        if not found:
            raise DeviceNotFound
        return found[0]

    def _wallet_session(self) -> Any:
        """The standard wallet of a device that can do TRON; asks the PIN on the device."""
        from trezorlib import messages

        client = self._open()
        features = client.features
        if features.internal_model is not None and features.internal_model not in MODELS:
            raise UnsupportedTransaction("this model of Trezor cannot do TRON")
        if client.version < VERSION_MIN:
            raise FirmwareTooOld(
                f"the firmware is {_dotted(client.version)}: update it to "
                f"{_dotted(VERSION_MIN)} or later in Trezor Suite"
            )
        if messages.Capability.Tron not in features.capabilities:
            raise UnsupportedTransaction("this Trezor cannot do TRON (Bitcoin-only firmware?)")
        if self._session is None or self._session.is_invalid:
            self._session = client.get_session(STANDARD_WALLET)
        return self._session

    def _prompted(self, _: Any) -> None:
        if self._on_prompt is not None:
            self._on_prompt()

    def _cancel_prompt(self) -> None:
        """From another thread: the device takes its question off the screen."""
        if self._session is None:
            return
        from trezorlib import messages

        with suppress(Exception):  # it answers by ending the question, or not at all
            self._session.write(messages.Cancel())

    def _close(self) -> None:
        client, self._client, self._session = self._client, None, None
        if client is not None:
            with suppress(Exception):  # a device that is gone cannot be told good-bye
                client.__exit__(None, None, None)


class _Translated:
    """trezorlib's exceptions as ours; the connection is dropped when it is the trouble."""

    def __init__(self, device: TrezorWallet) -> None:
        self._device = device

    def __enter__(self) -> None:
        try:
            import trezorlib  # noqa: F401
        except ImportError:
            raise DriverMissing from None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None or isinstance(error, DeviceError) or not isinstance(error, Exception):
            return
        ours = self._ours(error)
        if ours is not None:
            log.info("device.failed", device="trezor", code=ours.code)
            raise ours from error

    def _ours(self, error: Exception) -> DeviceError | None:
        from trezorlib import exceptions, messages
        from trezorlib.transport import DeviceIsBusy, TransportException

        opened = self._device._client is not None
        match error:
            case exceptions.Cancelled():
                return UserRefused()
            case exceptions.TrezorFailure():
                return _failure(error, messages.FailureType)
            case exceptions.DeviceLockedError() | exceptions.PinException():
                return DeviceLocked()
            case exceptions.OutdatedFirmwareError():
                return FirmwareTooOld()
            case exceptions.MissingCapability() | exceptions.PassphraseError():
                return UnsupportedTransaction(str(error))
        self._device._close()
        match error:
            case DeviceIsBusy():
                return DeviceBusy()
            case TransportException() | OSError():
                return DeviceDisconnected() if opened else DeviceNotFound()
            case exceptions.InvalidSessionError():
                return DeviceLocked("the device has another wallet or session open: try again")
            case exceptions.TrezorException():
                return DeviceFault(str(error))
        return None


def _failure(error: Any, codes: Any) -> DeviceError:
    """What the device itself refused."""
    text = error.message or "no reason given"
    if error.code == codes.NotInitialized:
        return DeviceFault("the device has no wallet yet: set it up in Trezor Suite")
    if "key path" in text:
        return PathRefused()
    if error.code == codes.DataError:
        return UnsupportedTransaction(f"the device refuses: {text}")
    if error.code == codes.UnexpectedMessage:
        return FirmwareTooOld(f"the firmware does not know this: {text}; update it")
    if error.code == codes.Busy:
        return DeviceBusy()
    return DeviceFault(f"the device answers: {text}")


def _plan(said: chain.RawData) -> SignPlan:
    if said.permission_id:
        return _unsupported("it cannot sign for a permission other than the owner's")
    if said.fee_limit_sun > FEE_LIMIT_MAX_SUN:
        return _unsupported("its fee limit is above 15,000 TRX")
    if len(said.memo) > MEMO_BYTES_MAX:
        return _unsupported(f"its memo is longer than {MEMO_BYTES_MAX} bytes")
    contract = said.contract
    match contract:
        case chain.TriggerContract():
            if contract.call_value_sun:
                return _unsupported("it cannot send TRX along with a call")
            token_call = contract.data[:4] in TOKEN_CALLS and len(contract.data) == TOKEN_CALL_BYTES
            if contract.contract in SHOWN_TOKENS and token_call:
                return SignPlan(Clarity.CLEAR)
            return SignPlan(Clarity.BLIND, "it shows this call as data only")
        case chain.Vote() if len(contract.votes) > VOTES_MAX:
            return _unsupported(f"more than {VOTES_MAX} votes")
        case (
            chain.Transfer()
            | chain.Vote()
            | chain.WithdrawReward()
            | chain.FreezeV2()
            | chain.UnfreezeV2()
            | chain.WithdrawExpireUnfreeze()
        ):
            return SignPlan(Clarity.CLEAR)
        case _:
            return _unsupported("a Trezor cannot sign this type of contract")


def _unsupported(why: str) -> SignPlan:
    return SignPlan(Clarity.UNSUPPORTED, why)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))

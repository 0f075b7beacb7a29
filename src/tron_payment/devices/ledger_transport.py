"""How APDUs reach a Ledger: by HID through ledgerblue, or by TCP (an emulator on this computer).

ledgerblue's own TCP ignores time limits and takes a split reply for a status word, so ours reads
exactly. Its HID part reads its environment at import and pulls in drivers of other transports, so
it is imported when it is used, without that environment.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from typing import Any, Final, Protocol

from tron_payment.devices.errors import (
    DeviceBusy,
    DeviceDisconnected,
    DeviceFault,
    DeviceNotFound,
    DeviceTimeout,
    DriverMissing,
)

ANSWER_BYTES_MAX: Final = 1_024
CONNECT_S: Final = 5.0
NO_STATUS: Final = 0x6F00
"""ledgerblue's word for troubles of its own."""

_DETOURS: Final = (
    "APDUGEN",
    "U2FKEY",
    "MCUPROXY",
    "LEDGER_PROXY_ADDRESS",
    "LEDGER_PROXY_PORT",
    "LEDGER_NFC_PROXY",
    "LEDGER_BLE_PROXY",
    "LEDGER_PROXY_USB_PORT",
    "PCSC",
)
"""Variables that would make ledgerblue talk to something else than USB."""


class Transport(Protocol):
    """Blocking; used by one thread."""

    def exchange(self, apdu: bytes, limit_s: float) -> tuple[bytes, int]:
        """Answer and status word.

        Raises:
            DeviceTimeout: No answer within the limit; the connection is closed.
            DeviceDisconnected, DeviceFault
        """
        ...

    def close(self) -> None: ...


class TcpTransport:
    """``length(4) apdu`` there, ``length(4) answer status(2)`` back; length counts the answer."""

    def __init__(self, host: str, port: int) -> None:
        """
        Raises:
            DeviceNotFound: Nobody listens.
        """
        try:
            self._socket = socket.create_connection((host, port), CONNECT_S)
        except OSError:
            raise DeviceNotFound(f"nobody answers at {host}:{port}: start the emulator") from None

    def exchange(self, apdu: bytes, limit_s: float) -> tuple[bytes, int]:
        until = time.monotonic() + limit_s
        try:
            self._socket.settimeout(limit_s)
            self._socket.sendall(len(apdu).to_bytes(4) + apdu)
            size = int.from_bytes(self._read(4, until))
            if size > ANSWER_BYTES_MAX:
                raise DeviceFault(f"an answer of {size} bytes")
            answer = self._read(size + 2, until)
        except TimeoutError:
            self.close()
            raise DeviceTimeout from None
        except OSError:
            self.close()
            raise DeviceDisconnected from None
        return answer[:-2], int.from_bytes(answer[-2:])

    def _read(self, size: int, until: float) -> bytes:
        """Exactly `size` bytes, however they come."""
        parts = b""
        while len(parts) < size:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            part = self._socket.recv(size - len(parts))
            if not part:
                raise ConnectionResetError
            parts += part
        return parts

    def close(self) -> None:
        self._socket.close()


class HidTransport:
    """The first Ledger on USB."""

    def __init__(self) -> None:
        """
        Raises:
            DriverMissing, DeviceNotFound
            DeviceBusy: Another program holds it.
        """
        comm = _comm()
        try:
            self._dongle: Any = comm.getDongle(debug=False)
        except comm.CommException:
            raise DeviceNotFound from None
        except OSError:
            raise DeviceBusy(
                "the device does not open: close Ledger Live and other programs that use it, "
                "and check that you may use USB devices (udev rules)"
            ) from None
        self._errors = comm.CommException

    def exchange(self, apdu: bytes, limit_s: float) -> tuple[bytes, int]:
        try:
            return bytes(self._dongle.exchange(bytearray(apdu), timeout=limit_s)), 0x9000
        except self._errors as error:
            if error.sw == NO_STATUS and "timeout" in str(error).lower():
                self.close()
                raise DeviceTimeout from None
            if error.sw == NO_STATUS:
                raise DeviceFault(str(error)) from None
            return bytes(error.data or b""), error.sw
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a failed HID write raises just this
            self.close()
            raise DeviceDisconnected from error

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._dongle.close()


def _comm() -> Any:
    """ledgerblue.comm, imported as if none of its detours were asked for."""
    with _without(_DETOURS):
        try:
            from ledgerblue import comm
        except ImportError:
            raise DriverMissing from None
    return comm


@contextlib.contextmanager
def _without(names: tuple[str, ...]) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)

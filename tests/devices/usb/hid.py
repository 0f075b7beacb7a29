"""Stands where hidapi stands: the USB side of the emulated Ledger at EMULATED_LEDGER.

First on the path of a process, so that its ledgerblue, unchanged, finds a device.
"""

import os
import socket

from emulated_hid import HidOver
from emulated_ledger import Status


class _Far:
    """The emulated Ledger in its own process, by TCP."""

    def __init__(self) -> None:
        host, _, port = os.environ["EMULATED_LEDGER"].rpartition(":")
        self._line = socket.create_connection((host, int(port)), 10)
        self._stream = self._line.makefile("rb")

    def _answer(self, apdu: bytes) -> bytes:
        self._line.sendall(len(apdu).to_bytes(4) + apdu)
        data = self._stream.read(int.from_bytes(self._stream.read(4)))
        word = int.from_bytes(self._stream.read(2))
        if word != 0x9000:
            raise Status(word)
        return data


def enumerate(*_: object) -> list[dict[str, object]]:
    return [HidOver.described]


def device() -> HidOver:
    return HidOver(_Far())  # type: ignore[arg-type]

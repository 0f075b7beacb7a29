"""The USB side of an emulated Ledger, in packets of 64 bytes as hidapi gives them."""

from collections import deque

from emulated_ledger import EmulatedLedger, Status

CHANNEL = bytes.fromhex("0101")
COMMAND = 0x05


class HidOver:
    """Stands for `hid.device()`."""

    described = {"vendor_id": 0x2C97, "interface_number": 0, "usage_page": 0xFFA0, "path": b"usb"}

    def __init__(self, ledger: EmulatedLedger) -> None:
        self._ledger = ledger
        self._said = b""
        self._packets: deque[bytes] = deque()
        self.broken = False

    def open_path(self, path: bytes) -> None:
        assert path == b"usb"

    def set_nonblocking(self, _: bool) -> None: ...

    def close(self) -> None: ...

    def write(self, packet: bytes) -> int:
        if self.broken:
            return -1
        body = bytes(packet)[1:]
        assert body[:2] == CHANNEL and body[2] == COMMAND
        number = int.from_bytes(body[3:5])
        self._said = body[5:] if number == 0 else self._said + body[5:]
        size = int.from_bytes(self._said[:2])
        if len(self._said) - 2 >= size:
            self._hear(self._said[2 : 2 + size])
        return len(packet)

    def _hear(self, apdu: bytes) -> None:
        try:
            answer = self._ledger._answer(apdu) + b"\x90\x00"
        except Status as status:
            answer = status.word.to_bytes(2)
        rest = len(answer).to_bytes(2) + answer
        number = 0
        while rest:
            part, rest = rest[:59], rest[59:]
            head = CHANNEL + bytes((COMMAND,)) + number.to_bytes(2)
            self._packets.append((head + part).ljust(64, b"\0"))
            number += 1

    def read(self, _: int) -> list[int]:
        return list(self._packets.popleft()) if self._packets else []

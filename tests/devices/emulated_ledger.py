"""A Ledger with the TRON app, as its recordings behave; APDUs over TCP.

What a person does is `person`: "approve", "refuse", or a threading.Event to wait for and then
approve. `pieces` splits every answer; `cut_after` hangs up after so many questions.
"""

import socket
import threading
import time
from dataclasses import dataclass, field

import base58
from keys_of_words import Words, address_of_key, sha256

TRON = (0x8000002C, 0x800000C3)
CLEAR = {1, 2, 4, 11, 12, 13, 41, 42, 43, 44, 54, 55, 56, 57, 58}
AS_HASH = {10, 16, 17, 18, 46}
KNOWN = {
    base58.b58decode_check("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"),
    base58.b58decode_check("TEkxiTehnzSmSe2XqrBj4w32RUN966rdz8"),
}
TOKEN_CALLS = (bytes.fromhex("a9059cbb"), bytes.fromhex("095ea7b3"))


class Status(Exception):
    def __init__(self, word: int) -> None:
        self.word = word


@dataclass
class EmulatedLedger:
    words: Words
    settings: frozenset[str] = frozenset()
    app: str = "Tron"
    version: str = "0.7.1"
    locked: bool = False
    person: str | threading.Event = "approve"
    pieces: int = 0
    cut_after: int = 1_000_000
    wrong_signature: bool = False
    heard: list[bytes] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._parts = b""
        self._path: tuple[int, ...] = ()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    # ---- the wire ----------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(line,), daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        with line, line.makefile("rb") as stream:
            while len(head := stream.read(4)) == 4:
                apdu = stream.read(int.from_bytes(head))
                self.heard.append(apdu)
                if len(self.heard) > self.cut_after:
                    return
                try:
                    data, word = self._answer(apdu), 0x9000
                except Status as status:
                    data, word = b"", status.word
                self._send(line, len(data).to_bytes(4) + data + word.to_bytes(2))

    def _send(self, line: socket.socket, answer: bytes) -> None:
        size = self.pieces or len(answer)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for start in range(0, len(answer), size):
                line.sendall(answer[start : start + size])
                if self.pieces:
                    time.sleep(0.005)
        except OSError:
            return

    # ---- the app -----------------------------------------------------------------------------

    def _answer(self, apdu: bytes) -> bytes:
        if self.locked:
            raise Status(0x5515)
        if len(apdu) < 5 or apdu[4] != len(apdu) - 5:
            raise Status(0x6A87)
        kind, instruction, p1, p2 = apdu[:4]
        data = apdu[5:]
        if (kind, instruction) == (0xB0, 0x01):
            texts = [self.app.encode(), self.version.encode()]
            return b"\x01" + b"".join(bytes((len(t),)) + t for t in texts) + b"\x01\x00"
        if kind != 0xE0 or self.app != "Tron":
            raise Status(0x6E00)
        match instruction:
            case 0x02:
                return self._public_key(p1, p2, data)
            case 0x04:
                return self._sign(p1, p2, data)
            case 0x05:
                return self._sign_hash(p1, p2, data)
            case 0x06:
                names = ("data", "custom_contracts", "truncate", "sign_by_hash")
                flags = sum(1 << n for n, name in enumerate(names) if name in self.settings)
                return bytes((flags, *map(int, self.version.split("."))))
        raise Status(0x6D00)

    def _take_path(self, data: bytes) -> tuple[tuple[int, ...], bytes]:
        if not data or not 1 <= data[0] <= 10 or len(data) < 1 + 4 * data[0]:
            raise Status(0x6A8A)
        end = 1 + 4 * data[0]
        path = tuple(int.from_bytes(data[n : n + 4]) for n in range(1, end, 4))
        if path[:2] != TRON:
            raise Status(0x6982)
        return path, data[end:]

    def _ask_person(self, what: str) -> None:
        self.shown.append(what)
        if isinstance(self.person, threading.Event):
            self.person.wait(30)
        elif self.person == "refuse":
            raise Status(0x6985)

    def _public_key(self, p1: int, p2: int, data: bytes) -> bytes:
        if p1 > 1 or p2 > 1:
            raise Status(0x6B00)
        path, _ = self._take_path(data)
        key = self.words.key(path)
        text = address_of_key(key).encode()
        if p1:
            self._ask_person(f"address {text.decode()}")
        code = self.words.node(path).chain_code.reveal() if p2 else b""
        return b"\x41" + key.public_key.format(False) + bytes((len(text),)) + text + code

    def _signature(self, path: tuple[int, ...], digest: bytes) -> bytes:
        return self.words.sign(path, sha256(digest) if self.wrong_signature else digest)

    def _sign_hash(self, p1: int, p2: int, data: bytes) -> bytes:
        if p1 or p2:
            raise Status(0x6B00)
        if "sign_by_hash" not in self.settings:
            raise Status(0x6A8C)
        path, digest = self._take_path(data)
        if len(digest) != 32:
            raise Status(0x6700)
        self._ask_person(f"hash {digest.hex()}")
        return self._signature(path, digest)

    def _sign(self, p1: int, p2: int, data: bytes) -> bytes:
        if p2 or p1 not in (0x00, 0x10, 0x80, 0x90):
            raise Status(0x6B00)
        if p1 in (0x00, 0x10):
            self._path, data = self._take_path(data)
            self._parts = b""
        fields_of(data)  # every chunk is whole fields
        self._parts += data
        found = fields_of(self._parts)
        if 11 in dict(found):
            self._judge(found)
        if any(number == 10 for number, _ in found) and "data" not in self.settings:
            raise Status(0x6A8B)
        if p1 in (0x00, 0x80):
            return b""
        if 11 not in dict(found):
            raise Status(0x6A80)
        self._ask_person("transaction")
        return self._signature(self._path, sha256(self._parts))

    def _judge(self, found: list[tuple[int, int | bytes]]) -> None:
        contract = dict(fields_of(_bytes(dict(found)[11])))
        kind = contract.get(1, 0)
        value = fields_of(_bytes(dict(fields_of(_bytes(contract[2]))).get(2, b"")))
        if kind == 31:
            data = _bytes(dict(value).get(4, b""))
            token = data[:4] in TOKEN_CALLS
            if len(data) < 4 or (len(data) - 4) % 32 or (token and len(data) != 68):
                raise Status(0x6A80)
            known = token and dict(value).get(2) in KNOWN
            if not known and "custom_contracts" not in self.settings:
                raise Status(0x6A8D)
        elif kind in AS_HASH:
            if "sign_by_hash" not in self.settings:
                raise Status(0x6A8C)
        elif kind not in CLEAR or (kind == 4 and sum(n == 2 for n, _ in value) > 5):
            raise Status(0x6A80)


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise Status(0x6A80)
    return value


def fields_of(raw: bytes) -> list[tuple[int, int | bytes]]:
    """A strict reader of protocol buffers, apart from the service's own."""
    found: list[tuple[int, int | bytes]] = []
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            if at >= len(raw):
                raise Status(0x6A80)
            byte = raw[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(raw):
        tag = number()
        value: int | bytes = number()
        if tag & 7 == 2:
            end = at + int(value)
            if end > len(raw):
                raise Status(0x6A80)
            value, at = raw[at:end], end
        elif tag & 7:
            raise Status(0x6A80)
        found.append((tag >> 3, value))
    return found

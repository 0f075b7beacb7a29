"""A Trezor with TRON, as its firmware behaves; protocol v1 in packets of 64 bytes over UDP.

`person`: "approve", "refuse", or "away": nobody comes, until the host cancels.
"""

import io
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from keys_of_words import Words, address_of_key, sha256
from trezorlib import mapping, messages, protobuf

TRON = [0x8000002C, 0x800000C3]
NAMES: dict[type, tuple[int, str]] = {
    messages.TronTransferContract: (1, "TransferContract"),
    messages.TronVoteWitnessContract: (4, "VoteWitnessContract"),
    messages.TronWithdrawBalance: (13, "WithdrawBalanceContract"),
    messages.TronTriggerSmartContract: (31, "TriggerSmartContract"),
    messages.TronFreezeBalanceV2Contract: (54, "FreezeBalanceV2Contract"),
    messages.TronUnfreezeBalanceV2Contract: (55, "UnfreezeBalanceV2Contract"),
    messages.TronWithdrawUnfreeze: (56, "WithdrawExpireUnfreezeContract"),
}


class Refusal(Exception):
    def __init__(self, code: Any, text: str) -> None:
        self.code, self.text = code, text


@dataclass
class EmulatedTrezor:
    words: Words
    version: tuple[int, int, int] = (2, 12, 2)
    model: str = "T3T1"
    tron: bool = True
    initialized: bool = True
    locked: bool = False
    person: str = "approve"
    slow_s: float = 0.0
    wrong_signature: bool = False
    shown: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._sessions = 0
        self._host: Any = None
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def where(self) -> str:
        return f"udp:127.0.0.1:{self.port}"

    def close(self) -> None:
        self._socket.close()

    # ---- the wire ----------------------------------------------------------------------------

    def _hear(self) -> Any:
        body, size, kind = b"", None, 0
        while size is None or len(body) < size:
            packet, self._host = self._socket.recvfrom(64)
            if packet == b"PINGPING":
                self._socket.sendto(b"PONGPONG", self._host)
            elif packet.startswith(b"?##"):
                kind, size = int.from_bytes(packet[3:5]), int.from_bytes(packet[5:9])
                body = packet[9:]
            elif packet.startswith(b"?") and size is not None:
                body += packet[1:]
        return mapping.DEFAULT_MAPPING.decode(kind, body[:size])

    def _say(self, message: Any) -> None:
        kind, body = mapping.DEFAULT_MAPPING.encode(message)
        rest = b"##" + kind.to_bytes(2) + len(body).to_bytes(4) + body
        for start in range(0, len(rest), 63):
            packet = (b"?" + rest[start : start + 63]).ljust(64, b"\0")
            time.sleep(self.slow_s)
            self._socket.sendto(packet, self._host)

    def _serve(self) -> None:
        while True:
            try:
                answer = self._answer(self._hear())
            except Refusal as refusal:
                answer = messages.Failure(code=refusal.code, message=refusal.text)
            except OSError:
                return
            self._say(answer)

    # ---- the firmware ------------------------------------------------------------------------

    def _answer(self, asked: Any) -> Any:
        codes = messages.FailureType
        match asked:
            case messages.Initialize():
                self._sessions += 0 if asked.session_id else 1
                return self._features()
            case messages.GetFeatures():
                return self._features()
            case messages.Ping():
                return messages.Success(message=asked.message)
            case messages.EndSession() | messages.ApplyFlags():
                return messages.Success(message="")
            case messages.Cancel():
                raise Refusal(codes.ActionCancelled, "Cancelled")
            case messages.GetPublicKey():
                return self._public_key(tuple(asked.address_n))
            case messages.TronGetAddress():
                key = self.words.key(self._levels(asked))
                text = address_of_key(key)
                if asked.show_display:
                    self._ask_person(f"address {text}")
                return messages.TronAddress(address=text)
            case messages.TronSignTx():
                return self._sign(asked)
        raise Refusal(codes.UnexpectedMessage, "Unexpected message")

    def _features(self) -> Any:
        major, minor, patch = self.version
        able = [messages.Capability.Bitcoin]
        return messages.Features(
            vendor="trezor.io",
            major_version=major,
            minor_version=minor,
            patch_version=patch,
            model=self.model,
            internal_model=self.model,
            initialized=self.initialized,
            unlocked=not self.locked,
            pin_protection=self.locked,
            passphrase_protection=False,
            session_id=self._sessions.to_bytes(32),
            device_id="emulated",
            capabilities=able + [messages.Capability.Tron] * self.tron,
        )

    def _public_key(self, levels: tuple[int, ...]) -> Any:
        if not self.initialized:
            raise Refusal(messages.FailureType.NotInitialized, "Device not initialized")
        if self.locked:
            self._ask_person("PIN")
        node = self.words.node(levels)
        return messages.PublicKey(
            node=messages.HDNodeType(
                depth=len(levels),
                fingerprint=0x01020304,
                child_num=levels[-1],
                chain_code=node.chain_code.reveal(),
                public_key=node.public().key,
            ),
            xpub="xpub",
        )

    def _levels(self, asked: Any) -> tuple[int, ...]:
        if not self.tron:
            raise Refusal(messages.FailureType.UnexpectedMessage, "Unexpected message")
        levels = list(asked.address_n)
        if levels[:2] != TRON or len(levels) != 5:
            raise Refusal(messages.FailureType.DataError, "Forbidden key path")
        return tuple(levels)

    def _ask_person(self, what: str) -> None:
        self.shown.append(what)
        self._say(messages.ButtonRequest(code=messages.ButtonRequestType.Other, name="tron"))
        answer = self._hear()
        if isinstance(answer, messages.ButtonAck):
            if self.person == "approve":
                return
            if self.person == "away":
                while not isinstance(self._hear(), messages.Cancel):
                    pass
        raise Refusal(messages.FailureType.ActionCancelled, "Cancelled")

    def _sign(self, asked: Any) -> Any:
        levels = self._levels(asked)
        bad = messages.FailureType.DataError
        if (asked.fee_limit or 0) > 15_000_000_000:
            raise Refusal(bad, "Tron: fees too high")
        if len(asked.data or b"") > 256:
            raise Refusal(bad, "Tron: data field too long")
        if asked.data:
            self._ask_person("note")
        self._say(messages.TronContractRequest())
        contract = self._hear()
        if type(contract) not in NAMES:
            raise Refusal(messages.FailureType.UnexpectedMessage, "Unexpected message")
        if len(getattr(contract, "votes", ())) > 9:
            raise Refusal(bad, "Tron: too many votes")
        self._ask_person(type(contract).__name__)
        number, name = NAMES[type(contract)]
        if getattr(contract, "resource", None) == 0:
            contract.resource = None
        raw = dumped(
            messages.TronRawTransaction(
                ref_block_bytes=asked.ref_block_bytes,
                ref_block_hash=asked.ref_block_hash,
                expiration=asked.expiration,
                data=asked.data,
                timestamp=asked.timestamp,
                fee_limit=asked.fee_limit,
                contract=[
                    messages.TronRawContract(
                        type=messages.TronRawContractType(number),
                        parameter=messages.TronRawParameter(
                            type_url="type.googleapis.com/protocol." + name,
                            value=dumped(contract),
                        ),
                    )
                ],
            )
        )
        digest = sha256(raw + b"x" * self.wrong_signature)
        signature = self.words.sign(levels, digest)
        return messages.TronSignature(signature=signature[:64] + bytes((27 + signature[64],)))


def dumped(message: Any) -> bytes:
    writer = io.BytesIO()
    protobuf.dump_message(writer, message)
    return writer.getvalue()

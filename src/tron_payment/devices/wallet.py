"""What every device can do, and the promise that its signatures are verified.

A signature is given out only if it recovers to the expected address over just these bytes, with v
0 or 1. The device's address is asked before anything is shown on it.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final, TypeVar

from tron_payment import chain
from tron_payment.core.address import Address, InvalidAddress, parse_address
from tron_payment.devices.errors import (
    AddressMismatch,
    DeviceFault,
    NotAllowedByPolicy,
    SignatureMismatch,
    UnsupportedTransaction,
)
from tron_payment.devices.paths import Path, parse_path
from tron_payment.devices.plan import Clarity, SignPlan
from tron_payment.devices.worker import DeviceThread
from tron_payment.wallets import recovered_address

T = TypeVar("T")

SILENT_S: Final = 20.0
"""A question without a prompt is answered by then."""

PROMPT_S: Final = 180.0
"""How long a person may take."""

ETHEREUM_V: Final = 27
SIGNATURE_BYTES: Final = 65


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What a device says about itself."""

    kind: str
    model: str
    version: str
    locked: bool = False
    settings: frozenset[str] = field(default_factory=frozenset)


class HardwareWallet(ABC):
    """A device with keys.

    Args:
        allow: What it may be asked besides the clear: blind, by_hash.
    """

    kind: str

    def __init__(self, allow: Collection[Clarity] = ()) -> None:
        self._allowed = frozenset({Clarity.CLEAR, *allow})
        self._thread = DeviceThread(self.kind)

    @abstractmethod
    def check(self, raw: bytes) -> SignPlan:
        """How the device would sign these bytes; it is not asked. Raises nothing."""

    @abstractmethod
    def _info(self) -> DeviceInfo: ...

    @abstractmethod
    def _address(self, path: Path, *, display: bool) -> str: ...

    @abstractmethod
    def _sign(self, path: Path, raw: bytes, plan: SignPlan) -> bytes: ...

    @abstractmethod
    def _close(self) -> None: ...

    _cancel: Callable[[], None] | None = None
    """Takes a prompt off the screen, where the device can."""

    @property
    def pending(self) -> bool:
        """An earlier prompt is still on the screen; only its late answer frees the device."""
        return self._thread.pending

    async def info(self) -> DeviceInfo:
        """Model, version and settings."""
        return await self._thread.ask(self._info, timeout_s=SILENT_S)

    async def address(
        self, path: str, *, display: bool = False, timeout_s: float = PROMPT_S
    ) -> Address:
        """Derive the address of a path; with `display` a person compares it on the screen."""
        levels = parse_path(path)
        text = await self._thread.ask(
            lambda: self._address(levels, display=display),
            timeout_s=timeout_s if display else SILENT_S,
            cancel=self._cancel,
        )
        try:
            return parse_address(text)
        except InvalidAddress:
            raise DeviceFault("the device answered something that is no address") from None

    async def sign(
        self, path: str, raw: bytes, *, expect: Address, timeout_s: float = PROMPT_S
    ) -> bytes:
        """Let a person sign on the device: 65 bytes r, s, v over sha256(raw), v 0 or 1.

        Raises:
            UnsupportedTransaction, NotAllowedByPolicy: Before the device was asked.
            AddressMismatch: The device has another key at this path; nothing was shown on it.
            SignatureMismatch: It signed something else; the signature is thrown away.
            DeviceError: Everything else in errors.py.
        """
        plan = self.check(raw)
        if plan.clarity is Clarity.UNSUPPORTED:
            raise UnsupportedTransaction(plan.why)
        if plan.clarity not in self._allowed:
            raise NotAllowedByPolicy(
                f"the device would not show what this does ({plan.why}); "
                f"allow signing {plan.clarity} only if you know what it is"
            )
        levels = parse_path(path)
        found = await self.address(path)
        if found != expect:
            raise AddressMismatch(f"the device has {found} at {path}, but {expect} has to sign")
        signature = await self._thread.ask(
            lambda: self._sign(levels, raw, plan), timeout_s=timeout_s, cancel=self._cancel
        )
        return verified(signature, raw, expect)

    async def close(self) -> None:
        """Let go of the device; not while a prompt is on it."""
        if not self._thread.pending:
            await self._thread.ask(self._close, timeout_s=SILENT_S)


def verified(signature: bytes, raw: bytes, expect: Address) -> bytes:
    """The signature with v brought to 0 or 1.

    Raises:
        SignatureMismatch: It is not by this address for these bytes.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureMismatch
    v = signature[64] - ETHEREUM_V if signature[64] >= ETHEREUM_V else signature[64]
    normal = signature[:64] + bytes((v,))
    try:
        if recovered_address(normal, hashlib.sha256(raw).digest()) == expect:
            return normal
    except ValueError:
        pass
    raise SignatureMismatch


def read(raw: bytes) -> chain.RawData | SignPlan:
    """The transaction, or the plan for bytes that nobody should sign."""
    try:
        return chain.decode(raw)
    except chain.MalformedRawData as error:
        return SignPlan(Clarity.UNSUPPORTED, f"these bytes are not a transaction: {error}")

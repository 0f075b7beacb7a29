"""A Ledger with the TRON app. What it shows and takes was observed on app 0.7.1.

Never shown by it: fee limit, expiration, call value on a token transfer; the text of a memo.
"""

import hashlib
from collections.abc import Callable, Collection
from typing import Final

from tron_payment import chain
from tron_payment.core.address import Address
from tron_payment.devices import ledger_apdu as apdu
from tron_payment.devices.errors import (
    DeviceDisconnected,
    DeviceTimeout,
    FirmwareTooOld,
    UnsupportedTransaction,
    WrongApp,
)
from tron_payment.devices.ledger_transport import Transport
from tron_payment.devices.paths import LEVELS_OF_AN_ADDRESS, Path
from tron_payment.devices.plan import Clarity, SignPlan
from tron_payment.devices.wallet import SILENT_S, DeviceInfo, HardwareWallet, read

APP: Final = "Tron"
VERSION_MIN: Final = (0, 7, 1)
"""The version whose behaviour is known here."""

SETTINGS: Final = {0: "data", 1: "custom_contracts", 2: "truncate", 3: "sign_by_hash"}
PROMPT_LIMIT_S: Final = 3_600.0
"""After this the line is cut: no late answer can come any more."""

VOTES_MAX: Final = 5
CALL_DATA_MAX: Final = 132
WORD: Final = 32
TOKEN_CALLS: Final = (bytes.fromhex("a9059cbb"), bytes.fromhex("095ea7b3"))
TOKEN_CALL_BYTES: Final = 68
SHOWN_TOKENS: Final = frozenset(
    {
        Address("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"),
        Address("TEkxiTehnzSmSe2XqrBj4w32RUN966rdz8"),
    }
)
"""USDT and USDC of the main net. The app knows 380 more; we take those for unknown."""


class LedgerWallet(HardwareWallet):
    """One Ledger.

    Args:
        connect: Opens the transport; called again after a disconnection.
    """

    kind = "ledger"

    def __init__(self, connect: Callable[[], Transport], allow: Collection[Clarity] = ()) -> None:
        super().__init__(allow)
        self._connect = connect
        self._transport: Transport | None = None

    def check(self, raw: bytes) -> SignPlan:
        said = read(raw)
        if isinstance(said, SignPlan):
            return said
        plan = _plan(said)
        if plan.as_hash:
            return plan
        try:
            apdu.ask_signature((0,) * LEVELS_OF_AN_ADDRESS, raw)
        except UnsupportedTransaction as long:
            return SignPlan(Clarity.BY_HASH, long.detail, as_hash=True)
        return plan

    def _info(self) -> DeviceInfo:
        version = self._require_app()
        flags = self._exchange(apdu.command(apdu.CONFIGURATION))[0]
        on = frozenset(name for bit, name in SETTINGS.items() if flags >> bit & 1)
        return DeviceInfo(self.kind, f"Ledger, app {APP}", version, settings=on)

    def _address(self, path: Path, *, display: bool) -> str:
        self._require_app()
        limit_s = PROMPT_LIMIT_S if display else SILENT_S
        return apdu.read_address(self._exchange(apdu.ask_address(path, display=display), limit_s))

    def _sign(self, path: Path, raw: bytes, plan: SignPlan) -> bytes:
        self._require_app()
        if plan.as_hash:
            questions = [apdu.ask_hash_signature(path, hashlib.sha256(raw).digest())]
        else:
            questions = apdu.ask_signature(path, raw)
        limits_s = [SILENT_S] * (len(questions) - 1) + [PROMPT_LIMIT_S]
        return apdu.read_signature(
            [self._exchange(*each) for each in zip(questions, limits_s, strict=True)]
        )

    def _require_app(self) -> str:
        """Ask the operating system before everything: other apps share our instructions.

        Raises:
            WrongApp, FirmwareTooOld
        """
        name, version = apdu.read_app(self._exchange(apdu.WHICH_APP))
        if name != APP:
            raise WrongApp(f'the device is in "{name}": open the app "{APP}", then try again')
        numbers = tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())
        if numbers < VERSION_MIN:
            wanted = ".".join(map(str, VERSION_MIN))
            raise FirmwareTooOld(f"the TRON app is {version}: update it to {wanted} or later")
        return version

    def _exchange(self, question: bytes, limit_s: float = SILENT_S) -> bytes:
        if self._transport is None:
            self._transport = self._connect()
        try:
            answer, status = self._transport.exchange(question, limit_s)
        except (DeviceDisconnected, DeviceTimeout):
            self._close()
            raise
        if status != apdu.OK:
            raise apdu.refusal(status)
        return answer

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None


def _plan(said: chain.RawData) -> SignPlan:
    contract = said.contract
    match contract:
        case chain.TriggerContract():
            return _call(contract)
        case chain.Vote() if len(contract.votes) > VOTES_MAX:
            return _hash_only(f"more than {VOTES_MAX} votes")
        case (
            chain.Transfer()
            | chain.FreezeV2()
            | chain.UnfreezeV2()
            | chain.Delegate()
            | chain.Undelegate()
            | chain.WithdrawExpireUnfreeze()
            | chain.WithdrawReward()
            | chain.Vote()
        ):
            return SignPlan(Clarity.CLEAR)
        case chain.PermissionUpdate():
            return SignPlan(Clarity.BY_HASH, "the app shows a permission update as a hash")
        case _:
            return _hash_only("the app cannot read this type of contract")


def _call(contract: chain.TriggerContract) -> SignPlan:
    data = contract.data
    token_call = data[:4] in TOKEN_CALLS
    if len(data) < 4 or (len(data) - 4) % WORD or (token_call and len(data) != TOKEN_CALL_BYTES):
        return _hash_only("the app takes calls of whole words only")
    if len(data) > CALL_DATA_MAX:
        return _hash_only(f"the call is longer than {CALL_DATA_MAX} bytes")
    if not token_call or contract.contract not in SHOWN_TOKENS:
        return SignPlan(
            Clarity.BLIND, "it shows contract and selector of this call, not whom it pays"
        )
    if contract.call_value_sun:
        return SignPlan(Clarity.BLIND, "it does not show the TRX that this call sends along")
    return SignPlan(Clarity.CLEAR)


def _hash_only(why: str) -> SignPlan:
    return SignPlan(Clarity.BY_HASH, why, as_hash=True)

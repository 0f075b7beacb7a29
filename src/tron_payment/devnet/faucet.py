"""Money for tests: real transactions, signed by the faucet's key, and the test USDT itself."""

import json
from pathlib import Path
from typing import Any, Final

from tron_payment.devnet import abi, tvm
from tron_payment.devnet.api.builders import fill_abi
from tron_payment.devnet.chain import Chain
from tron_payment.devnet.genesis import FAUCET, FAUCET_KEY
from tron_payment.devnet.keys import PREFIX, sha256, sign
from tron_payment.devnet.proto import MESSAGES, Message
from tron_payment.devnet.state import CODE
from tron_payment.devnet.store import Store
from tron_payment.devnet.transactions import (
    CREATE_CONTRACT,
    TRANSFER,
    TRIGGER_CONTRACT,
    Tx,
    build_raw,
    of,
)

ARTIFACT: Final = Path(__file__).parent.parent / "contracts" / "artifacts" / "TestUSDT.json"
DECIMALS: Final = 6
SUPPLY_UNITS: Final = 100_000_000_000 * 10**DECIMALS
EXPIRATION_MS: Final = 600_000
FEE_LIMIT_SUN: Final = 15_000_000_000
MAX_AMOUNT_DIGITS: Final = 30
_USDT_META: Final = "usdt"
OWNER_CALLS: Final[dict[str, tuple[bytes, tuple[str, ...]]]] = {
    "addBlackList": (bytes.fromhex("0ecb93c0"), ("address",)),
    "removeBlackList": (bytes.fromhex("e4997dc5"), ("address",)),
    "destroyBlackFunds": (bytes.fromhex("f3bdc228"), ("address",)),
    "pause": (bytes.fromhex("8456cb59"), ()),
    "unpause": (bytes.fromhex("3f4ba83a"), ()),
    "setParams": (bytes.fromhex("c0324c77"), ("uint256", "uint256")),
    "issue": (bytes.fromhex("cc872b66"), ("uint256",)),
    "redeem": (bytes.fromhex("db006a75"), ("uint256",)),
    "deprecate": (bytes.fromhex("0753c30c"), ("address",)),
}
"""What the owner of the token may do: selector and argument types."""

_TRANSFER_SELECTOR: Final = bytes.fromhex("a9059cbb")


class BadAmount(ValueError):
    """Not a positive decimal string with at most six decimals."""


class NoToken(Exception):
    """There is no test USDT on this chain (yet)."""


def parse_amount(text: Any) -> int:
    """``"12.5"`` to units of 10^-6.

    Raises:
        BadAmount: See there.
    """
    if not isinstance(text, str) or not 0 < len(text) <= MAX_AMOUNT_DIGITS:
        raise BadAmount('amount is a decimal string such as "12.5"')
    whole, _, fraction = text.partition(".")
    if not (whole + fraction).isdigit() or not text.isascii() or len(fraction) > DECIMALS:
        raise BadAmount('amount is a decimal string such as "12.5", at most six decimals')
    units = int((whole or "0") + fraction.ljust(DECIMALS, "0"))
    if units <= 0 or units >= 1 << 63:
        raise BadAmount("amount is more than 0 and fits 63 bits")
    return units


class Faucet:
    """Signs for the faucet account. Times are given by the node."""

    def __init__(self, chain: Chain, store: Store) -> None:
        self._chain = chain
        self._store = store
        self._last_ms = 0

    @property
    def usdt(self) -> bytes | None:
        """The token's address (21 bytes), once its code is on the chain."""
        known = self._store.meta(_USDT_META)
        if known is None:
            return None
        address = bytes.fromhex(known)
        return address if self._chain.base.get(CODE + address) else None

    def deploy_usdt(self, now_ms: int) -> None:
        """Send the deployment when the token is not there and its artifact is.

        The address is stored before, so that a crash between leads to another deployment and
        never to an unknown token.
        """
        if self.usdt is not None or not ARTIFACT.exists():
            return
        artifact = json.loads(ARTIFACT.read_text())
        arguments = abi.encode([SUPPLY_UNITS, "Tether USD", "USDT", DECIMALS])
        message = MESSAGES["CreateSmartContract"](owner_address=FAUCET)
        new = message.new_contract
        new.origin_address = FAUCET
        new.name = "TetherToken"
        new.consume_user_resource_percent = 100
        new.origin_energy_limit = 10_000_000
        new.bytecode = bytes.fromhex(str(artifact["bytecode"]).removeprefix("0x")) + arguments
        fill_abi(new.abi, artifact["abi"])
        tx = self._sign(CREATE_CONTRACT, message, now_ms, FEE_LIMIT_SUN)
        self._store.set_meta(_USDT_META, (PREFIX + tvm.contract_address(tx.txid, FAUCET)).hex())
        self._chain.push(tx)

    def send_trx(self, to: bytes, amount_sun: int, now_ms: int) -> Tx:
        """
        Raises:
            Refusal: The chain refuses the transfer.
        """
        message = MESSAGES["TransferContract"](
            owner_address=FAUCET, to_address=to, amount=amount_sun
        )
        return self._chain.push(self._sign(TRANSFER, message, now_ms))

    def send_usdt(self, to: bytes, units: int, now_ms: int) -> Tx:
        """
        Raises:
            NoToken: There is no token yet.
            Refusal: The chain refuses the call.
        """
        token = self.usdt
        if token is None:
            raise NoToken("the test USDT is not deployed")
        data = _TRANSFER_SELECTOR + to[1:].rjust(32, b"\0") + units.to_bytes(32, "big")
        return self._call(token, data, now_ms)

    def administer_usdt(self, function: str, arguments: list[Any], now_ms: int) -> Tx:
        """Call one of the token owner's functions, such as ``addBlackList``; see `OWNER_CALLS`.

        Args:
            arguments: 21 bytes for an address, integers for numbers.

        Raises:
            NoToken: There is no token yet.
            Refusal: The chain refuses the call.
        """
        token = self.usdt
        if token is None:
            raise NoToken("the test USDT is not deployed")
        selector, kinds = OWNER_CALLS[function]
        assert len(arguments) == len(kinds)
        return self._call(token, selector + abi.encode(arguments), now_ms)

    def _call(self, token: bytes, data: bytes, now_ms: int) -> Tx:
        message = MESSAGES["TriggerSmartContract"](
            owner_address=FAUCET, contract_address=token, data=data
        )
        return self._chain.push(self._sign(TRIGGER_CONTRACT, message, now_ms, FEE_LIMIT_SUN))

    def _sign(self, kind: int, message: Message, now_ms: int, fee_limit: int = 0) -> Tx:
        self._last_ms = max(now_ms, self._last_ms + 1)  # equal transfers need different ids
        solid = self._chain.solid_block
        raw = build_raw(
            kind,
            message,
            ref_block_bytes=solid.id[6:8],
            ref_block_hash=solid.id[8:16],
            expiration=self._chain.next_slot_ms() + EXPIRATION_MS,
            timestamp=self._last_ms,
            fee_limit=fee_limit,
        )
        return of(raw, (sign(FAUCET_KEY, sha256(raw)),))

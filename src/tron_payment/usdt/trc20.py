"""The calls of a TRC-20 token: call data out, answers in. Selectors: the standard's."""

from dataclasses import dataclass
from typing import Final

from tron_payment.chain import CallResult, NodeClient
from tron_payment.core.address import Address, address_bytes
from tron_payment.core.errors import Unavailable

WORD: Final = 32
TEXT_BYTES_MAX: Final = 256

TRANSFER: Final = bytes.fromhex("a9059cbb")
APPROVE: Final = bytes.fromhex("095ea7b3")
BALANCE_OF: Final = bytes.fromhex("70a08231")
ALLOWANCE: Final = bytes.fromhex("dd62ed3e")
TOTAL_SUPPLY: Final = bytes.fromhex("18160ddd")
DECIMALS: Final = bytes.fromhex("313ce567")
SYMBOL: Final = bytes.fromhex("95d89b41")
NAME: Final = bytes.fromhex("06fdde03")
PAUSED: Final = bytes.fromhex("5c975abb")
IS_BLACKLISTED: Final = bytes.fromhex("e47d6060")
BASIS_POINTS_RATE: Final = bytes.fromhex("dd644f72")
MAXIMUM_FEE: Final = bytes.fromhex("35390714")
DEPRECATED: Final = bytes.fromhex("0e136b19")


class TokenSilent(Unavailable, code="token_silent"):
    """The token's contract gives no usable answer; nothing was changed."""


def word(address: Address) -> bytes:
    """An address as an ABI word: its last 20 bytes, padded."""
    return address_bytes(address)[1:].rjust(WORD, b"\0")


def transfer_data(recipient: Address, units: int) -> bytes:
    """``transfer(address,uint256)``"""
    return TRANSFER + word(recipient) + units.to_bytes(WORD)


def approve_data(spender: Address, units: int) -> bytes:
    """``approve(address,uint256)``"""
    return APPROVE + word(spender) + units.to_bytes(WORD)


@dataclass(frozen=True, slots=True)
class Token:
    """Questions to one token's contract, all to the same node and state.

    Args:
        solid: Ask the solidified state instead of the head's.
    """

    node: NodeClient
    contract: Address
    solid: bool = False

    async def balance_of(self, holder: Address) -> int:
        """Units. Raises TokenSilent when the contract does not say."""
        return await self.number(BALANCE_OF + word(holder), holder)

    async def allowance(self, owner: Address, spender: Address) -> int:
        """Units that the spender may still take."""
        return await self.number(ALLOWANCE + word(owner) + word(spender), owner)

    async def number(self, data: bytes, caller: Address | None = None) -> int:
        """A uint256 or bool.

        Raises:
            TokenSilent: A revert, or less than a word.
        """
        answer = await self.call(data, caller)
        if answer.reverted or len(answer.output) < WORD:
            raise TokenSilent(f"{self.contract} does not answer {data[:4].hex()}")
        return int.from_bytes(answer.output[:WORD])

    async def maybe_number(self, data: bytes) -> int | None:
        """The same; None when the contract has no such function."""
        answer = await self.call(data)
        if answer.reverted or len(answer.output) < WORD:
            return None
        return int.from_bytes(answer.output[:WORD])

    async def text(self, data: bytes) -> str | None:
        """A string, or the bytes32 of older tokens; None when it is neither."""
        answer = await self.call(data)
        return None if answer.reverted else text_of(answer.output)

    async def call(self, data: bytes, caller: Address | None = None) -> CallResult:
        return await self.node.constant_call(
            caller or self.contract, self.contract, data, solid=self.solid
        )


def text_of(output: bytes) -> str | None:
    """Decode an ABI string or bytes32."""
    if len(output) == WORD:
        raw = output.rstrip(b"\0")
    else:
        if len(output) < 2 * WORD or int.from_bytes(output[:WORD]) != WORD:
            return None
        length = int.from_bytes(output[WORD : 2 * WORD])
        if length > TEXT_BYTES_MAX or len(output) < 2 * WORD + length:
            return None
        raw = output[2 * WORD : 2 * WORD + length]
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None

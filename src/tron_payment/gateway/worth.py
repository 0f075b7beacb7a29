"""What is worth moving from an invoice's address, and at what cost. Pure."""

from typing import Final

from tron_payment.core.money import SUN_PER_TRX, TRX, USDT
from tron_payment.gateway.documents import Payment

USDT_MIN_UNITS: Final = 5 * 10**6
"""Less is not worth anybody's while, whatever the fee."""

FEE_SHARE_PERCENT: Final = 25
"""At most so much of what is swept may be burned; what is too little waits for more."""

TRX_WORTH_UNITS: Final = 350_000
"""USDT units that a TRX counts as in that rule. No price is asked of anybody for it."""

TOKEN_SHARE_PERCENT: Final = 10
"""Of a registered token, whose price nobody knows: the least that is moved, in percent of what the
invoice asks for. It is moved whatever the fee, below the most that a transaction may burn."""

TRX_MIN_SUN: Final = 5 * 10**6
"""Left after the fee; bandwidth costs a third of a TRX at most."""


def tokens_of(payment: Payment) -> tuple[str, ...]:
    """The tokens that are moved from this invoice's address, first things first."""
    if payment.currency in (USDT.code, TRX.code):
        return (USDT.code,)
    return (USDT.code, payment.currency)


def least_units(asset: str, payment: Payment) -> int:
    """Less of a token stays at the invoice's address until more comes."""
    if asset == USDT.code:
        return USDT_MIN_UNITS
    return max(1, -(-payment.units * TOKEN_SHARE_PERCENT // 100))


def is_worth_it(asset: str, units: int, fee_sun: int) -> bool:
    """Whether so many units may cost so much to move."""
    if asset != USDT.code:
        return True
    fee_units = fee_sun * TRX_WORTH_UNITS // SUN_PER_TRX
    return fee_units * 100 <= units * FEE_SHARE_PERCENT

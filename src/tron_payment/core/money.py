"""Amounts: integers of an asset's smallest unit, decimal strings on the wire, never a float."""

import re
from dataclasses import dataclass
from typing import Final, Self

from tron_payment.core.errors import Refused

UNITS_MAX: Final = 2**63 - 1
"""The largest amount MongoDB can hold as an integer; more than all the USDT and TRX there is."""

SUN_PER_TRX: Final = 1_000_000
AMOUNT_TEXT_MAX: Final = 40
DECIMALS_MAX: Final = 9
"""Tokens with more decimals would not fit an int64 at useful amounts and are not registered."""

_DECIMAL: Final = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?")


class InvalidAmount(Refused, code="invalid_amount"):
    """This is not an amount of this currency."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A currency as the ledger knows it: its code and how many decimals it has."""

    code: str
    decimals: int = 6


TRX: Final = Asset("TRX")
USDT: Final = Asset("USDT")


@dataclass(frozen=True, slots=True)
class Amount:
    """A quantity of one asset in its smallest unit (sun for TRX)."""

    asset: Asset
    units: int

    @classmethod
    def parse(cls, asset: Asset, text: str, *, param: str = "amount") -> Self:
        """Read a positive decimal such as ``"12.5"``.

        Args:
            asset: Decides how many decimals are allowed.
            text: ASCII digits with an optional fraction; no sign, exponent or separators.
            param: The field's name, for the error.

        Raises:
            InvalidAmount: Malformed, zero, too precise or above `UNITS_MAX` units.
        """
        units = parse_units(asset.decimals, text, param=param)
        if units == 0:
            raise InvalidAmount("the amount must be more than zero", param=param)
        return cls(asset, units)

    def __str__(self) -> str:
        return decimal_text(self.units, self.asset.decimals)


def parse_units(decimals: int, text: str, *, param: str = "amount") -> int:
    """Read a decimal of zero or more as an integer of ``10**-decimals``.

    Raises:
        InvalidAmount: Malformed, too precise or above `UNITS_MAX`.
    """
    if not isinstance(text, str) or not text.isascii() or len(text) > AMOUNT_TEXT_MAX:
        raise InvalidAmount('an amount is a decimal string such as "12.5"', param=param)
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise InvalidAmount('an amount is a decimal string such as "12.5"', param=param)
    whole, fraction = match[1], (match[2] or "").rstrip("0")
    if len(fraction) > decimals:
        raise InvalidAmount(f"at most {decimals} decimals", param=param)
    units: int = int(whole) * 10**decimals + int(fraction.ljust(decimals, "0") or "0")
    if units > UNITS_MAX:
        raise InvalidAmount("the amount is too large", param=param)
    return units


def decimal_text(units: int, decimals: int) -> str:
    """The canonical decimal: ``decimal_text(10_500_000, 6) == "10.5"``; a sign when negative."""
    sign, units = ("-", -units) if units < 0 else ("", units)
    whole, fraction = divmod(units, 10**decimals)
    text = str(fraction).rjust(decimals, "0").rstrip("0") if decimals else ""
    return f"{sign}{whole}.{text}" if text else f"{sign}{whole}"


def trx_text(sun: int) -> str:
    """Sun as a decimal of TRX."""
    return decimal_text(sun, TRX.decimals)

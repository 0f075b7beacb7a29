"""Field types for structs on the wire: text at run time, exact in the OpenAPI document.

The pattern is told to readers and generators of clients only. What is accepted is judged by the
domain (`Amount.parse`, `parse_address`), whose refusals have better codes than "no match".
"""

from typing import Annotated, Final

import msgspec

from tron_payment.core.address import ADDRESS_TEXT_LENGTH
from tron_payment.core.money import AMOUNT_TEXT_MAX

AMOUNT_PATTERN: Final = r"^(?=.*[1-9])(0|[1-9][0-9]{0,11})(\.[0-9]{1,6})?$(?!\n)"
"""More than zero, at most six decimals: what every asset of the service takes."""

ADDRESS_PATTERN: Final = r"^T[1-9A-HJ-NP-Za-km-z]{33}$(?!\n)"

MoneyText = Annotated[
    str,
    msgspec.Meta(
        extra_json_schema={
            "description": "A decimal of the currency, as text.",
            "examples": ["12.5"],
            "extra": {
                "pattern": AMOUNT_PATTERN,
                "max_length": AMOUNT_TEXT_MAX,
                "format": "decimal",
            },
        }
    ),
]
"""An amount such as ``"12.5"``; a JSON number is 422 ``invalid_amount``."""

AddressText = Annotated[
    str,
    msgspec.Meta(
        extra_json_schema={
            "description": "A TRON address in base58check.",
            "examples": ["TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"],
            "extra": {
                "pattern": ADDRESS_PATTERN,
                "min_length": ADDRESS_TEXT_LENGTH,
                "max_length": ADDRESS_TEXT_LENGTH,
                "format": "tron-address",
            },
        }
    ),
]
"""An address as text, to be read by `parse_address`."""

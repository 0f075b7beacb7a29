"""What a wallet is and which way it goes. Pure."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tron_payment.core.address import Address
from tron_payment.core.errors import Conflict, NotFound, Refused, Unavailable
from tron_payment.core.lifecycle import Lifecycle

LABEL_LENGTH_MAX: Final = 64
CATEGORY_LENGTH_MAX: Final = 32

_PRINTABLE: Final = re.compile(r"[^\x00-\x1f\x7f]+")


class WalletKind(StrEnum):
    """Where the key is: `hot` and `hd` here and encrypted, the others elsewhere."""

    HOT = "hot"
    HD = "hd"
    WATCH = "watch"
    COLD = "cold"
    MULTISIG = "multisig"
    LEDGER = "ledger"
    TREZOR = "trezor"


KEYED: Final = frozenset({WalletKind.HOT, WalletKind.HD})
"""Kinds whose key we hold."""

DETACHED: Final = frozenset(
    {WalletKind.COLD, WalletKind.MULTISIG, WalletKind.LEDGER, WalletKind.TREZOR}
)
"""Kinds that sign elsewhere: their orders wait as signing requests."""


DEVICES: Final = frozenset({WalletKind.LEDGER, WalletKind.TREZOR})


class WalletStatus(StrEnum):
    """A frozen wallet signs nothing; an archived one is out of the lists, its key is kept."""

    ACTIVE = "active"
    FROZEN = "frozen"
    ARCHIVED = "archived"


S = WalletStatus
LIFECYCLE: Final = Lifecycle(
    {
        S.ACTIVE: {S.FROZEN, S.ARCHIVED},
        S.FROZEN: {S.ACTIVE, S.ARCHIVED},
        S.ARCHIVED: {S.ACTIVE},
    }
)
"""An archived wallet comes back only by a restore from its backup."""


@dataclass(frozen=True, slots=True)
class WalletForSigning:
    """The wallet that pays, and the address that signs."""

    wallet_id: str
    address: Address
    detached: bool = False
    """Its key is elsewhere: the order waits for a signature from outside."""


class WalletNotFound(NotFound, code="wallet_not_found"):
    """There is no such wallet, or it is not yours."""


class WalletExists(Conflict, code="wallet_exists"):
    """A wallet with this address exists already."""


class WalletFrozen(Conflict, code="wallet_frozen"):
    """The wallet is frozen; thaw it first."""


class WalletArchived(Conflict, code="wallet_archived"):
    """The wallet is archived."""


class WalletScanning(Unavailable, code="wallet_scanning"):
    """The used addresses of the wallet are still being looked for; it issues none meanwhile."""


class WalletHoldsMoney(Conflict, code="wallet_holds_money"):
    """The wallet still holds money; move it first."""


class WalletHasOrders(Conflict, code="wallet_has_orders"):
    """The wallet has orders that are not finished."""


class WalletCannotSign(Refused, code="wallet_cannot_sign"):
    """The key of this wallet is not here: it can only be watched."""


class NoWallet(Refused, code="wallet_required"):
    """Say which wallet: there is no default."""


class InvalidKey(Refused, code="invalid_private_key"):
    """A private key is 64 hex digits, in the range of the curve."""


class InvalidPath(Refused, code="invalid_path"):
    """A path of TRON keys is such as m/44'/195'/0'/0/0."""


class InvalidLabel(Refused, code="invalid_label"):
    """Labels are short printable text."""


def check_text(text: str, *, param: str, length_max: int) -> str:
    """A label or category without spaces at its ends.

    Raises:
        InvalidLabel: Empty, too long, or with control characters.
    """
    text = text.strip()
    if not 0 < len(text) <= length_max or _PRINTABLE.fullmatch(text) is None:
        raise InvalidLabel(f"1 to {length_max} printable characters", param=param)
    return text

"""What a token transfer or approval is, and what is refused. Pure."""

from enum import StrEnum

from tron_payment.chain import NOBODY
from tron_payment.core.address import Address
from tron_payment.core.errors import Conflict, NotFound, Refused, Unavailable
from tron_payment.core.money import decimal_text


class Kind(StrEnum):
    TRANSFER = "transfer"
    APPROVAL = "approval"


class RecipientRefused(Refused, code="recipient_refused"):
    """This address may not receive tokens from here."""


class RecipientBlacklisted(RecipientRefused, code="recipient_blacklisted"):
    """The token's issuer has blacklisted this recipient: the money could never move again."""


class RecipientIsContract(RecipientRefused, code="recipient_is_contract"):
    """The recipient is a contract."""


class RecipientIsSender(RecipientRefused, code="recipient_is_own"):
    """The recipient is the sending wallet itself."""


class TransferNotFound(NotFound, code="transfer_not_found"):
    """There is no such transfer, or it is not yours."""


class AllowanceNotZero(Conflict, code="allowance_not_zero"):
    """The spender has an allowance already; set it to zero first, or say what it is."""


class AllowanceDiffers(Conflict, code="allowance_differs"):
    """The allowance is not what you expect; look at it again."""


class ApprovalInFlight(Conflict, code="approval_in_flight"):
    """An approval for this spender is still on its way; wait until it has ended."""


class SimulationReverted(Refused, code="simulation_reverted"):
    """The token's contract would refuse this now."""


class ScreeningUnavailable(Unavailable, code="screening_unavailable"):
    """The chain cannot be asked about this address now; nothing was changed."""


def check_recipient(recipient: Address, token: Address, *, param: str) -> None:
    """Refuse addresses that nobody can mean, without asking the chain.

    Raises:
        RecipientRefused: The zero address.
        RecipientIsContract: The token's own contract.
    """
    if recipient == NOBODY:
        raise RecipientRefused("this is the zero address: nobody has its key", param=param)
    if recipient == token:
        raise RecipientIsContract("this is the token's own contract", param=param)


def allowance_guard(
    current_units: int, new_units: int, expected_units: int | None, decimals: int
) -> None:
    """Guard the allowance race.

    `approve` sets, it does not add. A spender that sees a change from A to B coming can take A
    before it and B after it. So a change between two values other than zero is made in two steps
    (to zero, then to B), unless the caller names A and accepts the risk.

        allowance now   new      expected given   verdict
        0               any      none or 0        go
        A               0        none or A        go (revoking is always safe)
        A               B        A                go
        A               B        none             409 allowance_not_zero
        A               any      not A            409 allowance_differs

    Raises:
        AllowanceNotZero, AllowanceDiffers: With the current allowance in `extra`.
    """
    extra = {"allowance": decimal_text(current_units, decimals)}
    if expected_units is not None and expected_units != current_units:
        raise AllowanceDiffers(param="expected_allowance", extra=extra)
    if expected_units is None and current_units > 0 and new_units > 0:
        raise AllowanceNotZero(param="amount", extra=extra)

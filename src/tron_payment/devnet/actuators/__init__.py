"""One module per family of contracts, and the table that finds them by contract type.

An actuator is two functions: `validate(get, message)` refuses with java-tron's words and changes
nothing; `execute(state, message, receipt)` carries out what was validated. Calls and creations of
smart contracts are in `vm`.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from tron_payment.devnet.actuators import accounts, contracts, delegation, permissions, stake, votes
from tron_payment.devnet.proto import Message
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.state import Get, Overlay


class Actuator(NamedTuple):
    """How one contract type is checked and carried out."""

    validate: Callable[[Get, Message], None]
    execute: Callable[[Overlay, Message, Receipt], None]


ACTUATORS: Final[dict[int, Actuator]] = {
    0: Actuator(accounts.validate_create, accounts.execute_create),
    1: Actuator(accounts.validate_transfer, accounts.execute_transfer),
    4: Actuator(votes.validate_vote, votes.execute_vote),
    10: Actuator(accounts.validate_update, accounts.execute_update),
    13: Actuator(votes.validate_withdraw, votes.execute_withdraw),
    33: Actuator(contracts.validate_setting, contracts.execute_setting),
    45: Actuator(contracts.validate_energy_limit, contracts.execute_energy_limit),
    46: Actuator(permissions.validate, permissions.execute),
    48: Actuator(contracts.validate_clear_abi, contracts.execute_clear_abi),
    54: Actuator(stake.validate_freeze, stake.execute_freeze),
    55: Actuator(stake.validate_unfreeze, stake.execute_unfreeze),
    56: Actuator(stake.validate_withdraw, stake.execute_withdraw),
    57: Actuator(delegation.validate_delegate, delegation.execute_delegate),
    58: Actuator(delegation.validate_undelegate, delegation.execute_undelegate),
    59: Actuator(stake.validate_cancel, stake.execute_cancel),
}

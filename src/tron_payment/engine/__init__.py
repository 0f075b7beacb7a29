"""Orders: the one door through which anything is put on the chain, exactly once."""

from tron_payment.engine.counters import TimestampCounter
from tron_payment.engine.documents import Order, contract_document
from tron_payment.engine.domain import (
    LIFECYCLE,
    Attempt,
    Death,
    Expect,
    ExpectKind,
    OrderStatus,
    Proof,
    Result,
    Spend,
    Verdict,
)
from tron_payment.engine.fees import (
    FEE_ABOVE_MAXIMUM,
    MAX_FEE_SUN_MAX,
    SIMULATION_REVERTED,
    FeeBound,
    FeeCapTooHigh,
    Fees,
    MustWait,
    fee_cap,
)
from tron_payment.engine.internal import InternalVerdicts
from tron_payment.engine.internal_booked import as_counted
from tron_payment.engine.internal_documents import InternalVerdict
from tron_payment.engine.left_out import LEFT_OUT
from tron_payment.engine.movements import Movement, MovementKind, movements
from tron_payment.engine.openings import (
    Balances,
    HeadMoved,
    OpeningRequest,
    Openings,
    Reading,
    balance_of,
    beyond_books,
)
from tron_payment.engine.ports import CannotSign, Gate, OrderHandler, Signer, Tokens, Wish
from tron_payment.engine.quarantine import Evidence, Finding, NotProved, Quarantine, Seen
from tron_payment.engine.refusals import (
    EndedInBlock,
    OrderFinished,
    OrderShown,
    OrderSigned,
    PerhapsPaid,
)
from tron_payment.engine.restored_documents import tell_since
from tron_payment.engine.safe_mode import SafeMode, SafeModes, Unexplained
from tron_payment.engine.service import Engine
from tron_payment.engine.watched import Watched, addresses_in

DOCUMENTS = (Order, TimestampCounter, OpeningRequest, SafeMode, Unexplained, InternalVerdict)

__all__ = [
    "DOCUMENTS",
    "FEE_ABOVE_MAXIMUM",
    "LEFT_OUT",
    "LIFECYCLE",
    "MAX_FEE_SUN_MAX",
    "SIMULATION_REVERTED",
    "Attempt",
    "Balances",
    "CannotSign",
    "Death",
    "EndedInBlock",
    "Engine",
    "Evidence",
    "Expect",
    "ExpectKind",
    "FeeBound",
    "FeeCapTooHigh",
    "Fees",
    "Finding",
    "Gate",
    "HeadMoved",
    "InternalVerdict",
    "InternalVerdicts",
    "Movement",
    "MovementKind",
    "MustWait",
    "NotProved",
    "Openings",
    "Order",
    "OrderFinished",
    "OrderHandler",
    "OrderShown",
    "OrderSigned",
    "OrderStatus",
    "PerhapsPaid",
    "Proof",
    "Quarantine",
    "Reading",
    "Result",
    "SafeMode",
    "SafeModes",
    "Seen",
    "Signer",
    "Spend",
    "Tokens",
    "Unexplained",
    "Verdict",
    "Watched",
    "Wish",
    "addresses_in",
    "as_counted",
    "balance_of",
    "beyond_books",
    "contract_document",
    "fee_cap",
    "movements",
    "tell_since",
]

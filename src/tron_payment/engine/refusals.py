"""Why an order is not ended, for whoever wishes that it were."""

from tron_payment.core.errors import Conflict


class OrderSigned(Conflict, code="order_signed"):
    """It is signed and may be paid at any moment; it can no longer be canceled."""


class OrderShown(OrderSigned, code="order_shown"):
    """It was shown to signers elsewhere: no signature is taken now; unsent, it ends as canceled."""


class OrderFinished(Conflict, code="order_finished"):
    """It has ended already."""


class PerhapsPaid(Conflict, code="perhaps_paid"):
    """A restored store has still to read whether it was paid; ask again when safe mode is over."""

    retryable = True


class EndedInBlock(PerhapsPaid):
    """The journal knows a block that has ended it; a person lets that block be read once more.

    Of this order alone: others may end.
    """

    def __init__(self, number: int) -> None:
        super().__init__(
            f"the books say that block {number} has ended it, and the order does not: parts of the "
            "database are older than others. An operator stops every process and runs "
            f"`tron-payment resume --from-block {number}`, or an earlier block"
        )

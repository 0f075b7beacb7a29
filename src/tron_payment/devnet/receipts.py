"""What a transaction did: java-tron's TransactionInfo, without the fields that follow from it."""

import msgspec


class LogRecord(msgspec.Struct, array_like=True, frozen=True):
    """One event. `address` is 20 bytes."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


class InternalRecord(msgspec.Struct, array_like=True, frozen=True):
    """One step of a contract. Addresses are 21 bytes."""

    hash: bytes
    caller: bytes
    to: bytes
    value: int
    note: str
    rejected: bool


class Receipt(msgspec.Struct, array_like=True):
    """The outcome of one transaction. Fees are sun; `fee` is all that was burned or charged."""

    fee: int = 0
    energy_usage: int = 0
    energy_fee: int = 0
    origin_energy_usage: int = 0
    energy_total: int = 0
    energy_penalty: int = 0
    net_usage: int = 0
    net_fee: int = 0
    result: str = ""
    """A name of contractResult for contract calls and creations; empty for all others."""
    message: str = ""
    output: bytes = b""
    contract_address: bytes = b""
    logs: tuple[LogRecord, ...] = ()
    internal: tuple[InternalRecord, ...] = ()
    withdraw_amount: int = 0
    withdraw_expire_amount: int = 0
    cancel_unfreeze: tuple[tuple[str, int], ...] = ()

    @property
    def contract_ret(self) -> str:
        """The result that is stored with the transaction in its block."""
        return self.result or "SUCCESS"

    @property
    def failed(self) -> bool:
        return self.result not in ("", "SUCCESS")

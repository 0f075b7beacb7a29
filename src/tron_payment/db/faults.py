"""What a failing store means to a caller: it is away, or another document has the value."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
    WTimeoutError,
)

from tron_payment.core.errors import Conflict, Unavailable

RETRY_AFTER_S: Final = 2

_AWAY: Final = (ConnectionFailure, ExecutionTimeout, WTimeoutError, WriteConcernError)
_AWAY_CODES: Final = frozenset(
    {
        *(6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436),  # pymongo's retryables
        14031,  # no room on the disk
    }
)
_DUPLICATE_KEY: Final = 11_000
_WRITE_UNKNOWN_LABEL: Final = "RetryableWriteError"


class StoreUnavailable(Unavailable, code="unavailable"):
    """The database is away; ask again with the same key.

    A write that ends so may have happened or not. Every write of ours carries a derived id or an
    operation id, so doing it again is harmless, and reading again tells.
    """


class DuplicateValue(Conflict, code="duplicate_value"):
    """Another document already has this value."""

    def __init__(self, index_name: str, key_value: Mapping[str, Any], doc_id: str | None) -> None:
        super().__init__(f"another document has this {', '.join(key_value) or index_name}")
        self.index_name = index_name
        self.key_value = dict(key_value)
        self.doc_id = doc_id
        """Of the document that was refused."""


def as_unavailable(error: PyMongoError) -> StoreUnavailable | None:
    """The error as our own when the store is away or overloaded; None when it is something else.

    The driver's text stays out of it: it may name hosts.
    """
    away = (
        isinstance(error, _AWAY)
        or error.timeout
        or error.has_error_label(_WRITE_UNKNOWN_LABEL)
        or (isinstance(error, OperationFailure) and error.code in _AWAY_CODES)
    )
    return StoreUnavailable(retry_after_s=RETRY_AFTER_S) if away else None


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn the driver's errors inside the block into `StoreUnavailable` where they mean that."""
    try:
        yield
    except PyMongoError as error:
        ours = as_unavailable(error)
        if ours is None:
            raise
        raise ours from error


def duplicates_of(error: BulkWriteError) -> list[Mapping[str, Any]]:
    """The duplicate keys among the failures of a bulk; its ``nInserted`` stays with the error.

    Raises:
        StoreUnavailable: The rest is not known to be stored.
        BulkWriteError: Something else went wrong, which is our fault.
    """
    details = error.details or {}
    failures: list[Mapping[str, Any]] = details.get("writeErrors", [])
    codes = {failure["code"] for failure in failures} - {_DUPLICATE_KEY}
    if details.get("writeConcernErrors") or codes & _AWAY_CODES:
        raise StoreUnavailable(retry_after_s=RETRY_AFTER_S) from error
    if codes:
        raise error
    return failures


def duplicate_value(failure: Mapping[str, Any], doc_id: str | None) -> DuplicateValue | None:
    """Read a server's write error; None when it is the derived id itself that exists.

    Args:
        failure: One of ``writeErrors``, or the details of a `DuplicateKeyError`.
        doc_id: Of the document that was refused.
    """
    key_value: Mapping[str, Any] = failure.get("keyValue") or {}
    index_name = _index_name(str(failure.get("errmsg", "")))
    if index_name == "_id_" or list(key_value) == ["_id"]:
        return None
    return DuplicateValue(index_name, key_value, doc_id)


def duplicate_of(error: DuplicateKeyError, doc_id: str | None) -> DuplicateValue | None:
    """The same for the driver's error of one write."""
    return duplicate_value(error.details or {}, doc_id)


def _index_name(message: str) -> str:
    """From ``E11000 duplicate key error collection: db.c index: NAME dup key: {...}``."""
    _, _, rest = message.partition(" index: ")
    return rest.partition(" ")[0]

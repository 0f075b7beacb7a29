"""Balances count as rolled forward only when their writes are known to be kept."""

from typing import Any

import pytest
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from tron_payment.db.faults import StoreUnavailable
from tron_payment.db.ledger import Balance, _write_tolerating_duplicates

DUPLICATE = {"index": 0, "code": 11_000, "errmsg": "E11000", "keyValue": {"_id": "a"}}
ROLLED_BACK = {"code": 91, "errmsg": "the primary is going away"}
BROKEN = {"index": 0, "code": 2, "errmsg": "would overflow"}


@pytest.mark.parametrize(
    ("errors", "concerns", "raised"),
    [
        ([DUPLICATE], [], None),
        ([], [ROLLED_BACK], StoreUnavailable),
        ([DUPLICATE], [ROLLED_BACK], StoreUnavailable),
        ([BROKEN], [], BulkWriteError),
    ],
)
async def test_what_a_failed_roll_forward_means(
    monkeypatch: pytest.MonkeyPatch, errors: list[Any], concerns: list[Any], raised: Any
) -> None:
    class Server:
        async def bulk_write(self, *_: Any, **__: Any) -> None:
            raise BulkWriteError({"writeErrors": errors, "writeConcernErrors": concerns})

    monkeypatch.setattr(Balance, "get_pymongo_collection", Server)
    writes = [UpdateOne({"_id": "a"}, {"$inc": {"units": 1}})]
    if raised is None:
        await _write_tolerating_duplicates(Balance, writes)
        return
    with pytest.raises(raised):
        await _write_tolerating_duplicates(Balance, writes)

"""A start in development: trouble on the way is told and tried again."""

from typing import Any

import pytest

from tron_payment import development
from tron_payment.chain import NodesUnavailable
from tron_payment.db.faults import StoreUnavailable
from tron_payment.development import NotPrepared, Preparation


class Stumbling(Preparation):
    """Prepares nothing, and does it only at the fourth try."""

    troubles: tuple[Exception, ...] = (
        NodesUnavailable("no node answers"),
        StoreUnavailable(),
        RuntimeError("something new"),
    )

    async def _prepare(self) -> None:
        self.seen.append(await self.trouble())
        if len(self.seen) <= len(self.troubles):
            raise self.troubles[len(self.seen) - 1]
        self._done.set()

    seen: list[str]

    async def trouble(self) -> str:
        try:
            await self.check()
        except NotPrepared as told:
            return str(told)
        return "ready"


class Nothing:
    house: Any = None
    devnet_url: str | None = None


async def test_whatever_goes_wrong_the_start_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(development, "RETRY_S", 0.0)
    start: Any = Stumbling
    preparation = start(Nothing(), Nothing())
    preparation.seen = []
    await preparation.repeat()
    assert await preparation.trouble() == "ready"
    assert [each.partition(": ")[2].partition(":")[0] for each in preparation.seen] == [
        "",
        "NodesUnavailable",
        "StoreUnavailable",
        "RuntimeError",
    ]

"""A unique index that is still being built is not there yet: a start waits for it."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from beanie import Document
from pymongo import ASCENDING, AsyncMongoClient, IndexModel

from tron_payment.db.connect import Store, StoreRefused, connect
from tron_payment.db.embedded import EmbeddedMongod

pytestmark = pytest.mark.skipif(
    "MONGODB_TEST_URI" in os.environ, reason="the server must take test commands"
)

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]

HELD = "hangAfterStartingIndexBuild"
WITHIN_S = 60


class Money(Document):
    id: str  # type: ignore[assignment]
    code: str

    class Settings:
        name = "money"
        indexes = [IndexModel([("code", ASCENDING)], name="one_code", unique=True)]


class Obeying(EmbeddedMongod):
    """Has the fail points of the server's own tests."""

    def _arguments(self) -> list[str]:
        return [*super()._arguments(), "--setParameter", "enableTestCommands=1"]


async def test_a_second_process_waits_for_the_build_and_fails_with_it(
    tmp_path: Path, eventually: Eventually
) -> None:
    server = Obeying(tmp_path)
    starts: list[asyncio.Task[Store]] = []
    try:
        uri = await server.start()
        async with AsyncMongoClient[Any](uri) as client:

            async def hold(mode: str) -> None:
                await client.admin.command({"configureFailPoint": HELD, "mode": mode})

            async def asked() -> int:
                ops = await client.admin.aggregate(
                    [{"$currentOp": {}}, {"$match": {"command.createIndexes": "money"}}]
                )
                return len(await ops.to_list())

            for name, code, ends in (("sound", "b", Store), ("twice", "a", StoreRefused)):
                money = client[name]["money"]
                await money.insert_one({"_id": "1", "code": "a"})
                await hold("alwaysOn")
                starts.append(asyncio.create_task(connect(uri, name, [Money])))

                async def listed(money: Any = money) -> bool:
                    return "one_code" in await money.index_information()

                await eventually(listed)  # though it is not built
                starts.append(asyncio.create_task(connect(uri, name, [Money])))

                async def both() -> bool:
                    assert not any(start.done() for start in starts)
                    return await asked() == len(starts)

                await eventually(both)
                await money.insert_one({"_id": "2", "code": code})
                await hold("off")
                async with asyncio.timeout(WITHIN_S):
                    said = await asyncio.gather(*starts, return_exceptions=True)
                starts.clear()
                assert [type(each) for each in said] == [ends, ends], said
                for each in said:
                    if isinstance(each, Store):
                        await each.close()
                there = await money.index_information()
                assert there.get("one_code", {}).get("unique", False) is (ends is Store)
    finally:
        for start in starts:
            start.cancel()
        await asyncio.gather(*starts, return_exceptions=True)
        await server.stop()

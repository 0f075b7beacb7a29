"""`payouts list` reads the store within a bound, and asks no node."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pymongo
from pydantic import SecretStr

from tests.conftest import Mongo
from tests.gateway.world import settings
from tests.ports import free_port
from tron_payment.operator import payout_list
from tron_payment.operator.report import Exit


async def test_the_server_ends_a_read_that_takes_long_and_no_node_need_answer(
    mongo: Mongo, tmp_path: Path
) -> None:
    ours = settings(
        var_dir=tmp_path,
        mongodb_uri=SecretStr(mongo.uri),
        payment_db_name=mongo.name,
        tron_node_url=f"http://127.0.0.1:{free_port()}",
    )
    asked = Namespace(limit=None, status="queued", user=None)
    async with pymongo.AsyncMongoClient[Any](mongo.uri) as client:
        database = client[mongo.name]
        await database.command("profile", 2)
        report = await payout_list.listed(asked, ours)
        await database.command("profile", 0)
        reads = await database["system.profile"].find({"command.find": "payouts"}).to_list()
    assert report.exit == Exit.OK
    assert [read["command"]["maxTimeMS"] for read in reads] == [payout_list.READ_MS]

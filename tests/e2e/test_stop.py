"""SIGTERM ends the service and all that it started; the next start is fast and knows its chain.

How long it may take is bounded by constants: tests/test_stop_bounds.py.
"""

import asyncio
import signal
from typing import Final

import pytest

from tests.e2e.addresses import fresh_address
from tests.e2e.service import Service, alive, new_key

WARM_LIVE_WITHIN_S: Final = 90.0
"""The aim on idle cores is 2 s, which the benchmarks measure; a test machine is busy."""

EXIT_REFUSED: Final = 2


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_under_load_is_clean_and_leaves_no_child(
    own_service: Service, sign: signal.Signals
) -> None:
    own_service.start()
    await own_service.ready()
    family = own_service.children()
    assert len(family) >= 2, "a MongoDB and a devnet"
    async with own_service.client() as api:
        asked = [
            asyncio.create_task(
                api.post(
                    "/api/v1/payouts/direct",
                    json={
                        "user_id": "alice",
                        "recipient_address": fresh_address(),
                        "amount": "12.5",
                        "currency": "USDT",
                    },
                    headers={"Idempotency-Key": new_key()},
                )
            )
            for _ in range(10)
        ]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert await own_service.stop(sign) == 0, own_service.last_words()
        await asyncio.wait(asked)
    assert [pid for pid in family if alive(pid)] == []
    assert "Traceback" not in (own_service.folder / "stderr").read_text()


async def test_the_second_start_goes_on_where_the_first_stopped(own_service: Service) -> None:
    own_service.start()
    await own_service.ready()
    async with own_service.client() as api:
        wallets = (await api.get("/api/v1/wallets")).json()["data"]
        info = (await api.get("/tron/network/info")).json()
    await own_service.stop()
    own_service.start()
    assert await own_service.ready("/health/live") < WARM_LIVE_WITHIN_S
    await own_service.ready()
    async with own_service.client() as api:
        assert (await api.get("/api/v1/wallets")).json()["data"] == wallets
        again = (await api.get("/tron/network/info")).json()
    for name in ("genesis_id", "usdt_contract", "routers"):
        assert again[name] == info[name]


async def test_a_store_of_another_chain_is_refused(own_service: Service) -> None:
    own_service.start()
    await own_service.ready()
    await own_service.stop()
    for file in (own_service.folder / "devnet").iterdir():
        file.unlink()
    own_service.start()
    assert await own_service.ended() not in (0, None)
    said = own_service.last_words()
    assert "genesis" in said.lower(), said
    everything = (own_service.folder / "stderr").read_text()
    assert "Traceback" not in everything, "a clear message, not a stack trace"
    assert own_service.children() == []

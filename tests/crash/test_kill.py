"""``kill -9`` of the real process, with real mongod and devnet, at the labelled points.

Every start is armed with the next label: the process dies there while it finishes what the one
before left and what it is asked for anew. In the end each payout is on the chain exactly once.
"""

import asyncio
import os
import signal
from typing import Any, Final

import httpx
import pytest

from tests.e2e.addresses import fresh_address
from tests.e2e.service import Service, new_key, reconciled, settled, transfers_to
from tron_payment.core.failpoints import LABELS

UNITS: Final = 12_500_000
BLOCK_MS: Final = 400
"""Slower than elsewhere: on a busy machine the follower must still gain on the chain."""

PAYOUTS_PER_KILL: Final = 2
DIES_WITHIN_S: Final = 180.0
LIFETIME_S: Final = 60
"""Of a transaction. Whoever dies between signing and storing leaves a line in the signer's journal;
the order is signed again when the solidified chain is past what that line had signed."""

QUICK: Final = ("sign:stored", "broadcast:sent", "settle:booked")
"""In the normal run; ``SOAK=1`` dies at all of them."""


@pytest.fixture
def service() -> Any:
    own = Service(PAYOUT_TIMEOUT=str(LIFETIME_S), DEVNET_BLOCK_MS=str(BLOCK_MS))
    try:
        yield own
    finally:
        own.destroy()


async def ask(api: httpx.AsyncClient, number: int, key: str, recipient: str) -> str | None:
    """The accepted payout's id; None when the service died before it answered."""
    route = ("v0", "direct")[number % 2]
    body = {
        "user_id": "alice",
        "recipient_address": recipient,
        "amount": "12.5",
        "currency": "USDT",
    }
    try:
        answer = await api.post(
            f"/api/v1/payouts/{route}", json=body, headers={"Idempotency-Key": key}
        )
    except httpx.TransportError:
        return None
    if answer.status_code >= 500 or "route_unavailable" in answer.text:  # not ready yet
        return None
    assert answer.status_code == 202, answer.text
    return str(answer.json()["payout_id"])


@pytest.mark.timeout(900)
async def test_a_process_killed_at_each_label_pays_each_payout_once(service: Service) -> None:
    labels = LABELS if os.environ.get("SOAK") else QUICK
    service.start()
    await service.ready()
    await service.stop()
    asked: list[tuple[int, str, str]] = []
    died: list[str] = []
    for label in labels:
        service.environment["FAILPOINT"] = label
        service.start()
        new = [(len(asked) + n, new_key(), str(fresh_address())) for n in range(PAYOUTS_PER_KILL)]
        asked += new
        async with service.client() as api:
            while service.process is not None and service.process.poll() is None:
                accepted = [await ask(api, *each) for each in new]
                if all(accepted):
                    break
                await asyncio.sleep(0.1)
        status = await service.ended(DIES_WITHIN_S)
        assert status == -signal.SIGKILL, (label, service.last_words())
        died.append(label)
    del service.environment["FAILPOINT"]
    service.start()
    await service.ready()
    async with service.client() as api:
        ids = [await ask(api, *each) for each in asked]
        assert all(ids), ids
        ended = await settled(api, [each for each in ids if each is not None])
    assert {payout["status"] for payout in ended} == {"settled"}
    recipients = {recipient for _, _, recipient in asked}
    paid = await transfers_to(service, recipients)
    assert paid == {each: [UNITS] for each in recipients}
    report = await reconciled(service)
    assert report["balanced"] is True, report
    assert tuple(died) == tuple(labels)
    assert await service.stop() == 0

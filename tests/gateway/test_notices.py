"""Notices in: verified over the raw bytes, in time, once."""

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.gateway.world import API, NOTICE_SECRET, World
from tron_payment.gateway.webhook_documents import Notice

BODY = b'{"type": "kyc.updated",  "user": "alice"}'


def signed(
    at: datetime, body: bytes = BODY, message_id: str = "msg_1", key: bytes | None = None
) -> dict[str, str]:
    seconds = int(at.timestamp())
    content = f"{message_id}.{seconds}.".encode() + body
    digest = hmac.digest(key or NOTICE_SECRET.encode(), content, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        "content-type": "application/json",
    }


async def send(world: World, headers: dict[str, str], body: bytes = BODY) -> Any:
    return await world.http.post(f"{API}/payments/webhook", content=body, headers=headers)


async def test_a_good_notice_is_taken_once(gateway: World) -> None:
    headers = signed(gateway.clock.now())
    first, second = await send(gateway, headers), await send(gateway, headers)
    assert (first.status_code, first.json()) == (200, {"received": True, "duplicate": False})
    assert (second.status_code, second.json()) == (200, {"received": True, "duplicate": True})
    (kept,) = await Notice.find_all().to_list()
    assert kept.body == BODY


async def test_the_package_of_standard_webhooks_signs_for_us(gateway: World) -> None:
    now = gateway.clock.now()
    signature = Webhook(NOTICE_SECRET).sign("msg_2", now, BODY.decode())
    headers = signed(now, message_id="msg_2") | {"webhook-signature": f"v1,AAAA {signature}"}
    assert (await send(gateway, headers)).status_code == 200


@pytest.mark.parametrize("minutes", [-6, 6])
async def test_old_and_future_notices_are_refused(gateway: World, minutes: int) -> None:
    at = gateway.clock.now() + timedelta(minutes=minutes)
    answer = await send(gateway, signed(at))
    assert (answer.status_code, answer.json()["code"]) == (401, "notice_refused")


async def test_forged_and_altered_ones_are_refused(gateway: World) -> None:
    now = gateway.clock.now()
    good = signed(now)
    bad = [
        (good, BODY + b" "),
        (good, b""),
        (signed(now, key=b"another"), BODY),
        (good | {"webhook-id": "msg_9"}, BODY),
        (good | {"webhook-timestamp": str(int(now.timestamp()) + 1)}, BODY),
        (good | {"webhook-timestamp": "now"}, BODY),
        (good | {"webhook-timestamp": "9" * 30}, BODY),
        (good | {"webhook-signature": ""}, BODY),
        (good | {"webhook-signature": "v2," + good["webhook-signature"][3:]}, BODY),
        ({name: value for name, value in good.items() if name != "webhook-id"}, BODY),
    ]
    for headers, body in bad:
        answer = await send(gateway, headers, body)
        assert answer.status_code == 401, headers
    assert await Notice.find_all().count() == 0

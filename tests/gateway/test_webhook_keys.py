"""What signs webhooks: a root for each endpoint, sealed as wallets' keys are.

What an older release had made goes on as it was, until it is rotated.
"""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import SecretStr
from standardwebhooks import Webhook

from tests.gateway.receiver import Message, Receiver, receiving
from tests.gateway.test_webhooks import ENDPOINTS, deliver, endpoint
from tests.gateway.world import World, settings
from tron_payment.db.cas import LostRace
from tron_payment.gateway import webhook_documents as store
from tron_payment.gateway.webhook_documents import Delivery, WebhookEndpoint
from tron_payment.gateway.webhook_signing import EndpointKeys
from tron_payment.gateway.webhooks import Webhooks
from tron_payment.http.permissions import permissions_of
from tron_payment.http.principals import Principal, Role
from tron_payment.wallets import KeyUnreadable, build_sealing

FORMER = ("root", "root_first", "root_last", "public_key")
SHOP = Principal("shop-1", Role.MERCHANT, permissions_of(Role.MERCHANT))


def webhooks(world: World, keys: str = "11" * 32) -> Webhooks:
    """The use cases as another process has them, with these key-encryption keys."""
    options = settings(wallet_encryption_key=SecretStr(keys))
    house = world.house
    return Webhooks(
        clock=world.clock,
        secret=house.secret,
        sealing=build_sealing(options),
        events=house.events,
        settings=options,
    )


def accepts(secret: str, message: Message) -> bool:
    """Whether a receiver with this secret takes it; not whether it is in time."""
    headers = message.headers
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + message.body
    if secret.startswith("whpk_"):
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(secret[5:]))
        for each in headers["webhook-signature"].split():
            version, _, signature = each.partition(",")
            if version == "v1a":
                try:
                    public.verify(base64.b64decode(signature), text)
                    return True
                except InvalidSignature:
                    continue
        return False
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    signature = Webhook(secret).sign(headers["webhook-id"], at, message.body.decode())
    return signature in headers["webhook-signature"].split()


async def sent(world: World, receiver: Receiver) -> Message:
    await world.invoice("25")
    await deliver(world)
    return receiver.got[-1]


async def of_an_older_release(made: Any) -> None:
    rows = WebhookEndpoint.get_pymongo_collection()
    its = {"_id": made["webhook_endpoint_id"]}
    await rows.update_one(its, {"$unset": dict.fromkeys(FORMER, "")})


async def rotate(world: World, made: Any) -> Any:
    answer = await world.post(f"{ENDPOINTS}/{made['webhook_endpoint_id']}/rotate-secret", {})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_who_reads_the_database_signs_no_webhook(gateway: World) -> None:
    async with receiving() as receiver:
        made = await endpoint(gateway, receiver)
        message = await sent(gateway, receiver)
        assert accepts(made["secret"], message) and accepts(made["public_key"], message)
        its = made["webhook_endpoint_id"]
        (row,) = await WebhookEndpoint.find_all().to_list()
        assert row.root is not None
        known = [gateway.house.secret, *(v for v in row.root.values() if isinstance(v, bytes))]
        for each in known:
            computed = EndpointKeys(each, its, None)
            assert computed.shared(1) != made["secret"]
            assert computed.public(1) != made["public_key"]
        assert "sealed_under" not in repr(row)


async def test_another_process_has_the_same_keys_and_another_endpoint_never(gateway: World) -> None:
    async with receiving() as receiver:
        made = await endpoint(gateway, receiver)
        other = await endpoint(gateway, receiver)
        mine = await WebhookEndpoint.get(made["webhook_endpoint_id"])
        theirs = await WebhookEndpoint.get(other["webhook_endpoint_id"])
        assert mine is not None and theirs is not None
        again = webhooks(gateway)
        assert again.keys(mine).shared(1) == made["secret"]
        assert again.public_key(mine) == again.keys(mine).public(1) == made["public_key"]
        assert made["public_key"] != other["public_key"]
        moved = theirs.model_copy(update={"root": mine.root})
        with pytest.raises(KeyUnreadable):
            again.keys(moved)


async def test_an_older_endpoint_goes_on_and_has_a_root_of_its_own_when_it_is_rotated(
    gateway: World,
) -> None:
    """Receivers that know the former public key hear us until a day after the next rotation."""
    async with receiving() as receiver:
        made = await endpoint(gateway, receiver)
        await of_an_older_release(made)
        its = made["webhook_endpoint_id"]
        former = EndpointKeys(gateway.house.secret, its, None)
        shown = (await gateway.get(f"{ENDPOINTS}/{its}")).json()
        assert shown["public_key"] == former.public(1)
        message = await sent(gateway, receiver)
        assert accepts(former.shared(1), message) and accepts(former.public(1), message)

        new = await rotate(gateway, made)
        assert new["secret"] != former.shared(2) and new["public_key"] != former.public(2)
        message = await sent(gateway, receiver)
        for key in (former.shared(1), former.public(1), new["secret"], new["public_key"]):
            assert accepts(key, message)
        gateway.clock.skew += timedelta(hours=25)
        message = await sent(gateway, receiver)
        assert not accepts(former.shared(1), message)
        for key in (former.public(1), new["secret"], new["public_key"]):
            assert accepts(key, message)

        third = await rotate(gateway, made)
        assert third["public_key"] == new["public_key"], "the root stays"
        message = await sent(gateway, receiver)
        for key in (former.public(1), new["secret"], third["secret"], third["public_key"]):
            assert accepts(key, message)
        gateway.clock.skew += timedelta(hours=25)
        message = await sent(gateway, receiver)
        assert accepts(third["secret"], message) and accepts(third["public_key"], message)
        assert not accepts(former.public(1), message) and not accepts(new["secret"], message)


async def test_what_an_older_release_rotated_after_a_way_back_holds(gateway: World) -> None:
    async with receiving() as receiver:
        made = await endpoint(gateway, receiver)
        its = made["webhook_endpoint_id"]
        former = EndpointKeys(gateway.house.secret, its, None)
        rows = WebhookEndpoint.get_pymongo_collection()
        await rows.update_one({"_id": its}, {"$inc": {"generation": 1}})  # as it wrote
        message = await sent(gateway, receiver)
        assert accepts(former.shared(2), message) and accepts(former.public(2), message)
        assert (await gateway.get(f"{ENDPOINTS}/{its}")).json()["public_key"] == former.public(2)
        new = await rotate(gateway, made)
        message = await sent(gateway, receiver)
        assert accepts(former.shared(2), message) and accepts(new["secret"], message)
        assert accepts(new["public_key"], message) and new["public_key"] != made["public_key"]


async def test_a_rotation_of_the_key_encryption_keys_seals_the_roots_anew(gateway: World) -> None:
    async with receiving() as receiver:
        made = [await endpoint(gateway, receiver) for _ in range(3)]
        gone = f"{ENDPOINTS}/{made[2]['webhook_endpoint_id']}"
        headers = gateway.bearer("merchant", "shop-1")
        assert (await gateway.http.delete("/api/v1" + gone, headers=headers)).status_code == 204
        both = webhooks(gateway, f"k2:{'99' * 32},k1:{'11' * 32}")
        done = [await both.reseal() for _ in range(2)]
        assert [(each.resealed, each.unreadable) for each in done] == [(2, ()), (0, ())]
        alone = webhooks(gateway, f"k2:{'99' * 32}")
        for each in made[:2]:
            row = await WebhookEndpoint.get(each["webhook_endpoint_id"])
            assert row is not None
            assert alone.keys(row).shared(1) == each["secret"]
        deleted = await WebhookEndpoint.get(made[2]["webhook_endpoint_id"])
        assert deleted is not None and deleted.root is None, "nobody needs it any more"


async def test_a_root_that_does_not_open_keeps_nobody_else_and_ends_with_a_rotation(
    gateway: World,
) -> None:
    """As after a restore of the database without its key-encryption key."""
    async with receiving() as lost, receiving() as other:
        made = await endpoint(gateway, lost)
        its = made["webhook_endpoint_id"]
        elsewhere = webhooks(gateway, f"k0:{'77' * 32}")
        theirs = await elsewhere.create(SHOP, url=lost.url, types=[])
        assert theirs.root is not None
        rows = WebhookEndpoint.get_pymongo_collection()
        await rows.update_one({"_id": its}, {"$set": {"root": theirs.root}})
        await rows.delete_one({"_id": theirs.id})
        await endpoint(gateway, other)
        await gateway.invoice("25")
        await deliver(gateway)
        assert (len(lost.got), len(other.got)) == (0, 1)
        (kept,) = await Delivery.find({"endpoint_id": its}).to_list()
        assert (kept.status, kept.log[0].status_code) == ("pending", 0)
        assert (await gateway.get(ENDPOINTS)).status_code == 200
        assert (await webhooks(gateway).reseal()).unreadable == (its,)
        new = await rotate(gateway, made)
        gateway.clock.skew += timedelta(minutes=1)
        await deliver(gateway)
        assert accepts(new["secret"], lost.got[-1]) and accepts(new["public_key"], lost.got[-1])


async def test_of_two_rotations_at_once_nobody_is_told_a_secret_that_does_not_sign(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one comes between the look and the write."""
    async with receiving() as receiver:
        made = await endpoint(gateway, receiver)
        await of_an_older_release(made)
        its = made["webhook_endpoint_id"]
        use, write = webhooks(gateway), store.write_endpoint
        won: list[WebhookEndpoint] = []

        async def late(*arguments: Any) -> bool:
            monkeypatch.setattr(store, "write_endpoint", write)
            won.append(await use.rotate(SHOP, its))
            return await write(*arguments)

        monkeypatch.setattr(store, "write_endpoint", late)
        with pytest.raises(LostRace):
            await use.rotate(SHOP, its)
        message = await sent(gateway, receiver)
        assert accepts(use.keys(won[0]).shared(2), message)

"""No secret is anywhere but sealed: not in the store, not in logs, answers or errors."""

import base64
import logging
from typing import Any

import pytest
import structlog
from wallet_world import KEK, build_world, order, raw_of, served

from tron_payment.engine import CannotSign
from tron_payment.wallets import Wallet, hd
from tron_payment.wallets.keys import Secret

KEY = bytes(range(100, 132))
ENTROPY = bytes(range(50, 82))
FILE_PASSWORD = "a sentence for the file"
WALLET_PASSWORD = "a sentence for the wallet"


def forms(raw: bytes) -> set[bytes]:
    """How these bytes could be written down."""
    texts = {raw.hex(), raw.hex().upper(), str(raw)[2:-1], str(list(raw))[1:-1]}
    texts |= {base64.b64encode(raw).decode()[:-2], base64.urlsafe_b64encode(raw).decode()[:-2]}
    texts |= {str(int.from_bytes(raw))}
    return {raw, raw[::-1], *(text.encode() for text in texts)}


async def test_no_secret_is_written_anywhere(
    mongo: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    words = hd._WORDS.to_mnemonic(ENTROPY)
    seed = hd.seed_of(Secret(ENTROPY)).reveal()
    account = hd.account_node(Secret(ENTROPY))
    world = await build_world(mongo)
    said: list[bytes] = []
    with structlog.testing.capture_logs() as logs:
        async with served(world) as client:

            async def tell(path: str, **body: str) -> dict[str, Any]:
                answer = await client.post(path, json=body)
                said.append(answer.content)
                return answer.json()  # type: ignore[no-any-return]

            hot = await tell(
                "/wallets/import", label="a", private_key=KEY.hex(), password=WALLET_PASSWORD
            )
            deposits = await tell("/wallets/import", label="b", mnemonic=words)
            await tell("/wallets/import", label="c", private_key=KEY.hex())
            await tell("/wallets/import", label="d", private_key=KEY.hex(), kind="hd")
            await tell("/wallets/import", label="d", private_key=KEY.hex(), unknown="x")
            await tell("/wallets/import", label="e", mnemonic=words + " zoo")
            await tell(
                f"/wallets/{hot['wallet_id']}/backup",
                password=FILE_PASSWORD,
                wallet_password=WALLET_PASSWORD,
            )
            backup = await tell(f"/wallets/{deposits['wallet_id']}/backup", password=FILE_PASSWORD)
            await tell("/wallets/restore", backup=backup["backup"], password=FILE_PASSWORD)
            await tell(f"/wallets/{hot['wallet_id']}/verify-password", password=WALLET_PASSWORD)
            for path in ("", f"/{hot['wallet_id']}", f"/{deposits['wallet_id']}"):
                said.append((await client.get(f"/wallets{path}")).content)
        for wallet in await Wallet.find().to_list():
            it = order(wallet, f"ord_{wallet.kind}")
            await world.signer.sign(it, raw_of(it))
            with pytest.raises(CannotSign) as refusal:
                await world.signer.sign(it, b"nonsense")
            said.append(repr((wallet, refusal.value, world.signer, world.house)).encode())
    database = Wallet.get_pymongo_collection().database
    dump = b""
    for name in await database.list_collection_names():
        async for raw in database[name].find_raw_batches({}):
            dump += raw
    streams = capsys.readouterr()
    everything = b"\n".join(
        (
            dump,
            *said,
            repr(logs).encode(),
            caplog.text.encode(),
            streams.out.encode(),
            streams.err.encode(),
        )
    )
    for searched in (dump, b"".join(said), repr(logs).encode()):
        assert hot["wallet_id"].encode() in searched, "the search itself works"
    secrets = {
        "key": KEY,
        "entropy": ENTROPY,
        "seed": seed,
        "account key": account.key.reveal(),
        "child key": account.derive("m/0/0").key.reveal(),
        "kek": bytes.fromhex(KEK),
    }
    for name, secret in secrets.items():
        for form in forms(secret):
            assert form not in everything, (name, form)
    for text in (words, " ".join(words.split()[:4]), FILE_PASSWORD, WALLET_PASSWORD):
        assert text.encode() not in everything, text

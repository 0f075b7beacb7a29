"""What the tests say to a devnet: plain requests, and signing with keys of their own."""

from typing import Any

import httpx

from tron_payment.devnet import Devnet
from tron_payment.devnet.keys import address_of_key, base58check, sha256, sign


class Wallet:
    """A private key, known by a number."""

    def __init__(self, number: int) -> None:
        self.key = number.to_bytes(32, "big")
        self.address = address_of_key(self.key)
        self.hex = self.address.hex()
        self.text = base58check(self.address)


ALICE = Wallet(0xA11CE)
BOB = Wallet(0xB0B)
CAROL = Wallet(0xCA401)
DAVE = Wallet(0xDA7E)


class Client:
    """JSON over ASGI, without sockets."""

    def __init__(self, devnet: Devnet, *, solid_only: bool = False) -> None:
        self.devnet = devnet
        app = devnet.solid_asgi if solid_only else devnet.asgi
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://devnet.example"
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def post(self, url: str, /, **body: Any) -> Any:
        return (await self.http.post(url, json=body)).json()

    async def wallet(self, name: str, /, **body: Any) -> Any:
        return await self.post(f"/wallet/{name}", **body)

    async def solid(self, name: str, /, **body: Any) -> Any:
        return await self.post(f"/walletsolidity/{name}", **body)

    async def fund(self, wallet: Wallet, trx: str = "1000", currency: str = "TRX") -> str:
        """Money from the faucet, in a block."""
        answer = await self.post(
            "/devnet/faucet", address=wallet.text, amount=trx, currency=currency
        )
        await self.devnet.mine()
        return str(answer["txid"])

    def signed(self, transaction: dict[str, Any], *wallets: Wallet) -> dict[str, Any]:
        """The transaction with signatures over the hash of its own bytes."""
        digest = sha256(bytes.fromhex(transaction["raw_data_hex"]))
        signatures = [sign(wallet.key, digest).hex() for wallet in wallets]
        return transaction | {"signature": transaction.get("signature", []) + signatures}

    async def send(self, transaction: dict[str, Any], *wallets: Wallet) -> Any:
        """Sign and broadcast."""
        signed = self.signed(transaction, *wallets)
        return await self.wallet("broadcasttransaction", **signed)

    async def run(self, name: str, wallet: Wallet, /, **body: Any) -> dict[str, Any]:
        """Build, sign, broadcast and mine; returns the receipt."""
        built = await self.wallet(name, owner_address=wallet.hex, **body)
        transaction = built.get("transaction", built)
        assert "txID" in transaction, built
        answer = await self.send(transaction, wallet)
        assert answer.get("result"), answer
        await self.devnet.mine()
        info = await self.wallet("gettransactioninfobyid", value=transaction["txID"])
        assert info, "the transaction was not taken into the block"
        return dict(info)

"""The whole service with both routers on a devnet; blocks by hand, callers of every role."""

import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
from coincurve import PrivateKey

from tests.conftest import Mongo
from tests.gateway.world import API, TAKING_IN, World, somebody
from tests.gateway.world import world as service_world
from tron_payment.contracts import signer_address
from tron_payment.core.address import Address, address_of
from tron_payment.core.money import USDT
from tron_payment.db.ledger import Pocket
from tron_payment.wallets import Wallets

ROUTER_USDT = "200000"
ALICE = somebody(0xA11CE)
_people = count(0x1000)


def person() -> Address:
    """An address that no other test uses, and that looks like no other."""
    return address_of(b"\x41" + hashlib.sha256(f"person {next(_people)}".encode()).digest()[:20])


@dataclass
class Pay:
    """One installation that can pay by every route."""

    world: World
    v0: Address
    kyc: Address

    @property
    def house(self) -> Any:
        return self.world.house

    async def tick(self, blocks: int = 1) -> None:
        await self.world.tick(blocks)

    async def settle(self, rounds: int = 1) -> None:
        """What is due is sent, becomes final, and everybody hears of it."""
        for _ in range(rounds):
            await self.world.work()
            await self.world.solidify()

    async def post(
        self,
        path: str,
        body: Any = None,
        *,
        role: str = "operator",
        sub: str = "op-1",
        key: str | None = "",
        content: bytes | None = None,
        media_type: str = "application/json",
        **claims: Any,
    ) -> httpx.Response:
        """`key` empty: a fresh one; None: no header."""
        headers = self.world.bearer(role, sub, **claims)
        if key == "":
            self.world.keys += 1
            key = f"test-key-{self.world.keys:012}"
        if key is not None:
            headers["Idempotency-Key"] = key
        if content is not None:
            headers["Content-Type"] = media_type
            return await self.world.http.post(API + path, content=content, headers=headers)
        if body is None:
            return await self.world.http.post(API + path, headers=headers)
        return await self.world.http.post(API + path, json=body, headers=headers)

    async def put(
        self, path: str, body: Any, *, role: str = "compliance", sub: str = "co-1"
    ) -> httpx.Response:
        headers = self.world.bearer(role, sub)
        return await self.world.http.put(API + path, json=body, headers=headers)

    async def delete(self, path: str, *, role: str = "operator", sub: str = "op-1") -> Any:
        return await self.world.http.delete(API + path, headers=self.world.bearer(role, sub))

    async def get(
        self, path: str, *, role: str = "operator", sub: str = "op-1", **headers: str
    ) -> httpx.Response:
        return await self.world.http.get(API + path, headers=self.world.bearer(role, sub) | headers)

    async def pay(self, path: str = "initiate", *, sub: str = "op-1", **changes: Any) -> Any:
        """An accepted payout."""
        answer = await self.post(f"/payouts/{path}", wish(**changes), sub=sub)
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def payout(self, payout_id: str) -> Any:
        answer = await self.get(f"/payouts/{payout_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def batch(self, rows: Iterable[dict[str, Any]], **more: Any) -> Any:
        answer = await self.post("/payouts/batch", {"payouts": list(rows), **more})
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def held(self, address: str) -> int:
        """USDT units on the chain's head."""
        answer = await self.get(f"/usdt/balance/{address}")
        whole, _, fraction = answer.json()["balance"].partition(".")
        return int(whole) * 10**6 + int(fraction.ljust(6, "0") or "0")

    async def reserved(self, address: Address) -> int:
        books = self.house.ledger
        return int(await books.balance(address, Pocket.RESERVED, USDT.code))

    async def assert_books_equal_chain(self) -> None:
        """Ledger and chain agree on what treasury and routers hold, and nothing is set aside."""
        for holder in (self.world.treasury, self.v0, self.kyc):
            pockets = (await self.house.ledger.holdings(holder)).get(USDT.code, {})
            assert sum(pockets.values()) == await self.held(holder), holder
            assert pockets.get(Pocket.RESERVED, 0) == 0, (holder, pockets)
        assert await self.house.ledger.verify() is None


def wish(**changes: Any) -> dict[str, Any]:
    """A payout's body; None leaves a field out."""
    body = {"user_id": "node-1", "recipient_address": ALICE, "amount": "12.5", "currency": "USDT"}
    return {name: value for name, value in (body | changes).items() if value is not None}


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    body = answer.json()
    return answer.status_code, body["code"], body["param"]


@asynccontextmanager
async def world(mongo: Mongo, **changes: Any) -> AsyncIterator[Pay]:
    """A funded installation with both routers deployed and funded."""
    async with service_world(mongo, whole=True, unused=TAKING_IN, **changes) as made:
        wallets: Wallets = made.house.use(Wallets)
        treasury = await wallets.find_by_address(made.treasury)
        assert treasury is not None
        usdt = made.house.deployment.usdt
        options = made.options.kyc_attestation_private_key.get_secret_value()
        compliance = signer_address(PrivateKey(bytes.fromhex(options)))
        roles = (usdt, made.treasury, made.treasury, made.treasury)
        deployments = made.assembly.deployments
        orders = [
            await deployments.deploy("PayoutRouterV0", roles, treasury.id, made.treasury),
            await deployments.deploy(
                "PayoutRouterKYC", (*roles, compliance), treasury.id, made.treasury
            ),
        ]
        await made.work()
        await made.solidify()
        found = [await deployments.address(order_id) for order_id in orders]
        assert all(found), found
        v0, kyc = Address(found[0] or ""), Address(found[1] or "")
        made.house.deployment.router_v0, made.house.deployment.router_kyc = v0, kyc
        for router in (v0, kyc):
            await open_books(made, router)
            await made.fund(router, ROUTER_USDT, "USDT")
        await made.solidify()
        pay = Pay(made, v0, kyc)
        assert await pay.held(v0) == 200_000_000_000
        yield pay


async def open_books(made: World, address: Address) -> None:
    """Have the engine follow an address from here on."""
    await made.house.openings.request(address)
    await made.solidify()

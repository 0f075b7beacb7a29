"""A java-tron node asked directly: none of the service's own reading is in between."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.usdt.world import World
from tron_payment.core.address import address_bytes


@dataclass
class RawNode:
    """The devnet's HTTP API, with addresses as people write them."""

    world: World

    async def ask(self, path: str, **body: Any) -> Any:
        transport = httpx.ASGITransport(self.world.devnet.asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as http:
            answer = await http.post(f"/wallet/{path}", json=body | {"visible": True})
        return answer.json()

    async def account(self, address: str) -> dict[str, Any]:
        return dict(await self.ask("getaccount", address=address))

    async def refusal(self, path: str, **body: Any) -> str:
        """What the node says to an operation that it does not take; empty when it takes it."""
        return str((await self.ask(path, **body)).get("Error", ""))

    async def token_word(self, contract: str, signature: str, *addresses: str) -> int:
        """A number that a contract's function answers."""
        words = [address_bytes(each)[1:].hex().rjust(64, "0") for each in addresses]
        answer = await self.ask(
            "triggerconstantcontract",
            owner_address=self.world.hot,
            contract_address=contract,
            function_selector=signature,
            parameter="".join(words),
        )
        return int(answer["constant_result"][0], 16)

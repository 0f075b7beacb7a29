"""A second node of the same chain that can lie, lag and die."""

import json
from typing import Any

import httpx


class SecondNode(httpx.AsyncBaseTransport):
    """The devnet again; lying: with other block ids; stuck: with an old solid head; or dead."""

    devnet: Any = None
    lies = False
    dead = False
    stuck_at: int | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.dead:
            raise httpx.ConnectError("nobody listens")
        if self.stuck_at is not None and request.url.path == "/walletsolidity/getblock":
            asked = json.loads(await request.aread() or b"{}")
            if "id_or_num" not in asked:
                request = _again(request, asked | {"id_or_num": str(self.stuck_at)})
        answer = await httpx.ASGITransport(self.devnet.asgi).handle_async_request(request)
        content = await answer.aread()
        said = json.loads(content)
        if self.lies and isinstance(said, dict) and said.get("blockID"):
            said["blockID"] = said["blockID"][:16] + "f" * 48
            content = json.dumps(said).encode()
        return httpx.Response(answer.status_code, content=content)


def _again(request: httpx.Request, body: dict[str, Any]) -> httpx.Request:
    headers = {k: v for k, v in request.headers.items() if k != "content-length"}
    return httpx.Request(request.method, request.url, json=body, headers=headers)

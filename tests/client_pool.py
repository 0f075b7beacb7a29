"""What a `NodeClient` asks, given to an httpx client: for applications without a socket."""

import httpcore
import httpx


class ClientPool:
    """Every request to the client, every answer whole."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        url = request.url
        authority = url.host.decode() + (f":{url.port}" if url.port else "")
        content = b"".join([part async for part in request.stream])  # type: ignore[union-attr]
        try:
            answer = await self._client.request(
                request.method.decode(),
                f"{url.scheme.decode()}://{authority}{url.target.decode()}",
                headers=request.headers,
                content=content,
            )
        except httpx.TransportError as error:  # as the pool beneath would name it
            raise getattr(httpcore, type(error).__name__)(str(error)) from None
        headers = [
            (name, value)
            for name, value in answer.headers.raw
            if name.lower() not in (b"content-encoding", b"content-length")
        ]
        return httpcore.Response(answer.status_code, headers=headers, content=answer.content)

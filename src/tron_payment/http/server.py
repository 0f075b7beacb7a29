"""The HTTP server: uvicorn, woken when it shall end instead of looking ten times a second."""

import asyncio
from contextlib import suppress
from types import FrameType
from typing import Final

import uvicorn

TICK_S: Final = 1.0
"""Between two looks at the date for the answers' headers."""

_DATE_TICK: Final = 0
"""uvicorn writes the date at ticks that are multiples of ten."""


class Server(uvicorn.Server):
    """Made within the event loop that it serves on."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Take no more requests, finish those under way, return from `serve`."""
        self.should_exit = True
        self._ending.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """For uvicorn's own signal handlers, which run anywhere in the loop's thread."""
        super().handle_exit(sig, frame)
        self._loop.call_soon_threadsafe(self._ending.set)

    async def main_loop(self) -> None:
        """Until it shall end."""
        while not await self.on_tick(_DATE_TICK):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._ending.wait()

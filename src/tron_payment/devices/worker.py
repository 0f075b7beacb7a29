"""One thread for each device, off the event loop, and one question at a time.

A prompt outlives the patience of whoever asked: its late answer must not reach the next caller.
So after a time-out the device is held (`PromptPending`) until the answer has come, and that answer
is thrown away.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, TypeVar

import structlog

from tron_payment.devices.errors import DeviceBusy, DeviceTimeout, PromptPending

T = TypeVar("T")

CANCEL_GRACE_S: Final = 3.0
"""For how long a canceled prompt may take to leave the screen."""

log = structlog.get_logger()


class _State(Enum):
    FREE = "free"
    ASKING = "asking"
    PENDING = "pending"


class DeviceThread:
    """Runs blocking questions to one device, one after the other."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._state = _State.FREE
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def pending(self) -> bool:
        """An earlier prompt is still on the screen."""
        return self._state is _State.PENDING

    async def ask(
        self,
        question: Callable[[], T],
        *,
        timeout_s: float,
        cancel: Callable[[], None] | None = None,
    ) -> T:
        """Run a blocking question.

        Args:
            cancel: Takes the prompt off the screen, where the device can do that.

        Raises:
            DeviceBusy: Somebody else's question is being answered.
            PromptPending: One that timed out is still on the screen.
            DeviceTimeout: No answer in time.
        """
        with self._lock:
            if self._state is _State.ASKING:
                raise DeviceBusy
            if self._state is _State.PENDING:
                raise PromptPending
            self._state = _State.ASKING
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._start()
        self._jobs.put(lambda: self._run(question, answer, loop))
        try:
            done, _ = await asyncio.wait({answer}, timeout=timeout_s)
            if not done and cancel is not None:
                await asyncio.to_thread(cancel)
                await asyncio.wait({answer}, timeout=CANCEL_GRACE_S)
                if answer.done():
                    _discard(answer)
                    raise DeviceTimeout
        except asyncio.CancelledError:
            self._hold()
            answer.add_done_callback(_discard)
            raise
        if answer.done():
            return answer.result()
        self._hold()
        answer.add_done_callback(_discard)
        raise DeviceTimeout

    def _hold(self) -> None:
        with self._lock:
            if self._state is _State.ASKING:
                self._state = _State.PENDING
                log.warning("device.prompt_pending", device=self._name)

    def _run(self, question: Callable[[], T], answer: "asyncio.Future[T]", loop: Any) -> None:
        result: T | None = None
        failed: BaseException | None = None
        try:
            result = question()
        except BaseException as error:  # drivers raise even this; it belongs to whoever asked
            failed = error
        with self._lock:
            self._state = _State.FREE

        def tell() -> None:
            if answer.cancelled() or answer.done():
                return
            if failed is not None:
                answer.set_exception(failed)
            else:
                answer.set_result(result)  # type: ignore[arg-type]

        if not loop.is_closed():
            loop.call_soon_threadsafe(tell)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name=f"device {self._name}", daemon=True
            )
            self._thread.start()

    def _work(self) -> None:
        while True:
            self._jobs.get()()


def _discard(answer: "asyncio.Future[Any]") -> None:
    """A late answer is nobody's; its error was looked at here."""
    if not answer.cancelled():
        answer.exception()

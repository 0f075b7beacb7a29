"""One mongod process: started, listened to, ended. It never outlives this process.

Linux sends the parent-death signal when the *thread* that made the child ends, so a thread of its
own makes the child and stays with it, reading what it prints, until it is gone.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tron_payment.db.binary import EmbeddedMongoUnavailable

PRINTED_LINES_KEPT: Final = 40
STOP_S: Final = 10.0
"""After this a child that ignores SIGTERM is killed; its journal makes that safe."""

_READY: Final = "Waiting for connections"

_LAUNCHER: Final = """
import ctypes, os, signal, sys
parent, curl, argv = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
if os.getppid() != parent:
    sys.exit("the parent is gone")
if curl:
    try:
        ctypes.CDLL("libcurl.so.4")
    except OSError:
        earlier = os.environ.get("LD_LIBRARY_PATH")
        os.environ["LD_LIBRARY_PATH"] = curl + (":" + earlier if earlier else "")
os.execv(argv[0], argv)
"""
"""Runs in a fresh interpreter: code between fork and exec of a threaded parent may deadlock."""


class Child:
    """A running mongod; `ready` tells when it listens, `gone` when it has ended."""

    def __init__(self, argv: Sequence[str], curl: Path | None) -> None:
        self._argv = list(argv)
        self._curl = str(curl or "")
        self._loop = asyncio.get_running_loop()
        self._listens = asyncio.Event()
        self.gone = asyncio.Event()
        self.printed: deque[str] = deque(maxlen=PRINTED_LINES_KEPT)
        self.pid = 0
        self.returncode: int | None = None
        self._process: subprocess.Popen[str] | None = None
        threading.Thread(target=self._live, name="mongod", daemon=True).start()

    async def ready(self, within_s: float) -> None:
        """Wait until the server listens.

        Raises:
            EmbeddedMongoUnavailable: It ended, or does not listen in time.
        """
        waits = [asyncio.create_task(event.wait()) for event in (self._listens, self.gone)]
        try:
            await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self.gone.is_set():
            raise EmbeddedMongoUnavailable(f"mongod ended: {self.last_words()}")
        if not self._listens.is_set():
            raise EmbeddedMongoUnavailable(f"mongod did not listen within {within_s:.0f} s")

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL after `STOP_S`."""
        for sign, wait_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S)):
            if self._process is not None and not self.gone.is_set():
                self._process.send_signal(sign)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self.gone.wait()
                return

    def last_words(self) -> str:
        """Why it ended, as far as it told."""
        for line in reversed(self.printed):
            with contextlib.suppress(ValueError, AttributeError):
                said = json.loads(line)
                if said.get("s") in ("E", "F"):
                    detail = said.get("attr", {}).get("error", "")
                    return f"code {self.returncode}, {said.get('msg')} {detail}".strip()
                continue
            return f"code {self.returncode}, {line}"
        return f"code {self.returncode}"

    def _live(self) -> None:
        launch = (sys.executable, "-I", "-S", "-c", _LAUNCHER)
        argv = [*launch, str(os.getpid()), self._curl, *self._argv]
        try:
            process = subprocess.Popen(  # noqa: S603 - the program that find_mongod chose
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # a Ctrl-C is for us: we end it after our own last write
            )
        except OSError as error:
            self.printed.append(str(error))
            self._tell(self.gone)
            return
        self._process, self.pid = process, process.pid
        assert process.stdout is not None
        for line in process.stdout:
            self.printed.append(line.strip())
            if _READY in line:
                self._tell(self._listens)
        self.returncode = process.wait()
        process.stdout.close()
        self._tell(self.gone)

    def _tell(self, event: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be closed when we are ending
            self._loop.call_soon_threadsafe(event.set)

"""Processor time by process: what a figure costs, whatever else the machine is doing."""

import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.e2e.service import Service

from benchmarks.report import Row

TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
NAMES: Final = {"mongod": "MongoDB", "devnet": "devnet"}


class CpuMeter:
    """Counts from its making on."""

    def __init__(self, service: Service) -> None:
        assert service.process is not None
        self._service = service
        self._before = self._seconds()

    def told(self, count: int, noun: str) -> Row:
        """Milliseconds of processor time for each of `count` things, by process."""
        each = {name: 1000 * seconds / count for name, seconds in self.spent().items()}
        parts = ", ".join(f"{name} {ms:.2f}" for name, ms in sorted(each.items()))
        return Row(
            what=f"processor time for each {noun}",
            figure=f"{sum(each.values()):.2f} ms",
            notes=f"ms: {parts}",
        )

    def spent(self) -> dict[str, float]:
        """Seconds of processor time by process, since it was made."""
        return {name: s - self._before.get(name, 0.0) for name, s in self._seconds().items()}

    def _seconds(self) -> dict[str, float]:
        found: dict[str, float] = defaultdict(float)
        assert self._service.process is not None
        for pid in (self._service.process.pid, *self._service.children()):
            with suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
                name = next((n for word, n in NAMES.items() if word in command), "service")
                found[name] += cpu_seconds(pid)
        return found


def cpu_seconds(pid: int) -> float:
    """Processor time of one process, user and system, since it was started.

    Raises:
        OSError: There is no such process.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND

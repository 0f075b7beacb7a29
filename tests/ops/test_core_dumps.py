"""A crash writes the memory of the process nowhere: every open key is in it."""

import os
import resource
import signal
import subprocess
import sys

import pytest

CRASH = """
import os, resource
from tron_payment import cli
try:
    cli.main(["--help"])
except SystemExit:
    pass
print(*resource.getrlimit(resource.RLIMIT_CORE), flush=True)
os.abort()
"""


@pytest.mark.parametrize("before", [resource.RLIM_INFINITY, 4096, 0])
def test_a_command_that_crashes_leaves_no_core(tmp_path: os.PathLike[str], before: int) -> None:
    """The service is a command, too. A limit that was zero cannot be raised, and is as good for
    files."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    if most != resource.RLIM_INFINITY and (before > most or before == resource.RLIM_INFINITY):
        before = most

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (before, before))

    done = subprocess.run(
        [sys.executable, "-c", CRASH],
        cwd=tmp_path,
        preexec_fn=limited,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGABRT, done.stderr
    most = 0 if before == 0 else 1
    assert done.stdout.splitlines()[-1] == f"{most} {most}"
    assert os.listdir(tmp_path) == []

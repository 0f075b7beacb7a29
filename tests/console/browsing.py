"""Runs the scripts of `browser/` with Node.js and Debian's Chromium."""

import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.processes import run

FOLDER: Final = Path(__file__).parent / "browser"
CHROMIUM: Final = os.environ.get("CHROMIUM", "/usr/bin/chromium")
NODE, NPM = shutil.which("node"), shutil.which("npm")
JOBS_S: Final = 540.0
"""Half a minute on a quiet machine; a busy one gets its time."""

INSTALL_S: Final = 120.0

needs_browser: Final = [
    pytest.mark.browser,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"no Chromium at {CHROMIUM}"),
    pytest.mark.skipif(NODE is None or NPM is None, reason="no Node.js with npm"),
]


async def browse(script: str, *argv: str, within_s: float = JOBS_S) -> dict[str, Any]:
    """What a script reports."""
    status, out, error = await run(NODE or "", script, *argv, cwd=FOLDER, within_s=within_s)
    assert status == 0, error
    found: dict[str, Any] = json.loads(out)
    return found


async def installed() -> None:
    """`npm ci` by the lockfile, once; skips the test where that cannot be."""
    if (FOLDER / "node_modules" / "playwright-core").is_dir():
        return
    status, _, error = await run(
        NPM or "", "ci", "--no-audit", "--no-fund", cwd=FOLDER, within_s=INSTALL_S
    )
    if status:
        pytest.skip(f"playwright-core cannot be installed: {error[-200:]}")

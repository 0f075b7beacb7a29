"""The console in headless Chromium, by the main jobs of a person; axe looks at every page."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import Service

FOLDER = Path(__file__).parent / "browser"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
NODE, NPM = shutil.which("node"), shutil.which("npm")
JOBS_S = 240.0
INSTALL_S = 120.0
RECIPIENT = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC"
ROWS = f"""user_id,recipient_address,amount
ann,{RECIPIENT},11
bob,nobody,11
cid,{RECIPIENT},0.01
"""
BIG_ROWS = f"""user_id,recipient_address,amount
dee,{RECIPIENT},4500
"""
STEPS = [
    "signed in", "keyboard focus is seen", "batch sent", "settled before our eyes", "life opened",
    "approved by another person, seen live",
    "charts seen", "invoice made", "pages inspected", "signed out",
    "a viewer without scripts reads the same",
]  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"no Chromium at {CHROMIUM}"),
    pytest.mark.skipif(NODE is None or NPM is None, reason="no Node.js with npm"),
]


async def run(*argv: str, within_s: float) -> tuple[int, str, str]:
    """A command in the browser's folder: its status, output, errors."""
    child = await asyncio.create_subprocess_exec(
        *argv,
        cwd=FOLDER,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(within_s):
            out, err = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode is not None
    return child.returncode, out.decode(), err.decode()


@pytest.fixture(scope="module")
async def playwright() -> None:
    """`npm ci` by the lockfile, once."""
    if (FOLDER / "node_modules" / "playwright-core").is_dir():
        return
    status, _, error = await run(NPM or "", "ci", "--no-audit", "--no-fund", within_s=INSTALL_S)
    if status:
        pytest.skip(f"playwright-core cannot be installed: {error[-200:]}")


@pytest.fixture(scope="module")
async def seen(
    playwright: None, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What the browser reports after the jobs."""
    file = tmp_path_factory.mktemp("browser") / "batch.csv"
    file.write_text(ROWS)
    big = file.with_name("big.csv")
    big.write_text(BIG_ROWS)
    roles = ("operator", "approver", "auditor", "viewer")
    tokens = json.dumps({role: service.token(role, f"browser-{role}") for role in roles})
    argv = ("main.mjs", service.url, tokens, str(file), str(big))
    status, out, error = await run(NODE or "", *argv, within_s=JOBS_S)
    assert status == 0, error
    found: dict[str, Any] = json.loads(out)
    return found


async def test_a_person_does_the_main_jobs(seen: dict[str, Any]) -> None:
    assert seen.get("error") is None and seen["steps"] == STEPS
    assert (seen["good"], seen["bad"]) == ("1", "2")
    assert "Settled in solidified block" in seen["life"]


async def test_axe_finds_nothing_serious(seen: dict[str, Any]) -> None:
    assert seen["serious"] == []


async def test_no_page_scrolls_sideways(seen: dict[str, Any]) -> None:
    assert seen["sideways"] == []


async def test_the_browser_has_nothing_to_complain_about(seen: dict[str, Any]) -> None:
    missing = [each for each in seen["messages"] if "pay_nobody" not in each]
    assert missing == [] and seen["outside"] == []


async def test_a_viewer_without_scripts_reads_and_has_no_buttons(seen: dict[str, Any]) -> None:
    assert "11 USDT to ann" in seen["scriptless"] and seen["viewerButtons"] == 0

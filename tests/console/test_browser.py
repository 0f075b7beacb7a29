"""The console in headless Chromium, by the main jobs of a person; axe looks at every page."""

import json
from typing import Any

import pytest

from tests.console.browsing import browse, installed, needs_browser
from tests.e2e.service import Service

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

pytestmark = needs_browser


@pytest.fixture(scope="module")
async def seen(service: Service, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser reports after the jobs."""
    await installed()
    file = tmp_path_factory.mktemp("browser") / "batch.csv"
    file.write_text(ROWS)
    big = file.with_name("big.csv")
    big.write_text(BIG_ROWS)
    roles = ("operator", "approver", "auditor", "viewer")
    tokens = json.dumps({role: service.token(role, f"browser-{role}") for role in roles})
    return await browse("main.mjs", service.url, tokens, str(file), str(big))


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

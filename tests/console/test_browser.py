"""The console in headless Chromium, by the main jobs of a person; axe looks at every page."""

from typing import Any

import pytest

from tests.console.browsing import needs_browser
from tests.console.conftest import Browsed

STEPS = [
    "signed in", "keyboard focus is seen", "batch sent", "settled before our eyes", "life opened",
    "approved by another person, seen live",
    "charts seen", "invoice made", "pages inspected", "signed out",
    "a viewer without scripts reads the same",
]  # fmt: skip

pytestmark = needs_browser


@pytest.fixture
def seen(browsed: Browsed) -> dict[str, Any]:
    """What the browser reports after the main jobs."""
    return browsed["main"]


async def test_a_person_does_the_main_jobs(seen: dict[str, Any]) -> None:
    assert seen.get("error") is None and seen["steps"] == STEPS
    assert (seen["good"], seen["bad"]) == ("1", "2")
    assert seen["leftOver"] == 0, "what has ended before our eyes is not offered to be called back"
    assert "Settled in solidified block" in seen["life"]


async def test_axe_finds_nothing_serious(seen: dict[str, Any]) -> None:
    assert seen["serious"] == []


async def test_no_page_scrolls_sideways(seen: dict[str, Any]) -> None:
    assert "\n".join(seen["sideways"]) == ""


async def test_the_browser_has_nothing_to_complain_about(seen: dict[str, Any]) -> None:
    missing = [each for each in seen["messages"] if "pay_nobody" not in each]
    assert missing == [] and seen["outside"] == []


async def test_a_viewer_without_scripts_reads_and_has_no_buttons(seen: dict[str, Any]) -> None:
    assert "11.00 USDT to ann" in seen["scriptless"] and seen["viewerButtons"] == 0

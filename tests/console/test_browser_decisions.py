"""What people decide at the console, in headless Chromium, and what each role finds there."""

import re
from typing import Any

import pytest

from tests.console.browsing import needs_browser
from tests.console.conftest import Browsed
from tron_payment.console.actions_table import ACTIONS
from tron_payment.console.pages import MENU
from tron_payment.http.permissions import permissions_of
from tron_payment.http.principals import Role

STEPS = [
    "quarantine is left by two persons", "a refund is sent and settles before our eyes",
    "a signature is handed in and the payout settles", "a webhook is sent again",
    "a failed payout is paid anew, once", "who may sign is decided by another treasurer",
    "each role found what it may",
]  # fmt: skip
DO = "/console/do/"
FORMS = {
    "/console/payments": "payment:create",
    "/console/webhooks": "webhook:write",
    "/console/batches": "payout:batch",
    "/console/policy": "policy:propose",
    "/console/sign-out": "",
}
"""What a form that is no button of `ACTIONS` needs."""

pytestmark = needs_browser


@pytest.fixture
def seen(browsed: Browsed) -> dict[str, Any]:
    """What the browser reports after the decisions."""
    return browsed["decide"]


async def test_people_decide(seen: dict[str, Any]) -> None:
    assert seen.get("error") is None and seen["steps"] == STEPS
    assert seen["ownDecision"] == 0, "nobody carries out what they proposed"
    assert seen["refused"] == "refused"
    assert seen["left"] == "settled" and seen["refunded"] == "2.00"
    assert "signature" in seen["wrongSignature"] and seen["onceOnly"]
    assert len(seen["came"]) == 2 and len(set(seen["came"])) == 1, "the same message, twice"


async def test_axe_finds_nothing_serious(seen: dict[str, Any]) -> None:
    assert seen["serious"] == []


async def test_no_page_scrolls_sideways(seen: dict[str, Any]) -> None:
    assert "\n".join(seen["sideways"]) == ""


async def test_the_browser_has_nothing_to_complain_about(seen: dict[str, Any]) -> None:
    refused = re.compile(r"the server responded with a status of 4")
    assert [each for each in seen["messages"] if not refused.search(each)] == []
    assert seen["outside"] == []


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_finds_what_it_may_on_every_page(seen: dict[str, Any], role: Role) -> None:
    may, found = permissions_of(role), seen["roles"][role.value]
    shown = [path for _, path, needed in MENU if not needed or needed in may]
    assert found["menu"] == shown
    for _, path, _ in MENU:
        assert found["pages"][path]["status"] == (200 if path in shown else 403), path
    buttons = set()
    for path, page in found["pages"].items():
        for form in page["forms"]:
            if form.startswith(DO):
                needed = ACTIONS[form.removeprefix(DO)].permission
                buttons.add(form.removeprefix(DO))
            else:
                needed = "payment:refund" if form.endswith("/refund") else FORMS[form]
            assert not needed or needed in may, (path, form)
        if page["status"] != 200:
            assert set(page["forms"]) <= {"/console/sign-out"}, path
    if role is Role.OPERATOR:
        assert {"quarantine.propose", "payout.retry", "webhook.ping"} <= buttons
    if role in (Role.VIEWER, Role.AUDITOR):
        assert buttons <= {"books.reconcile"}, "they look"

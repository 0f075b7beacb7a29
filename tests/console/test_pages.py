"""What each role sees, and that nothing on a page can run or come from elsewhere."""

import re

import pytest

from tests.console.conftest import SignIn
from tests.console.world import pay
from tests.e2e.service import Service
from tron_payment.console.api import ApiProblem, at
from tron_payment.console.pages import MENU
from tron_payment.console.review import link_of
from tron_payment.http.permissions import permissions_of
from tron_payment.http.principals import Role

EVIL = "<script>alert(1)</script>"
EVIL_METADATA = {'"><img src=x onerror=alert(1)>': "<svg/onload=alert(2)>{{7*7}}"}
INLINE = re.compile(r"<[^>]*\s(style|on[a-z]+)=", re.IGNORECASE)
OUTSIDE = re.compile(r"""(?:src|action|data)=["'](?:https?:)?//""")


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_sees_what_it_may(sign_in: SignIn, role: Role) -> None:
    browser = await sign_in(role)
    home = await browser.get("/console")
    assert home.status_code == 200
    may = permissions_of(role)
    for _, path, needed in MENU[1:]:
        shown = f'href="{path}"' in home.text
        assert shown == (needed in may), path
        answer = await browser.get(path)
        assert answer.status_code == (200 if shown else 403), (path, answer.status_code)
    batches = (await browser.get("/console/batches")).text
    assert ("Check and price it" in batches) == ("payout:batch" in may)
    payments = (await browser.get("/console/payments")).text
    assert ("New invoice" in payments) == ("payment:create" in may)
    webhooks = (await browser.get("/console/webhooks")).text
    assert ("New endpoint" in webhooks) == ("webhook:write" in may)


async def test_a_button_that_is_not_shown_does_nothing_either(
    sign_in: SignIn, service: Service
) -> None:
    made = await pay(service)
    viewer = await sign_in("viewer")
    page = await viewer.get(f"/console/payouts/{made['payout_id']}")
    assert page.status_code == 200 and "/console/do/payout.cancel" not in page.text
    answer = await viewer.post("/console/do/payout.cancel", data={"id": made["payout_id"]})
    assert answer.status_code == 403 and "missing_permission" in answer.text


async def test_a_stranger_does_not_learn_that_a_payout_exists(
    sign_in: SignIn, service: Service
) -> None:
    made = await pay(service)
    merchant = await sign_in("merchant")
    assert (await merchant.get(f"/console/payouts/{made['payout_id']}")).status_code == 404
    assert made["payout_id"] not in (await merchant.get("/console/payouts")).text


async def test_what_people_wrote_is_shown_and_never_run(sign_in: SignIn, service: Service) -> None:
    made = await pay(service, user_id=EVIL, metadata=EVIL_METADATA)
    browser = await sign_in("operator")
    places = ("/console", "/console/payouts", "/console/events", "/console/payouts?find=alert")
    for path in (*places, f"/console/payouts/{made['payout_id']}"):
        text = (await browser.get(path)).text
        assert "<script>alert" not in text and "<img src=x" not in text and "<svg/" not in text
    life = (await browser.get(f"/console/payouts/{made['payout_id']}")).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in life and "{{7*7}}" in life
    echoed = await browser.get("/console/payouts", params={"find": f'"{EVIL}', "since": EVIL})
    assert EVIL not in echoed.text


async def test_every_page_has_the_policy_and_keeps_it(sign_in: SignIn, service: Service) -> None:
    made = await pay(service)
    browser = await sign_in("operator")
    paths = [path for _, path, _ in MENU]
    paths += [f"/console/payouts/{made['payout_id']}", "/console/charts", "/console/payouts/pay_no"]
    paths += [
        re.findall(r"/console/wallets/wal_\w+", (await browser.get("/console/wallets")).text)[0]
    ]
    for path in paths:
        answer = await browser.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and "form-action 'self'" in policy
        assert answer.headers["referrer-policy"] == "same-origin", "no-referrer hides our Origin"
        assert answer.headers["cache-control"] == "no-store"
        assert not INLINE.search(answer.text), path
        assert not OUTSIDE.search(answer.text), path
        assert not re.search(r"<script(?![^>]*\ssrc=)", answer.text), path


async def test_an_id_cannot_reach_beyond_its_segment(sign_in: SignIn) -> None:
    browser = await sign_in("operator")
    for odd, status in (("..%2F..%2Fme", 401), ("x%3Fstatus=y", 404), ("...", 404)):
        answer = await browser.get(f"/console/payouts/{odd}")
        assert answer.status_code == status, odd
    forged = await browser.post("/console/do/payout.cancel", data={"id": ".."})
    assert forged.status_code == 404
    forged = await browser.post("/console/do/payout.cancel", data={"id": "../../payments/x"})
    assert forged.status_code == 404
    assert (await browser.post("/console/do/nothing", data={"id": "x"})).status_code == 404
    forged = await browser.post("/console/do/payout.approve", data={"id": "batch/bat_1"})
    assert forged.status_code == 404
    forged = await browser.post("/console/do/payout.cancel", data={"path": "x"})
    assert forged.status_code == 404, "a field that no form of ours has"


async def test_a_search_finds_payouts_and_nothing_beside_them(
    sign_in: SignIn, service: Service
) -> None:
    made = await pay(service)
    browser = await sign_in("operator")
    for text in (f"{made['payout_id']}/explain", "bat_x/export", "bat_/../batch"):
        answer = await browser.get("/console/payouts", params={"find": text})
        assert answer.status_code < 500, text
        assert made["payout_id"] + '"' not in answer.text, text


def test_only_what_stands_in_a_path_is_held_to_one_segment() -> None:
    fields = {"id": "pay_1", "reason": "...", "url": "https://a.example/b", "path": "x", "self": ""}
    assert at("/payouts/{id}/reject", **fields) == "/payouts/pay_1/reject"
    assert at("/payouts/{id}", id="a?b#c%2Fd") == "/payouts/a%3Fb%23c%252Fd"
    for wrong in ("batch/bat_1", "pay_1/explain", "/", "..", "."):
        with pytest.raises(ApiProblem) as refused:
            at("/payouts/{id}/approve", id=wrong)
        assert refused.value.status == 404, wrong
    with pytest.raises(KeyError):
        at("/payouts/{id}", path="x")


def test_a_thing_of_an_odd_name_has_no_page() -> None:
    assert link_of("pay_x") == "/console/payouts/pay_x"
    assert link_of("pay_x/explain") == "" and link_of("odd") == ""

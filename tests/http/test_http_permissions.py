"""The table is the law: every role against every permission, and no handler without a row."""

import pytest
from http_world import bearer, claims, serve
from litestar import get

from tron_payment.http.authentication import principal_of
from tron_payment.http.gate import UnguardedRoute
from tron_payment.http.permissions import (
    MOVES_MONEY,
    PERMISSIONS,
    SEES_ALL,
    markdown_table,
    owner_filter,
    sees_all,
)
from tron_payment.http.principals import Role

R = Role


def test_the_rules_that_the_owner_wrote_down() -> None:
    def roles(name: str) -> set[Role]:
        return set(PERMISSIONS[name])

    everybody = set(Role)
    for name in ("network:read", "usdt:read", "staking:read", "service:read", "schema:read"):
        assert roles(name) == everybody
    for name in ("wallet:create", "wallet:import", "wallet:update", "usdt:transfer"):
        assert roles(name) == {R.OPERATOR}
    assert roles("usdt:approve") == {R.OPERATOR}
    assert roles("staking:write") == {R.OPERATOR, R.TREASURER}
    assert roles("wallet:backup") == roles("wallet:restore") == {R.OPERATOR, R.TREASURER}
    assert roles("payment:create") == {R.MERCHANT, R.OPERATOR}
    assert roles("payout:create") == {R.MERCHANT, R.OPERATOR}
    assert roles("payout:direct") == {R.OPERATOR}
    assert roles("payout:approve") == {R.APPROVER, R.TREASURER}
    assert roles("wallet:override") == {R.TREASURER}
    assert roles("recipient:attest") == {R.COMPLIANCE}
    for name in ("config:read", "config:reload", "service:restart"):
        assert roles(name) == {R.ADMIN}
    assert R.MERCHANT not in roles("killswitch:on") and roles("killswitch:off") == {
        R.TREASURER,
        R.ADMIN,
    }


def test_an_admin_moves_no_money_and_an_auditor_only_reads() -> None:
    assert not any(R.ADMIN in PERMISSIONS[name] for name in MOVES_MONEY)
    for name, roles in PERMISSIONS.items():
        verb = name.split(":")[1]
        if verb == "read" and name != "config:read":
            assert R.AUDITOR in roles, name
        elif R.AUDITOR in roles:
            assert name == "reconciliation:run"


def test_merchants_see_their_own_objects_only() -> None:
    merchant = principal_of(claims())
    operator = principal_of(claims(role="operator"))
    auditor = principal_of(claims(role="auditor"))
    for kind in SEES_ALL:
        assert not sees_all(merchant, kind)
        assert sees_all(auditor, kind)
        assert owner_filter(merchant, kind) == {"principal": "user-1"}
        assert owner_filter(auditor, kind) == {}
    assert all(sees_all(operator, kind) for kind in ("payouts", "payments", "wallets"))


def handler_for(permission: str):
    @get("/" + permission.replace(":", "/"), opt={"permission": permission})
    async def answer() -> None:
        return None

    return answer


async def test_every_permission_against_every_role_and_nobody() -> None:
    wrong = []
    async with serve([handler_for(name) for name in PERMISSIONS]) as world:
        for name, roles in PERMISSIONS.items():
            path = "/" + name.replace(":", "/")
            assert (await world.client.get(path)).status_code == 401
            for role in Role:
                headers = bearer(role=role.value, sub=f"{role}-{name}")
                status = (await world.client.get(path, headers=headers)).status_code
                if status != (200 if role in roles else 403):
                    wrong.append((name, role, status))
    assert not wrong


async def test_a_narrowed_token_may_do_less() -> None:
    async with serve() as world:
        read_only = bearer(permissions=["payout:read"])
        assert (await world.client.get("/orders/1", headers=read_only)).status_code == 200
        answer = await world.client.post("/orders", json={}, headers=read_only)
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_permission")
        wide = bearer(permissions=["config:read"])
        assert (await world.client.get("/config", headers=wide)).status_code == 403


@pytest.mark.parametrize(
    "opt", [{}, {"permission": "no:such"}, {"open": True, "permission": "payout:read"}]
)
async def test_a_handler_without_a_row_stops_the_start(opt: dict) -> None:
    @get("/stray", opt=opt)
    async def stray() -> None:
        return None

    with pytest.raises(UnguardedRoute, match="/stray"):
        async with serve([stray]):
            raise AssertionError("it started")


def test_the_table_prints() -> None:
    assert markdown_table().count("\n") == len(PERMISSIONS) + 2

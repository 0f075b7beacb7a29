"""HTTP of the policy, the allow-list and the kill switch."""

from typing import Any

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from tron_payment.core.address import parse_address
from tron_payment.http.exchange import CodeCheck
from tron_payment.http.permissions import require
from tron_payment.http.principals import Principal
from tron_payment.payouts.policy_desk import PolicyDesk
from tron_payment.payouts.policy_views import (
    AllowedView,
    AllowRequest,
    PolicyRequest,
    PolicyView,
    ProposalView,
    SwitchRequest,
    SwitchView,
)

READ: dict[str, Any] = {"permission": "policy:read"}


class PolicyController(Controller):
    """`/policy`: what may be paid, and who must agree."""

    path = "/policy"
    tags = ("policy",)

    @get("/", opt=READ)
    async def read(self, desk: NamedDependency[PolicyDesk]) -> PolicyView:
        """The policy in force."""
        return PolicyView.of(await desk.current())

    @post("/proposals", status_code=HTTP_201_CREATED, opt={"permission": "policy:propose"})
    async def propose(
        self,
        data: JSONBody[PolicyRequest],
        principal: NamedDependency[Principal],
        desk: NamedDependency[PolicyDesk],
    ) -> ProposalView:
        """Propose a policy; somebody else puts it into force."""
        return ProposalView.of(await desk.propose(principal, data.policy()))

    @get("/proposals", opt=READ)
    async def proposals(self, desk: NamedDependency[PolicyDesk]) -> list[ProposalView]:
        """Every policy that was proposed, newest first."""
        return [ProposalView.of(each) for each in await desk.proposals()]

    @post(
        "/proposals/{proposal_id:str}/approve",
        status_code=HTTP_200_OK,
        opt={"permission": "policy:approve", "rate": "approve"},
    )
    async def approve(
        self,
        proposal_id: FromPath[str],
        principal: NamedDependency[Principal],
        desk: NamedDependency[PolicyDesk],
    ) -> ProposalView:
        """Put a proposal into force; never one's own."""
        return ProposalView.of(await desk.approve(principal, proposal_id))

    @post(
        "/proposals/{proposal_id:str}/reject",
        status_code=HTTP_200_OK,
        opt={"permission": "policy:approve", "rate": "approve"},
    )
    async def reject(
        self,
        proposal_id: FromPath[str],
        principal: NamedDependency[Principal],
        desk: NamedDependency[PolicyDesk],
    ) -> ProposalView:
        """Put a proposal away."""
        return ProposalView.of(await desk.reject(principal, proposal_id))

    @post("/allow-list", status_code=HTTP_201_CREATED, opt={"permission": "policy:propose"})
    async def allow(
        self,
        data: JSONBody[AllowRequest],
        principal: NamedDependency[Principal],
        desk: NamedDependency[PolicyDesk],
    ) -> AllowedView:
        """Propose an address for the allow-list."""
        address = parse_address(data.recipient_address, param="recipient_address")
        return AllowedView.of(await desk.allow(principal, address, data.label))

    @get("/allow-list", opt=READ)
    async def allowed(self, desk: NamedDependency[PolicyDesk]) -> list[AllowedView]:
        """The allow-list."""
        return [AllowedView.of(each) for each in await desk.allowed()]

    @post(
        "/allow-list/{address:str}/approve",
        status_code=HTTP_200_OK,
        opt={"permission": "policy:approve", "rate": "approve"},
    )
    async def approve_allowed(
        self,
        address: FromPath[str],
        principal: NamedDependency[Principal],
        desk: NamedDependency[PolicyDesk],
    ) -> AllowedView:
        """Approve an address; its cool-down begins. Never one's own proposal."""
        return AllowedView.of(await desk.approve_allowed(principal, address))

    @delete("/allow-list/{address:str}", opt={"permission": "policy:propose"})
    async def disallow(
        self,
        address: FromPath[str],
        principal: NamedDependency[Principal],
        desk: NamedDependency[PolicyDesk],
    ) -> None:
        """Take an address off the allow-list, at once."""
        await desk.disallow(principal, address)

    @post("/kill-switch", status_code=HTTP_200_OK, opt={"permission": "policy:read", "code": "off"})
    async def switch(
        self,
        data: JSONBody[SwitchRequest],
        principal: NamedDependency[Principal],
        desk: NamedDependency[PolicyDesk],
        code_check: NamedDependency[CodeCheck],
    ) -> SwitchView:
        """Stop everything that is not signed yet, or let it go on.

        On needs the permission `killswitch:on`, off needs `killswitch:off` and, where one is
        required, a code of the second factor.
        """
        require(principal, "killswitch:on" if data.on else "killswitch:off")
        if not data.on:
            await code_check()
        switched = await desk.switch(principal, data.wallet_id, data.on, data.reason)
        return SwitchView.of(switched)

    @get("/kill-switch", opt=READ)
    async def switches(self, desk: NamedDependency[PolicyDesk]) -> list[SwitchView]:
        """Every kill switch that was ever used."""
        return [SwitchView.of(each) for each in await desk.switches()]

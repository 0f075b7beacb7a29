"""The service's own routes at the root: configuration, restart of loops, reload, and health."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from tron_payment.assembly import Assembly
from tron_payment.core.clock import rfc3339
from tron_payment.core.errors import NotFound
from tron_payment.db.acts import describe
from tron_payment.db.audit import Act
from tron_payment.http.health import Check, health_router
from tron_payment.http.principals import Principal
from tron_payment.logs import REDACTED
from tron_payment.module import House
from tron_payment.reload import Reloader
from tron_payment.settings import Settings

VERSION = "0.1.0"


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """The caller as this service knows them."""

    principal_id: str
    role: str
    kyc: str | None
    via: str
    permissions: list[str]


class Restarted(msgspec.Struct, frozen=True, kw_only=True):
    """Which loops were started anew, and where.

    Without the turn loops that work for all processes only wait, in this one.
    """

    service: str
    loops: list[str]
    process: str
    has_turn: bool


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """What took effect; everything else needs a new start."""

    reloaded: list[str]
    restart_needed: list[str]


class NoSuchService(NotFound, code="no_such_service"):
    """There is no service of this name."""


def service_routes(
    assembly: Assembly,
    checks: Mapping[str, Check],
    registry: CollectorRegistry,
    reloader: Reloader | None = None,
) -> list[Router | HTTPRouteHandler]:
    """Health, figures, configuration and restart."""
    house = assembly.house
    services = {module.service for module in assembly.modules}

    async def status() -> dict[str, Any]:
        return await _status(assembly)

    async def stats() -> dict[str, Any]:
        found = {
            module.name: dict(await module.stats())
            for module in assembly.modules
            if module.stats is not None
        }
        return {"orders": dict(await house.engine.stats()), **found}

    @get("/api/v1/me", opt={"permission": "service:read"}, summary="Who you are here")
    async def me(principal: NamedDependency[Principal]) -> Me:
        return Me(
            principal_id=principal.id,
            role=principal.role,
            kyc=principal.kyc,
            via=principal.via,
            permissions=sorted(principal.permissions),
        )

    @get("/config", opt={"permission": "config:read"}, summary="The configuration, redacted")
    async def config(house: NamedDependency[House]) -> dict[str, Any]:
        return redacted(house.settings)

    @post(
        "/config/reload",
        status_code=HTTP_200_OK,
        opt={"permission": "config:reload"},
        summary="Read again what can change while running",
    )
    async def reload(
        house: NamedDependency[House], principal: NamedDependency[Principal]
    ) -> Reloaded:
        describe(object_id="configuration")
        if reloader is None:
            return Reloaded(reloaded=[], restart_needed=[])
        done = reloader.reload()
        house.settings = reloader.settings
        await house.audit.append(
            Act(
                actor=principal.id,
                role=principal.role,
                action="config.reload",
                object_id="configuration",
                after={"reloaded": list(done.reloaded)},
            )
        )
        return Reloaded(reloaded=list(done.reloaded), restart_needed=list(done.restart_needed))

    @post(
        "/restart/{service_name:str}",
        status_code=HTTP_202_ACCEPTED,
        opt={"permission": "service:restart"},
        summary="Start a service's background loops anew, in the process that answers",
    )
    async def restart(
        service_name: FromPath[str], principal: NamedDependency[Principal]
    ) -> Restarted:
        if service_name not in services:
            raise NoSuchService(f"one of {', '.join(sorted(services))}")
        await house.audit.append(
            Act(
                actor=principal.id,
                role=principal.role,
                action="service.restart",
                object_id=service_name,
            )
        )
        return Restarted(
            service=service_name,
            loops=await assembly.loops.restart(service_name),
            process=assembly.process,
            has_turn=assembly.loops.has_turn,
        )

    health = health_router(
        checks,
        registry,
        status=status,
        stats=stats,
        module_stats={m.service: m.stats for m in assembly.modules if m.stats is not None},
    )
    return [health, me, config, reload, restart]


_URL_USER: Final = re.compile(r"(://)[^/@\s,]*@")
_URL_REST: Final = re.compile(r"(://[^/?#\s,]+)(?:/[^\s,]+|/?[?#][^\s,]*)")


def redacted(settings: Settings) -> dict[str, Any]:
    """Every setting by its environment name; secrets say only whether they are set.

    Of a URL stay scheme, host and port: providers put their keys into users, paths and queries.
    """
    shown: dict[str, Any] = {}
    for name, value in settings:
        if isinstance(value, SecretStr):
            value = REDACTED if value.get_secret_value() else ""
        elif isinstance(value, str) and name != "public_base_url":  # it is for everybody
            value = _URL_REST.sub(rf"\1/{REDACTED}", _URL_USER.sub(rf"\1{REDACTED}@", value))
        shown[name.upper()] = value if isinstance(value, bool | int | float) else str(value)
    return shown


async def _status(assembly: Assembly) -> dict[str, Any]:
    house, follower = assembly.house, assembly.follower.status()
    return {
        "service": house.settings.service_name,
        "version": VERSION,
        "process": assembly.process,
        "has_turn": assembly.loops.has_turn,
        "environment": house.settings.lucid_env.value,
        "network": house.settings.tron_network.value,
        "time": rfc3339(house.clock.now()),
        "follower": {
            "block": follower.number,
            "solid_block": follower.solid_number,
            "lag_blocks": follower.lag_blocks,
            "halted": follower.halted or None,
        },
        "nodes": [
            {
                "alias": node.alias,
                "circuit": str(node.breaker),
                "apart": node.apart,
                "head": node.head,
                "solid": node.solid,
                "lag_blocks": node.lag_blocks,
            }
            for node in house.nodes.status()
        ],
        "loops": [
            {
                "name": loop.name,
                "service": loop.service,
                "steps": loop.steps,
                "failures": loop.failures,
                "last_error": loop.last_error or None,
            }
            for loop in assembly.loops.all
        ],
        "orders": dict(await house.engine.unfinished()),
    }

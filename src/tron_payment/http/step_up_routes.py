"""HTTP of the second factor: enrol, confirm, look at and remove one's own; reset another's."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from tron_payment.core.redaction import Silent
from tron_payment.http.principals import Principal
from tron_payment.http.step_up import FINGERPRINT_HEX, SecondFactor, StepUp
from tron_payment.http.totp import DIGITS, PERIOD_S

OWN: Final[dict[str, Any]] = {"permission": "totp:enrol", "rate": "approve"}
"""What changes one's own second factor."""

CODE_PATTERN: Final = rf"^[0-9]{{{DIGITS}}}$(?!\n)"

Code = Annotated[str, msgspec.Meta(pattern=CODE_PATTERN, description="What the device shows.")]


class CodeRequest(Silent, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A code of one's second factor."""

    code: Code


class ResetRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose second factor is lost."""

    principal: Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,128}$(?!\n)")]


class ReleaseRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose second factor may count, by the fingerprint that they have told you."""

    principal: Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,128}$(?!\n)")]
    fingerprint: Annotated[str, msgspec.Meta(pattern=rf"^[0-9a-f]{{{FINGERPRINT_HEX}}}$(?!\n)")]


class EnrolmentView(Silent, msgspec.Struct, frozen=True, kw_only=True):
    """A new second factor; the secret is shown this once, as text and as what a QR code holds."""

    secret: str
    otpauth_uri: str
    fingerprint: str
    """Tell it to the admin who releases the factor, by voice or in person."""

    digits: int
    period_s: int


class FactorView(msgspec.Struct, frozen=True, kw_only=True):
    """One's second factor, without its secret. `required`: approvals ask for its code; `enrolled`:
    it counts, because somebody has released it."""

    enrolled: bool
    required: bool
    confirmed_at: datetime | None
    locked_until: datetime | None


def _view(factor: SecondFactor | None, step_up: StepUp) -> FactorView:
    return FactorView(
        enrolled=factor is not None and factor.active,
        required=step_up.required,
        confirmed_at=factor.confirmed_at if factor else None,
        locked_until=factor.locked_until if factor else None,
    )


@post("/me/totp", status_code=HTTP_201_CREATED, opt=OWN)
async def enrol_factor(
    principal: NamedDependency[Principal],
    request_id: NamedDependency[str],
    step_up: NamedDependency[StepUp],
) -> EnrolmentView:
    """Make a secret for an authenticator app; it counts once a code of it came back and an admin
    has released it."""
    secret, uri, fingerprint = await step_up.enrol(principal, request_id)
    return EnrolmentView(
        secret=secret,
        otpauth_uri=uri,
        fingerprint=fingerprint,
        digits=DIGITS,
        period_s=PERIOD_S,
    )


@post("/me/totp/confirm", status_code=HTTP_200_OK, opt=OWN)
async def confirm_factor(
    data: JSONBody[CodeRequest],
    principal: NamedDependency[Principal],
    request_id: NamedDependency[str],
    step_up: NamedDependency[StepUp],
) -> FactorView:
    """Show by a first code that the secret arrived."""
    return _view(await step_up.confirm(principal, data.code, request_id), step_up)


@post("/me/totp/remove", status_code=HTTP_200_OK, opt=OWN)
async def remove_factor(
    data: JSONBody[CodeRequest],
    principal: NamedDependency[Principal],
    request_id: NamedDependency[str],
    step_up: NamedDependency[StepUp],
) -> FactorView:
    """Take your second factor away, with one of its codes; for another device, say."""
    await step_up.remove(principal, data.code, request_id)
    return _view(None, step_up)


@get("/me/totp", opt={"permission": "totp:enrol"})
async def show_factor(
    principal: NamedDependency[Principal], step_up: NamedDependency[StepUp]
) -> FactorView:
    """Say whether you have a second factor, and whether you need one."""
    return _view(await step_up.find(principal), step_up)


@post(
    "/totp/release",
    status_code=HTTP_200_OK,
    opt={"permission": "totp:release", "rate": "approve"},
)
async def release_factor(
    data: JSONBody[ReleaseRequest],
    principal: NamedDependency[Principal],
    request_id: NamedDependency[str],
    step_up: NamedDependency[StepUp],
) -> FactorView:
    """Let somebody's new second factor count, by its fingerprint; never your own."""
    factor = await step_up.release(data.principal, data.fingerprint, principal, request_id)
    return _view(factor, step_up)


@post("/totp/reset", status_code=HTTP_200_OK, opt={"permission": "totp:reset", "rate": "approve"})
async def reset_factor(
    data: JSONBody[ResetRequest],
    principal: NamedDependency[Principal],
    request_id: NamedDependency[str],
    step_up: NamedDependency[StepUp],
) -> FactorView:
    """Take away the second factor of somebody who lost their device; never your own."""
    await step_up.reset(data.principal, principal, request_id)
    return _view(None, step_up)


HANDLERS: Final[tuple[Any, ...]] = (
    enrol_factor,
    confirm_factor,
    remove_factor,
    show_factor,
    release_factor,
    reset_factor,
)


def step_up_router(step_up: StepUp) -> Router:
    """The routes ``/me/totp`` and ``/totp``; mount it below the canonical prefix."""
    return Router(
        "/",
        route_handlers=list(HANDLERS),
        dependencies={"step_up": Provide(lambda: step_up, sync_to_thread=False)},
        tags=["second factor"],
    )

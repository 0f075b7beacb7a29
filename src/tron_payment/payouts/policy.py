"""What the policy says about a payout: refuse, flag, ask people, or let it go. Pure.

The default policy (version 0) has no limits, no bands and no allow-list; it flags new recipients,
look-alikes and bursts. Whatever is decided is stored with the payout: rule, version, outcome.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain, pairwise
from typing import Any, Final

import msgspec

from tron_payment.core.errors import Conflict, Forbidden, NotFound, Refused
from tron_payment.core.money import decimal_text
from tron_payment.payouts.limits import Breach, Ceiling, Window

DECIMALS: Final = 6
"""Of both currencies that payouts have."""

COOL_DOWN: Final = timedelta(hours=24)
APPROVAL_LIFETIME: Final = timedelta(hours=72)
BURST_COUNT: Final = 100
BURST_WINDOW: Final = timedelta(seconds=60)
"""More payouts of one principal within this are flagged."""

ALLOW_LIST: Final = "allow_list"
WINDOW_NAMES: Final = {"1h": Window.HOUR, "24h": Window.DAY, "30d": Window.MONTH}


class RecipientNotAllowed(Refused, code="recipient_not_allowed"):
    """The recipient is not on the allow-list."""


class RecipientCoolingDown(Refused, code="recipient_cooling_down"):
    """The recipient is on the allow-list, but not for long enough."""


class RecipientDiffers(Refused, code="recipient_differs"):
    """The recipient book has another address for this user."""


class LimitExceeded(Refused, code="limit_exceeded"):
    """This payout would break a limit on what is paid within a time."""


class PayoutCapExceeded(Refused, code="payout_cap_exceeded"):
    """The policy allows no single payout of this size."""


class OwnApproval(Forbidden, code="own_approval"):
    """Nobody approves what they created."""


class NotAnApprover(Forbidden, code="not_an_approver"):
    """The policy names others as approvers of this."""


class ApproversDiffer(Refused, code="approvers_differ"):
    """Several approval bands apply, and too few people are an approver of each of them."""


class NotAwaitingApproval(Conflict, code="not_awaiting_approval"):
    """This does not wait for an approval."""


class ApprovalExpired(Conflict, code="approval_expired"):
    """It waited too long for its approvals."""


class IntentChanged(Conflict, code="order_hash_differs"):
    """You approve something else than what would be paid: look at it again."""


class ProposalNotFound(NotFound, code="proposal_not_found"):
    """There is no such proposal."""


class InvalidPolicy(Refused, code="invalid_policy"):
    """This policy contradicts itself."""


class Outcome(StrEnum):
    ALLOW = "allow"
    FLAG = "flag"
    APPROVE = "approve"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Band:
    """Amounts above `above_units` of a currency need approvals by this many people."""

    currency: str
    above_units: int
    approvals: int
    approvers: tuple[str, ...] = ()
    """Whose approval counts (the m of "n of m"); empty means everybody with the permission."""


@dataclass(frozen=True, slots=True)
class Cap:
    """No single payout above this."""

    currency: str
    units: int


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in force."""

    version: int = 0
    caps: tuple[Cap, ...] = ()
    ceilings: tuple[Ceiling, ...] = ()
    bands: tuple[Band, ...] = ()
    allow_list: bool = False
    cool_down: timedelta = COOL_DOWN
    approval_lifetime: timedelta = APPROVAL_LIFETIME
    user_cool_down: timedelta = timedelta()
    """How long a booked user is not paid after the book's address for them has changed; while it is
    above zero, booked users are paid at the booked address only."""


DEFAULT: Final = Policy()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when a payout is judged."""

    currency: str
    units: int
    recipient: str
    now: datetime
    paid_before: bool = True
    look_alikes: tuple[str, ...] = ()
    recent_payouts: int = 0
    """Of the same principal within `BURST_WINDOW`, this one not counted."""

    allowed_at: datetime | None = None
    """When the recipient was put on the allow-list and approved; None when it is not."""

    allow_list_applies: bool = True
    stranger: bool = False
    """A call of a contract that is not known here: its amount says nothing."""

    booked_address: str | None = None
    """Of the user in the recipient book; None when the user is not in it."""

    address_changed_at: datetime | None = None
    """When the book last took another address for this user in place of an earlier one."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one rule said."""

    rule: str
    outcome: Outcome
    detail: str = ""

    def stored(self, version: int) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "version": version,
            "outcome": self.outcome.value,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """All rules together."""

    version: int
    decisions: tuple[Decision, ...]
    refusal: Refused | None = None
    approvals_needed: int = 0
    approvers: tuple[str, ...] = ()
    flags: tuple[str, ...] = field(default=())

    def stored(self) -> list[dict[str, Any]]:
        return [decision.stored(self.version) for decision in self.decisions]


def evaluate(policy: Policy, facts: Facts) -> Verdict:
    """Judge one payout; rolling limits are counted apart (limits.py).

    rule            below or at the bound       above it
    cap             nothing                     refuse  payout_cap_exceeded
    allow_list      listed and cooled down      refuse  recipient_not_allowed, _cooling_down
    user_address    as booked, long enough      refuse  recipient_differs, _cooling_down
    approval_band   nothing                     approve, as many as the highest band asks
                    a stranger's contract: what the highest bands of all currencies ask
    new_recipient   paid before                 flag
    look_alike      none like it                flag
    burst           BURST_COUNT within a minute flag
    """
    decisions: list[Decision] = []
    refusal: Refused | None = None
    for cap in policy.caps:
        if cap.currency == facts.currency and facts.units > cap.units:
            text = f"at most {decimal_text(cap.units, DECIMALS)} {cap.currency} at once"
            decisions.append(Decision("cap", Outcome.REFUSE, text))
            refusal = refusal or PayoutCapExceeded(text, param="amount")
    if policy.allow_list and facts.allow_list_applies:
        refused = _allow_list(policy, facts)
        outcome = Outcome.ALLOW if refused is None else Outcome.REFUSE
        decisions.append(Decision(ALLOW_LIST, outcome, refused.detail if refused else ""))
        refusal = refusal or refused
    if policy.user_cool_down and facts.booked_address is not None:
        refused = _user_address(policy, facts)
        outcome = Outcome.ALLOW if refused is None else Outcome.REFUSE
        decisions.append(Decision("user_address", outcome, refused.detail if refused else ""))
        refusal = refusal or refused
    flags = tuple(_flags(facts))
    decisions.extend(Decision(flag, Outcome.FLAG) for flag in flags)
    units = {facts.currency: facts.units}
    bands = bands_of(policy, None if facts.stranger else units)
    needed, approvers, outcome = 0, tuple[str, ...](), Outcome.APPROVE
    try:
        needed, approvers = approval_by(bands)
    except ApproversDiffer as differ:
        refusal, outcome = refusal or differ, Outcome.REFUSE
    if bands:
        text = f"above {decimal_text(bands[0].above_units, DECIMALS)} {bands[0].currency}"
        text = "a call of a contract that is not known" if facts.stranger else text
        decisions.append(Decision("approval_band", outcome, text))
    if not decisions:
        decisions.append(Decision("default", Outcome.ALLOW))
    return Verdict(
        version=policy.version,
        decisions=tuple(decisions),
        refusal=refusal,
        approvals_needed=needed,
        approvers=approvers,
        flags=flags,
    )


def bands_of(policy: Policy, totals: Mapping[str, int] | None) -> list[Band]:
    """Of each currency the highest band that its total lies above; of all, when nobody knows."""
    found: dict[str, Band] = {}
    for band in sorted(policy.bands, key=_begin):
        if totals is None or totals.get(band.currency, 0) > band.above_units:
            found[band.currency] = band
    return list(found.values())


def approval_by(bands: Iterable[Band]) -> tuple[int, tuple[str, ...]]:
    """How many people must approve, and who may (nobody named: everybody with the permission), so
    that each of these bands has what it asks for.

    Raises:
        ApproversDiffer: The bands name too few in common.
    """
    asking = [band for band in bands if band.approvals]
    needed = max((band.approvals for band in asking), default=0)
    named = [band.approvers for band in asking if band.approvers]
    common = [who for who in dict.fromkeys(chain(*named)) if all(who in each for each in named)]
    if named and len(common) < needed:
        raise ApproversDiffer
    return needed, tuple(common)


def _allow_list(policy: Policy, facts: Facts) -> Refused | None:
    if facts.allowed_at is None:
        return RecipientNotAllowed(param="recipient_address")
    free_at = facts.allowed_at + policy.cool_down
    if facts.now < free_at:
        return RecipientCoolingDown(f"from {free_at.isoformat()}", param="recipient_address")
    return None


def _user_address(policy: Policy, facts: Facts) -> Refused | None:
    if facts.booked_address != facts.recipient:
        return RecipientDiffers(param="recipient_address")
    if facts.address_changed_at is None:
        return None
    free_at = facts.address_changed_at + policy.user_cool_down
    if facts.now < free_at:
        return RecipientCoolingDown(f"from {free_at.isoformat()}", param="recipient_address")
    return None


def _flags(facts: Facts) -> Iterable[str]:
    if not facts.paid_before:
        yield "new_recipient"
    if facts.look_alikes and not facts.paid_before:
        yield "look_alike"
    if facts.recent_payouts >= BURST_COUNT:
        yield "burst"


def limit_exceeded(breach: Breach) -> LimitExceeded:
    """The refusal that a broken ceiling gives."""
    ceiling = breach.ceiling
    names = {window: name for name, window in WINDOW_NAMES.items()}
    most = decimal_text(ceiling.units, DECIMALS)
    return LimitExceeded(
        f"at most {most} {ceiling.currency} in {names[ceiling.window]} for each {ceiling.kind}",
        param="amount",
        extra={
            "limit": most,
            "window": names[ceiling.window],
            "scope": ceiling.kind,
            "free": decimal_text(breach.free_units, DECIMALS),
        },
    )


def check_policy(policy: Policy) -> None:
    """Refuse what can never be fulfilled.

    Raises:
        InvalidPolicy
    """
    seen: set[tuple[str, int]] = set()
    for band in policy.bands:
        if (band.currency, band.above_units) in seen:
            raise InvalidPolicy("two approval bands begin at the same amount", param="bands")
        seen.add((band.currency, band.above_units))
        if band.approvers and len(set(band.approvers)) < band.approvals:
            raise InvalidPolicy("a band names fewer approvers than it asks for", param="bands")
    for currency in {band.currency for band in policy.bands}:
        rising = sorted((b for b in policy.bands if b.currency == currency), key=_begin)
        if any(a.approvals > b.approvals for a, b in pairwise(rising)):
            raise InvalidPolicy("a higher band asks for fewer approvals", param="bands")


def _begin(band: Band) -> int:
    return band.above_units


def check_approver(principal_id: str, creator: str, approvers: Sequence[str]) -> None:
    """
    Raises:
        OwnApproval: They created it.
        NotAnApprover: The band names others.
    """
    if principal_id == creator:
        raise OwnApproval
    if approvers and principal_id not in approvers:
        raise NotAnApprover


def intent_hash(*parts: Any) -> str:
    """What an approval is bound to: SHA-256 over everything that decides what is paid to whom."""
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def facts_stored(policy: Policy) -> dict[str, Any]:
    """A policy as MongoDB keeps it."""
    return {
        "caps": [{"currency": c.currency, "units": c.units} for c in policy.caps],
        "ceilings": [
            {"kind": c.kind, "window": c.window.name, "currency": c.currency, "units": c.units}
            for c in policy.ceilings
        ],
        "bands": [
            {
                "currency": b.currency,
                "above_units": b.above_units,
                "approvals": b.approvals,
                "approvers": list(b.approvers),
            }
            for b in policy.bands
        ],
        "allow_list": policy.allow_list,
        "cool_down_s": int(policy.cool_down.total_seconds()),
        "approval_lifetime_s": int(policy.approval_lifetime.total_seconds()),
        "user_cool_down_s": int(policy.user_cool_down.total_seconds()),
    }


def policy_of(version: int, stored: dict[str, Any]) -> Policy:
    """The policy that `facts_stored` made this of."""
    return Policy(
        version=version,
        caps=tuple(Cap(row["currency"], row["units"]) for row in stored["caps"]),
        ceilings=tuple(
            Ceiling(row["kind"], Window[row["window"]], row["currency"], row["units"])
            for row in stored["ceilings"]
        ),
        bands=tuple(
            Band(r["currency"], r["above_units"], r["approvals"], tuple(r["approvers"]))
            for r in stored["bands"]
        ),
        allow_list=stored["allow_list"],
        cool_down=timedelta(seconds=stored["cool_down_s"]),
        approval_lifetime=timedelta(seconds=stored["approval_lifetime_s"]),
        user_cool_down=timedelta(seconds=stored.get("user_cool_down_s", 0)),
    )

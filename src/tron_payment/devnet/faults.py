"""Failures on demand: rules by path that the node applies to its own answers."""

import random
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

KINDS: Final = (
    "drop_request",
    "drop_answer",
    "delay",
    "status",
    "refuse",
    "html",
    "truncate",
    "lag",
    "lie",
    "flap",
)
STATUSES: Final = (403, 429, 503)
MAX_RULES: Final = 1_000
MAX_DELAY_MS: Final = 600_000
MAX_COMPLAINT: Final = 200
_KINDS_OF_VALUE: Final[dict[str, tuple[type, ...]]] = {
    "path": (str,),
    "kind": (str,),
    "times": (int, type(None)),
    "probability": (int, float),
    "delay_ms": (int,),
    "status": (int,),
    "blocks": (int,),
    "answer": (dict,),
    "retry_after_s": (int, type(None)),
    "code": (str,),
    "message": (str,),
    "accepted": (bool,),
}


class BadRule(ValueError):
    """The rule cannot be understood."""


@dataclass(slots=True)
class Rule:
    """One rule.

    Attributes:
        path: A pattern such as ``/wallet/broadcast*``; ``*`` is every path but the controls.
        kind: drop_request (nothing happens, no answer), drop_answer (it happens, no answer),
            delay, status, refuse (a broadcast is answered with `code` and `message`; with
            `accepted` it is in the pool all the same), html, truncate (half the JSON), lag
            (stale by `blocks`), lie (the answer's fields are overwritten by `answer`), flap
            (every second answer comes from the history before the last fork).
        times: Answers left until the rule is used up; None for ever.
        probability: Of the rule applying to a request.
    """

    id: int
    path: str
    kind: str
    times: int | None = None
    probability: float = 1.0
    delay_ms: int = 0
    status: int = 503
    blocks: int = 0
    answer: dict[str, Any] = field(default_factory=dict)
    retry_after_s: int | None = None
    code: str = "SERVER_BUSY"
    message: str = "Server busy."
    accepted: bool = False
    used: int = 0

    def __post_init__(self) -> None:
        """
        Raises:
            BadRule: A value has the wrong type or is out of range.
        """
        for name, kinds in _KINDS_OF_VALUE.items():
            value = getattr(self, name)
            if (isinstance(value, bool) and bool not in kinds) or not isinstance(value, kinds):
                raise BadRule(f"{name} cannot be {value!r}"[:MAX_COMPLAINT])
        if self.kind not in KINDS:
            raise BadRule(f"kind is one of {', '.join(KINDS)}")
        if self.kind == "status" and self.status not in STATUSES:
            raise BadRule(f"status is one of {STATUSES}")
        if not 0 <= self.delay_ms <= MAX_DELAY_MS or self.blocks < 0:
            raise BadRule(f"delay_ms is 0 to {MAX_DELAY_MS}, blocks 0 or more")
        if not 0 <= self.probability <= 1 or (self.times is not None and self.times < 1):
            raise BadRule("probability is 0 to 1, times 1 or more")
        if self.retry_after_s is not None and self.retry_after_s < 0:
            raise BadRule("retry_after_s is 0 or more")

    def view(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Faults:
    """The rules in force, in order; the first of each kind that matches applies."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311 a repeatable run, not a secret
        self._rules: list[Rule] = []
        self._next = 1

    def add(self, body: dict[str, Any]) -> Rule:
        """
        Raises:
            BadRule: A value is missing, unknown or out of range.
        """
        known = set(Rule.__slots__) - {"id", "used"}
        if unknown := set(body) - known:
            raise BadRule(f"unknown: {', '.join(sorted(unknown))}")
        if len(self._rules) >= MAX_RULES:
            raise BadRule(f"at most {MAX_RULES} rules")
        rule = Rule(id=self._next, **({"path": "*", "kind": ""} | body))
        self._next += 1
        self._rules.append(rule)
        return rule

    def list(self) -> list[dict[str, Any]]:
        return [rule.view() for rule in self._rules]

    def clear(self, rule_id: int | None = None) -> int:
        """Remove one rule or all; returns how many."""
        before = len(self._rules)
        self._rules = [r for r in self._rules if rule_id is not None and r.id != rule_id]
        return before - len(self._rules)

    def strike(self, path: str) -> dict[str, Rule]:
        """The rules that apply to this request, by kind; each use is counted."""
        struck: dict[str, Rule] = {}
        for rule in self._rules:
            if rule.kind in struck or not (rule.path == "*" or fnmatchcase(path, rule.path)):
                continue
            if rule.probability < 1 and self._random.random() >= rule.probability:
                continue
            rule.used += 1
            if rule.times is not None:
                rule.times -= 1
            struck[rule.kind] = rule
        if struck:
            self._rules = [rule for rule in self._rules if rule.times != 0]
        return struck

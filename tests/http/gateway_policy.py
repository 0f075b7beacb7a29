"""What a gateway makes of deploy/gateway/policy.yml: the first rule that matches decides."""

import re
from pathlib import Path
from typing import Any

import yaml

from tron_payment.http.principals import Role

POLICY: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "deploy" / "gateway" / "policy.yml").read_text()
)
ANYBODY = "anybody"


def passes(method: str, path: str) -> set[str]:
    """The roles that may ask so; `ANYBODY` needs no token."""
    for rule in POLICY["rules"]:
        if method not in rule.get("methods", [method]) or not any(
            re.fullmatch(re.escape(each).replace(r"\*", ".*"), path) for each in rule["paths"]
        ):
            continue
        if "allow" in rule:
            return {ANYBODY} if rule["allow"] == ANYBODY else set()
        return {role.value for role in Role} if rule["roles"] == "any" else set(rule["roles"])
    return set()

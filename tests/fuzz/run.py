"""Runs schemathesis against a real service, role by role, and counts what the service answered.

    python -m tests.fuzz                            20,000 requests or more, all roles, seed 1
    python -m tests.fuzz --seed 7 --roles operator  one role again, as that seed had it

The service is started here, with its MongoDB and its devnet. The first round of each role goes
through all phases; later rounds, each with the next seed, through those that a seed decides. The
run ends when enough requests were answered, at the first round with a finding, or when its time
is over. What counts is the service's own figures: how many requests, and that none was a 5xx.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from tests.e2e.service import Service

ROLES: Final = (
    "operator",
    "treasurer",
    "merchant",
    "approver",
    "compliance",
    "admin",
    "auditor",
    "viewer",
)
CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "allow_header_conformance",
    "unsupported_method",
    "missing_required_header",
    "ignored_auth",
)
"""Those that our document can promise. What is accepted of well-formed content depends on money
and chain, which no schema says, so the checks that judge 200 against 422 have no basis here."""

ALL_PHASES: Final = "examples,coverage,fuzzing,stateful"
SEEDED_PHASES: Final = "fuzzing,stateful"
EXAMPLES_FIRST: Final = 8
EXAMPLES_LATER: Final = 16
REQUESTS: Final = 20_000
MINUTES_MAX: Final = 120
ROUNDS_MAX: Final = 1_000
PASS_S_MAX: Final = 1_200
CALL_S: Final = 30
STOP_S: Final = 20
RATES: Final = dict.fromkeys(("RATE_READ", "RATE_WRITE", "RATE_PAYOUT", "RATE_APPROVE"), "1000000")
_SAMPLE: Final = re.compile(r"^http_requests_total\{(.*)\} ([0-9.e+]+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


@dataclass(slots=True)
class Pass:
    """What one run of schemathesis said."""

    role: str
    seed: int
    exit: int
    cases: int = 0
    failures: list[str] = field(default_factory=list)
    report: Path | None = None


Figures = Counter[tuple[str, str, str]]
"""Requests answered, by method, route and status."""


@dataclass(slots=True)
class Outcome:
    """All passes, and what the service counted meanwhile."""

    passes: list[Pass]
    figures: Figures

    @property
    def answered(self) -> int:
        return self.figures.total()

    @property
    def crashed(self) -> list[str]:
        """Routes that answered a 5xx, with the status."""
        return [
            f"{method} {route}: {count} times {status}"
            for (method, route, status), count in sorted(self.figures.items())
            if status.startswith("5")
        ]

    @property
    def good(self) -> bool:
        return not self.crashed and all(each.exit == 0 for each in self.passes)

    def table(self) -> str:
        lines = [f"{'role':<12}{'seed':>6}{'cases':>8}{'findings':>10}"]
        for each in self.passes:
            lines.append(f"{each.role:<12}{each.seed:>6}{each.cases:>8}{len(each.failures):>10}")
            lines += [f"    {text}" for text in each.failures]
        statuses: Counter[str] = Counter()
        for (_, _, status), count in self.figures.items():
            statuses[status] += count
        by_status = ", ".join(f"{s}: {n}" for s, n in sorted(statuses.items()))
        routes = {(method, route) for method, route, _ in self.figures}
        good = {(m, r) for m, r, status in self.figures if status.startswith("2")}
        lines.append(f"{self.answered} requests answered ({by_status})")
        lines.append(f"{len(routes)} ways in were called, {len(good)} of them with success")
        lines += [f"5xx: {text}" for text in self.crashed]
        return "\n".join(lines)


def command(
    url: str, token: str, seed: int, phases: str, examples: int, seconds: int | None, report: Path
) -> list[str]:
    """How schemathesis is called."""
    return [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{url}/schema",
        "--phases",
        phases,
        "--checks",
        ",".join(CHECKS),
        "--max-examples",
        str(examples),
        "--seed",
        str(seed),
        "--continue-on-failure",
        "--no-shrink",
        "--no-color",
        "--suppress-health-check",
        "all",
        "--generation-database",
        "none",
        "--generation-with-security-parameters",
        "false",
        "--request-timeout",
        str(CALL_S),
        "--warnings",
        "off",
        *(("--max-time", str(seconds)) if seconds else ()),
        "--report",
        "json",
        "--report-json-path",
        str(report),
        "--header",
        f"Authorization: Bearer {token}",
    ]


def run_pass(
    service: Service,
    role: str,
    seed: int,
    folder: Path,
    *,
    phases: str = ALL_PHASES,
    examples: int = EXAMPLES_FIRST,
    seconds: int | None = None,
    limit_s: float = PASS_S_MAX,
) -> Pass:
    """One role, one seed.

    Args:
        seconds: Schemathesis's own budget; it ends early and says what it found.
        limit_s: After this it is killed, which is a finding.
    """
    report = folder / f"{role}-{seed}.json"
    said = folder / f"{role}-{seed}.txt"
    call = command(
        service.url, service.token(role, f"fuzz-{role}"), seed, phases, examples, seconds, report
    )
    with said.open("wb") as out:
        child = subprocess.Popen(
            call, cwd=folder, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            return Pass(role, seed, -1, failures=[f"not finished in {limit_s:.0f} s: {said}"])
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait(STOP_S)
    done = Pass(role, seed, code, report=said)
    if report.is_file():
        found = json.loads(report.read_text())
        done.cases = found["test_cases"]["generated"]
        done.failures = [_text(each) for each in found["failures"]]
        done.failures += [f"error: {str(each)[:200]}" for each in found["errors"]]
    if code and not done.failures:
        done.failures = [f"exit {code}: {said.read_text(errors='replace')[-500:]}"]
    return done


def _text(failure: dict[str, Any]) -> str:
    where = failure["operations"]
    names = [each if isinstance(each, str) else str(each.get("label", each)) for each in where]
    return f"{failure['title']} ({failure['code']}) at {', '.join(names)}"


async def answered(service: Service) -> Figures:
    """What the service has answered since its start."""
    async with httpx.AsyncClient(
        base_url=service.url, verify=False, trust_env=False, timeout=CALL_S
    ) as http:
        text = (await http.get("/metrics", headers={"Accept": "*/*"})).text
    figures: Figures = Counter()
    for labels, number in _SAMPLE.findall(text):
        label = dict(_LABEL.findall(labels))
        figures[label["method"], label["route"], label["status"]] += int(float(number))
    return figures


async def fuzz(service: Service, arguments: argparse.Namespace) -> Outcome:
    """Round after round until enough was asked, something was found, or the time is over.

    With a limit of time each role of the first round gets its equal share of what is left.
    """
    folder = Path(arguments.folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    limited = arguments.minutes > 0
    ends = time.monotonic() + (arguments.minutes or MINUTES_MAX) * 60
    before = await answered(service)
    outcome = Outcome([], Counter())
    for number in range(ROUNDS_MAX):
        for place, role in enumerate(arguments.roles):
            left_s = ends - time.monotonic()
            if left_s <= 0 or (number and outcome.answered >= arguments.requests):
                return outcome
            done = await asyncio.to_thread(
                run_pass,
                service,
                role,
                arguments.seed + number,
                folder,
                phases=SEEDED_PHASES if number else arguments.phases,
                examples=EXAMPLES_LATER if number else EXAMPLES_FIRST,
                seconds=max(1, int(left_s / (len(arguments.roles) - place))) if limited else None,
                limit_s=min(PASS_S_MAX, left_s + STOP_S),
            )
            outcome.passes.append(done)
            outcome.figures = await answered(service) - before
            print(
                f"{role:<12} seed {done.seed}: {done.cases} cases, {outcome.answered} requests so "
                f"far, {len(done.failures)} findings",
                flush=True,
            )
        if not outcome.good or outcome.answered >= arguments.requests:
            return outcome
    return outcome


def _roles(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := set(chosen) - set(ROLES):
        raise argparse.ArgumentTypeError(f"no such role: {', '.join(sorted(unknown))}")
    return chosen


async def main() -> int:
    """Exit status 0: enough requests and no finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--roles", type=_roles, default=list(ROLES))
    parser.add_argument("--minutes", type=float, default=0, help="0: until it is enough")
    parser.add_argument("--phases", default=ALL_PHASES, help="of the first round")
    parser.add_argument("--folder", default="var/fuzz", help="for what schemathesis says")
    arguments = parser.parse_args()
    service = Service(**RATES, LOG_LEVEL="WARNING")
    try:
        service.start()
        print(f"service ready after {await service.ready():.0f} s", flush=True)
        outcome = await fuzz(service, arguments)
        stopped = await service.stop()
    finally:
        service.destroy()
    print(outcome.table())
    if stopped:
        print(f"the service ended with status {stopped}")
    if outcome.answered < arguments.requests:
        print(f"fewer than {arguments.requests} requests: more time, or look above")
    return int(not outcome.good or bool(stopped) or outcome.answered < arguments.requests)

"""`doctor`: looks at everything that the service needs, changes nothing, and says what to do."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any, Final

from pymongo.errors import PyMongoError

from tron_payment import configuration, logs
from tron_payment.core.errors import AppError
from tron_payment.operator import doctor_chain, doctor_store
from tron_payment.operator.findings import Finding, Level, bad, good
from tron_payment.operator.report import Exit, Report
from tron_payment.operator.runner import reachable
from tron_payment.settings import ConfigurationError, Settings

CHECK_S: Final = 30.0
"""One group of checks may take this long; a frozen proxy must not freeze the doctor."""

Check = Callable[[Settings, dict[str, Any]], Awaitable[Iterable[Finding]]]
ADVICE: Final = {
    "store": "is MongoDB up, with a primary (rs.status()), and are user and password of "
    "MONGODB_URI right?",
    "keys": "see WALLET_ENCRYPTION_KEY in .env.example",
}
TEXT_MAX: Final = 300
SIGNS: Final = {Level.OK: "ok  ", Level.WARN: "warn", Level.FAIL: "FAIL"}


async def run(_: argparse.Namespace, settings: Settings | None) -> Report:
    """All checks, those on the chain after the way there; exit 1 when one failed."""
    if settings is None:
        return _report(_configuration())
    findings = [good("configuration", f"{settings.lucid_env} on {settings.tron_network}")]
    findings += doctor_store.files(settings)
    known: dict[str, Any] = {}
    groups: list[tuple[str, Check]] = [
        ("store", doctor_store.store),
        ("keys", doctor_store.keys),
        ("tor", doctor_chain.proxy),
        ("nodes", doctor_chain.nodes),
        ("contracts", doctor_chain.contracts),
        ("wallet", doctor_chain.hot_wallet),
    ]
    async with AsyncExitStack() as stack:
        known["stack"] = stack
        try:
            ours = await stack.enter_async_context(reachable(settings))
        except AppError as error:
            return _report([*findings, bad("store", error.detail, "see the message")])
        for name, check in groups:
            try:
                async with asyncio.timeout(CHECK_S):
                    findings += await check(ours, known)
            except TimeoutError:
                findings.append(bad(name, f"no answer within {CHECK_S:.0f} s", "see above"))
            except AppError as error:
                findings.append(bad(name, error.detail, ADVICE.get(name, "see docs/operations.md")))
            except (
                PyMongoError,
                OSError,
                ValueError,
            ) as error:  # the rest is looked at all the same
                text = f"{type(error).__name__}: {logs.scrub(str(error))[:TEXT_MAX]}"
                findings.append(bad(name, text, ADVICE.get(name, "see docs/operations.md")))
    return _report(findings)


def _configuration() -> list[Finding]:
    try:
        configuration.load()
    except ConfigurationError as error:
        advice = "mend it in the environment or the secrets folder; .env.example explains each"
        return [bad("configuration", problem, advice) for problem in error.problems]
    return []


def _report(findings: list[Finding]) -> Report:
    lines = []
    for each in findings:
        lines.append(f"{SIGNS[each.level]}  {each.check:14} {each.detail}")
        if each.advice:
            lines.append(f"{'':20} -> {each.advice}")
    failed = sum(each.level is Level.FAIL for each in findings)
    warned = sum(each.level is Level.WARN for each in findings)
    lines.append(f"{len(findings)} looked at, {failed} failed, {warned} warnings")
    data = {"findings": [asdict(each) for each in findings], "failed": failed, "warned": warned}
    return Report(data, lines, Exit.FAILED if failed else Exit.OK)

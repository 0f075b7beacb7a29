"""Batches from a terminal: checked, priced, confirmed, sent and watched, by the API alone.

It needs an address and a token, not the service's configuration, and can do nothing that the API
does not let this token do. Nothing is sent before it was checked and its price shown.
"""

import argparse
import asyncio
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from tron_payment.operator.report import Exit, Report, counted, failure

BATCHES: Final = "/api/v1/payouts/batch"
CALL_S: Final = 60.0
LOOK_S: Final = 1.0
BAR: Final = 40
REFUSED_SHOWN: Final = 20
MOVING: Final = frozenset(
    {"queued", "awaiting_approval", "awaiting_signature", "signed", "broadcast", "processing"}
)
CSV: Final = {"Content-Type": "text/csv"}


class ApiRefusal(Exception):
    """The API said no; `problem` is its problem+json."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or status))
        self.code = str(problem.get("code", status))
        self.exit = Exit.UNAVAILABLE if problem.get("retryable") else Exit.FAILED


def run(options: argparse.Namespace) -> int:
    """`payouts send FILE.csv` and `batch watch BATCH_ID`; the exit code."""
    if options.token_file is None:
        return _usage("say where the token is: --token-file FILE", options)
    if options.action == "send" and options.payout_id is None:
        return _usage("say which FILE.csv", options)
    if options.result is not None and options.result.exists():
        return _usage(f"{options.result} exists already", options)
    try:
        token = (options.token_file.read_text(encoding="utf-8").splitlines() or [""])[0].strip()
        content = Path(options.payout_id).read_bytes() if options.action == "send" else b""
        report = asyncio.run(_run(options, token, content))
    except ApiRefusal as refusal:
        report = failure(refusal.code, str(refusal), refusal.exit)
    except httpx.HTTPError as error:
        report = failure("unavailable", f"{options.url}: {type(error).__name__}", Exit.UNAVAILABLE)
    except OSError as error:
        report = failure("file", f"{error.filename}: {error.strerror}", Exit.USAGE)
    return report.show(as_json=options.json)


def _usage(detail: str, options: argparse.Namespace) -> int:
    return failure("usage", detail, Exit.USAGE).show(as_json=options.json)


async def _run(options: argparse.Namespace, token: str, content: bytes) -> Report:
    headers = {"Authorization": f"Bearer {token.removeprefix('Bearer ')}"}
    async with httpx.AsyncClient(
        base_url=options.url, headers=headers, timeout=CALL_S, trust_env=False
    ) as http:
        if options.action == "watch":
            return await _watched(http, options.batch_id, options)
        return await _sent(http, content, options)


async def _sent(http: httpx.AsyncClient, content: bytes, options: argparse.Namespace) -> Report:
    """Check, ask, send once, watch. The key is made of the content: the same file is sent once."""
    checked = await _call(http, "POST", f"{BATCHES}?dry_run=true", content, CSV)
    good = len(checked["quotes"])
    for line in _check_lines(checked):
        print(line, file=sys.stderr)
    if not good:
        return Report({"checked": checked}, ("No row is good: nothing was sent.",), Exit.FAILED)
    if not options.yes and not _agreed(good):
        return Report({"checked": checked}, ("Nothing was sent.",), Exit.FAILED)
    key = {"Idempotency-Key": "file-" + hashlib.sha256(content).hexdigest()[:40]}
    made = await _call(http, "POST", BATCHES, content, CSV | key)
    if options.no_wait:
        return Report({"batch_id": made["batch_id"]}, (f"{made['batch_id']}: {made['status']}",))
    return await _watched(http, made["batch_id"], options)


async def _watched(http: httpx.AsyncClient, batch_id: str, options: argparse.Namespace) -> Report:
    """Show the batch's progress until it has ended, then write the result file."""
    if "/" in batch_id or not batch_id.strip("."):
        return failure("usage", "this is no batch id", Exit.USAGE)
    for _ in range(max(1, int(options.watch_seconds / LOOK_S))):
        batch = await _call(http, "GET", f"{BATCHES}/{batch_id}?limit=1")
        if sys.stderr.isatty():
            print(f"\r{progress(batch)}", end="", file=sys.stderr, flush=True)
        if batch["status"] not in MOVING:
            break
        await asyncio.sleep(LOOK_S)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if options.result is not None:
        answer = await http.get(f"{BATCHES}/{batch_id}/export", headers={"Accept": "text/csv"})
        answer.raise_for_status()
        _write_new(options.result, answer.content)
    known = ("batch_id", "status", "accepted", "refused", "counts", "totals")
    data = {name: batch[name] for name in known}
    if batch["status"] in MOVING:
        return Report(data, (f"{batch_id} goes on: {progress(batch)}",), Exit.UNFINISHED)
    lines = [f"{batch_id}: {batch['status']}", progress(batch)]
    if batch["refused"]:
        lines.append(f"refused and not sent: {len(batch['refused'])} rows")
    return Report(data, lines, ended(batch))


def ended(batch: Mapping[str, Any]) -> Exit:
    """OK: every row is paid. PARTLY: some are. FAILED: none is."""
    if batch["status"] == "completed" and not batch["refused"]:
        return Exit.OK
    return Exit.PARTLY if batch["counts"].get("settled") else Exit.FAILED


def progress(batch: Mapping[str, Any]) -> str:
    """A bar, and how many rows are where."""
    counts: Mapping[str, int] = batch["counts"]
    ended = sum(count for status, count in counts.items() if status not in MOVING)
    accepted = batch["accepted"]
    filled = BAR * ended // accepted if accepted else BAR
    return f"[{'#' * filled}{'.' * (BAR - filled)}] {ended} of {accepted}: {counted(counts)}"


def _check_lines(checked: Mapping[str, Any]) -> Sequence[str]:
    refused, fee = checked["refused"], checked.get("fee")
    lines = [
        f"row {row['row']}: {row.get('param') or '-'}: {row['detail']} ({row['code']})"
        for row in refused[:REFUSED_SHOWN]
    ]
    if len(refused) > REFUSED_SHOWN:
        lines.append(f"and {len(refused) - REFUSED_SHOWN} more refused rows")
    lines.append(f"{len(checked['quotes'])} rows are good, {len(refused)} are refused")
    if fee:
        lines.append(f"fees: {fee['expected_trx']} TRX expected, {fee['max_fee_trx']} TRX at most")
    return lines


def _agreed(good: int) -> bool:
    """Only a person at a terminal can say yes."""
    if not sys.stdin.isatty():
        print("This is no terminal: --yes sends without asking.", file=sys.stderr)
        return False
    print(f"Send {good} payouts? Type yes: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() == "yes"


def _write_new(path: Path, content: bytes) -> None:
    """A file that nobody else reads, and never over another one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


async def _call(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """
    Raises:
        ApiRefusal
        httpx.HTTPError: No answer.
    """
    answer = await http.request(method, path, content=content, headers=headers)
    try:
        body = answer.json()
    except ValueError:
        body = {"detail": "the answer is not JSON"}
    if answer.status_code >= 400:
        raise ApiRefusal(answer.status_code, body)
    return dict(body)

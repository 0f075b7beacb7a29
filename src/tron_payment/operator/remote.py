"""Payouts from a terminal: checked, priced, confirmed, sent and watched, by the API alone.

It needs an address and a token, not the service's configuration, and can do nothing that the API
does not let this token do. Nothing is sent before it was checked and its price shown.
"""

import argparse
import asyncio
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from tron_payment.bearer import NoToken, token_of
from tron_payment.core.terminal import printable
from tron_payment.operator import single
from tron_payment.operator.calling import (
    PAYOUTS,
    ApiRefusal,
    NoAddress,
    agreed,
    call,
    connected,
    tell,
)
from tron_payment.operator.report import Exit, Report, counted, failure

BATCHES: Final = f"{PAYOUTS}/batch"
LOOK_S: Final = 1.0
BAR: Final = 40
REFUSED_SHOWN: Final = 20
EARLIER_SHOWN: Final = 5
MOVING: Final = frozenset(
    {"queued", "awaiting_approval", "awaiting_signature", "signed", "broadcast", "processing"}
)
CSV: Final = {"Content-Type": "text/csv"}


def run(options: argparse.Namespace) -> int:
    """`payouts send FILE.csv`, `batch watch BATCH_ID`, `payouts cancel` and `retry`; exit code."""
    if options.action == "send" and options.payout_id is None:
        return _usage("say which FILE.csv", options)
    if options.result is not None and options.result.exists():
        return _usage(f"{options.result} exists already", options)
    try:
        token = token_of(options)
        content = Path(options.payout_id).read_bytes() if options.action == "send" else b""
        report = asyncio.run(_run(options, token, content))
    except (NoToken, NoAddress) as missing:
        return _usage(str(missing), options)
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
    async with connected(options.url, token) as http:
        match options.action:
            case "watch":
                return await _watched(http, options.batch_id, options)
            case "cancel":
                return await single.cancel(http, options)
            case "retry":
                return await single.retry(http, options)
            case _:
                return await _sent(http, content, options)


async def _sent(http: httpx.AsyncClient, content: bytes, options: argparse.Namespace) -> Report:
    """Check, ask, send once, watch. The key is made of the content: the same file is sent once."""
    key = {"Idempotency-Key": "file-" + hashlib.sha256(content).hexdigest()[:40]}
    checked = await call(http, "POST", f"{BATCHES}?dry_run=true", content, CSV | key)
    if (batch_id := checked["batch_id"]) is not None:
        made = await call(http, "GET", f"{BATCHES}/{batch_id}?limit=1")
        tell([f"this file was sent before: {batch_id}, {made['status']}; nothing new is paid"])
    else:
        tell(check_lines(checked))
        good = checked["accepted"]
        if not good:
            return Report({"checked": checked}, ("No row is good: nothing was sent.",), Exit.FAILED)
        if not options.yes and not agreed(f"Send {good} payouts, {_money(checked)}?"):
            return Report({"checked": checked}, ("Nothing was sent.",), Exit.FAILED)
        made = await call(http, "POST", BATCHES, content, CSV | key)
    if options.no_wait:
        data = {"batch_id": made["batch_id"], "status": made["status"]}
        told = data | {"sent_before": batch_id is not None}
        return Report(told, (f"{made['batch_id']}: {made['status']}",))
    return await _watched(http, made["batch_id"], options)


async def _watched(http: httpx.AsyncClient, batch_id: str, options: argparse.Namespace) -> Report:
    """Show the batch's progress until it has ended, then write the result file."""
    if "/" in batch_id or not batch_id.strip("."):
        return failure("usage", "this is no batch id", Exit.USAGE)
    for _ in range(max(1, int(options.watch_seconds / LOOK_S))):
        batch = await call(http, "GET", f"{BATCHES}/{batch_id}?limit=1")
        if sys.stderr.isatty():
            print(f"\r{printable(progress(batch))}", end="", file=sys.stderr, flush=True)
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


def check_lines(checked: Mapping[str, Any]) -> list[str]:
    """What the dry run found, for whoever says yes."""
    refused, fee = checked["refused"], checked["fee"]
    lines = [
        f"row {row['row']}: {row['param'] or '-'}: {row['detail']} ({row['code']})"
        for row in refused[:REFUSED_SHOWN]
    ]
    if len(refused) > REFUSED_SHOWN:
        lines.append(f"and {len(refused) - REFUSED_SHOWN} more refused rows")
    lines.append(f"{checked['accepted']} rows are good, {len(refused)} are refused")
    if checked["accepted"]:
        lines.append(f"to pay: {_money(checked)}")
    if fee:
        priced = len(checked["quotes"])
        part = f", for the first {priced} rows" if priced < checked["accepted"] else ""
        lines.append(
            f"fees: {fee['expected_trx']} TRX expected, {fee['max_fee_trx']} TRX at most{part}"
        )
    if checked.get("sent_before"):  # a service of before has fewer of these
        lines.append(_repeated(checked))
    if not checked.get("sent_before_complete", True):
        lines.append("more was sent lately than is compared: other rows may have been sent before")
    if checked.get("same_rows"):
        lines.append(_same(checked))
    return lines


def _money(checked: Mapping[str, Any]) -> str:
    return " and ".join(f"{amount} {code}" for code, amount in checked["totals"].items())


def _repeated(checked: Mapping[str, Any]) -> str:
    """Which payouts were the same: nothing is refused for it, but somebody should know."""
    earlier = [each["earlier"] for each in checked["quotes"] if each["earlier"]]
    names = list(
        dict.fromkeys(e["batch_id"] or e["payout_id"] or e["schedule_id"] for e in earlier)
    )
    more = " and others" if len(names) > EARLIER_SHOWN else ""
    where = f", in {', '.join(names[:EARLIER_SHOWN])}{more}" if names else ""
    return (
        f"{checked['sent_before']} of these rows were sent before{where}: "
        "to send them now pays them again"
    )


def _same(checked: Mapping[str, Any]) -> str:
    """Rows that are in the file more than once, which may be meant."""
    pairs = [f"{q['row']} as {q['same_as_row']}" for q in checked["quotes"] if q["same_as_row"]]
    more = " and others" if len(pairs) > EARLIER_SHOWN else ""
    which = f" (row {', '.join(pairs[:EARLIER_SHOWN])}{more})" if pairs else ""
    return (
        f"{checked['same_rows']} of these rows say the same as one before them{which}: "
        "each of them is paid"
    )


def _write_new(path: Path, content: bytes) -> None:
    """A file that nobody else reads, and never over another one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)

"""`audit verify|head`: compute the log anew, or take its head to keep elsewhere."""

import argparse
import json
from pathlib import Path
from typing import Final

from tron_payment.core.clock import SystemClock
from tron_payment.db.audit import BadEntry, Fault, Head
from tron_payment.db.audit_heads import (
    HEADS_MAX,
    BadHead,
    HeadSigner,
    contradiction,
    read_head,
)
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import assembled
from tron_payment.settings import Settings

HASH_DIGITS: Final = 64


async def run(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Do what was asked; the exit code is 1 when the log is not what it was."""
    signer = HeadSigner.of(settings.audit_signing_key.get_secret_value())
    try:
        known = _known(arguments, signer)
    except BadHead as error:
        return failure(error.code, error.detail, Exit.FAILED)
    except (ValueError, OSError) as error:
        return failure("usage", str(error), Exit.USAGE)
    async with assembled(settings) as assembly:
        log = assembly.house.audit
        head = await log.head()
        if arguments.action == "head":
            return _shown(head, signer)
        last = head.seq if head else 0
        beyond = arguments.from_seq > max(1, last)
        if beyond and all(each.seq <= last for each in known):
            return _beyond(head, last, arguments.from_seq)
        cut = BadEntry(last + 1, Fault.CUT_OFF) if beyond else None
        bad = contradiction(known) or cut or await log.verify(arguments.from_seq, known)
    return _verdict(head, bad, len(known))


def _shown(head: Head | None, signer: HeadSigner | None) -> Report:
    if head is None:
        return Report({"head": None, "signed": None}, ("the log is empty",))
    signed = None if signer is None else signer.sign(head, SystemClock()).as_json()
    text = f"{head.seq}:{head.hash}" if signed is None else json.dumps(signed)
    return Report({"head": {"seq": head.seq, "hash": head.hash}, "signed": signed}, (text,))


def _beyond(head: Head | None, last: int, from_seq: int) -> Report:
    """Nothing was compared, so the answer is not a good one."""
    shown = {"seq": head.seq, "hash": head.hash} if head else None
    line = (
        f"the log has only {last} entries: none from {from_seq} on, and nothing was compared; "
        "whether it once had more, heads that were kept elsewhere tell (--heads)"
    )
    return Report({"head": shown, "bad": None, "kept": 0, "entries": last}, (line,), Exit.FAILED)


def _verdict(head: Head | None, bad: BadEntry | None, kept: int) -> Report:
    shown = {"seq": head.seq, "hash": head.hash} if head else None
    if bad is not None:
        found = {"seq": bad.seq, "fault": bad.fault.value}
        line = (
            f"entry {bad.seq} is {_WORDS[bad.fault]}: see docs/runbooks/money.md, AuditChainBroken"
        )
        return Report({"head": shown, "bad": found, "kept": kept}, (line,), Exit.FAILED)
    whole = "the log is empty"
    if head is not None:
        whole = f"{head.seq} entries, each follows from the one before; head {head.hash}"
    elsewhere = f"{kept} heads that were kept elsewhere are in it"
    return Report({"head": shown, "bad": None, "kept": kept}, (whole, elsewhere))


_WORDS: Final = {
    Fault.CHANGED: "changed",
    Fault.REMOVED: "removed",
    Fault.REORDERED: "reordered",
    Fault.CUT_OFF: "cut_off: the log ends before it",
    Fault.REWRITTEN: "rewritten: not the one whose head was kept",
}


def _known(arguments: argparse.Namespace, signer: HeadSigner | None) -> list[Head]:
    """Heads from ``--known`` and from the lines of ``--heads``.

    Raises:
        BadHead: A signature is wrong, or another key's.
        ValueError, OSError: Cannot be read.
    """
    heads = []
    if arguments.known:
        seq, _, digest = arguments.known.partition(":")
        if not seq.isdigit() or len(digest) != HASH_DIGITS:
            raise ValueError("--known SEQ:HASH with 64 hex digits")
        heads.append(Head(int(seq), digest))
    if arguments.heads:
        key = arguments.public_key or (signer.public_key if signer else None)
        if key is None:
            raise ValueError("--heads needs --public-key, or AUDIT_SIGNING_KEY")
        for line in _lines(Path(arguments.heads)):
            heads.append(read_head(line, key).head)
    return heads


def _lines(path: Path) -> list[str]:
    lines = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number >= HEADS_MAX:
                raise ValueError(f"more than {HEADS_MAX} heads: keep fewer of the older ones")
            if line.strip():
                lines.append(line.strip())
    return lines

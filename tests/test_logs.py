"""Nothing that looks like a secret leaves by a log line, whatever its key is called."""

import errno
import io
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tron_payment import logs
from tron_payment.logs import REDACTED, SECRET_MAX, TEXT_MAX, as_json, redact, scrub

KEY = "c0ffee" * 10 + "1234"
PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow"
API_KEY = "key_abcdefghijklmnopqrstuvwx." + "Zy-_" * 11
WEBHOOK = "whsec_" + "aB1+/9" * 7 + "="
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "name",
    ["private_key", "Password", "mnemonic", "api_key", "seed", "authorization", "signature", "kek"],
)
def test_a_key_of_a_secret_name_is_never_shown(name: str) -> None:
    assert redact(None, "", {name: "anything"}) == {name: REDACTED}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"key {KEY} of", f"key {REDACTED} of"),
        (f"0x{KEY}", REDACTED),
        (KEY.upper(), REDACTED),
        (f"said: {PHRASE}.", f"said: {REDACTED}."),
        (f"Bearer {JWT}", f"Bearer {REDACTED}"),
        ("mongodb://user:pass@host/db", f"mongodb://{REDACTED}@host/db"),
        (f"as {API_KEY}, or {WEBHOOK}.", f"as {REDACTED}, or {REDACTED}."),
        ("key_abcdefghijklmnopqrstuvwx is known", "key_abcdefghijklmnopqrstuvwx is known"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_are_found_by_their_shape(text: str, left: str) -> None:
    assert scrub(text) == left


def test_txids_and_block_ids_stay_by_name() -> None:
    event = {"txid": KEY, "block_id": KEY, "genesis_id": KEY, "note": KEY}
    assert redact(None, "", dict(event)) == {**event, "note": REDACTED}


def test_a_token_is_hidden_even_where_hashes_are_public() -> None:
    found = redact(None, "", {"detail": f"{JWT}, {PHRASE}"})
    assert found == {"detail": f"{REDACTED}, {REDACTED}"}


@pytest.mark.parametrize("secret", [KEY, PHRASE, f"{PHRASE} {PHRASE}", JWT, API_KEY, WEBHOOK])
def test_no_cut_leaves_the_beginning_of_a_secret(secret: str) -> None:
    seen = secret[:12]
    assert seen in secret and len(secret) <= SECRET_MAX
    for at in (TEXT_MAX, TEXT_MAX + SECRET_MAX):
        for before in range(at - len(secret) - 2, at + 2):
            shown = scrub("x" * before + " " + secret + " more" * 500)
            assert seen not in shown and len(shown) <= TEXT_MAX, before
            shown = scrub(
                f"{JWT}{'y' * 1_900} " + "x" * (before - 2_000) + " " + secret + " z" * 999
            )
            assert seen not in shown.removeprefix(REDACTED), before


def test_what_is_long_and_all_secret_is_told_so() -> None:
    assert scrub(f"{JWT}{'y' * 5_000}") == REDACTED
    assert scrub("") == "" and scrub("x" * 9_999) == "x" * TEXT_MAX


def test_short_secrets_are_found_in_events() -> None:
    short = {"why": f"no {WEBHOOK[:38]}", "of": "key_abcdefgh.1234"}
    assert redact(None, "", short) == {"why": f"no {REDACTED}", "of": REDACTED}


SHOWN = """
import logging, structlog
from tron_payment import logs
logs.configure(json=False)
structlog.get_logger().warning("node.refused", detail="a\\x1b[2Kb\\r\\u202ec\\ud800", odd=["\\x1b"])
logging.getLogger("library").warning("said %s", "\\x1b]0;title\\x07")
try:
    raise ValueError("of\\x1b[8m")
except ValueError:
    structlog.get_logger().exception("step.failed")
"""


def test_no_text_commands_the_terminal_that_shows_the_log() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOWN],
        capture_output=True,
        timeout=60,
        check=True,
    )
    shown = done.stderr.decode()
    assert "a?[2Kb??c?" in shown and "said ?]0;title?" in shown and "of?[8m" in shown
    assert all(each.isprintable() or each == "\n" for each in shown), repr(shown)
    assert "Traceback (most recent call last)" in shown.splitlines()[3]


def test_nested_values_are_searched() -> None:
    event = {"facts": {"password": "x", "list": [KEY, {"seed": "y"}], "txid": KEY}}
    assert redact(None, "", event) == {
        "facts": {"password": REDACTED, "list": [REDACTED, {"seed": REDACTED}], "txid": KEY}
    }


def test_bytes_show_their_length_only() -> None:
    assert redact(None, "", {"body": b"1234"}) == {"body": "<4 bytes>"}


def test_counts_and_flags_of_secret_names_stay() -> None:
    event = {"tokens": 3, "has_password": True}
    assert redact(None, "", dict(event)) == event


def test_what_json_has_not_is_shown_as_text_without_secrets() -> None:
    made = redact(None, "", {"odd": ValueError(f"key {KEY}"), "of": {7: Decimal("1.5")}})
    assert made == {"odd": f"ValueError('key {REDACTED}')", "of": {"7": "Decimal('1.5')"}}


@pytest.mark.parametrize("text", ["\ud800", "é\n\u2028", '"', "\x00"])
def test_every_text_makes_one_readable_line(text: str) -> None:
    line = as_json(None, "", {"event": "x.happened", "text": text})
    assert b"\n" not in line
    assert json.loads(line) == {"event": "x.happened", "text": text}


def test_no_character_ends_a_line_or_commands_a_terminal() -> None:
    line = as_json(None, "info", {"detail": "a\u2028b\u0085c\u009b2J\u00e4"})
    assert line.isascii() and json.loads(line)["detail"] == "a\u2028b\u0085c\u009b2J\u00e4"


def test_keys_of_nested_values_are_searched() -> None:
    shown = str(redact(None, "info", {"found": {"ab" * 32: 1, b"secret": 2}}))
    assert "ab" * 32 not in shown and "secret" not in shown


def test_subclasses_of_plain_types_are_shown_plainly() -> None:
    class Name(str):
        __slots__ = ()

    class Count(int):
        __slots__ = ()

    event = redact(None, "", {"name": Name("a"), "count": Count(3)})
    assert json.loads(as_json(None, "", event)) == {"name": "a", "count": 3}


SCRIPT = f"""
import logging, structlog
from tron_payment import logs
logs.configure(json=True)
structlog.get_logger().info("payout.signed", txid="{KEY}", password="hunter2", note="{KEY}")
logging.getLogger("library").warning("connect mongodb://me:hunter2@host failed for %s", "{JWT}")
try:
    raise ValueError("{PHRASE}")
except ValueError:
    structlog.get_logger().error("step.failed", exc_info=True)
    logging.getLogger("library").exception("with {KEY}")
structlog.get_logger().debug("not.shown")
"""


def test_every_line_is_json_and_clean_ours_and_the_libraries() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["info", "warning", "error", "error"]
    assert lines[0]["txid"] == KEY
    assert all(line["ts"].endswith("Z") for line in lines)
    clean = done.stderr.replace(f'"txid":"{KEY}"', "")
    for secret in ("hunter2", KEY, PHRASE, JWT):
        assert secret not in clean, secret
    assert done.stdout == ""


FULL = """
import contextlib, logging, sys, structlog
from tron_payment import logs
logs.configure(json={json})
log = structlog.get_logger()
for _ in range(2_000):  # more than any buffer keeps
    log.info("order.concluded", order_id="x")
logging.getLogger("library").warning("no room %s", "for this, too")
logging.getLogger("library").warning("%d", "a line that cannot be made")
full, logs.meter.lost = logs.meter.lost, 0
with contextlib.suppress(OSError):
    sys.stderr.{then}
log.info("order.concluded", order_id="y")
print(full, logs.meter.lost, logs.meter.events["order.concluded"])
"""


@pytest.mark.parametrize(("json_lines", "then"), [(True, "close()"), (False, "flush()")])
def test_a_log_without_room_or_reader_raises_nothing_and_is_counted(
    json_lines: bool, then: str
) -> None:
    with Path("/dev/full").open("w") as full:
        code = FULL.format(json=json_lines, then=then)
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, text=True, timeout=60
        )
    lost, later, counted = map(int, done.stdout.split())
    assert lost == 2_002 and later == 1, "each line once"
    assert counted == 2_001, "and it is counted as an event all the same"


def test_lines_are_written_again_when_there_is_room() -> None:
    class Disk(io.BytesIO):
        full = True

        def write(self, line: Any) -> int:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(line)

    disk, before = Disk(), logs.meter.lost
    out = logs.Unfailing(disk)
    for line in (b"one\n", b"two\n"):
        out.write(line)
        out.flush()
    disk.full = False
    out.write(b"three\n")
    out.flush()
    assert disk.getvalue() == b"three\n"
    assert logs.meter.lost - before == 2
    logs.meter.lost = before


WATCHED = """
import structlog
from tron_payment import logs
seen = []
logs.watchers.append(lambda line: seen.append(line["event"]))
logs.configure(json=True, level="WARNING")
log = structlog.get_logger()
log.debug("not.shown")
log.info("order.signed", order_id="x")
log.warning("node.left", node="n")
print(*seen)
"""


def test_the_level_hides_lines_and_no_spans() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["order.signed", "node.left"]
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["node.left"]

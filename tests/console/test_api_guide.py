"""`docs/api.md`: every command is run against a real service, every answer is as it is shown."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import run
from tests.e2e.service import Service
from tron_payment.gateway.webhook_signing import EndpointKeys, Root

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
SHOWN_URL = "http://127.0.0.1:8090"
MARK = "----8<----"
WITHIN_S = 240.0

pytestmark = pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("bash") is None, reason="no curl or no bash"
)


def examples(page: str) -> list[tuple[str, str]]:
    """Commands with what they print, in the page's order."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], ""))
            elif line.startswith("> "):
                found[-1] = (f"{found[-1][0]}\n{line[2:]}", "")
            else:
                found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found


def pattern(shown: str) -> str:
    """What is shown, as a regular expression; an ellipsis stands for anything."""
    return ".*".join(re.escape(part) for part in shown.strip().split("…"))


def same(shown: str, printed: str) -> bool:
    return re.fullmatch(pattern(shown), printed.strip(), re.DOTALL) is not None


def test_the_reader_of_the_page_finds_what_it_should() -> None:
    page = '```console\n$ a \\\n> b\n{"x":…}\n$ c\n```\n'
    assert examples(page) == [("a \\\nb", '{"x":…}\n'), ("c", "")]
    assert same('{"x":…}', '{"x":1}\n') and not same('{"x":…}', '{"y":1}')
    assert len(examples(PAGE)) >= 20


async def test_every_command_answers_what_is_shown(service: Service) -> None:
    commands = examples(PAGE)
    script = "\n".join(
        f"{command.replace(SHOWN_URL, service.url)}\nprintf '\\n%s\\n' '{MARK}'"
        for command, _ in commands
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    _, out, err = await run(
        "bash", "-c", script, env={**service.environment, "PATH": path}, within_s=WITHIN_S
    )
    printed = out.split(f"\n{MARK}\n")
    assert len(printed) == len(commands) + 1, err
    for (command, shown), answer in zip(commands, printed, strict=False):
        assert same(shown, answer), f"{command}\nprinted:\n{answer}\n{err}"


def test_the_webhook_sample_verifies_what_we_sign() -> None:
    (sample,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(sample, names)
    verify: Callable[[dict[str, str], bytes, str], bool] = names["verify"]
    keys = EndpointKeys(b"a secret of the installation", "whk_1", Root(b"a root", 1, 2))
    body = json.dumps({"type": "payout.settled"}).encode()
    headers = keys.headers("evt_1", datetime.now(UTC), body, [1])
    assert verify(headers, body, keys.shared(1))
    assert not verify(headers, body + b" ", keys.shared(1))
    assert not verify(headers, body, keys.shared(2))
    old = keys.headers("evt_1", datetime(2020, 1, 1, tzinfo=UTC), body, [1])
    assert not verify(old, body, keys.shared(1))

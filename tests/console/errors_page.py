"""Prints `docs/errors.md`: `python -m tests.console.errors_page > docs/errors.md`."""

import importlib
import pkgutil
from collections.abc import Iterator

import tron_payment
from tron_payment.core.errors import AppError
from tron_payment.http.advice import ADVICE, advice_of
from tron_payment.payouts import WAITS

HEAD = """# Every error code

A refusal is `application/problem+json` with one of these codes; a code never changes its meaning.
What can be repeated as it is says so in `retryable`. `title` is the meaning below; `detail` says
what is wrong with this request, or else what to do. `type` is an identifier that ends with the
code, `https://tron-payment.dev/problems/token_expired`: nobody needs to ask that address, and the
service never does; what it stands for is on this page at the code, `errors.md#token_expired`.
Printed from the code by `tests/console/errors_page.py`; a test compares.

| code | HTTP | again? | meaning | what to do |
|---|---|---|---|---|
"""
WAITING = """
## What a payout waits for

Waiting is no refusal: the payout is accepted and goes on by itself when the reason is gone.
`waiting_for` begins with one of these words; details follow after a colon.
`GET /api/v1/payouts/{payout_id}/explain` says the same in words.

| `waiting_for` | it waits for | what to do |
|---|---|---|
"""
SKIPPED = ("tron_payment.devnet", "tron_payment.__main__")


def every(kind: type[AppError]) -> Iterator[type[AppError]]:
    """A kind of refusal and everything below it."""
    yield kind
    for each in kind.__subclasses__():
        yield from every(each)


def _cell(text: str) -> str:
    return text.replace("|", chr(92) + "|") or "as it says"


def page() -> str:
    """The page as the code has it."""
    for module in pkgutil.walk_packages(tron_payment.__path__, "tron_payment."):
        if not module.name.startswith(SKIPPED):
            importlib.import_module(module.name)
    known: dict[str, type[AppError]] = {}
    for kind in every(AppError):
        if kind.__module__.startswith("tron_payment."):
            known.setdefault(kind.code, kind)
    assert not ADVICE.keys() - known.keys(), "advice for what nobody raises"
    rows = [
        f'| <a id="{code}"></a>`{code}` | {kind.status} | {"yes" if kind.retryable else "no"} | '
        f"{_cell(kind.title())} | {_cell(advice_of(code, retryable=kind.retryable))} |"
        for code, kind in sorted(known.items())
    ]
    waits = [
        f"| `{word}` | {meaning} | {todo} |" for word, (meaning, todo) in sorted(WAITS.items())
    ]
    return HEAD + "\n".join(rows) + "\n" + WAITING + "\n".join(waits) + "\n"


if __name__ == "__main__":
    print(page(), end="")

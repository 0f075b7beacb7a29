"""Whose token a command brings to a service: the first line of a file, else the variable TOKEN.
And where it may be brought: nobody on the way reads it.
"""

import argparse
import os
from typing import Final

VARIABLE: Final = "TOKEN"
"""The variable that README.md and the tutorial have a token exported in."""

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
WAYS: Final = "use https, or http to 127.0.0.1"


class NoToken(Exception):
    """Nothing says who asks, or it is no token. The message never has it."""


def token_of(options: argparse.Namespace) -> str:
    """The first line of ``--token-file``, else what `VARIABLE` holds.

    Raises:
        NoToken
        OSError: The file cannot be read.
    """
    if options.token_file is not None:
        text = options.token_file.read_text(encoding="utf-8", errors="replace")
        token: str = (text.splitlines() or [""])[0].strip()
        where = str(options.token_file)
    else:
        token, where = os.environ.get(VARIABLE, "").strip(), f"the variable {VARIABLE}"
    if not token and options.token_file is None:
        raise NoToken(f"say where the token is: export {VARIABLE}=…, or --token-file FILE")
    token = token.removeprefix("Bearer ")
    if not token or not all("!" <= letter <= "~" for letter in token):
        raise NoToken(f"what is in {where} is no token")
    return token


def is_private(scheme: str, host: str | None) -> bool:
    """Whether a token stays between us and this host: by https, or on this very computer."""
    return scheme == "https" or (scheme == "http" and host in LOOPBACK)

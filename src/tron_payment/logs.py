"""Structured logs: one JSON object a line (text in a terminal), without secrets.

Values are redacted by the name of their key and by pattern: private keys are 64 hex digits and
so are txids and block ids, which is why those are let through by name and nothing else is.
"""

import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from json import dumps as json_text
from typing import IO, Any, BinaryIO, Final, cast

import msgspec
import structlog

from tron_payment.core.terminal import printable_lines

REDACTED: Final = "<redacted>"
TEXT_MAX: Final = 2_000
SECRET_MAX: Final = 512
"""Characters of the longest secret whose beginning alone is worth something: a phrase has 215."""

EVENTS_MAX: Final = 300
"""Names that are counted; ours are literals in the code, far fewer."""

KEYS_MAX: Final = 1_000
"""Names of values whose kind is remembered."""

WATCHED: Final = logging.INFO
"""Watchers are shown this and above, however little is written."""

_EVENT: Final = re.compile(r"^[a-z_]{1,40}\.[a-z_]{1,40}$")
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "critical": logging.CRITICAL,
}

_LEVEL_NAMES: Final = {"exception": "error", "warn": "warning"}
"""Methods of a logger that are not called as their level is."""

_SECRET_KEY: Final = re.compile(
    r"(private|secret|seed|mnemonic|passphrase|password|token|authorization|signature|"
    r"raw|cookie|api_key|kek|_key$|^key$)",
    re.IGNORECASE,
)
_PUBLIC_HASHES: Final = frozenset(
    {
        "txid",
        "txids",
        "block_id",
        "parent_id",
        "genesis_id",
        "hash",
        "payment_id",
        "detail",
        "reason",
        "answers",
    }
)
_PRIVATE_KEY_TEXT: Final = re.compile(r"\b(?:0x)?[0-9a-fA-F]{64}\b")
_PHRASE: Final = re.compile(r"\b(?:[a-z]{3,8} ){11,23}[a-z]{3,8}\b")
_PHRASE_MIN: Final = 47
"""Characters of twelve words of three letters; a private key is longer."""

_NUMBERS: Final = frozenset({int, float, bool, type(None)})

_JWT: Final = re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_CREDENTIALS: Final = re.compile(r"://[^/@\s]+@")
_API_KEY: Final = re.compile(r"key_[0-9A-Za-z]{8,64}\.[A-Za-z0-9_-]+")
_WEBHOOK_SECRET: Final = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")


class Meter:
    """Counts events by name, then drops those below the level; so the level hides no figure."""

    def __init__(self) -> None:
        self.threshold = logging.INFO
        self.events: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.concluded: Counter[str] = Counter()
        """Ended orders by status."""

        self.expired = 0
        """Attempts whose death was proved by a block's time."""

        self.lost = 0
        """Lines that could not be written: no room, or nobody reads any more."""

    def __call__(
        self, _: object, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """
        Raises:
            DropEvent: It is below the level, and below what watchers are shown.
        """
        level = _LEVELS.get(method, logging.INFO)
        name = event.get("event", "")
        if name in self.events or (len(self.events) < EVENTS_MAX and _EVENT.fullmatch(str(name))):
            self.events[name] += 1
            if level >= logging.ERROR:
                self.errors[name] += 1
            if name == "order.concluded":
                self.concluded[str(event.get("status"))] += 1
            elif name == "attempt.expired":
                self.expired += event.get("orders", 0)
        if level < (min(self.threshold, WATCHED) if watchers else self.threshold):
            raise structlog.DropEvent
        return event


class Unfailing:
    """A stream of lines, each ended by `flush`: what it does not take is lost, counted and raises
    nothing. A log without room must end no payment and no loop."""

    def __init__(self, stream: IO[Any]) -> None:
        self._stream = stream
        self._lost = False

    def write(self, text: Any) -> None:
        """Keep it in the stream's bounded buffer."""
        try:
            self._lost |= (self._stream.write(text) or 0) < len(text)
        except (OSError, ValueError):  # no room, no reader; a closed stream is a ValueError
            self._lost = True

    def flush(self) -> None:
        """The line is complete."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._lost = True
        meter.lost += self._lost
        self._lost = False


class _Handler(logging.StreamHandler[Any]):
    """A library's line that cannot be shown is lost, too; the library's own way prints it raw."""

    def handleError(self, record: logging.LogRecord) -> None:
        meter.lost += 1


request_id: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""Of the request that is being answered: on every line that is written meanwhile."""

meter: Final = Meter()
watchers: Final[list[Callable[[Mapping[str, Any]], None]]] = []
"""Shown every line of ours after it was redacted."""


def set_level(level: str) -> None:
    """Write events of this level and above from now on; for a running process."""
    meter.threshold = logging.getLevelNamesMapping()[level]


def configure(*, json: bool, level: str = "INFO") -> None:
    """Send every log line, ours and the libraries', to standard error in one form."""
    set_level(level)
    shared: list[Any] = [
        of_request,
        structlog.processors.format_exc_info,
        redact,
        stamp,
    ]
    render: list[Any] = [tame, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    written: Any = Unfailing(sys.stderr)
    printer: Any = structlog.PrintLoggerFactory(written)
    render_theirs = render
    if json:
        render, render_theirs = [as_json], [_as_json_text]
        printer = structlog.BytesLoggerFactory(cast("BinaryIO", Unfailing(sys.stderr.buffer)))
    structlog.configure(
        processors=[meter, *shared, show, drop_quiet, *render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=printer,
        cache_logger_on_first_use=True,
    )
    handler = _Handler(written)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared[:2],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *shared[2:],
                *render_theirs,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def of_request(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog processor: whose line it is."""
    if current := request_id.get():
        event.setdefault("request_id", current)
    return event


def stamp(_: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog processor: how bad it is, and when it was, UTC."""
    event["level"] = _LEVEL_NAMES.get(method, method)
    seconds, ns = divmod(time.time_ns(), 1_000_000_000)
    event["ts"] = f"{_second_text(seconds)}.{ns // 1000:06}Z"
    return event


@lru_cache(maxsize=1)
def _second_text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def show(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog processor: let the watchers see a line that has no secrets any more."""
    for watcher in watchers:
        watcher(event)
    return event


def drop_quiet(_: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog processor: what was for the watchers only is not written.

    Raises:
        DropEvent: It is below the level.
    """
    if _LEVELS.get(method, logging.INFO) < meter.threshold:
        raise structlog.DropEvent
    return event


def tame(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog processor: no text commands the terminal that it is shown on."""
    return {
        key: printable_lines(value) if isinstance(value, str) else value
        for key, value in event.items()
    }


def as_json(_: object, __: str, event: Mapping[str, Any]) -> bytes:
    """Structlog processor: one line, as msgspec writes it: in a tenth of the time. In ASCII: other
    characters end a line or command a terminal, too."""
    try:
        line = msgspec.json.encode(event)
    except (TypeError, ValueError):  # a subclass of str or int, half of a surrogate pair
        return json_text(event, default=repr).encode()
    return line if line.isascii() else json_text(msgspec.json.decode(line)).encode()


def _as_json_text(_: object, method: str, event: Mapping[str, Any]) -> str:
    return as_json(_, method, event).decode()


def redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog processor: take secrets out of one event."""
    clean = {}
    for key, value in event.items():
        kind = type(value)
        if kind is str:
            plain = (
                len(value) < _PHRASE_MIN
                and "@" not in value
                and "eyJ" not in value
                and "whsec_" not in value
                and "key_" not in value
            )
        else:
            plain = kind in _NUMBERS
        clean[key] = value if plain and not _is_secret(key) else _redacted(key, value)
    return clean


def _redacted(key: str, value: Any) -> Any:
    if isinstance(value, int):
        return value
    if _is_secret(key):
        return REDACTED
    if isinstance(value, str):
        return scrub(value, hashes_are_public=key in _PUBLIC_HASHES)
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, bytes | bytearray):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping):
        return {_name(name): _redacted(_name(name), each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(key, each) for each in value]
    return scrub(repr(value), hashes_are_public=key in _PUBLIC_HASHES)


def _name(key: Any) -> str:
    return f"<{len(key)} bytes>" if isinstance(key, bytes) else scrub(str(key))


@lru_cache(maxsize=KEYS_MAX)
def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def scrub(text: str, *, hashes_are_public: bool = False) -> str:
    """At most `TEXT_MAX` characters of a text, without anything that looks like a key, a phrase, a
    token, a webhook's secret or credentials. No secret is cut before it was looked for."""
    whole = text[: TEXT_MAX + SECRET_MAX]
    maybe_cut = SECRET_MAX if len(text) > len(whole) else 0
    whole = _JWT.sub(REDACTED, _CREDENTIALS.sub(f"://{REDACTED}@", whole))
    whole = _WEBHOOK_SECRET.sub(REDACTED, _API_KEY.sub(REDACTED, whole))
    whole = _PHRASE.sub(REDACTED, whole)
    if not hashes_are_public:
        whole = _PRIVATE_KEY_TEXT.sub(REDACTED, whole)
    shown = whole[: max(0, min(TEXT_MAX, len(whole) - maybe_cut))]
    return shown or (REDACTED if text else "")

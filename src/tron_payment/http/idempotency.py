"""A request that moves money may be repeated for ever and happens once.

The record of a request and its answer is one insert, and that insert is the acceptance. What the
request does, its effect, comes after and is harmless to do again: every id in it is derived from
the same principal and key. So there is nothing to lock and nothing to clean up:

    died before the insert        nothing happened; a repeat is a first request
    died after it                 a repeat does the effect (again) and gives the stored answer
    the effect is refused         the record goes away again; refusals are not remembered

Who judges a request by what a twin of it may change, such as limits, does so within `once`.
Where another judgement would not do the same, the acceptance keeps what it promised (`Promise`)
until the effect is done: whoever does it then, does that.

What a caller of `run` owes:

1. The effect only inserts, under ids from `Idempotency.object_id`. It leaves alone what it finds
   there with the same fingerprint, and raises `KeyReused` for another.
2. It refuses (4xx) only when it has stored nothing under those ids, now or earlier.
3. The answer is computed before, from the same ids, and holds nothing that the effect decides.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Protocol, TypeVar, cast

import msgspec
from beanie import Document
from litestar import Response
from litestar.enums import MediaType
from litestar.params import HeaderParameter

from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError
from tron_payment.core.ids import derived_id, new_id
from tron_payment.db.acts import doing
from tron_payment.db.audit import Act, plain_act
from tron_payment.db.faults import store_errors
from tron_payment.db.grouped import GroupRead
from tron_payment.http.acceptances import ANSWER_BYTES_MAX as ANSWER_BYTES_MAX
from tron_payment.http.acceptances import (
    RECORD_BYTES_MAX,
    accepted_at,
    keep_no_promise,
    read_many,
)
from tron_payment.http.acceptances import RETENTION as RETENTION
from tron_payment.http.acceptances import AnswerTooLarge as AnswerTooLarge
from tron_payment.http.acceptances import StoredAnswer as StoredAnswer
from tron_payment.http.acceptances import StoredRequest as StoredRequest
from tron_payment.http.limits import (
    KEY_HEADER,
    KEY_LENGTH_MAX,
    KEY_LENGTH_MIN,
    KEY_PATTERN,
    KeyMissing,
    check_key,
)
from tron_payment.http.twins import (
    IN_FLIGHT_RETRY_S,
    IN_FLIGHT_WAIT_S,
    LOOK_AGAIN_S,
    LOOKS_MAX,
    Twins,
    check_counted,
    is_final,
)
from tron_payment.http.twins import InFlight as InFlight
from tron_payment.http.twins import KeyExpired as KeyExpired
from tron_payment.http.twins import KeyReused as KeyReused

REPLAYED_HEADER: Final = "Idempotent-Replayed"

IdempotencyKey = Annotated[
    str,
    HeaderParameter(
        name=KEY_HEADER,
        min_length=KEY_LENGTH_MIN,
        max_length=KEY_LENGTH_MAX,
        pattern=KEY_PATTERN,
        description="Repeat the request with the same key to get the same answer, not a second.",
    ),
]
"""The required header; ``opt={"idempotent": True}`` besides asks for it before the body is read."""

MaybeIdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name=KEY_HEADER,
        min_length=KEY_LENGTH_MIN,
        max_length=KEY_LENGTH_MAX,
        pattern=KEY_PATTERN,
        required=False,
        description="Required unless `dry_run` is true.",
    ),
]
"""For handlers with a dry run: `required_key` asks for it when the run is not dry."""


class Inserts(Protocol):
    """Stores a document under its own id; False when the id exists (`db.group.GroupInsert`)."""

    async def insert(self, document: Document) -> bool: ...


class Journaling(Protocol):
    """Takes accepted requests over into the audit log (journal.py)."""

    def accepted(self, record: StoredRequest) -> None: ...

    async def withdraw(self, record: StoredRequest, entry_id: str) -> None: ...


T = TypeVar("T")
V = TypeVar("V")
Effect = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Promise:
    """What an acceptance is to make, where another judgement of the request might make less."""

    content: bytes
    keep: Callable[[bytes], Awaitable[object]]
    """The effect, of the content that holds the key: this one, or that of whoever was first."""


@dataclass(slots=True)
class _Running:
    fingerprint: str
    done: asyncio.Future[StoredAnswer]


class Idempotency:
    """Runs requests once. One per process.

    Args:
        secret: The installation's, from which all ids are derived.
        inserts: Stores the records; grouping makes many at once cheap.
        journal: Hears of what was accepted; without one, acceptances leave no audit entry.
    """

    def __init__(
        self,
        secret: bytes,
        clock: Clock,
        inserts: Inserts,
        *,
        journal: Journaling | None = None,
        in_flight_wait_s: float = IN_FLIGHT_WAIT_S,
    ) -> None:
        self._secret = secret
        self._journal = journal
        self._clock = clock
        self._inserts = inserts
        self._in_flight_wait_s = in_flight_wait_s
        self._records: GroupRead[str, StoredRequest] = GroupRead(read_many)
        self._running: dict[str, _Running] = {}
        self._twins = Twins(clock, accepted_at, in_flight_wait_s)

    def object_id(self, prefix: str, principal_id: str, key: str, *parts: str) -> str:
        """The id of something that this request makes, such as ``pay_...``."""
        return derived_id(prefix, self._secret, principal_id, key, *parts)

    async def once(self, principal_id: str, key: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` answers, which asks `find`, judges and asks `run`; see `Twins.once`."""
        return await self._twins.once(self.object_id("req", principal_id, key), attempt)

    async def find(
        self, *, principal_id: str, key: str, operation: str, content: bytes
    ) -> StoredAnswer | None:
        """The answer that was given earlier; None for a new request.

        A service asks this before it judges a request by rules that may have changed since. When
        there is an answer it still calls `run`, with an effect made from it.

        Raises:
            KeyReused, KeyExpired, KeyInvalid
        """
        check_key(key)
        request_id = self.object_id("req", principal_id, key)
        record = (await self._records.ask([request_id])).get(request_id)
        if record is None:
            return None
        answer = self._answer_of(record, fingerprint(operation, content))
        return replace(answer, promised=record.promised)

    async def run(
        self,
        *,
        principal_id: str,
        key: str,
        operation: str,
        content: bytes,
        answer: tuple[int, bytes],
        effect: Effect,
        promise: Promise | None = None,
        object_ids: list[str] | None = None,
        act: Act | None = None,
    ) -> StoredAnswer:
        """Accept the request, do its effect, and give the answer that all repeats get.

        Args:
            operation: Its name, such as ``payouts.initiate``; never the path.
            content: The canonical content, from `canonical`.
            answer: Status and JSON body of a first request.
            effect: See the module's text.
            promise: Kept instead of doing `effect`, unless the acceptance promises nothing.
            object_ids: What the effect makes.
            act: For the audit log; what it leaves empty is filled in.

        Raises:
            KeyInvalid: Wrong length or characters.
            KeyReused: The key came with another operation or content.
            KeyExpired: The key is older than `RETENTION`.
            AnswerTooLarge: Nothing is remembered, nothing was done.
            InFlight: The same request is under way for too long, here or elsewhere; or it was
                `counted_at` too long ago.
            AppError: The effect's refusal; nothing is remembered of it.
        """
        check_key(key)
        promised = None if promise is None else promise.content
        if len(answer[1]) > ANSWER_BYTES_MAX or (
            len(answer[1]) + len(promised or b"") > RECORD_BYTES_MAX
        ):
            raise AnswerTooLarge
        record = StoredRequest(
            id=self.object_id("req", principal_id, key),
            nonce=new_id("n"),
            principal=principal_id,
            operation=operation,
            fingerprint=fingerprint(operation, content),
            object_ids=object_ids or [],
            status_code=answer[0],
            body=answer[1],
            promised=promised,
            created_at=self._clock.now(),
        )
        record.unaudited = self._unaudited(record, act)
        try:
            async with asyncio.timeout(self._in_flight_wait_s):
                while running := self._running.get(record.id):
                    if running.fingerprint != record.fingerprint:
                        raise KeyReused()
                    await asyncio.wait([running.done])
                    if not running.done.cancelled():
                        return running.done.result()
        except TimeoutError:
            raise InFlight(retry_after_s=IN_FLIGHT_RETRY_S) from None
        return await self._lead(record, effect, promise)

    async def _lead(
        self, record: StoredRequest, effect: Effect, promise: Promise | None
    ) -> StoredAnswer:
        """Do it, and let equal requests of this process wait for the result."""
        done: asyncio.Future[StoredAnswer] = asyncio.get_running_loop().create_future()
        self._running[record.id] = _Running(record.fingerprint, done)
        try:
            answer = await self._accept(record, effect, promise)
            done.set_result(StoredAnswer(answer.status, answer.body, replayed=True))
            return answer
        finally:
            done.cancel()  # no effect when there is a result; the others look for themselves
            del self._running[record.id]

    async def _accept(
        self, record: StoredRequest, effect: Effect, promise: Promise | None
    ) -> StoredAnswer:
        accepted, new = await self._store(record)
        answer = self._answer_of(accepted, record.fingerprint, replayed=not new)
        if now := doing():
            now.entry_id = self._entry_id(accepted)  # this request's entry is the acceptance's
        try:
            check_counted(self._clock.now())
            if promise is None or accepted.promised is None:
                await effect()
            else:
                await promise.keep(accepted.promised)
        except AppError as refusal:
            if is_final(refusal):
                if not new and self._twins.under_way(accepted.created_at):
                    # By whoever was first: it is not ours to take back.
                    raise InFlight(retry_after_s=IN_FLIGHT_RETRY_S) from refusal
                await self._withdraw(accepted)
            raise
        if accepted.promised is not None:
            await keep_no_promise(accepted)
        if self._journal is not None and accepted.unaudited is not None:
            self._journal.accepted(accepted)
        return answer

    async def _withdraw(self, record: StoredRequest) -> None:
        """Take back exactly this acceptance."""
        if self._journal is not None:
            await self._journal.withdraw(record, self._entry_id(record))
            return
        with store_errors():
            await StoredRequest.find_one({"_id": record.id, "nonce": record.nonce}).delete()

    def _entry_id(self, record: StoredRequest) -> str:
        return derived_id("aud", self._secret, record.id, record.nonce)

    def _unaudited(self, record: StoredRequest, act: Act | None) -> dict[str, Any] | None:
        """What the audit log will say of this request."""
        if self._journal is None:
            return None
        now = doing()
        asked = ("request_id", "route", "api_key")
        kept: dict[str, Any] = {
            "actor": record.principal,
            "role": now.role if now else "service",
            "action": record.operation,
            "object_id": record.object_ids[0] if record.object_ids else "",
            **({name: getattr(now, name) for name in asked} if now else {}),
            **(plain_act(act) if act else {}),
            "at": record.created_at,
            "entry_id": self._entry_id(record),
        }
        kept["after"] = {**kept.get("after", {}), "request_hash": record.fingerprint}
        return kept

    async def _store(self, record: StoredRequest) -> tuple[StoredRequest, bool]:
        """The record that holds the key: ours, or the one that was first."""
        for _ in range(LOOKS_MAX):
            check_counted(self._clock.now())
            if await self._inserts.insert(record):
                return record, True
            if earlier := (await read_many([record.id])).get(record.id):
                return earlier, False
            await asyncio.sleep(LOOK_AGAIN_S)  # withdrawn meanwhile, or not yet by majority
        raise InFlight(retry_after_s=IN_FLIGHT_RETRY_S)

    def _answer_of(
        self, record: StoredRequest, wanted: str, *, replayed: bool = True
    ) -> StoredAnswer:
        if record.fingerprint != wanted:
            raise KeyReused()
        if record.forgotten or record.created_at + RETENTION < self._clock.now():
            raise KeyExpired()
        return StoredAnswer(record.status_code, record.body, replayed)


def fingerprint(operation: str, content: bytes) -> str:
    """What makes two requests the same: SHA-256 over the operation's name and the content."""
    return hashlib.sha256(operation.encode() + b"\x00" + content).hexdigest()


def canonical(content: Any) -> bytes:
    """The same bytes for the same content, whatever the order in which it was written."""
    return msgspec.json.encode(content, order="deterministic")


def required_key(key: str | None, *, dry_run: bool = False) -> str:
    """The key of a request that is not dry; the empty text for one that is.

    Raises:
        KeyMissing: It moves money and has none.
    """
    if dry_run:
        return ""
    if key is None:
        raise KeyMissing(param=KEY_HEADER)
    return key


def respond(answer: StoredAnswer, view: type[V]) -> Response[V]:
    """The stored answer as a response; `view` is the type that its body was encoded from."""
    headers = {REPLAYED_HEADER: "true"} if answer.replayed else {}
    response = Response(
        content=answer.body,
        status_code=answer.status,
        media_type=MediaType.JSON,
        headers=headers,
    )
    return cast("Response[V]", response)

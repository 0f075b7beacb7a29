"""What an upload's key was answered before, whichever build has answered it."""

from dataclasses import dataclass
from typing import Final

import msgspec

from tron_payment.db.cas import insert_once
from tron_payment.http.idempotency import Idempotency, KeyReused, StoredAnswer
from tron_payment.payouts import batch_documents as store
from tron_payment.payouts.batch_documents import Batch
from tron_payment.payouts.batch_rows import Upload


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Of a schedule: its batch is this one, whatever a build reads and refuses in its rows."""

    schedule_id: str
    batch_id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a batch, and the batch that it has made already."""

    operation: str
    batch_id: str
    schedule_id: str | None
    content: bytes
    """For `Idempotency.run`."""

    batch: Batch | None
    promised: bytes | None
    """Of an acceptance that has made no batch yet: the batch that it is to make."""

    answered: bytes | None = None
    """What an upload was answered; builds before 2026-11-22 promised nothing besides."""


class _Row(msgspec.Struct, frozen=True):
    row: int


class _Said(msgspec.Struct, frozen=True):
    """Of the answer to an upload what tells which rows were accepted."""

    accepted: int
    totals: dict[str, str]
    refused: list[_Row]


def say_the_same(one: bytes, other: bytes) -> bool:
    """Whether two answers to the same upload accept the same rows; pure."""
    return _SAID.decode(one) == _SAID.decode(other)


_SAID: Final = msgspec.json.Decoder(_Said)


async def recognise(
    idempotency: Idempotency,
    principal_id: str,
    key: str,
    upload: Upload,
    occurrence: Occurrence | None,
) -> Asked:
    """What this asks for, by the key of an upload or by the occurrence of a schedule.

    Raises:
        KeyReused: There is such a batch, but it was another upload's or another occurrence's; or
            see `Idempotency.find`.
        KeyExpired, KeyInvalid: See `Idempotency.find`.
    """
    if occurrence is not None:
        batch_id, content = occurrence.batch_id, occurrence.content
        operation = "payouts.scheduled"
        earlier = await idempotency.find(
            principal_id=principal_id, key=key, operation=operation, content=content
        )
        promised = None if earlier is None else earlier.promised
        batch = await own_batch(batch_id, occurrence.schedule_id)
        return Asked(operation, batch_id, occurrence.schedule_id, content, batch, promised)
    batch_id, operation = idempotency.object_id("bat", principal_id, key), "payouts.batch"
    earlier, content = await earlier_answer(
        idempotency, principal_id, key, operation, upload, batch_id
    )
    batch = await own_batch(batch_id, None)
    if earlier is None:
        return Asked(operation, batch_id, None, content, None, None)
    return Asked(operation, batch_id, None, content, batch, earlier.promised, earlier.body)


async def own_batch(batch_id: str, schedule_id: str | None) -> Batch | None:
    """The batch of this id, if there is one and it was made for this schedule, or for none.

    The ids of occurrences are derived from texts that are good keys for uploads, too. Whichever
    of the two was first is paid, and the other is told that it was not.

    Raises:
        KeyReused
    """
    batch = await store.by_id(batch_id, {})
    if batch is not None and batch.schedule_id != schedule_id:
        raise KeyReused(
            "a schedule has made its batch by this name"
            if schedule_id is None
            else f"{batch_id} was uploaded with a key that is this occurrence's name"
        )
    return batch


async def insert_own(batch: Batch) -> bool:
    """Store a batch; False when it is there already.

    Raises:
        KeyReused: What is there is another's.
    """
    inserted = await insert_once(batch)
    if not inserted:
        await own_batch(batch.id, batch.schedule_id)
    return inserted


async def earlier_answer(
    idempotency: Idempotency,
    principal_id: str,
    key: str,
    operation: str,
    upload: Upload,
    batch_id: str,
) -> tuple[StoredAnswer | None, bytes]:
    """The answer that this key has got for the same upload, if any, and the upload's content.

    Builds before 2026-11-22 kept the words of refused rows for content. Their batches say which
    words those were; so the same file is the same to us, too.

    Returns:
        The answer, and the content to give `Idempotency.run`.

    Raises:
        KeyReused, KeyExpired, KeyInvalid: See `Idempotency.find`.
    """

    async def find(content: bytes) -> tuple[StoredAnswer | None, bytes]:
        found = await idempotency.find(
            principal_id=principal_id, key=key, operation=operation, content=content
        )
        return found, content

    try:
        return await find(upload.content)
    except KeyReused:
        if not upload.refused:
            raise
    batch = await store.by_id(batch_id, {})
    return await find(upload.content_by_words(() if batch is None else store.unpack_refused(batch)))

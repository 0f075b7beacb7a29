"""What an upload's key was answered before, whichever build has answered it."""

from tron_payment.http.idempotency import Idempotency, KeyReused, StoredAnswer
from tron_payment.payouts import batch_documents as store
from tron_payment.payouts.batch_rows import Upload


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

"""Use cases of whatever an order carries: accept one once, read, cancel, follow, sweep."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import structlog
from litestar.status_codes import HTTP_202_ACCEPTED

from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError, NotFound
from tron_payment.core.ids import derived_id
from tron_payment.db.audit import Act
from tron_payment.db.cas import LostRace
from tron_payment.db.faults import DuplicateValue
from tron_payment.db.group import GroupInsert
from tron_payment.engine import Engine, Order, Wish
from tron_payment.http.idempotency import Idempotency, KeyReused, StoredAnswer
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.ordered import documents as store
from tron_payment.ordered.documents import SWEEP_AFTER, OrderedDocument, showing, told

D = TypeVar("D", bound=OrderedDocument)
V = TypeVar("V")
Accept = Callable[[], Awaitable[StoredAnswer]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKind(Generic[D]):
    """What a module's objects are."""

    document: type[D]
    prefix: str
    """Of its ids, such as ``trf``."""

    plural: str
    """What permissions call them, such as ``transfers``."""

    param: str
    """Their id's name in a path, such as ``transfer_id``."""

    not_found: type[NotFound]
    wish_of: Callable[[D], Wish]
    """The order of an object; the same object always gives the same order."""

    content_of: Callable[[D], object]
    """What makes two requests the same."""

    collision: Callable[[], AppError] | None = None
    """The refusal when another object holds a value that must be unique."""

    unset_when_final: tuple[str, ...] = ()
    """Fields that an object has only while it moves."""


async def _plainly(_: OrderedDocument, accept: Accept) -> StoredAnswer:
    return await accept()


class OrderedObjects(Generic[D]):
    """The objects of one kind. A module's service inherits it and adds what only it does.

    An object is stored before its order; whoever dies in between leaves that to a repeat of the
    request or to `sweep`, both of which place the same order.
    """

    def __init__(
        self,
        kind: ObjectKind[D],
        *,
        clock: Clock,
        secret: bytes,
        idempotency: Idempotency,
        engine: Engine,
        inserts: GroupInsert,
    ) -> None:
        self._kind = kind
        self._clock = clock
        self._secret = secret
        self._idempotency = idempotency
        self._engine = engine
        self._inserts = inserts

    def _order_part(self, object_id: str, now: datetime) -> dict[str, Any]:
        """Fields of a new object that are the same for every kind."""
        return {
            "id": object_id,
            "order_id": derived_id("ord", self._secret, object_id),
            "sweep_at": now + SWEEP_AFTER,
            "created_at": now,
            "updated_at": now,
        }

    async def _accept(
        self,
        principal: Principal,
        key: str,
        *,
        operation: str,
        content: bytes,
        judge: Callable[[str], Awaitable[D]],
        answer: Callable[[D], bytes],
        admit: Callable[[D, Accept], Awaitable[StoredAnswer]] = _plainly,
    ) -> StoredAnswer:
        """Accept an object once; a repeat gets the stored answer and never a second object.

        Args:
            key: The idempotency key; the object's id is derived from it and the principal.
            operation: The endpoint's name, whatever path it was reached by.
            content: The canonical request, for telling a repeat from a reuse of the key.
            judge: Makes the object with this id, or refuses; stores nothing.
            answer: Writes the body of the 202.
            admit: Wraps the acceptance of a new object.

        Raises:
            AppError: What `judge` or `admit` refuses; nothing was stored then.
            InFlight: The same request is under way.
        """

        async def attempt() -> StoredAnswer:
            return await self._attempt(principal, key, operation, content, judge, answer, admit)

        return await self._idempotency.once(principal.id, key, attempt)

    async def _attempt(
        self,
        principal: Principal,
        key: str,
        operation: str,
        content: bytes,
        judge: Callable[[str], Awaitable[D]],
        answer: Callable[[D], bytes],
        admit: Callable[[D, Accept], Awaitable[StoredAnswer]],
    ) -> StoredAnswer:
        object_id = self._idempotency.object_id(self._kind.prefix, principal.id, key)
        stored = None
        earlier = await self._idempotency.find(
            principal_id=principal.id, key=key, operation=operation, content=content
        )
        if earlier is not None:
            stored = await store.by_id(self._kind.document, object_id, {})
        accepted = await judge(object_id) if stored is None else stored

        async def accept() -> StoredAnswer:
            return await self._idempotency.run(
                principal_id=principal.id,
                key=key,
                operation=operation,
                content=content,
                answer=(HTTP_202_ACCEPTED, answer(accepted)),
                effect=lambda: self._store(accepted),
                object_ids=[object_id],
                act=Act(
                    actor=principal.id,
                    role=principal.role.value,
                    action="",
                    object_id=object_id,
                    after=told(accepted),
                ),
            )

        return await admit(accepted, accept) if stored is None else await accept()

    async def _store(self, document: D) -> None:
        """Store a judged object and its order. Safe to repeat, whatever happened in between."""
        try:
            created = await self._inserts.insert(document)
        except DuplicateValue:
            if self._kind.collision is None:
                raise
            raise self._kind.collision() from None
        if not created:
            earlier = await store.by_id(self._kind.document, document.id, {})
            assert earlier is not None, document.id
            if self._kind.content_of(earlier) != self._kind.content_of(document):
                raise KeyReused
            document = earlier
        await self._engine.place(self._kind.wish_of(document))

    async def get(self, principal: Principal, object_id: str) -> D:
        """
        Raises:
            NotFound: The kind's own: there is none, or it is another principal's.
        """
        owner = owner_filter(principal, self._kind.plural)
        found = await store.by_id(self._kind.document, object_id, owner)
        if found is None:
            raise self._kind.not_found(param=self._kind.param)
        return found

    async def cancel(self, principal: Principal, object_id: str) -> D:
        """Cancel what is not signed.

        Raises:
            NotFound: As `get`.
            OrderSigned, OrderFinished: It is too late.
        """
        found = await self.get(principal, object_id)
        await self._engine.place(self._kind.wish_of(found))
        await self._engine.cancel(found.order_id)
        order = await self._engine.find(found.order_id)
        if order is None:
            raise LostRace("the order is not there yet; try again")
        await self.follow([order])
        return await self.get(principal, object_id)

    async def history(
        self, principal: Principal, page: PageRequest, view: Callable[[D], V]
    ) -> Page[V]:
        """Objects that the caller may see, newest first.

        Raises:
            InvalidFilter: An unknown status.
            InvalidCursor: Not from this list.
        """
        where: dict[str, Any] = owner_filter(principal, self._kind.plural)
        where |= showing(page.statuses)
        return await fetch_page(self._kind.document, where, page, view, newest_first=True)

    async def follow(self, orders: Sequence[Order]) -> None:
        """Hear of orders: take over what became of them. The engine calls this."""
        await store.follow_orders(
            self._kind.document, orders, self._clock.now(), self._kind.unset_when_final
        )

    async def sweep(self) -> bool:
        """Finish halves: queued objects whose order was not stored before the process died."""
        waiting = await store.unswept(self._kind.document, self._clock.now())
        for each in waiting:
            if await self._engine.find(each.order_id) is None:
                log.warning("order.missing", kind=self._kind.plural, object_id=each.id)
                await self._engine.place(self._kind.wish_of(each))
        await store.swept(self._kind.document, [each.id for each in waiting])
        return bool(waiting)

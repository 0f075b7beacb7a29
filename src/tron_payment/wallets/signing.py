"""Signing requests: bytes that wait for keys which are elsewhere.

A request is made for an order that has stored its bytes and waits (`AWAITING_SIGNATURE`, with a
live attempt that has no signatures yet). Once shown, the bytes may be signed and sent by anybody
who has a key, so only a proof of death makes room for other bytes. A signature is accepted when it
recovers to a key that the chain lets sign, for exactly these bytes, once.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import structlog

from tron_payment import chain
from tron_payment.chain import Nodes, Permission
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock, to_ms
from tron_payment.core.errors import Conflict, NotFound, Refused, Unavailable
from tron_payment.core.ids import derived_id
from tron_payment.db.audit import Act, Audit
from tron_payment.db.cas import LostRace, insert_once
from tron_payment.engine import CannotSign, Order, OrderStatus
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.principals import Principal
from tron_payment.wallets import documents as wallets
from tron_payment.wallets import signing_documents as store
from tron_payment.wallets.currencies import Currencies
from tron_payment.wallets.domain import WalletKind
from tron_payment.wallets.manifest import Manifest, manifest_of
from tron_payment.wallets.signer import SIGNATURE_BYTES, check_bytes, recovered_address
from tron_payment.wallets.signing_documents import AllowedKey, Given, RequestStatus, SigningRequest

CHANGE_ATTEMPTS_MAX: Final = 5
WAITING_MAX: Final = 100
ETHEREUM_V: Final = 27
BY_ITS_KEY: Final = "signing key"
"""Who gave a signature that came without a credential; the act names the key."""

_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0

log = structlog.get_logger()


class RequestNotFound(NotFound, code="signing_request_not_found"):
    """There is no such signing request."""


class RequestClosed(Conflict, code="signing_request_closed"):
    """The request is complete, expired or canceled; nothing was changed."""


class AlreadySignedBy(Conflict, code="already_signed"):
    """This key has signed the request already."""


class SignatureMalformed(Refused, code="signature_malformed"):
    """A signature is 65 bytes in hex: r, s and v."""


class SignatureForeign(Refused, code="signature_foreign"):
    """The signature is for other bytes, or by a key that may not sign for this address."""


CompleteHandler = Callable[[SigningRequest], Awaitable[None]]
"""Takes the signatures of a complete request to its order; safe to repeat."""


class SigningRequests:
    """The requests of this installation.

    `hear` plugs in what brings the signatures to the order; until then they wait, stored.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        secret: bytes,
        nodes: Nodes,
        audit: Audit,
        currencies: Currencies,
    ) -> None:
        self._clock = clock
        self._secret = secret
        self._nodes = nodes
        self._audit = audit
        self._currencies = currencies
        self._handler: CompleteHandler | None = None

    def hear(self, handler: CompleteHandler) -> None:
        """`handler` is given every complete request, again after a crash."""
        assert self._handler is None
        self._handler = handler

    # ---- from the engine ---------------------------------------------------------------------

    async def ask(self, order: Order) -> SigningRequest:
        """Show an order's bytes to those who can sign them. Safe to repeat.

        Args:
            order: Waits for its signature; its live attempt has the bytes and no signature.

        Raises:
            CannotSign: The bytes say something else than the order, no key may sign them, the
                chain cannot be asked who may, or the order was called back: what was shown of it
                while that happened is closed.
        """
        assert order.status is OrderStatus.AWAITING_SIGNATURE and order.detached, order.id
        if order.cancel_requested:
            await self.follow([order])
            raise CannotSign("it was called back")
        attempt = order.live
        assert attempt is not None and not attempt.signatures, order.id
        said = check_bytes(order, attempt.raw)
        wallet = await wallets.by_id(order.wallet_id)
        assert wallet is not None, order.wallet_id
        threshold, keys = await self._who_may_sign(Address(order.signer), said)
        now = self._clock.now()
        request = SigningRequest(
            id=derived_id("sgn", self._secret, order.id, attempt.txid),
            order_id=order.id,
            wallet_id=wallet.id,
            address=order.signer,
            path=wallet.path,
            raw=attempt.raw,
            txid=attempt.txid,
            expiration_ms=attempt.expiration_ms,
            permission_id=order.permission_id,
            threshold=threshold,
            keys=keys,
            created_at=now,
            updated_at=now,
        )
        if not await insert_once(request):
            found = await store.by_id(request.id)
            assert found is not None
            return found
        log.info("signature.asked", request_id=request.id, order_id=order.id, txid=attempt.txid)
        return request

    async def permission(self, wallet_id: str, contract: chain.Contract) -> int:
        """By which permission a wallet signs; all permissions are replaced by the owner's only."""
        if isinstance(contract, chain.PermissionUpdate):
            return 0
        wallet = await wallets.by_id(wallet_id)
        return 0 if wallet is None else wallet.permission_id

    async def signatures_max(self, order: Order) -> int:
        """How many keys may sign the order's transaction, as the chain has it now.

        Raises:
            CannotSign: As `ask`.
        """
        number = chain.type_number_of(order.wanted_contract)
        _, keys = await self._keys_of(Address(order.signer), order.permission_id, number)
        return len(keys)

    async def follow(self, orders: Sequence[Order]) -> None:
        """Close requests that are not needed any more: their bytes are dead, were given up, or
        were signed and sent by somebody without us."""
        for order in orders:
            outcome = order.outcome
            for request in await store.open_of(order.id):
                if outcome is not None and outcome.txid == request.txid:
                    await self._close(request, RequestStatus.COMPLETE)
                elif order.status is OrderStatus.CANCELED or order.cancel_requested:
                    await self._close(request, RequestStatus.CANCELED)
                elif order.live_txid != request.txid:
                    await self._close(request, RequestStatus.EXPIRED)

    async def step(self) -> bool:
        """For the loop: bring complete requests to their orders; True when one was brought."""
        if self._handler is None:
            return False
        waiting = await store.undelivered()
        for request in waiting:
            await self._deliver(request)
        return bool(waiting)

    # ---- from people -------------------------------------------------------------------------

    async def get(self, request_id: str) -> SigningRequest:
        """
        Raises:
            RequestNotFound
        """
        found = await store.by_id(request_id)
        if found is None:
            raise RequestNotFound
        return found

    async def waiting(self, kind: WalletKind) -> list[SigningRequest]:
        """Open requests of wallets of this kind, the oldest first, at most `WAITING_MAX`."""
        return await store.open_of_wallets(await wallets.ids_of(kind), limit=WAITING_MAX)

    async def page(self, page: PageRequest) -> Page[SigningRequest]:
        """Requests, oldest first."""
        where: dict[str, Any] = {}
        if asked := page.statuses_of(RequestStatus):
            where["status"] = {"$in": [status.value for status in asked]}
        return await fetch_page(SigningRequest, where, page, lambda request: request)

    async def accept(
        self, principal: Principal, request_id: str, signature: str, *, http_request_id: str = ""
    ) -> SigningRequest:
        """Take a signature: 65 bytes in hex, v as 0, 1, 27 or 28.

        Raises:
            RequestNotFound, RequestClosed
            SignatureMalformed
            SignatureForeign: Other bytes, or a key that may not sign.
            AlreadySignedBy: A second one by the same key.
        """
        return await self._accept(
            principal.id, principal.role.value, request_id, signature, http_request_id
        )

    async def accept_from_key(
        self, request_id: str, signature: str, *, http_request_id: str = ""
    ) -> SigningRequest:
        """The same from whoever has the key and the request's address: the signature says who.

        Raises:
            As `accept`.
        """
        return await self._accept(BY_ITS_KEY, BY_ITS_KEY, request_id, signature, http_request_id)

    async def _accept(
        self, actor: str, role: str, request_id: str, signature: str, http_request_id: str
    ) -> SigningRequest:
        raw_signature = parse_signature(signature)
        for _ in range(CHANGE_ATTEMPTS_MAX):
            request = await self.get(request_id)
            key = _key_of(request, raw_signature)
            if any(each.address == key.address for each in request.given):
                raise AlreadySignedBy
            if request.status is not RequestStatus.OPEN:
                raise RequestClosed(f"the request is {request.status}")
            now = self._clock.now()
            if request.expiration_ms <= to_ms(now):
                raise RequestClosed("its transaction has expired; a new request will come")
            given = Given(key.address, key.weight, raw_signature, actor, now)
            complete = request.weight + key.weight >= request.threshold
            try:
                after = await store.add(request, given, complete=complete)
            except LostRace:
                continue
            await self._note(actor, role, after, key, http_request_id)
            if complete and self._handler is not None:
                await self._deliver(after)
            return after
        raise LostRace("the request keeps changing; try again")

    async def _deliver(self, request: SigningRequest) -> None:
        assert self._handler is not None
        await self._handler(request)
        try:
            await store.mark_delivered(request, self._clock.now())
        except LostRace:
            return  # somebody else has delivered it

    async def _close(self, request: SigningRequest, status: RequestStatus) -> None:
        try:
            await store.move(request, status, self._clock.now())
        except LostRace:
            return  # the next news of the order looks again

    async def _who_may_sign(
        self, address: Address, said: chain.RawData
    ) -> tuple[int, list[AllowedKey]]:
        """Threshold and keys of the permission that the bytes name, as the chain has it now."""
        return await self._keys_of(address, said.permission_id, chain.type_number_of(said.contract))

    async def _keys_of(
        self, address: Address, permission_id: int, type_number: int
    ) -> tuple[int, list[AllowedKey]]:
        try:
            account = await self._nodes.account(address)
        except Unavailable as away:
            raise CannotSign(f"no node says who may sign: {away.detail}") from None
        permission = None if account is None else _permission(account, permission_id)
        if permission is None:
            if permission_id:
                raise CannotSign(f"the account has no permission {permission_id}")
            return 1, [AllowedKey(address, 1)]
        if not permission.allows(type_number):
            raise CannotSign(f"permission {permission_id} does not allow this contract")
        keys = [AllowedKey(key, weight) for key, weight in permission.keys]
        return permission.threshold, keys

    async def _note(
        self,
        actor: str,
        role: str,
        request: SigningRequest,
        key: AllowedKey,
        http_request_id: str,
    ) -> None:
        log.info("signature.accepted", request_id=request.id, status=request.status)
        await self._audit.append(
            Act(
                actor=actor,
                role=role,
                action="signing.accept",
                object_id=request.id,
                after={
                    "order_id": request.order_id,
                    "txid": request.txid,
                    "key": key.address,
                    "weight": request.weight,
                    "threshold": request.threshold,
                    "status": request.status.value,
                },
                request_id=http_request_id,
            )
        )

    def takes(self, request: SigningRequest) -> bool:
        """Whether a signature would still be taken: it is open, and its bytes are not too old."""
        young = to_ms(self._clock.now()) < request.expiration_ms
        return request.status is RequestStatus.OPEN and young

    def words(self, request: SigningRequest) -> Manifest:
        """The manifest, read from the stored bytes at every look."""
        return manifest_of(request.raw, self._currencies)


def parse_signature(text: str) -> bytes:
    """Read 130 hex digits and bring v to 0 or 1.

    Raises:
        SignatureMalformed: Another form, or a high s, which some nodes refuse.
    """
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise SignatureMalformed(param="signature") from None
    if len(raw) != SIGNATURE_BYTES:
        raise SignatureMalformed(param="signature")
    v = raw[64] - ETHEREUM_V if raw[64] >= ETHEREUM_V else raw[64]
    if v not in (0, 1) or int.from_bytes(raw[32:64]) > _HALF_ORDER:
        raise SignatureMalformed(param="signature")
    return raw[:64] + bytes((v,))


def _key_of(request: SigningRequest, signature: bytes) -> AllowedKey:
    """The allowed key that made this signature over the request's bytes.

    Raises:
        SignatureForeign
    """
    try:
        address = recovered_address(signature, bytes.fromhex(chain.txid(request.raw)))
    except ValueError:
        raise SignatureMalformed(param="signature") from None
    for key in request.keys:
        if key.address == address:
            return key
    raise SignatureForeign(f"it recovers to {address}", param="signature")


def _permission(account: chain.Account, permission_id: int) -> Permission | None:
    if permission_id == 0:
        return account.owner_permission
    return next((each for each in account.actives if each.id == permission_id), None)

"""The signer: it takes orders, never hashes, and answers signatures that it has checked itself.

Before a byte is signed it reads the bytes on its own, compares them with what the order wants,
looks up the wallet and its state, opens the key, and writes a line in its journal. Opened keys
stay in memory for a bounded time and number.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from coincurve import PublicKey

from tron_payment import chain
from tron_payment.chain import Cursors
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock
from tron_payment.engine import CannotSign, Order
from tron_payment.settings import Settings
from tron_payment.wallets import addresses, hd, journal
from tron_payment.wallets import documents as store
from tron_payment.wallets.documents import Wallet
from tron_payment.wallets.domain import WalletKind, WalletStatus
from tron_payment.wallets.hd import PrivateNode
from tron_payment.wallets.journal import Line
from tron_payment.wallets.keys import Secret, SigningKey, address_of_public_key
from tron_payment.wallets.keystore import Keystore, KeyUnreadable, parse_keks

KEYS_OPEN_MAX: Final = 200
KEY_OPEN_S: Final = 60.0
"""An opened key is forgotten after this, used or not."""

WALLET_SEEN_S: Final = 0.5
"""For how long a wallet's state is believed: a freeze works after this at the latest."""

SIGNATURE_BYTES: Final = 65
STILL_OPEN: Final = "an earlier transaction of this order is still open"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Opened:
    key: SigningKey
    until_s: float


class KeySigner:
    """Implements `engine.Signer` with the keys in our own store.

    Args:
        keystore: Opens the envelopes.
        monotonic: Seconds, for the memory of opened keys.
    """

    def __init__(
        self,
        keystore: Keystore,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keystore = keystore
        self._clock = clock
        self._monotonic = monotonic
        self._keys: OrderedDict[tuple[str, Address], _Opened] = OrderedDict()
        self._nodes: OrderedDict[str, tuple[PrivateNode, float]] = OrderedDict()
        self._wallets: OrderedDict[str, tuple[Wallet, float]] = OrderedDict()
        self._cursors: Cursors | None = None
        self.signed = 0
        self.refused = 0

    async def sign(self, order: Order, raw: bytes) -> bytes:
        """65 bytes r, s, v over sha256(raw), after checking that raw says what the order wants.

        Raises:
            CannotSign: Frozen wallet, no key here, bytes that say something else, or an earlier
                transaction of the order that may still be taken.
        """
        (answer,) = await self.sign_many([(order, raw)])
        if isinstance(answer, CannotSign):
            raise answer
        return answer

    async def sign_many(self, requests: Sequence[tuple[Order, bytes]]) -> list[bytes | CannotSign]:
        """The same for many orders with one write to the journal; an answer for each."""
        answers: list[bytes | CannotSign] = []
        checked: list[tuple[int, SigningKey, bytes]] = []
        lines: list[Line] = []
        for number, (order, raw) in enumerate(requests):
            try:
                said = check_bytes(order, raw)
                key = await self._key(order)
            except CannotSign as refusal:
                answers.append(self._refuse(order, refusal))
                continue
            answers.append(CannotSign(STILL_OPEN))
            txid = chain.txid(raw)
            lines.append(Line(order, txid, order.wallet_id, said.expiration_ms))
            checked.append((number, key, raw))
        written = await journal.write(lines, self._clock.now(), solid=self._solid_ms)
        for may_sign, (number, key, raw) in zip(written, checked, strict=True):
            if may_sign:
                answers[number] = sign_checked(key, raw)
                self.signed += 1
            else:
                answers[number] = self._refuse(requests[number][0], CannotSign(STILL_OPEN))
        return answers

    def follow(self, cursors: Cursors) -> None:
        """Where to read how far the solidified chain was applied; without it nothing expires."""
        self._cursors = cursors

    async def _solid_ms(self) -> int:
        position = None if self._cursors is None else await self._cursors.load()
        return 0 if position is None or position.halted else position.timestamp_ms

    def forget(self, wallet_id: str) -> None:
        """Close the wallet's keys in memory and look at its state anew."""
        self._wallets.pop(wallet_id, None)
        self._nodes.pop(wallet_id, None)
        for name in [name for name in self._keys if name[0] == wallet_id]:
            del self._keys[name]

    async def _key(self, order: Order) -> SigningKey:
        wallet = await self._wallet(order.wallet_id)
        signer = Address(order.signer)
        if wallet.status is not WalletStatus.ACTIVE:
            raise CannotSign(f"the wallet is {wallet.status}")
        if wallet.envelope is None:
            raise CannotSign("the key of this wallet is not here")
        now = self._monotonic()
        opened = self._keys.get((wallet.id, signer))
        if opened is None or opened.until_s <= now:
            opened = _Opened(await self._open(wallet, signer), now + KEY_OPEN_S)
            self._keys[(wallet.id, signer)] = opened
            while len(self._keys) > KEYS_OPEN_MAX:
                self._keys.popitem(last=False)
        self._keys.move_to_end((wallet.id, signer))
        return opened.key

    async def _open(self, wallet: Wallet, signer: Address) -> SigningKey:
        """The key of one address; it must derive just this address."""
        index = 0
        if signer != wallet.address:
            row = await addresses.row_of(signer) if wallet.kind is WalletKind.HD else None
            if row is None or row.wallet_id != wallet.id:
                raise CannotSign("the order's signer is not this wallet's address")
            index = row.index
        if wallet.kind is WalletKind.HD:
            key = self._chain_node(wallet).child(index).signing_key()
        else:
            key = hd.signing_key(wallet.kind, self._secret(wallet), wallet.path)
        if key.address != signer:
            log.error("wallet.key_unreadable", wallet_id=wallet.id, detail="derives another")
            raise CannotSign("the stored key is not this wallet's")
        return key

    def _chain_node(self, wallet: Wallet) -> PrivateNode:
        """The node above an HD wallet's addresses."""
        now = self._monotonic()
        opened = self._nodes.get(wallet.id)
        if opened is None or opened[1] <= now:
            account = hd.account_node(self._secret(wallet), wallet.path)
            opened = (account.child(0), now + KEY_OPEN_S)
            self._nodes[wallet.id] = opened
        self._nodes.move_to_end(wallet.id)
        while len(self._nodes) > KEYS_OPEN_MAX:
            self._nodes.popitem(last=False)
        return opened[0]

    def _secret(self, wallet: Wallet) -> Secret:
        assert wallet.envelope is not None
        try:
            return self.keystore.open(wallet.envelope, wallet.bond)
        except KeyUnreadable as error:
            log.error("wallet.key_unreadable", wallet_id=wallet.id, detail=error.detail)
            raise CannotSign("the key of this wallet does not open") from None

    async def _wallet(self, wallet_id: str) -> Wallet:
        now = self._monotonic()
        seen = self._wallets.get(wallet_id)
        if seen is not None and seen[1] > now:
            return seen[0]
        wallet = await store.by_id(wallet_id)
        if wallet is None:
            raise CannotSign("there is no such wallet")
        self._wallets[wallet_id] = (wallet, now + WALLET_SEEN_S)
        self._wallets.move_to_end(wallet_id)
        while len(self._wallets) > KEYS_OPEN_MAX:
            self._wallets.popitem(last=False)
        return wallet

    def _refuse(self, order: Order, refusal: CannotSign) -> CannotSign:
        self.refused += 1
        log.warning("signature.refused", order_id=order.id, detail=refusal.detail)
        return refusal


def check_bytes(order: Order, raw: bytes) -> chain.RawData:
    """Read the bytes and compare them with the order.

    Raises:
        CannotSign: They say anything that the order does not want, or an earlier attempt lives.
    """
    try:
        said = chain.decode(raw)
    except chain.MalformedRawData:
        raise CannotSign("the bytes are not a transaction of ours") from None
    wanted = order.wanted_contract
    if said.contract != wanted:
        raise CannotSign("the bytes do not say what the order wants")
    if said.contract.owner != order.signer:
        raise CannotSign("the bytes spend from another address")
    if said.fee_limit_sun > order.fee_limit_sun:
        raise CannotSign("the fee limit is above the order's")
    if said.permission_id != order.permission_id or said.memo:
        raise CannotSign("the bytes have a permission or memo that the order does not want")
    txid = chain.txid(raw)
    for attempt in order.tried:
        if attempt.death is None and attempt.txid != txid:
            raise CannotSign(STILL_OPEN)
    return said


def sign_checked(key: SigningKey, raw: bytes) -> bytes:
    """Sign sha256 of bytes that were checked, and recover the address before answering."""
    digest = hashlib.sha256(raw).digest()
    signature = key.sign(digest)
    assert len(signature) == SIGNATURE_BYTES and signature[64] in (0, 1)
    assert recovered_address(signature, digest) == key.address, "the signature recovers to another"
    return signature


def recovered_address(signature: bytes, digest: bytes) -> Address:
    """Whose signature this is.

    Raises:
        ValueError: It is nobody's.
    """
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (0, 1):
        raise ValueError("a signature is 65 bytes r, s, v with v 0 or 1")
    try:
        public = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except ValueError as error:
        raise ValueError("the signature is not valid") from error
    return address_of_public_key(public.format(compressed=False))


def build_signer(settings: Settings, clock: Clock) -> KeySigner:
    """The signer of this process; it exists before the engine does.

    Raises:
        ConfigurationError: ``WALLET_ENCRYPTION_KEY`` is missing or malformed.
    """
    return KeySigner(Keystore(parse_keks(settings.wallet_encryption_key.get_secret_value())), clock)

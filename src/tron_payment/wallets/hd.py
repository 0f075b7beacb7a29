"""HD wallets: BIP-39 words, BIP-32 keys, BIP-44 paths ``m/44'/195'/account'/0/index``.

The secret of an HD wallet is the entropy behind its words. The account's public key is kept in
the open beside it, so that addresses are issued without opening anything. Never give out a child's
private key: together with the account's public key it gives the account's private key.
"""

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Self

import base58
from coincurve import PublicKey
from mnemonic import Mnemonic

from tron_payment.core.address import Address
from tron_payment.core.errors import Refused
from tron_payment.wallets.domain import WalletKind
from tron_payment.wallets.keys import Secret, SigningKey, address_of_public_key

HARDENED: Final = 0x80000000
PURPOSE: Final = 44
COIN_TRON: Final = 195
ACCOUNT_PATH: Final = "m/44'/195'/0'"
INDEX_MAX: Final = HARDENED - 1
ENTROPY_BYTES: Final = 32
"""Of new wallets: 24 words."""

XPUB_VERSION: Final = bytes.fromhex("0488b21e")
XPUB_BYTES: Final = 78
ACCOUNT_DEPTH: Final = 3
SEED_ROUNDS: Final = 2_048
WORD_COUNTS: Final = (12, 15, 18, 21, 24)
MNEMONIC_TEXT_MAX: Final = 400

_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ACCOUNT: Final = re.compile(r"m/44'/195'/(0|[1-9][0-9]{0,8})'")
_PATH: Final = re.compile(r"m(/[0-9]{1,10}'?)*")
_WORDS: Final = Mnemonic("english")


class InvalidMnemonic(Refused, code="invalid_mnemonic"):
    """These are not the words of a wallet: 12 or 24 of the English list with their checksum."""


class InvalidXpub(Refused, code="invalid_xpub"):
    """This is not the extended public key of an account."""


@dataclass(frozen=True, slots=True, repr=False)
class PrivateNode:
    """An extended private key."""

    key: Secret
    chain_code: Secret

    @classmethod
    def master(cls, seed: Secret) -> Self:
        digest = hmac.digest(b"Bitcoin seed", seed.reveal(), hashlib.sha512)
        assert SigningKey.fits(digest[:32]), "one seed in 2**127 has no master key"
        return cls(Secret(digest[:32]), Secret(digest[32:]))

    def child(self, index: int) -> "PrivateNode":
        """The child key; hardened from 2**31 on."""
        assert 0 <= index < 2 * HARDENED
        parent = self.key.reveal()
        if index >= HARDENED:
            data = b"\0" + parent
        else:
            data = PublicKey.from_valid_secret(parent).format(compressed=True)
        digest = hmac.digest(self.chain_code.reveal(), data + index.to_bytes(4), hashlib.sha512)
        tweak = int.from_bytes(digest[:32])
        number = (tweak + int.from_bytes(parent)) % _ORDER
        assert tweak < _ORDER and number, "one index in 2**127 has no key"
        return PrivateNode(Secret(number.to_bytes(32)), Secret(digest[32:]))

    def derive(self, path: str) -> "PrivateNode":
        """The node at a path such as ``m/44'/195'/0'/0/7``."""
        node = self
        for index in parse_path(path):
            node = node.child(index)
        return node

    def public(self) -> "PublicNode":
        return PublicNode(
            PublicKey.from_valid_secret(self.key.reveal()).format(compressed=True),
            self.chain_code.reveal(),
        )

    def signing_key(self) -> SigningKey:
        return SigningKey(self.key)

    def __repr__(self) -> str:
        return "<redacted>"

    def __reduce_ex__(self, _: Any) -> NoReturn:
        raise TypeError("a key is not copied or pickled")


@dataclass(frozen=True, slots=True)
class PublicNode:
    """An extended public key: 33 compressed bytes and the chain code."""

    key: bytes
    chain_code: bytes

    def child(self, index: int) -> "PublicNode":
        """The child key; a hardened one has none."""
        assert 0 <= index < HARDENED, "hardened children need the private key"
        digest = hmac.digest(self.chain_code, self.key + index.to_bytes(4), hashlib.sha512)
        return PublicNode(PublicKey(self.key).add(digest[:32]).format(compressed=True), digest[32:])

    @property
    def address(self) -> Address:
        return address_of_public_key(PublicKey(self.key).format(compressed=False))

    def addresses(self, indices: Iterable[int]) -> list[tuple[Address, int]]:
        """The children's addresses, as `child` and `address` tell them, for very many of them."""
        parent, found = PublicKey(self.key), []
        for index in indices:
            assert 0 <= index < HARDENED, "hardened children need the private key"
            digest = hmac.digest(self.chain_code, self.key + index.to_bytes(4), hashlib.sha512)
            point = parent.add(digest[:32])
            found.append((address_of_public_key(point.format(compressed=False)), index))
        return found


def parse_path(path: str) -> tuple[int, ...]:
    """The indices of a path, hardened ones from 2**31 on."""
    assert _PATH.fullmatch(path), path
    return tuple(
        int(part.rstrip("'")) + (HARDENED if part.endswith("'") else 0)
        for part in path.split("/")[1:]
    )


def account_path(account: int) -> str:
    """The path of an account by its number, 0 being the first."""
    assert 0 <= account < HARDENED, account
    return f"m/{PURPOSE}'/{COIN_TRON}'/{account}'"


def address_path(index: int, account: str = ACCOUNT_PATH) -> str:
    """The whole path of an address."""
    return f"{account}/0/{index}"


def new_entropy() -> Secret:
    """The secret of a new wallet."""
    return Secret(secrets.token_bytes(ENTROPY_BYTES))


def entropy_of(mnemonic: str) -> Secret:
    """Read the words of a wallet.

    Raises:
        InvalidMnemonic: Wrong number, a word that is not in the list, or a wrong checksum. The
            words are not repeated in the error.
    """
    text = unicodedata.normalize("NFKD", mnemonic)
    words = text.lower().split() if len(text) <= MNEMONIC_TEXT_MAX else []
    try:
        if len(words) not in WORD_COUNTS:
            raise ValueError
        return Secret(bytes(_WORDS.to_entropy(words)))
    except (ValueError, LookupError):
        raise InvalidMnemonic(param="mnemonic") from None


def seed_of(entropy: Secret, passphrase: str = "") -> Secret:
    """BIP-39's seed of 64 bytes: PBKDF2 over the words."""
    words = _WORDS.to_mnemonic(entropy.reveal())
    salt = unicodedata.normalize("NFKD", "mnemonic" + passphrase).encode()
    return Secret(hashlib.pbkdf2_hmac("sha512", words.encode(), salt, SEED_ROUNDS))


def account_node(entropy: Secret, path: str = ACCOUNT_PATH) -> PrivateNode:
    """The node of an account, ``m/44'/195'/0'`` or another."""
    return PrivateNode.master(seed_of(entropy)).derive(path)


def signing_key(kind: WalletKind, secret: Secret, path: str = "") -> SigningKey:
    """The key of a wallet's own address; an HD wallet's path is that of its account."""
    if kind is WalletKind.HD:
        return account_node(secret, path or ACCOUNT_PATH).child(0).child(0).signing_key()
    assert kind is WalletKind.HOT, kind
    return SigningKey(secret)


def xpub_text(node: PublicNode, account: int = 0) -> str:
    """The account's public key as text. The parent's fingerprint is left zero."""
    head = XPUB_VERSION + bytes((ACCOUNT_DEPTH,)) + bytes(4) + (HARDENED + account).to_bytes(4)
    raw = head + node.chain_code + node.key
    return base58.b58encode_check(raw).decode()


def parse_xpub(text: str) -> PublicNode:
    """Read the extended public key of an account (depth 3, as BIP-44 has it).

    Raises:
        InvalidXpub: Another kind of text or key.
    """
    try:
        raw = base58.b58decode_check(text)
        if len(raw) != XPUB_BYTES or raw[:4] != XPUB_VERSION or raw[4] != ACCOUNT_DEPTH:
            raise ValueError
        PublicKey(raw[45:])
    except ValueError:
        raise InvalidXpub(param="xpub") from None
    return PublicNode(raw[45:], raw[13:45])


def account_of_xpub(text: str) -> int:
    """The number of the account whose key `parse_xpub` reads; 0 for a number that is not hardened,
    which some programs write."""
    number = int.from_bytes(base58.b58decode_check(text)[9:13])
    return number - HARDENED if number >= HARDENED else 0

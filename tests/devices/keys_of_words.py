"""Keys of a device's words, by BIP-39 and BIP-32."""

import hashlib

import base58
from coincurve import PrivateKey
from Crypto.Hash import keccak
from mnemonic import Mnemonic

from tron_payment.wallets.hd import PrivateNode
from tron_payment.wallets.keys import Secret


class Words:
    """The seed of an emulated device."""

    def __init__(self, words: str) -> None:
        self._master = PrivateNode.master(Secret(Mnemonic.to_seed(words)))

    def node(self, levels: tuple[int, ...]) -> PrivateNode:
        node = self._master
        for level in levels:
            node = node.child(level)
        return node

    def key(self, levels: tuple[int, ...]) -> PrivateKey:
        return PrivateKey(self.node(levels).key.reveal())

    def sign(self, levels: tuple[int, ...], digest: bytes) -> bytes:
        return self.key(levels).sign_recoverable(digest, hasher=None)


def address_of_key(key: PrivateKey) -> str:
    public = key.public_key.format(compressed=False)
    tail = keccak.new(digest_bits=256, data=public[1:]).digest()[-20:]
    return base58.b58encode_check(b"\x41" + tail).decode()


def sha256(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()

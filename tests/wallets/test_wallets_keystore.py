"""An envelope opens for its wallet, address and path, under its KEK, unchanged; else not."""

import copy
import pickle
from dataclasses import replace

import pytest

from tron_payment.core.address import Address
from tron_payment.settings import ConfigurationError
from tron_payment.wallets.domain import InvalidKey
from tron_payment.wallets.keys import Secret, SigningKey
from tron_payment.wallets.keystore import Bond, Envelope, Keystore, KeyUnreadable, parse_keks

BOND = Bond("wal_a", Address("TLsV52sRDL79HXGGm9yzwKibb6BeruhUzy"), "m/0")
RAW = bytes(range(32))


def keystore(text: str = "11" * 32) -> Keystore:
    return Keystore(parse_keks(text))


def test_a_sealed_secret_opens_again() -> None:
    store = keystore()
    envelope = store.seal(Secret(RAW), BOND)
    assert store.open(envelope, BOND).reveal() == RAW
    assert RAW not in envelope.sealed and RAW not in envelope.wrapped_key


def test_no_two_envelopes_are_alike() -> None:
    store = keystore()
    one, two = store.seal(Secret(RAW), BOND), store.seal(Secret(RAW), BOND)
    assert one.sealed != two.sealed and one.wrapped_key != two.wrapped_key


@pytest.mark.parametrize(
    "bond",
    [
        replace(BOND, wallet_id="wal_b"),
        replace(BOND, address=Address("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")),
        replace(BOND, path="m/1"),
    ],
)
def test_another_bond_does_not_open(bond: Bond) -> None:
    store = keystore()
    with pytest.raises(KeyUnreadable):
        store.open(store.seal(Secret(RAW), BOND), bond)


def _flip(raw: bytes, index: int) -> bytes:
    return raw[:index] + bytes((raw[index] ^ 1,)) + raw[index + 1 :]


def test_changed_swapped_or_truncated_bytes_do_not_open() -> None:
    store = keystore()
    envelope, other = store.seal(Secret(RAW), BOND), store.seal(Secret(RAW), BOND)
    bad: list[Envelope] = [
        replace(envelope, sealed=other.sealed),
        replace(envelope, wrapped_key=other.wrapped_key),
        replace(envelope, sealed=envelope.sealed[:-1]),
        replace(envelope, sealed=b""),
        replace(envelope, wrapped_key=envelope.wrapped_key[:5]),
        replace(envelope, kek_id="k2"),
        replace(envelope, sealed_under="k2"),
    ]
    bad += [replace(envelope, sealed=_flip(envelope.sealed, n)) for n in range(0, 60, 7)]
    bad += [replace(envelope, wrapped_key=_flip(envelope.wrapped_key, n)) for n in range(0, 60, 7)]
    for each in bad:
        with pytest.raises(KeyUnreadable):
            store.open(each, BOND)


def test_another_kek_does_not_open() -> None:
    with pytest.raises(KeyUnreadable):
        keystore("22" * 32).open(keystore().seal(Secret(RAW), BOND), BOND)


def test_rotation_wraps_anew_and_keeps_what_is_sealed() -> None:
    old, new = f"a:{'11' * 32}", f"b:{'22' * 32}"
    envelope = keystore(old).seal(Secret(RAW), BOND)
    both = keystore(f"{new},{old}")
    assert both.open(envelope, BOND).reveal() == RAW
    rewrapped = both.rewrap(envelope, BOND)
    assert (rewrapped.kek_id, rewrapped.sealed) == ("b", envelope.sealed)
    assert keystore(new).open(rewrapped, BOND).reveal() == RAW
    with pytest.raises(KeyUnreadable):
        keystore(new).open(envelope, BOND)
    with pytest.raises(KeyUnreadable):
        keystore(old).open(rewrapped, BOND)


@pytest.mark.parametrize(
    "text",
    ["", "11", "11" * 31, "zz" * 32, f"a:{'11' * 32},a:{'22' * 32}", f"a|b:{'11' * 32}", ","],
)
def test_a_malformed_kek_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        parse_keks(text)
    assert "1111" not in str(refusal.value)


def test_key_material_does_not_tell_itself() -> None:
    secret = Secret(RAW)
    key = SigningKey(secret)
    for each in (secret, key):
        for text in (repr(each), str(each), f"{each}", f"{each!r}", repr([each])):
            assert "redacted" in text and RAW.hex() not in text
        assert hash(each) == hash(each) == object.__hash__(each)
        for copier in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                copier(each)
    assert Secret(RAW) != Secret(RAW)
    assert RAW.hex() not in repr(keystore().seal(secret, BOND))


def test_a_known_key_has_its_known_address() -> None:
    """The key 1: the generator point, whose Ethereum address is 0x7e5f...5bdf."""
    key, _ = SigningKey.parse(f"{1:064x}")
    assert key.address == "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC"


@pytest.mark.parametrize(
    "text", ["", "0" * 64, "f" * 64, "1" * 63, "0x" + "1" * 62, "１" * 64, "g" * 64, " " * 64]
)
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidKey) as refusal:
        SigningKey.parse(text)
    assert not text or text not in str(refusal.value)
    assert refusal.value.__cause__ is None

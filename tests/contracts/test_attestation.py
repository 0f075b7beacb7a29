"""An attestation is good for one payment, on one router of one chain, until its last second."""

from dataclasses import replace

import pytest
from coincurve import PrivateKey

from tron_payment.contracts import attestation_digest, sign_attestation, signer_address
from tron_payment.contracts.attestation import HALF_ORDER
from tron_payment.core.address import Address

from .world import (
    ALICE,
    BOB,
    COMPLIANCE,
    FLOAT,
    HOUR_S,
    MALLORY,
    NOW_S,
    OPERATOR,
    OTHER_CHAIN_ID,
    OWNER,
    STRANGER_KEY,
    USDT,
    ZERO,
    Item,
    Receipt,
    Router,
    deploy_router,
    funded_router,
    reference,
)

ITEM = Item(reference(1), ALICE, 25 * USDT)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
PARITY = 1 << 255


@pytest.fixture
def kyc() -> Router:
    return funded_router("PayoutRouterKYC")


def send(kyc: Router, payment: tuple[object, ...]) -> Receipt:
    """A payment exactly as given, by the operator."""
    contract = kyc.contract
    return contract.chain.execute(contract, contract.kind.call_data("pay", payment), OPERATOR)


def refuses(kyc: Router, error: str, payment: tuple[object, ...], item: Item = ITEM) -> None:
    assert kyc.refused(error, send(kyc, payment))["id"] == kyc.id_of(item)
    assert kyc.balance == FLOAT


def test_python_and_the_router_agree_about_the_digest(kyc: Router) -> None:
    for item in (ITEM, Item(bytes(32), BOB, 0), Item(b"\xff" * 32, ZERO, 2**256 - 1)):
        for expiry_s in (0, NOW_S, 2**256 - 1):
            digest = attestation_digest(
                chain_id=kyc.contract.chain.env.chain_id,
                router=kyc.contract.address,
                token=kyc.token.address,
                reference=item.ref,
                recipient=item.to,
                units=item.units,
                expiry_s=expiry_s,
            )
            args = (item.ref, item.to, item.units, expiry_s)
            assert kyc.contract.view("attestationDigest", *args) == digest


def test_signatures_of_both_parities_are_understood(kyc: Router) -> None:
    parities = set()
    for n in range(12):
        item = Item(reference(n), ALICE, 1)
        payment = kyc.payment(item)
        assert isinstance(payment[5], bytes)
        parities.add(payment[5][0] >> 7)
        assert send(kyc, payment).ok
    assert parities == {0, 1}


def test_every_field_is_under_the_signature(kyc: Router) -> None:
    ref, to, units, expiry_s, r, vs = kyc.payment(ITEM)
    assert isinstance(r, bytes)
    assert isinstance(vs, bytes)
    other = reference("other")
    refuses(
        kyc, "AttestationInvalid", (other, to, units, expiry_s, r, vs), replace(ITEM, ref=other)
    )
    refuses(kyc, "AttestationInvalid", (ref, BOB, units, expiry_s, r, vs), replace(ITEM, to=BOB))
    more = ITEM.units + 1
    refuses(kyc, "AttestationInvalid", (ref, to, more, expiry_s, r, vs), replace(ITEM, units=more))
    refuses(kyc, "AttestationInvalid", (ref, to, units, kyc.expiry_s + 1, r, vs))
    refuses(kyc, "AttestationInvalid", (ref, to, units, expiry_s, vs, r))
    refuses(kyc, "AttestationInvalid", (ref, to, units, expiry_s, bytes(32), bytes(32)))
    flipped = bytes([vs[0] ^ 0x80]) + vs[1:]
    refuses(kyc, "AttestationInvalid", (ref, to, units, expiry_s, r, flipped))
    assert send(kyc, (ref, to, units, expiry_s, r, vs)).ok


def test_an_attestation_is_used_once(kyc: Router) -> None:
    payment = kyc.payment(ITEM)
    assert send(kyc, payment).named("Paid")
    assert [event.name for event in send(kyc, payment).events] == ["Skipped"]
    assert kyc.balance == FLOAT - ITEM.units


def test_an_attestation_of_another_chain_is_refused(kyc: Router) -> None:
    """The same contract at the same address on two chains: neither takes the other's word."""
    chain = kyc.contract.chain
    one, other = chain.env, replace(chain.env, chain_id=OTHER_CHAIN_ID)
    word_of_one = kyc.payment(ITEM)
    chain.env = other
    word_of_other = kyc.payment(ITEM)
    refuses(kyc, "AttestationInvalid", word_of_one)
    chain.env = one
    refuses(kyc, "AttestationInvalid", word_of_other)
    chain.env = other
    assert send(kyc, word_of_other).named("Paid")


def test_an_attestation_for_another_router_is_refused(kyc: Router) -> None:
    twin = deploy_router(kyc.contract.chain, "PayoutRouterKYC", kyc.token)
    assert twin.contract.address != kyc.contract.address
    refuses(kyc, "AttestationInvalid", twin.payment(ITEM))


def test_an_attestation_in_another_token_is_refused(kyc: Router) -> None:
    elsewhere = replace(kyc, token=replace(kyc.token, address=MALLORY))
    refuses(kyc, "AttestationInvalid", elsewhere.payment(ITEM))


@pytest.mark.parametrize("key", [STRANGER_KEY, PrivateKey(b"\x01" * 32)])
def test_another_key_attests_nothing(kyc: Router, key: PrivateKey) -> None:
    refuses(kyc, "AttestationInvalid", replace(kyc, key=key).payment(ITEM))


def test_an_attestation_is_good_to_its_last_second(kyc: Router) -> None:
    late = Item(reference(2), BOB, 1)
    payment = kyc.payment(late)
    kyc.contract.chain.travel(HOUR_S)
    assert kyc.pay(ITEM).ok
    kyc.contract.chain.travel(1)
    receipt = send(kyc, payment)
    assert kyc.refused("AttestationExpired", receipt) == {
        "id": kyc.id_of(late),
        "expiry": NOW_S + HOUR_S,
    }
    assert [event.name for event in kyc.pay(ITEM).events] == ["Skipped"]  # paid, so no word needed


def test_the_malleable_twin_of_a_signature_is_refused(kyc: Router) -> None:
    """The high-s twin cannot be written in r and vs; forced in, it names somebody else."""
    ref, to, units, expiry_s, r, vs = kyc.payment(ITEM)
    assert isinstance(vs, bytes)
    word = int.from_bytes(vs, "big")
    s, parity = word & ~PARITY, word >> 255
    assert s <= HALF_ORDER
    high = ORDER - s
    for forced in (high, high & ~PARITY | (1 - parity) << 255, high & ~PARITY | parity << 255):
        refuses(
            kyc, "AttestationInvalid", (ref, to, units, expiry_s, r, forced.to_bytes(32, "big"))
        )


def test_an_s_in_the_upper_half_is_refused_even_where_it_fits(kyc: Router) -> None:
    """Between half the order and 2^255 there is room for a high s in vs."""
    ref, to, units, expiry_s, r, _ = kyc.payment(ITEM)
    for s in (HALF_ORDER + 1, PARITY - 1):
        refuses(kyc, "AttestationInvalid", (ref, to, units, expiry_s, r, s.to_bytes(32, "big")))


def test_one_bad_attestation_reverts_its_batch_and_is_named(kyc: Router) -> None:
    good = [Item(reference(n), ALICE, 1) for n in range(3)]
    bad = Item(reference(9), BOB, 1)
    payments = [kyc.payment(item) for item in good]
    payments.insert(2, replace(kyc, key=STRANGER_KEY).payment(bad))
    contract = kyc.contract
    data = contract.kind.call_data("payMany", payments)
    receipt = contract.chain.execute(contract, data, OPERATOR)
    assert kyc.refused("AttestationInvalid", receipt) == {"id": kyc.id_of(bad)}
    assert kyc.balance == FLOAT


def test_the_owner_changes_the_compliance_key_and_old_words_are_void(kyc: Router) -> None:
    old, new = signer_address(COMPLIANCE), signer_address(STRANGER_KEY)
    assert kyc.contract.view("complianceSigner") == old
    payment = kyc.payment(ITEM)
    changed = kyc.contract.must(OWNER, "setComplianceSigner", new)
    assert changed.named("ComplianceSignerChanged") == [{"previous": old, "current": new}]
    refuses(kyc, "AttestationInvalid", payment)
    assert replace(kyc, key=STRANGER_KEY).pay(ITEM).ok


@pytest.mark.parametrize("sender", [OPERATOR, MALLORY, signer_address(COMPLIANCE)])
def test_nobody_else_changes_the_compliance_key(kyc: Router, sender: Address) -> None:
    new = signer_address(STRANGER_KEY)
    kyc.contract.refuses("OwnableUnauthorizedAccount", sender, "setComplianceSigner", new)
    kyc.contract.refuses("InvalidSetting", OWNER, "setComplianceSigner", ZERO)


def test_the_word_is_needed_and_the_operator_too(kyc: Router) -> None:
    contract = kyc.contract
    data = contract.kind.call_data("pay", kyc.payment(ITEM))
    receipt = contract.chain.execute(contract, data, signer_address(COMPLIANCE))
    kyc.refused("NotOperator", receipt)


def test_signing_again_gives_the_same_word() -> None:
    digest = bytes(range(32))
    first = sign_attestation(COMPLIANCE, digest, expiry_s=NOW_S)
    assert first == sign_attestation(COMPLIANCE, digest, expiry_s=NOW_S)
    assert len(first.r) == len(first.vs) == 32

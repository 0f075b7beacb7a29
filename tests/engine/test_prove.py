"""What a receipt's logs prove about an order's expectations."""

from dataclasses import replace

import msgspec
import pytest

from tron_payment.chain import Log, Receipt, SolidTransaction
from tron_payment.core.address import address_bytes, address_hex, address_of
from tron_payment.engine import Expect, ExpectKind
from tron_payment.engine.domain import Proof, prove

ROUTER, OTHER = address_of(b"\1" * 20), address_of(b"\2" * 20)
PAYEE = address_of(b"\3" * 20)
PAID, SKIPPED, STRANGE = b"\xa1" * 32, b"\xa2" * 32, b"\xa3" * 32
IDS = [bytes([number]) * 32 for number in range(3)]


def expect(number: int) -> Expect:
    return Expect(
        ExpectKind.ROUTER_PAID, f"pay_{number}", ROUTER, ROUTER, PAYEE, 7, IDS[number].hex()
    )


def log(topic: bytes, number: int, *, router: str = ROUTER, units: int = 7) -> Log:
    payee = address_bytes(PAYEE)[1:].rjust(32, b"\0")
    return Log(router, (topic, IDS[number], payee), units.to_bytes(32, "big"))


def with_logs(*logs: Log) -> SolidTransaction:
    """A transaction whose receipt has these events."""
    entries = [
        {
            "address": address_hex(each.address)[2:],
            "topics": [topic.hex() for topic in each.topics],
            "data": each.data.hex(),
        }
        for each in logs
    ]
    return SolidTransaction(
        b"", msgspec.convert({"id": "00", "blockNumber": 1, "log": entries}, Receipt)
    )


@pytest.mark.parametrize(
    ("logs", "proofs"),
    [
        ([], ["missing", "missing"]),
        ([log(PAID, 1), log(PAID, 0)], ["met", "met"]),
        ([log(PAID, 0), log(SKIPPED, 1)], ["met", "skipped"]),
        ([log(PAID, 0, router=OTHER), log(PAID, 1, units=8)], ["missing", "missing"]),
        ([log(STRANGE, 0), log(PAID, 0), log(PAID, 2)], ["met", "missing"]),
        ([log(SKIPPED, 0), log(PAID, 0)], ["skipped", "missing"]),
        ([Log(ROUTER, (PAID,), b"")], ["missing", "missing"]),
    ],
)
def test_a_router_pays_what_its_logs_name(logs: list[Log], proofs: list[str]) -> None:
    transaction = with_logs(*logs)
    found = prove([expect(0), expect(1)], transaction, PAID, SKIPPED)
    assert list(found.values()) == [Proof(each) for each in proofs]


def test_one_log_proves_one_expectation() -> None:
    transaction = with_logs(log(PAID, 0))
    twice = [expect(0), replace(expect(0), ref="again")]
    assert list(prove(twice, transaction, PAID, SKIPPED).values()) == [Proof.MET, Proof.MISSING]

"""The energy table of contracts/README.md, measured; `ENERGY_TABLE=write` puts it there.

ENERGY_TABLE=write python -m pytest tests/contracts/test_energy_table.py
"""

import os
from typing import Final

from tron_payment.core.address import address_bytes

from .conftest import ROUTERS
from .world import (
    ALICE,
    BOB,
    ISSUER,
    OPERATOR,
    USDT,
    Chain,
    Item,
    Router,
    account,
    deploy_usdt,
    funded_router,
    reference,
)
from .world import HERE as TESTS

README: Final = TESTS.parent.parent / "contracts" / "README.md"
BEGIN: Final = "<!-- energy table: begin -->"
END: Final = "<!-- energy table: end -->"
SIZES: Final = (1, 10, 50, 100)
MAIN_NET_FACTOR: Final = 34_000  # USDT's dynamic energy factor at its maximum, times 10,000


def spent(kind: str, size: int, *, cold: bool, factor: int) -> int:
    """Energy of one `pay` (size 1) or `payMany`, on a router that has paid before."""
    router: Router = funded_router(kind)
    state = router.contract.chain.state
    people = [account(f"recipient {n}") for n in range(size)]
    if not cold:
        for person in people:
            router.token.must(ISSUER, "transfer", person, 1)
    if factor:
        state.factors[address_bytes(router.token.address)[1:]] = factor
    batch = [Item(reference(n), person, 12_345_678 + n) for n, person in enumerate(people)]
    receipt = router.pay(batch[0], OPERATOR) if size == 1 else router.pay_many(batch)
    assert len(receipt.named("Paid")) == size
    assert router.balance < 1_000_000 * USDT
    return receipt.energy


def spent_plainly(*, cold: bool, factor: int) -> int:
    """Energy of TestUSDT's own `transfer`, which the table shows for comparison."""
    token = deploy_usdt(Chain(), 100 * USDT)
    token.must(ISSUER, "transfer", ALICE, 10 * USDT)
    if not cold:
        token.must(ISSUER, "transfer", BOB, 1)
    if factor:
        token.chain.state.factors[address_bytes(token.address)[1:]] = factor
    return token.must(ALICE, "transfer", BOB, USDT).energy


def table() -> str:
    lines = [
        "| router | items | hot | a hot item | cold | a cold item | "
        "hot at factor 3.4 | an item | cold at factor 3.4 | an item |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    plain = []
    for factor in (0, MAIN_NET_FACTOR):
        for cold in (False, True):
            plain += [f"{spent_plainly(cold=cold, factor=factor):,}"] * 2
    lines.append("| plain transfer | 1 | " + " | ".join(plain) + " |")
    for kind in ROUTERS:
        for size in SIZES:
            cells = []
            for factor in (0, MAIN_NET_FACTOR):
                for cold in (False, True):
                    energy = spent(kind, size, cold=cold, factor=factor)
                    cells += [f"{energy:,}", f"{-(-energy // size):,}"]
            lines.append(f"| {kind} | {size} | " + " | ".join(cells) + " |")
    for kind in ROUTERS:
        lines.append("")
        lines.append(
            f"{kind}: deployment {funded_router(kind).contract.deployment_energy:,} energy."
        )
    return "\n".join(lines) + "\n"


def test_the_readme_shows_the_energy_that_is_used() -> None:
    text = README.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    shown, tail = rest.split(END)
    measured = "\n" + table()
    if os.environ.get("ENERGY_TABLE") == "write":
        README.write_text(head + BEGIN + measured + END + tail, encoding="utf-8")
        return
    assert shown == measured, "run it with ENERGY_TABLE=write after a change of the contracts"


def test_a_batch_costs_less_an_item_than_single_payments() -> None:
    for kind in ROUTERS:
        for cold in (False, True):
            single = spent(kind, 1, cold=cold, factor=0)
            assert spent(kind, 100, cold=cold, factor=0) < 100 * single

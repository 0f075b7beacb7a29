"""HTTP of the addresses that an HD wallet has issued."""

from collections.abc import Mapping

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from tron_payment.core.clock import rfc3339
from tron_payment.db.ledger import Pocket
from tron_payment.http.paging import Page, PageRequest
from tron_payment.http.principals import Principal
from tron_payment.wallets import hd
from tron_payment.wallets.addresses import NotDerived
from tron_payment.wallets.currencies import Currencies
from tron_payment.wallets.issued import Pockets, Row, Sum
from tron_payment.wallets.service import Wallets


class HeldView(msgspec.Struct, frozen=True, kw_only=True):
    """By our books."""

    currency: str
    available: str
    reserved: str
    staked: str
    unfreezing: str


class SumView(msgspec.Struct, frozen=True, kw_only=True):
    """All issued addresses together; of very many only the first `counted`."""

    addresses: int
    counted: int
    balances: list[HeldView]

    @classmethod
    def of(cls, found: Sum, currencies: Currencies) -> "SumView":
        return cls(
            addresses=found.issued, counted=found.counted, balances=held(found.held, currencies)
        )


class AddressView(msgspec.Struct, frozen=True, kw_only=True):
    """`issued_at` is unknown for what an earlier installation issued."""

    address: str
    path: str
    index: int
    subject: str | None
    issued_at: str | None
    balances: list[HeldView]

    @classmethod
    def of(cls, row: Row, account: str, currencies: Currencies) -> "AddressView":
        it = row.address
        return cls(
            address=it.id,
            path=hd.address_path(it.index, account),
            index=it.index,
            subject=it.subject,
            issued_at=None if it.issued_at is None else rfc3339(it.issued_at),
            balances=held(row.held, currencies),
        )


def held(by_currency: Mapping[str, Pockets], currencies: Currencies) -> list[HeldView]:
    """One line for each currency."""
    return [
        HeldView(
            currency=code,
            available=currencies.text(pockets[Pocket.AVAILABLE], code),
            reserved=currencies.text(pockets[Pocket.RESERVED], code),
            staked=currencies.text(pockets[Pocket.STAKED], code),
            unfreezing=currencies.text(pockets[Pocket.UNFREEZING], code),
        )
        for code, pockets in by_currency.items()
    ]


@get("/{wallet_id:str}/addresses", opt={"permission": "wallet:read"})
async def list_addresses(
    wallet_id: FromPath[str],
    wallets: NamedDependency[Wallets],
    currencies: NamedDependency[Currencies],
    principal: NamedDependency[Principal],
    page: NamedDependency[PageRequest],
) -> Page[AddressView]:
    """The addresses that an HD wallet has issued, by index, and what each holds."""
    wallet = await wallets.get(principal, wallet_id)
    if wallet.xpub is None:
        raise NotDerived
    rows, following = await wallets.issued.page(wallet, page)
    return Page(
        data=[AddressView.of(row, wallet.path, currencies) for row in rows],
        has_more=following is not None,
        next_cursor=following,
    )


HANDLERS = (list_addresses,)

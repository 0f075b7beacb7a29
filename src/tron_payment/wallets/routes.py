"""HTTP of wallets: reads requests, asks the service, shapes answers. No key is in any of them."""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from litestar import Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from tron_payment.core.clock import rfc3339
from tron_payment.core.errors import Refused
from tron_payment.core.redaction import Silent
from tron_payment.http.openapi import answer_spec
from tron_payment.http.paging import Page, PageRequest
from tron_payment.http.principals import Principal
from tron_payment.wallets.balances import WalletBalance
from tron_payment.wallets.currencies import Currencies
from tron_payment.wallets.documents import Wallet
from tron_payment.wallets.domain import DETACHED, KEYED, WalletKind, WalletStatus
from tron_payment.wallets.history import History, MovementView
from tron_payment.wallets.issued import Sum
from tron_payment.wallets.issued_routes import SumView
from tron_payment.wallets.making import Who
from tron_payment.wallets.permissions import Permissions
from tron_payment.wallets.service import Wallets

ACCOUNT_MAX: Final = 999_999_999


class KindNotMade(Refused, code="wallet_kind"):
    """A wallet of this kind is not made this way."""


class ImportSource(Refused, code="import_source"):
    """An import takes just one of its sources."""


class CreateWallet(Silent, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    label: str
    kind: WalletKind = WalletKind.HOT
    address: str | None = None
    """For all kinds but `hot` and `hd`: the address whose key is elsewhere."""

    path: str | None = None
    """Where a device has the key; ``m/44'/195'/0'/0/0`` when it is not said."""

    permission_id: int = 0
    """For multisig: by which permission the account's keys sign; 0 owner, 2 to 9 active."""

    category: str = ""
    password: str | None = None
    """Asked for before a backup is given out."""


class ImportWallet(Silent, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    label: str
    kind: WalletKind | None = None
    private_key: str | None = None
    mnemonic: str | None = None
    account: Annotated[int, msgspec.Meta(ge=0, le=ACCOUNT_MAX)] = 0
    """With `mnemonic`: which account of the words, ``m/44'/195'/account'``."""

    xpub: str | None = None
    address: str | None = None
    category: str = ""
    password: str | None = None


class UpdateWallet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    label: str | None = None
    category: str | None = None
    frozen: bool | None = None


class WalletView(msgspec.Struct, frozen=True, kw_only=True):
    wallet_id: str
    address: str
    kind: WalletKind
    label: str
    category: str
    path: str | None
    permission_id: int
    status: str
    frozen: bool
    scanning: bool
    """The addresses that an imported account has used are still being looked for."""

    created_at: str
    updated_at: str

    @classmethod
    def of(cls, wallet: Wallet) -> "WalletView":
        return cls(
            wallet_id=wallet.id,
            address=wallet.address,
            kind=wallet.kind,
            label=wallet.label,
            category=wallet.category,
            path=wallet.path or None,
            permission_id=wallet.permission_id,
            status=wallet.status.value,
            frozen=wallet.status.value == "frozen",
            scanning=wallet.scan_from is not None,
            created_at=_time(wallet.created_at),
            updated_at=_time(wallet.updated_at),
        )


class CurrencyView(msgspec.Struct, frozen=True, kw_only=True):
    currency: str
    available: str
    reserved: str
    on_chain: str | None
    staked: str
    unfreezing: str


class ResourceView(msgspec.Struct, frozen=True, kw_only=True):
    """Units of energy, or bytes of bandwidth."""

    available: int
    used: int
    limit: int


class BandwidthView(msgspec.Struct, frozen=True, kw_only=True):
    available: int
    free_available: int
    free_limit: int
    staked_available: int
    staked_limit: int


class BalanceView(msgspec.Struct, frozen=True, kw_only=True):
    wallet_id: str
    address: str
    as_of_block: int
    balances: list[CurrencyView]
    energy: ResourceView
    bandwidth: BandwidthView
    issued: SumView | None = None
    """What the addresses that the wallet has issued hold besides."""

    @classmethod
    def of(
        cls,
        wallet: Wallet,
        balance: WalletBalance,
        issued: Sum | None,
        currencies: Currencies,
    ) -> "BalanceView":
        resources = balance.live.resources
        return cls(
            wallet_id=wallet.id,
            address=wallet.address,
            as_of_block=balance.live.block_number,
            balances=[
                CurrencyView(
                    currency=each.currency,
                    available=currencies.text(each.available, each.currency),
                    reserved=currencies.text(each.reserved, each.currency),
                    on_chain=None
                    if each.on_chain is None
                    else currencies.text(each.on_chain, each.currency),
                    staked=currencies.text(each.staked, each.currency),
                    unfreezing=currencies.text(each.unfreezing, each.currency),
                )
                for each in balance.balances
            ],
            energy=ResourceView(
                available=resources.energy_left,
                used=resources.energy_used,
                limit=resources.energy_limit,
            ),
            bandwidth=BandwidthView(
                available=resources.net_left + resources.free_net_left,
                free_available=resources.free_net_left,
                free_limit=resources.free_net_limit,
                staked_available=resources.net_left,
                staked_limit=resources.net_limit,
            ),
            issued=None if issued is None else SumView.of(issued, currencies),
        )


@get("/", opt={"permission": "wallet:read"})
async def list_wallets(
    wallets: NamedDependency[Wallets],
    principal: NamedDependency[Principal],
    page: NamedDependency[PageRequest],
    kind: Annotated[WalletKind | None, QueryParameter()] = None,
) -> Page[WalletView]:
    """List wallets, oldest first; archived ones only with ``status=archived``."""
    found = await wallets.page(principal, page, kind=kind)
    return Page(
        data=[WalletView.of(wallet) for wallet in found.data],
        has_more=found.has_more,
        next_cursor=found.next_cursor,
    )


@post(["/", "/create"], status_code=201, opt={"permission": "wallet:create"})
async def create_wallet(
    data: JSONBody[CreateWallet],
    wallets: NamedDependency[Wallets],
    permissions: NamedDependency[Permissions],
    principal: NamedDependency[Principal],
    request_id: NamedDependency[str],
) -> WalletView:
    """Make a hot or HD wallet, or take in an address whose key is elsewhere."""
    who = Who.of(principal, request_id)
    if data.permission_id:
        if data.kind is not WalletKind.MULTISIG:
            raise KindNotMade(f"a {data.kind} wallet signs as owner", param="permission_id")
        await permissions.require(data.address or "", data.permission_id)
    if data.kind in KEYED:
        if data.address is not None or data.path is not None:
            raise KindNotMade(f"a {data.kind} wallet gets a new address", param="address")
        make = wallets.create if data.kind is WalletKind.HOT else wallets.create_hd
        wallet = await make(who, label=data.label, category=data.category, password=data.password)
    elif data.password is not None:
        raise KindNotMade("only a wallet with a key here has a password", param="password")
    else:
        if data.address is None:
            raise KindNotMade(f"a {data.kind} wallet needs its address", param="address")
        wallet = await wallets.watch(
            who,
            label=data.label,
            address=data.address,
            kind=data.kind,
            category=data.category,
            path=data.path,
            permission_id=data.permission_id,
        )
    return WalletView.of(wallet)


@post("/import", status_code=201, opt={"permission": "wallet:import"})
async def import_wallet(
    data: JSONBody[ImportWallet],
    wallets: NamedDependency[Wallets],
    principal: NamedDependency[Principal],
    request_id: NamedDependency[str],
) -> WalletView:
    """Take over a private key or the words of an HD wallet; watch an account or an address."""
    who = Who.of(principal, request_id)
    sources = [data.private_key, data.mnemonic, data.xpub, data.address]
    if sum(source is not None for source in sources) != 1:
        raise ImportSource("send just one of private_key, mnemonic, xpub and address")
    allowed = _kinds_of(data)
    kind = data.kind or allowed[0]
    if kind not in allowed:
        raise KindNotMade(f"this makes a wallet of the kind {allowed[0]}", param="kind")
    if data.account and data.mnemonic is None:
        raise KindNotMade("only words have several accounts", param="account")
    if data.password is not None and kind not in KEYED:
        raise KindNotMade("only a wallet with a key here has a password", param="password")
    if data.private_key is not None:
        wallet = await wallets.import_key(
            who,
            label=data.label,
            private_key=data.private_key,
            category=data.category,
            password=data.password,
        )
    elif data.mnemonic is not None:
        wallet = await wallets.import_mnemonic(
            who,
            label=data.label,
            mnemonic=data.mnemonic,
            account=data.account,
            category=data.category,
            password=data.password,
        )
    elif data.xpub is not None:
        wallet = await wallets.import_xpub(
            who, label=data.label, xpub=data.xpub, category=data.category
        )
    else:
        assert data.address is not None
        wallet = await wallets.watch(
            who, label=data.label, address=data.address, kind=kind, category=data.category
        )
    return WalletView.of(wallet)


def _kinds_of(data: ImportWallet) -> tuple[WalletKind, ...]:
    """What the source of an import can become, the usual first."""
    if data.private_key is not None:
        return (WalletKind.HOT,)
    if data.mnemonic is not None:
        return (WalletKind.HD,)
    if data.xpub is not None:
        return (WalletKind.WATCH,)
    return (WalletKind.WATCH, *sorted(DETACHED))


@get("/{wallet_id:str}", opt={"permission": "wallet:read"})
async def show_wallet(
    wallet_id: FromPath[str],
    wallets: NamedDependency[Wallets],
    principal: NamedDependency[Principal],
) -> WalletView:
    """Show one wallet."""
    return WalletView.of(await wallets.get(principal, wallet_id))


@put("/{wallet_id:str}", opt={"permission": "wallet:update"})
async def update_wallet(
    wallet_id: FromPath[str],
    data: JSONBody[UpdateWallet],
    wallets: NamedDependency[Wallets],
    principal: NamedDependency[Principal],
    request_id: NamedDependency[str],
) -> WalletView:
    """Change label or category; freeze with ``frozen: true``, thaw with ``false``."""
    wallet = await wallets.update(
        principal,
        wallet_id,
        label=data.label,
        category=data.category,
        frozen=data.frozen,
        request_id=request_id,
    )
    return WalletView.of(wallet)


@delete(
    "/{wallet_id:str}",
    status_code=200,
    opt={"permission": "wallet:archive"},
    responses={202: answer_spec(WalletView, "Asked for; another treasurer has to agree")},
)
async def archive_wallet(
    wallet_id: FromPath[str],
    wallets: NamedDependency[Wallets],
    principal: NamedDependency[Principal],
    request_id: NamedDependency[str],
    override: Annotated[bool, QueryParameter()] = False,
) -> Response[WalletView]:
    """Archive a wallet without money and live orders; its key is kept.

    With ``override=true`` a treasurer asks to archive it with its money (202), and another one
    agrees by the same call (200).
    """
    if override:
        wallet = await wallets.archive_with_money(principal, wallet_id, request_id=request_id)
    else:
        wallet = await wallets.archive(principal, wallet_id, request_id=request_id)
    done = wallet.status is WalletStatus.ARCHIVED
    return Response(WalletView.of(wallet), status_code=200 if done else 202)


@get("/{wallet_id:str}/balance", opt={"permission": "wallet:read"})
async def show_balance(
    wallet_id: FromPath[str],
    wallets: NamedDependency[Wallets],
    currencies: NamedDependency[Currencies],
    principal: NamedDependency[Principal],
) -> BalanceView:
    """What the wallet has: by the ledger, and live on the chain."""
    wallet, balance = await wallets.balance(principal, wallet_id)
    issued = None if wallet.xpub is None else await wallets.issued.sum(wallet)
    return BalanceView.of(wallet, balance, issued, currencies)


@get("/{wallet_id:str}/transactions", opt={"permission": "wallet:read"})
async def list_transactions(
    wallet_id: FromPath[str],
    wallets: NamedDependency[Wallets],
    wallet_history: NamedDependency[History],
    principal: NamedDependency[Principal],
    page: NamedDependency[PageRequest],
) -> Page[MovementView]:
    """What came and what left, newest first, from solidified blocks."""
    return await wallet_history.page(await wallets.get(principal, wallet_id), page)


HANDLERS = (
    list_wallets,
    create_wallet,
    import_wallet,
    show_wallet,
    update_wallet,
    archive_wallet,
    show_balance,
    list_transactions,
)


def _time(moment: datetime) -> str:
    return rfc3339(moment)

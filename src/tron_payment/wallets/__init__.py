"""Wallets: addresses that we know, and the keys of some of them, encrypted.

signer = build_signer(settings, clock)      # before the engine; `house.offer(signer)` after
module = await build(house)
wallet = await house.use(Wallets).signing_wallet(None, principal)
"""

from collections.abc import Sequence
from typing import Final

import structlog
from beanie import Document
from litestar import Router
from litestar.di import Provide

from tron_payment.core.address import Address, parse_address
from tron_payment.engine import Order
from tron_payment.http.paging import provide_page
from tron_payment.loops import Loop
from tron_payment.module import House, Module
from tron_payment.settings import ConfigurationError
from tron_payment.wallets import (
    agreement_routes,
    browser,
    custody_routes,
    issued_routes,
    ownership_routes,
    permission_routes,
    routes,
    signing_routes,
)
from tron_payment.wallets.addresses import (
    HdAddress,
    HdAddresses,
    IssuedAddress,
    NotDerived,
    every_address,
    every_wallet,
    still_free,
    strangers,
)
from tron_payment.wallets.agreement import Agreement
from tron_payment.wallets.agreement_documents import PermissionChange
from tron_payment.wallets.backup import FILE_COST, Vault
from tron_payment.wallets.balances import Balances, CurrencyBalance, Live, WalletBalance
from tron_payment.wallets.currencies import Currencies, currencies_of
from tron_payment.wallets.custody import Custody, Rotation
from tron_payment.wallets.documents import Wallet
from tron_payment.wallets.domain import (
    NoWallet,
    WalletArchived,
    WalletCannotSign,
    WalletExists,
    WalletForSigning,
    WalletFrozen,
    WalletHasOrders,
    WalletHoldsMoney,
    WalletKind,
    WalletNotFound,
    WalletScanning,
    WalletStatus,
)
from tron_payment.wallets.history import History, WalletMovement
from tron_payment.wallets.journal import SigningJournal
from tron_payment.wallets.keys import SigningKey
from tron_payment.wallets.keystore import KeyUnreadable
from tron_payment.wallets.making import OURSELVES, Who
from tron_payment.wallets.manifest import Manifest, manifest_of
from tron_payment.wallets.ownership import Ownership, OwnershipChallenge
from tron_payment.wallets.passwords import Cost, Deriver, Passwords, WalletPassword
from tron_payment.wallets.permissions import MODULE as PERMISSIONS_MODULE
from tron_payment.wallets.permissions import Permissions
from tron_payment.wallets.scan import Scan
from tron_payment.wallets.sealing import Sealing, build_sealing
from tron_payment.wallets.service import Wallets
from tron_payment.wallets.signer import KeySigner, build_signer, recovered_address
from tron_payment.wallets.signing import SigningRequests
from tron_payment.wallets.signing_documents import RequestStatus, SigningRequest

log = structlog.get_logger()

DOCUMENTS: Final[tuple[type[Document], ...]] = (
    Wallet,
    WalletPassword,
    HdAddress,
    WalletMovement,
    SigningJournal,
    SigningRequest,
    OwnershipChallenge,
    PermissionChange,
)

JOURNAL_DOCUMENTS: Final[tuple[type[Document], ...]] = (SigningJournal,)
"""They may stand in a database of their own; see journal.py."""

ADDRESSES_IDLE_S: Final = 10.0
SCAN_IDLE_S: Final = 10.0
SIGNATURES_IDLE_S: Final = 5.0
HOT_LABEL: Final = "treasury"
ROUTER_OPERATOR_LABEL: Final = "router operator"

__all__ = [
    "DOCUMENTS",
    "JOURNAL_DOCUMENTS",
    "OURSELVES",
    "Balances",
    "Cost",
    "Currencies",
    "CurrencyBalance",
    "Custody",
    "HdAddress",
    "IssuedAddress",
    "KeySigner",
    "KeyUnreadable",
    "Live",
    "Manifest",
    "NoWallet",
    "NotDerived",
    "RequestStatus",
    "Rotation",
    "Sealing",
    "SigningJournal",
    "SigningKey",
    "SigningRequest",
    "SigningRequests",
    "Wallet",
    "WalletArchived",
    "WalletBalance",
    "WalletCannotSign",
    "WalletExists",
    "WalletForSigning",
    "WalletFrozen",
    "WalletHasOrders",
    "WalletHoldsMoney",
    "WalletKind",
    "WalletMovement",
    "WalletNotFound",
    "WalletPassword",
    "WalletScanning",
    "WalletStatus",
    "Wallets",
    "Who",
    "browser",
    "build",
    "build_sealing",
    "build_signer",
    "manifest_of",
    "recovered_address",
    "still_free",
    "strangers",
]


async def build(
    house: House, *, password_cost: Cost | None = None, file_cost: Cost = FILE_COST
) -> Module:
    """Wire the module; `house` offers the `KeySigner` that the engine signs with."""
    settings = house.settings
    house.use(KeySigner).follow(house.cursors)
    deriver = Deriver()
    currencies = currencies_of(house)
    addresses = HdAddresses(house.clock, house.openings)
    scan = Scan(clock=house.clock, nodes=house.nodes, currencies=currencies, addresses=addresses)
    wallets = Wallets(
        clock=house.clock,
        signer=house.use(KeySigner),
        ledger=house.ledger,
        openings=house.openings,
        inserts=house.inserts,
        audit=house.audit,
        balances=Balances(
            ledger=house.ledger,
            nodes=house.nodes,
            deployment=house.deployment,
            currencies=currencies,
        ),
        addresses=addresses,
        scan=scan,
        passwords=Passwords(house.clock, deriver, password_cost),
        default_address=_configured(settings.hot_wallet_address),
    )
    house.offer(wallets)
    keystore = house.use(KeySigner).keystore
    custody = Custody(
        clock=house.clock,
        wallets=wallets,
        vault=Vault(
            keystore=keystore,
            passwords=wallets.passwords,
            deriver=deriver,
            genesis_id=house.deployment.genesis_id,
            cost=file_cost,
        ),
        keystore=keystore,
        openings=house.openings,
    )
    house.offer(custody)
    house.engine.watched.sources += (every_address, every_wallet)
    house.engine.watched.strangers = strangers
    history = History(currencies, house.engine.watched)
    signing = SigningRequests(
        clock=house.clock,
        secret=house.secret,
        nodes=house.nodes,
        audit=house.audit,
        currencies=currencies,
    )
    house.offer(signing)
    ownership = Ownership(clock=house.clock, wallets=wallets, chain_id=house.deployment.chain_id)
    permissions = Permissions(
        wallets=wallets,
        agreement=Agreement(house.clock, wallets, house.audit),
        engine=house.engine,
        nodes=house.nodes,
        secret=house.secret,
    )

    async def hear(orders: Sequence[Order]) -> None:
        """Nothing of ours changes with them: the chain is asked who may sign."""
        for order in orders:
            log.info("permissions.followed", order_id=order.id, status=order.status)

    house.engine.hear(PERMISSIONS_MODULE, hear)

    async def complete(request: SigningRequest) -> None:
        """Bring the collected signatures to the order."""
        await house.engine.take_signatures(request.order_id, request.txid, request.signatures)

    signing.hear(complete)
    house.engine.desk(signing, signing.follow)

    async def start() -> None:
        """Make sure that the wallets of the configured keys exist."""
        if key := settings.hot_wallet_private_key.get_secret_value():
            hot = await wallets.ensure(key, HOT_LABEL)
            if wallets.default_address not in (None, hot.address):
                raise ConfigurationError(
                    ["HOT_WALLET_ADDRESS is not the address of HOT_WALLET_PRIVATE_KEY"]
                )
            wallets.default_address = Address(hot.address)
        if key := settings.payout_router_private_key.get_secret_value():
            await wallets.ensure(key, ROUTER_OPERATOR_LABEL)

    return Module(
        name="wallets",
        service="wallet-manager",
        routers=(
            Router(
                path="/wallets",
                route_handlers=[
                    *routes.HANDLERS,
                    *custody_routes.HANDLERS,
                    *issued_routes.HANDLERS,
                    *permission_routes.HANDLERS,
                    *agreement_routes.HANDLERS,
                    *ownership_routes.HANDLERS,
                ],
                dependencies={"page": Provide(provide_page, sync_to_thread=False)},
                tags=["wallets"],
            ),
            Router(
                path="/signing-requests",
                route_handlers=list(signing_routes.HANDLERS),
                dependencies={"page": Provide(provide_page, sync_to_thread=False)},
                tags=["signing"],
            ),
        ),
        dependencies={
            "wallets": wallets,
            "custody": custody,
            "wallet_history": history,
            "signing": signing,
            "currencies": currencies,
            "permissions": permissions,
            "ownership": ownership,
        },
        on_block=history.on_block,
        loops=(
            Loop(
                "wallets.addresses",
                addresses.step,
                ADDRESSES_IDLE_S,
                "wallet-manager",
                wake=addresses.low,
            ),
            Loop("wallets.scan", scan.step, SCAN_IDLE_S, "wallet-manager"),
            Loop("wallets.signatures", signing.step, SIGNATURES_IDLE_S, "wallet-manager"),
        ),
        start=start,
        stats=wallets.stats,
    )


def _configured(text: str) -> Address | None:
    return parse_address(text) if text else None

"""The USDT module: balances, transfers, approvals, estimates, history, and other TRC-20 tokens.

tokens = build_tokens(settings, deployment.usdt)   # before the engine; then house.offer(tokens)
module = await build(house)
if await house.use(Screening).blacklisted(address): ...
"""

from typing import Final

from beanie import Document

from tron_payment.chain import SolidBlock
from tron_payment.loops import Loop
from tron_payment.module import House, Module
from tron_payment.usdt.balances import TokenBalances
from tron_payment.usdt.documents import Token, TokenMovement, TokenNotice, TokenOpening, Transfer
from tron_payment.usdt.domain import Kind
from tron_payment.usdt.estimates import Estimate, Estimates
from tron_payment.usdt.history import History
from tron_payment.usdt.index import TokenIndex
from tron_payment.usdt.openings import TokenOpenings
from tron_payment.usdt.outgoing import Outgoing, Rules
from tron_payment.usdt.registration import Registration
from tron_payment.usdt.routes import UsdtController
from tron_payment.usdt.screening import Screening
from tron_payment.usdt.service import Usdt
from tron_payment.usdt.tokens import (
    RegisteredToken,
    TokenRegistry,
    UnknownCurrency,
    build_tokens,
)
from tron_payment.usdt.transfers import MODULE, Transfers, TransferWish
from tron_payment.usdt.watch import Watch
from tron_payment.wallets import Wallets

DOCUMENTS: Final[tuple[type[Document], ...]] = (
    Transfer,
    Token,
    TokenMovement,
    TokenNotice,
    TokenOpening,
)
SWEEP_IDLE_S: Final = 5.0
OPENINGS_IDLE_S: Final = 2.0
SERVICE: Final = "usdt-manager"

__all__ = [
    "DOCUMENTS",
    "Estimate",
    "Estimates",
    "Kind",
    "Outgoing",
    "RegisteredToken",
    "Rules",
    "Screening",
    "Token",
    "TokenMovement",
    "TokenNotice",
    "TokenRegistry",
    "Transfer",
    "TransferWish",
    "Transfers",
    "UnknownCurrency",
    "Usdt",
    "Watch",
    "build",
    "build_tokens",
]


async def build(house: House) -> Module:
    """Wire the module; `house` offers the `TokenRegistry` that the engine reads."""
    tokens, wallets = house.use(TokenRegistry), house.use(Wallets)
    screening = Screening(nodes=house.nodes, clock=house.clock, usdt=house.deployment.usdt)
    transfers = Transfers(
        clock=house.clock,
        secret=house.secret,
        idempotency=house.idempotency,
        engine=house.engine,
        nodes=house.nodes,
        inserts=house.inserts,
        wallets=wallets,
        tokens=tokens,
        screening=screening,
        max_fee_sun=house.settings.max_fee_sun,
    )
    history = History(
        ledger=house.ledger,
        watched=house.engine.watched,
        tokens=tokens,
        index=TokenIndex.of(house.settings),
    )
    watch = Watch(
        ledger=house.ledger,
        audit=house.audit,
        screening=screening,
        usdt=house.deployment.usdt,
    )
    openings = TokenOpenings(ledger=house.ledger, openings=house.openings, cursors=house.cursors)
    usdt = Usdt(
        tokens=tokens,
        screening=screening,
        transfers=transfers,
        balances=TokenBalances(house.nodes),
        estimates=Estimates(nodes=house.nodes, fees=house.engine.fees, clock=house.clock),
        history=history,
        registration=Registration(
            nodes=house.nodes,
            clock=house.clock,
            audit=house.audit,
            tokens=tokens,
            openings=openings,
        ),
        watch=watch,
        wallets=wallets,
    )

    async def on_block(block: SolidBlock) -> None:
        await history.on_block(block)
        await watch.on_block(block)

    async def start() -> None:
        """Take in the registered tokens before the first block is applied."""
        await tokens.load()
        await openings.resume()

    async def sweep() -> bool:
        """Finish halves, and learn of tokens that another replica has registered."""
        await tokens.load()
        return await transfers.sweep()

    house.engine.gate(watch.gate)
    house.engine.hear(MODULE, transfers.follow)
    house.offer(screening)
    house.offer(transfers)
    house.offer(usdt)
    return Module(
        name="usdt",
        service=SERVICE,
        routers=(UsdtController,),
        dependencies={"usdt": usdt},
        loops=(
            Loop("usdt.sweep", sweep, SWEEP_IDLE_S, SERVICE),
            Loop("usdt.token_openings", openings.step, OPENINGS_IDLE_S, SERVICE),
        ),
        on_block=on_block,
        passes=watch.passes,
        start=start,
        stats=transfers.stats,
    )

"""Wallets with what is in them, and what waits for a device's signature."""

from typing import Any, Final

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from tron_payment.console.accounts import ROUTES, balance_paths, routers
from tron_payment.console.api import at
from tron_payment.console.desk import Desk
from tron_payment.console.kept import Looks
from tron_payment.console.overview import Text
from tron_payment.console.pages import PAGE_OPT

WALLETS: Final = "/api/v1/wallets"
REQUESTS: Final = "/api/v1/signing-requests"
PAGE_ROWS: Final = 25
REQUEST_STATUSES: Final = ("open", "complete", "expired", "canceled")


ON_CHAIN: Final = Looks(10.0)
"""What nodes say about one wallet."""


@get("/console/wallets", opt=PAGE_OPT)
async def wallets(desk: NamedDependency[Desk], cursor: Text = None, look: Text = None) -> Any:
    """Wallets and routers with what is in them: nodes are asked for it, and with `look` the page
    waits."""
    rows = await desk.api.get(WALLETS, cursor=cursor, limit=PAGE_ROWS)
    there = {} if cursor else await routers(desk.api)
    ids = [row["wallet_id"] for row in rows["data"]]
    paths = [at(WALLETS + "/{id}/balance", id=each) for each in ids] + balance_paths(there)
    seen = await desk.look(
        ON_CHAIN, " ".join(paths), lambda: desk.api.all(*paths), patient=bool(look)
    )
    found = seen.value or [None] * len(paths)
    return desk.page(
        "wallets.html",
        "/console/wallets",
        rows=rows,
        seen=seen,
        cursor=cursor or "",
        balances=dict(zip(ids, found[: len(ids)], strict=True)),
        routers=list(zip(there.items(), found[len(ids) :], strict=True)),
        routes=ROUTES,
    )


@get("/console/wallets/{wallet_id:str}", opt=PAGE_OPT)
async def wallet(
    wallet_id: FromPath[str],
    desk: NamedDependency[Desk],
    cursor: Text = None,
    done: Text = None,
    look: Text = None,
) -> Any:
    """One wallet: balances, energy, history; what nodes say comes after, or with `look`."""
    path = at(WALLETS + "/{id}", id=wallet_id)
    found = await desk.api.get(path)
    staked = at("/api/v1/staking/status/{address}", address=found["address"])
    paths = (f"{path}/balance", f"{path}/permissions", staked)
    seen = await desk.look(ON_CHAIN, path, lambda: desk.api.all(*paths), patient=bool(look))
    balance, permissions, staking = seen.value or (None, None, None)
    history = await desk.api.maybe(f"{path}/transactions", cursor=cursor, limit=PAGE_ROWS)
    return desk.page(
        "wallet.html",
        "/console/wallets",
        done=done,
        wallet=found,
        seen=seen,
        balance=balance,
        history=history,
        permissions=permissions,
        staking=staking,
    )


@get("/console/signing", opt=PAGE_OPT)
async def signing(desk: NamedDependency[Desk], status: Text = "open", cursor: Text = None) -> Any:
    """Transactions that devices or co-signers have to sign."""
    rows = await desk.api.get(REQUESTS, status=status, cursor=cursor, limit=PAGE_ROWS)
    return desk.page(
        "signing.html",
        "/console/signing",
        rows=rows,
        chosen=status or "",
        statuses=REQUEST_STATUSES,
    )


@get("/console/signing/{signing_id:str}", opt=PAGE_OPT)
async def signing_request(
    signing_id: FromPath[str], desk: NamedDependency[Desk], done: Text = None
) -> Any:
    """One transaction in words and bytes, and the place for a signature."""
    found = await desk.api.get(at(REQUESTS + "/{id}", id=signing_id))
    return desk.page("signing_request.html", "/console/signing", done=done, request=found)


HANDLERS: Final = (wallets, wallet, signing, signing_request)

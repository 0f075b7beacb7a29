"""The doctor's checks of the way to the chain, the nodes, the contracts and the hot wallet."""

import asyncio
import time
from typing import Any, Final

from tron_payment.chain import BreakerState, Cursor, Nodes
from tron_payment.contracts import artifact
from tron_payment.core.address import Address, address_bytes, parse_address
from tron_payment.core.errors import AppError, Unavailable
from tron_payment.core.money import USDT, decimal_text
from tron_payment.engine import balance_of
from tron_payment.operator.findings import Finding, bad, doubtful, good
from tron_payment.peers import endpoint
from tron_payment.settings import GENESIS_IDS, Network, Settings
from tron_payment.wallets import SigningKey

CLOCK_OFFSET_MAX_S: Final = 30.0
LAG_MAX_BLOCKS: Final = 40
"""Solidified blocks; 20 are usual between head and solid."""

FOLLOWER_LAG_MAX_BLOCKS: Final = 100
HOT_TRX_LOW_SUN: Final = 100 * 10**6
SOCKS_HELLO: Final = b"\x05\x02\x00\x02"


async def proxy(settings: Settings, _: dict[str, Any]) -> list[Finding]:
    """The SOCKS proxy answers; whether it gets anywhere is seen with the nodes."""
    if settings.socks_proxy is None:
        return [good("tor", "not used in development")]
    if settings.node_proxy is None:
        where = "the nodes are on our own network"
        return [doubtful("tor", f"not used for nodes: {where}", "webhooks still need TOR_PROXY")]
    host, port = endpoint(settings.socks_proxy)
    try:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(SOCKS_HELLO)
        async with asyncio.timeout(5):
            version, method = await reader.readexactly(2)
        writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        advice = "start the Tor container; nothing leaves without it"
        return [bad("tor", f"{host}:{port} does not answer ({type(error).__name__})", advice)]
    if version != 5 or method not in (0, 2):
        return [bad("tor", f"{host}:{port} is no SOCKS 5 proxy for us", "check TOR_PROXY")]
    return [good("tor", f"{host}:{port} answers")]


async def nodes(settings: Settings, known: dict[str, Any]) -> list[Finding]:
    """Genesis, heads, agreement, and our clock against the chain's."""
    from tron_payment.serve import nodes_of

    every = await nodes_of(settings, known["stack"])
    expected = settings.tron_network_id or GENESIS_IDS.get(settings.tron_network)
    try:
        genesis = await every.check_genesis(expected)
    except Unavailable as error:
        advice = "check TRON_NODE_URL, TRON_NODE_API_KEY and the proxy"
        return [bad("nodes", error.detail, advice)]
    except AppError as error:
        return [bad("nodes", error.detail, "this node serves another network: TRON_NETWORK")]
    known["nodes"] = every
    found = []
    installed = known.get("installation")
    if installed is not None and installed.genesis_id != genesis:
        advice = "use another database or another node; never mix two chains in one database"
        found.append(bad("nodes", f"genesis {genesis}, the database has another", advice))
    if settings.tron_network is Network.PRIVATE and not settings.tron_network_id:
        advice = f"set TRON_NETWORK_ID={genesis}"
        found.append(doubtful("nodes", "the network is not pinned", advice))
    newest = 0
    for node in await every.probe():
        newest = max(newest, node.head_timestamp_ms)
        if node.breaker is not BreakerState.CLOSED or not node.head:
            advice = "it is left alone until it answers again"
            found.append(bad("nodes", f"{node.alias}: {node.last_error}", advice))
        elif node.lag_blocks > LAG_MAX_BLOCKS:
            advice = "wait until it has caught up, or use another"
            found.append(doubtful("nodes", f"{node.alias} is {node.lag_blocks} behind", advice))
        else:
            found.append(good("nodes", f"{node.alias}: head {node.head}, solid {node.solid}"))
    if len(settings.node_urls) < 2 and settings.tron_network is Network.MAINNET:
        advice = "name two nodes of different owners and set NODE_AGREEMENT=2"
        found.append(doubtful("nodes", "one node alone is believed", advice))
    following = await _follower(every) if "store" in known else []
    return [*found, _clock(settings, newest), *following]


def _clock(settings: Settings, newest_ms: int) -> Finding:
    offset = time.time() - newest_ms / 1000
    text = f"{offset:+.1f} s from the newest head"
    if abs(offset) <= CLOCK_OFFSET_MAX_S:
        return good("clock", text)
    advice = "set this machine's clock (NTP), or the nodes are stuck"
    own = settings.tron_network in (Network.DEVNET, Network.PRIVATE)
    return doubtful("clock", text, advice) if own else bad("clock", text, advice)


async def _follower(every: Nodes) -> list[Finding]:
    cursor = await Cursor.find_one({})
    if cursor is None:
        return []
    if cursor.halted:
        advice = "see ChainContradicted in docs/runbooks/money.md"
        return [bad("follower", f"halted: {cursor.halted}", advice)]
    lag = (await every.solid_head()).number - cursor.number
    text = f"{lag} solidified blocks to read"
    if lag > FOLLOWER_LAG_MAX_BLOCKS:
        return [doubtful("follower", text, "is the service running? see FollowerBehind")]
    return [good("follower", text)]


async def contracts(settings: Settings, known: dict[str, Any]) -> list[Finding]:
    """USDT and the routers are on the chain, and the routers pay with this USDT."""
    if (every := known.get("nodes")) is None or settings.usdt_contract is None:
        return []
    usdt = settings.usdt_contract
    if await every.contract(usdt) is None:
        return [bad("contracts", f"no contract at {usdt}", "check USDT_CONTRACT_ADDRESS")]
    found = [good("contracts", f"USDT {usdt}")]
    for name, text in (
        ("PAYOUT_ROUTER_V0_ADDRESS", settings.payout_router_v0_address),
        ("PAYOUT_ROUTER_KYC_ADDRESS", settings.payout_router_kyc_address),
    ):
        if not text:
            advice = "tron-payment deploy-contracts, then set it; `direct` works without"
            found.append(doubtful("contracts", f"{name} is not set", advice))
        else:
            found.append(await _router(every, name, parse_address(text), usdt, settings))
    return found


async def _router(
    every: Nodes, name: str, router: Address, usdt: Address, settings: Settings
) -> Finding:
    if await every.contract(router) is None:
        return bad("contracts", f"{name}: no contract at {router}", "deploy it, or mend the name")
    data = artifact("PayoutRouterV0").call_data("token")
    token = (await every.constant_call(usdt, router, data)).output[12:32]
    if token != address_bytes(usdt)[-20:]:
        return bad("contracts", f"{name} pays with another token", "deploy one for this USDT")
    answer = await every.constant_call(router, usdt, balance_of(router))
    units = int.from_bytes(answer.output[:32], "big")
    text = f"{name} holds {decimal_text(units, USDT.decimals) if units else '0'} USDT"
    if units <= settings.router_floor_units:
        return doubtful("contracts", text, f"send USDT to {router}")
    return good("contracts", text)


async def hot_wallet(settings: Settings, known: dict[str, Any]) -> list[Finding]:
    """It exists on the chain, can pay fees, and nobody else may sign for it."""
    address = _hot(settings)
    if address is None and settings.is_development and settings.tron_network is Network.DEVNET:
        return [good("wallet", "none is needed: on its devnet the service makes a treasury")]
    if (every := known.get("nodes")) is None or address is None:
        advice = "set HOT_WALLET_PRIVATE_KEY or HOT_WALLET_ADDRESS, or name a wallet each time"
        return [] if address else [doubtful("wallet", "no default wallet", advice)]
    account = await every.account(address)
    if account is None:
        return [doubtful("wallet", f"{address} is not on the chain yet", f"send TRX to {address}")]
    trx = f"{address} has {decimal_text(account.balance_sun, 6) if account.balance_sun else 0} TRX"
    low = account.balance_sun < HOT_TRX_LOW_SUN
    advice = f"a transfer without energy burns up to {decimal_text(HOT_TRX_LOW_SUN, 6)} TRX"
    found = [doubtful("wallet", trx, advice) if low else good("wallet", trx)]
    strangers = [
        key
        for each in (account.owner_permission, *account.actives)
        if each is not None
        for key, _ in each.keys
        if key != address
    ]
    if strangers:
        names = ", ".join(sorted(set(strangers)))
        advice = "if that is not your multisig, move the funds now: docs/runbooks/money.md"
        found.append(bad("wallet", f"{names} may sign for {address}", advice))
    return found


def _hot(settings: Settings) -> Address | None:
    if settings.hot_wallet_address:
        return parse_address(settings.hot_wallet_address)
    key = settings.hot_wallet_private_key.get_secret_value()
    return SigningKey.parse(key)[0].address if key else None

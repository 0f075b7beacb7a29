"""`wallets list`: every wallet with what the ledger says it has; nothing is asked of the chain."""

from typing import Any, Final

from tron_payment.core.address import Address
from tron_payment.core.money import TRX, decimal_text
from tron_payment.db.faults import store_errors
from tron_payment.db.ledger import Pocket
from tron_payment.operator.report import Report
from tron_payment.operator.runner import assembled
from tron_payment.settings import Settings
from tron_payment.usdt import TokenRegistry
from tron_payment.wallets import Wallet

WALLETS_MAX: Final = 500
"""The newest; the API pages through all of them."""


async def listed(settings: Settings) -> Report:
    """Wallets, newest first, with available and reserved money by the ledger."""
    async with assembled(settings) as assembly:
        ledger = assembly.house.ledger
        decimals = {TRX.code: TRX.decimals} | {
            token.asset.code: token.asset.decimals
            for token in assembly.house.use(TokenRegistry).all
        }
        with store_errors():
            wallets = await Wallet.find({}).sort("-created_at").limit(WALLETS_MAX + 1).to_list()
        rows = []
        for wallet in wallets[:WALLETS_MAX]:
            holdings = await ledger.holdings(Address(wallet.address))
            rows.append(_row(wallet, holdings, decimals))
    data = {"wallets": rows, "has_more": len(wallets) > WALLETS_MAX}
    return Report(data, _lines(data))


def _row(
    wallet: Wallet, holdings: dict[str, dict[Pocket, int]], decimals: dict[str, int]
) -> dict[str, Any]:
    return {
        "wallet_id": wallet.id,
        "label": wallet.label,
        "kind": wallet.kind.value,
        "status": wallet.status.value,
        "address": wallet.address,
        "balances": [
            {
                "currency": asset,
                "available": decimal_text(pockets.get(Pocket.AVAILABLE, 0), decimals[asset]),
                "reserved": decimal_text(pockets.get(Pocket.RESERVED, 0), decimals[asset]),
            }
            for asset, pockets in sorted(holdings.items())
            if asset in decimals and any(pockets.values())
        ],
    }


def _lines(data: dict[str, Any]) -> list[str]:
    lines = []
    for row in data["wallets"]:
        state = "" if row["status"] == "active" else f", {row['status']}"
        lines.append(f"{row['wallet_id']}  {row['address']}  {row['label']} ({row['kind']}{state})")
        for each in row["balances"]:
            held = "" if each["reserved"] == "0" else f", {each['reserved']} reserved"
            lines.append(f"    {each['available']} {each['currency']} available{held}")
    if data["has_more"]:
        lines.append(f"only the newest {WALLETS_MAX} are shown")
    return lines or ["there is no wallet"]

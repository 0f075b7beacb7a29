"""`deploy-contracts`: the payout routers, as orders of the engine like everything else.

Stopping it and starting it again is safe: the same arguments are the same orders.
"""

import argparse
import asyncio
from typing import Final

from coincurve import PrivateKey

from tron_payment.contracts import ContractName, signer_address
from tron_payment.core.address import Address, parse_address
from tron_payment.deployments import DeploymentFailed
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import assembled
from tron_payment.settings import Settings
from tron_payment.wallets import Wallets

POLL_S: Final = 0.2
ROUTERS: Final[dict[str, tuple[ContractName, str]]] = {
    "v0": ("PayoutRouterV0", "PAYOUT_ROUTER_V0_ADDRESS"),
    "kyc": ("PayoutRouterKYC", "PAYOUT_ROUTER_KYC_ADDRESS"),
}

NO_KEY: Final = "KYC_ATTESTATION_PRIVATE_KEY is not set, and the KYC router has to know who attests"


async def run(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Place the orders, work until they are settled on solidified blocks, say the addresses.

    Without the key that attests the KYC router is left out, and that is said.
    """
    wanted = [arguments.only] if arguments.only else list(ROUTERS)
    async with assembled(settings, loops=True) as assembly:
        house = assembly.house
        key = house.settings.kyc_attestation_private_key.get_secret_value()
        left_out = [router for router in wanted if router == "kyc" and not key]
        if left_out == wanted:
            return failure("configuration", NO_KEY, Exit.USAGE)
        wallet = await house.use(Wallets).signing_wallet(arguments.wallet, None)
        signer = Address(wallet.address)
        owner = _address(arguments.owner) or signer
        treasury = _address(arguments.treasury) or owner
        operator = _address(arguments.operator) or signer
        roles: tuple[object, ...] = (house.deployment.usdt, owner, treasury, operator)
        orders = {}
        for router in (each for each in wanted if each not in left_out):
            extra = (signer_address(PrivateKey(bytes.fromhex(key))),) if router == "kyc" else ()
            orders[router] = await assembly.deployments.deploy(
                ROUTERS[router][0], (*roles, *extra), wallet.wallet_id, signer
            )
        found: dict[str, Address] = {}
        try:
            async with asyncio.timeout(arguments.timeout):
                while len(found) < len(orders):
                    for router, order_id in orders.items():
                        if (address := await assembly.deployments.address(order_id)) is not None:
                            found[router] = address
                    await asyncio.sleep(POLL_S)
        except DeploymentFailed as error:
            return failure("deployment_failed", str(error), Exit.FAILED)
        except TimeoutError:
            waiting = [order for router, order in orders.items() if router not in found]
            return failure("unfinished", f"orders {', '.join(waiting)} go on", Exit.UNFINISHED)
    lines = [f"{ROUTERS[router][1]}={address}" for router, address in found.items()]
    lines += [f"No KYC router: {NO_KEY}. Set it and repeat the command" for _ in left_out]
    return Report({"contracts": dict(found), "orders": orders, "left_out": left_out}, lines)


def _address(text: str | None) -> Address | None:
    return parse_address(text) if text else None

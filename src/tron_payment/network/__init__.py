"""The network module, for reading: the chain's identity, height, prices, blocks, transactions."""

from typing import Any, Final

from beanie import Document

from tron_payment.core.address import parse_address
from tron_payment.loops import Loop
from tron_payment.module import House, Module
from tron_payment.network.certificates import Certificates
from tron_payment.network.documents import Certificate, KnownParameters, ParameterChange
from tron_payment.network.drift import Drift
from tron_payment.network.prices import UsdtCost, transfer_bandwidth, usdt_cost
from tron_payment.network.routes import NetworkRoutes
from tron_payment.network.service import Network

DOCUMENTS: Final[tuple[type[Document], ...]] = (KnownParameters, ParameterChange, Certificate)
SERVICE: Final = "tron-client"
DRIFT_IDLE_S: Final = 60.0
CERTIFY_IDLE_S: Final = 10.0

__all__ = [
    "DOCUMENTS",
    "Certificate",
    "Network",
    "UsdtCost",
    "build",
    "transfer_bandwidth",
    "usdt_cost",
]


async def build(house: House) -> Module:
    """Wire the module."""
    hot = house.settings.hot_wallet_address
    network = Network(
        network=house.settings.tron_network.value,
        deployment=house.deployment,
        nodes=house.nodes,
        cursors=house.cursors,
        fees=house.engine.fees,
        hot_wallet=parse_address(hot) if hot else None,
    )
    drift = Drift(fees=house.engine.fees, nodes=house.nodes, audit=house.audit, clock=house.clock)
    certificates = Certificates(nodes=house.nodes, cursors=house.cursors, clock=house.clock)
    house.offer(network)

    async def stats() -> dict[str, Any]:
        nodes = house.nodes.status()
        return {
            "nodes": len(nodes),
            "calls": sum(each.calls for each in nodes),
            "failures": sum(each.failures for each in nodes),
            "solid_block": max((each.solid for each in nodes), default=0),
        }

    return Module(
        name="network",
        service=SERVICE,
        routers=(NetworkRoutes,),
        dependencies={"network": network, "certificates": certificates},
        loops=(
            Loop("network.drift", drift.step, DRIFT_IDLE_S, SERVICE),
            Loop("network.certify", certificates.step, CERTIFY_IDLE_S, SERVICE),
        ),
        on_block=certificates.on_block,
        passes=certificates.passes,
        stats=stats,
    )

"""The devnet as one object: a node and its HTTP."""

from tron_payment.devnet.api.app import App
from tron_payment.devnet.config import DevnetConfig
from tron_payment.devnet.node import Node


class Devnet(Node):
    """A TRON network of one node.

    In tests: ``devnet = Devnet(DevnetConfig(block_ms=0))``, ``await devnet.start()``, talk to it
    through ``httpx.ASGITransport(devnet.asgi)``, make blocks with ``await devnet.mine(n)``.
    """

    def __init__(self, config: DevnetConfig) -> None:
        super().__init__(config)
        self.asgi = App(self)
        self.solid_asgi = App(self, solid_only=True)

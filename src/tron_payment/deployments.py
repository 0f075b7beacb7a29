"""Putting the router contracts on the chain: orders of the engine like everything else.

The address of a contract follows from the txid of its deployment and its owner, so it is known
for certain only when the deployment stands in a solidified block; then it is stored here.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from beanie import Document
from Crypto.Hash import keccak

from tron_payment.chain import CreateContract
from tron_payment.contracts import ContractName, artifact
from tron_payment.core.address import Address, address_bytes, address_of
from tron_payment.core.ids import derived_id
from tron_payment.db.cas import insert_once
from tron_payment.engine import Engine, Order, OrderStatus, Wish

MODULE: Final = "deployments"
MAX_FEE_SUN: Final = 3_000_000_000
"""A router costs 108 or 129 TRX to deploy at 100 sun per energy (contracts/README.md)."""

ORIGIN_ENERGY_LIMIT: Final = 10_000_000


class DeployedContract(Document):
    """A contract of ours on the chain."""

    id: str  # type: ignore[assignment]  # the order's id
    contract: str
    address: str
    txid: str
    block_number: int

    class Settings:
        name = "deployed_contracts"


DOCUMENTS: Final = (DeployedContract,)


class DeploymentFailed(Exception):
    """The deployment stands in the chain without success, or was canceled."""


class Deployments:
    """Deploys contracts and remembers where they are."""

    def __init__(self, engine: Engine, secret: bytes) -> None:
        self._engine = engine
        self._secret = secret
        engine.hear(MODULE, self._follow)

    async def deploy(
        self, name: ContractName, arguments: Sequence[object], wallet_id: str, owner: Address
    ) -> str:
        """Place the order that deploys a contract; the same arguments give the same order."""
        code = artifact(name)
        init_code = code.init_code(*arguments)
        order_id = derived_id("ord", self._secret, "deploy", owner, init_code.hex())
        await self._engine.place(
            Wish(
                order_id=order_id,
                module=MODULE,
                kind="contract.deploy",
                subject=name,
                wallet_id=wallet_id,
                signer=owner,
                contract=CreateContract(
                    owner=owner,
                    name=name,
                    abi_json=msgspec.json.encode(list(code.abi)).decode(),
                    bytecode=init_code,
                    consume_user_resource_percent=100,
                    origin_energy_limit=ORIGIN_ENERGY_LIMIT,
                ),
                max_fee_sun=MAX_FEE_SUN,
            )
        )
        return order_id

    async def address(self, order_id: str) -> Address | None:
        """Where the contract is; None until its deployment is settled.

        Raises:
            DeploymentFailed: It never will be.
        """
        if (found := await DeployedContract.find_one({"_id": order_id})) is not None:
            return Address(found.address)
        order = await self._engine.find(order_id)
        if order is not None and order.status in (OrderStatus.FAILED, OrderStatus.CANCELED):
            raise DeploymentFailed(f"{order.subject}: {order.reason}")
        return None

    async def _follow(self, orders: Sequence[Order]) -> None:
        for order in orders:
            if order.status is OrderStatus.SETTLED and order.outcome is not None:
                await insert_once(
                    DeployedContract(
                        id=order.id,
                        contract=order.subject,
                        address=contract_address(order.outcome.txid, Address(order.signer)),
                        txid=order.outcome.txid,
                        block_number=order.outcome.block_number,
                    )
                )


def contract_address(txid: str, owner: Address) -> Address:
    """Where a deployment puts its contract: keccak256(txid, owner)[12:] (java-tron, WalletUtil)."""
    digest = keccak.new(digest_bits=256, data=bytes.fromhex(txid) + address_bytes(owner)).digest()
    return address_of(digest[-20:])

"""A chain in memory with the contracts on it: what the contract tests play with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from tron_payment.contracts import (
    Artifact,
    Event,
    Revert,
    artifact,
    attestation_digest,
    payment_id,
    sign_attestation,
    signer_address,
)
from tron_payment.core.address import Address, address_bytes, address_of
from tron_payment.devnet.tvm import Env, MemoryState, Outcome, call, contract_address, create

CHAIN_ID = 0x2B6653DC
OTHER_CHAIN_ID = 0xCD8690DC
NOW_S = 1_790_000_000
HOUR_S = 3_600
USDT = 1_000_000
FLOAT = 1_000_000 * USDT  # what a router of these tests holds
ENERGY_LIMIT = 150_000_000  # fee_limit 15,000 TRX at 100 sun
HERE = Path(__file__).parent


def account(name: str) -> Address:
    """An address nobody has a key for."""
    return address_of(sha256(name.encode()).digest()[:20])


OWNER, TREASURY, OPERATOR, ISSUER = map(account, ("owner", "treasury", "operator", "issuer"))
ALICE, BOB, CAROL, MALLORY = map(account, ("alice", "bob", "carol", "mallory"))
ZERO = address_of(bytes(20))
COMPLIANCE = PrivateKey(sha256(b"compliance").digest())
STRANGER_KEY = PrivateKey(sha256(b"stranger").digest())


def reference(name: object) -> bytes:
    return sha256(f"payout {name}".encode()).digest()


def hostile_artifact() -> Artifact:
    return Artifact.parse((HERE / "artifacts" / "HostileToken.json").read_text())


@dataclass(frozen=True)
class Receipt:
    """One transaction: how it ended, what was emitted, why it was refused."""

    outcome: Outcome
    events: tuple[Event, ...]
    revert: Revert | None

    @property
    def ok(self) -> bool:
        return self.outcome.result == "SUCCESS"

    @property
    def energy(self) -> int:
        return self.outcome.energy_used

    def named(self, name: str) -> list[dict[str, Any]]:
        return [dict(event.args) for event in self.events if event.name == name]


def first_block() -> Env:
    return Env(
        block_number=1,
        timestamp_s=NOW_S,
        chain_id=CHAIN_ID,
        coinbase=bytes(20),
        energy_price_sun=100,
        txid=bytes(32),
        block_hash=lambda number: bytes(32),
    )


@dataclass
class Chain:
    state: MemoryState = field(default_factory=MemoryState)
    env: Env = field(default_factory=first_block)
    contracts: dict[bytes, Artifact] = field(default_factory=dict)
    transactions: int = 0

    def _next(self) -> None:
        self.env = replace(self.env, txid=self._next_txid())
        self.transactions += 1

    def _next_txid(self) -> bytes:
        return sha256(self.transactions.to_bytes(8, "big")).digest()

    def next_contract(self, sender: Address) -> Address:
        """Where the next transaction, if it is this sender's deployment, will put its contract."""
        return address_of(contract_address(self._next_txid(), address_bytes(sender)))

    def travel(self, seconds: int) -> None:
        self.env = replace(self.env, timestamp_s=self.env.timestamp_s + seconds)

    def deploy(self, kind: Artifact, *args: object, sender: Address) -> Contract:
        contract = self.try_deploy(kind, *args, sender=sender)
        assert isinstance(contract, Contract), contract
        return contract

    def try_deploy(self, kind: Artifact, *args: object, sender: Address) -> Contract | Receipt:
        """The contract, or the receipt that says why not."""
        address = address_bytes(self.next_contract(sender))[1:]
        self._next()
        origin = address_bytes(sender)[1:]
        self.state.create_account(origin)
        outcome = create(
            self.state,
            self.env,
            origin=origin,
            address=address,
            init_code=kind.init_code(*args),
            value=0,
            energy_limit=ENERGY_LIMIT,
        )
        if not outcome.succeeded:
            return Receipt(outcome, (), kind.decode_revert(outcome.output))
        self.state.commit()
        self.contracts[address] = kind
        return Contract(self, kind, address_of(address), outcome.energy_used)

    def execute(
        self,
        contract: Contract,
        data: bytes,
        sender: Address,
        *,
        static: bool = False,
        value: int = 0,
    ) -> Receipt:
        self._next()
        origin = address_bytes(sender)[1:]
        self.state.create_account(origin)
        outcome = call(
            self.state,
            self.env,
            origin=origin,
            to=address_bytes(contract.address)[1:],
            data=data,
            value=value,
            energy_limit=ENERGY_LIMIT,
            static=static,
        )
        self.state.commit()
        decoded = (
            self.contracts[log.address].decode_log(log.topics, log.data) for log in outcome.logs
        )
        events = tuple(event for event in decoded if event is not None)
        assert len(events) == len(outcome.logs), "every log is in an ABI"
        refused = outcome.result == "REVERT"
        return Receipt(
            outcome, events, contract.kind.decode_revert(outcome.output) if refused else None
        )


@dataclass(frozen=True)
class Contract:
    chain: Chain
    kind: Artifact
    address: Address
    deployment_energy: int = 0

    def send(self, sender: Address, function: str, *args: object) -> Receipt:
        return self.chain.execute(self, self.kind.call_data(function, *args), sender)

    def must(self, sender: Address, function: str, *args: object) -> Receipt:
        receipt = self.send(sender, function, *args)
        assert receipt.ok, (function, receipt.revert, receipt.outcome.error)
        return receipt

    def refuses(self, error: str, sender: Address, function: str, *args: object) -> dict[str, Any]:
        """The call is reverted with this error; answers the error's arguments."""
        receipt = self.send(sender, function, *args)
        assert receipt.outcome.result == "REVERT", receipt.outcome
        assert receipt.revert is not None, receipt.outcome.output
        assert receipt.revert.name == error
        return dict(receipt.revert.args)

    def view(self, function: str, *args: object) -> Any:
        receipt = self.chain.execute(
            self, self.kind.call_data(function, *args), MALLORY, static=True
        )
        assert receipt.ok, (function, receipt.outcome.error)
        values = self.kind.decode_output(function, receipt.outcome.output)
        return values[0] if len(values) == 1 else values


@dataclass(frozen=True)
class Item:
    """One payment as a test wants it."""

    ref: bytes
    to: Address
    units: int


@dataclass(frozen=True)
class Router:
    """Either router, with one way to pay."""

    contract: Contract
    token: Contract
    expiry_s: int = NOW_S + HOUR_S
    key: PrivateKey = COMPLIANCE

    @property
    def is_kyc(self) -> bool:
        return self.contract.kind.contract == "PayoutRouterKYC"

    @property
    def balance(self) -> int:
        balance: int = self.token.view("balanceOf", self.contract.address)
        return balance

    def id_of(self, item: Item) -> bytes:
        return payment_id(
            chain_id=self.contract.chain.env.chain_id,
            router=self.contract.address,
            token=self.token.address,
            reference=item.ref,
            recipient=item.to,
            units=item.units,
        )

    def payment(self, item: Item) -> tuple[object, ...]:
        """The item as the KYC router's ``Payment``, attested by `key` until `expiry_s`."""
        digest = attestation_digest(
            chain_id=self.contract.chain.env.chain_id,
            router=self.contract.address,
            token=self.token.address,
            reference=item.ref,
            recipient=item.to,
            units=item.units,
            expiry_s=self.expiry_s,
        )
        word = sign_attestation(self.key, digest, expiry_s=self.expiry_s)
        return item.ref, item.to, item.units, word.expiry_s, word.r, word.vs

    def data_one(self, item: Item) -> bytes:
        if self.is_kyc:
            return self.contract.kind.call_data("pay", self.payment(item))
        return self.contract.kind.call_data("pay", item.ref, item.to, item.units)

    def data_many(self, items: Sequence[Item]) -> bytes:
        if self.is_kyc:
            return self.contract.kind.call_data("payMany", [self.payment(each) for each in items])
        return self.contract.kind.call_data(
            "payMany",
            [each.ref for each in items],
            [each.to for each in items],
            [each.units for each in items],
        )

    def pay(self, item: Item, sender: Address = OPERATOR) -> Receipt:
        return self.contract.chain.execute(self.contract, self.data_one(item), sender)

    def pay_many(self, items: Sequence[Item], sender: Address = OPERATOR) -> Receipt:
        return self.contract.chain.execute(self.contract, self.data_many(items), sender)

    def paid(self, item: Item) -> bool:
        return bool(self.contract.view("paid", self.id_of(item)))

    def refused(self, error: str, receipt: Receipt) -> dict[str, Any]:
        assert receipt.outcome.result == "REVERT", receipt.outcome
        assert receipt.revert is not None
        assert receipt.revert.name == error
        return dict(receipt.revert.args)


def deploy_usdt(chain: Chain, supply: int = 0) -> Contract:
    return chain.deploy(artifact("TestUSDT"), supply, "Tether USD", "USDT", 6, sender=ISSUER)


def deploy_router(chain: Chain, kind: str, token: Contract) -> Router:
    roles = (token.address, OWNER, TREASURY, OPERATOR)
    if kind == "PayoutRouterKYC":
        compliance = signer_address(COMPLIANCE)
        contract = chain.deploy(artifact("PayoutRouterKYC"), *roles, compliance, sender=MALLORY)
    else:
        contract = chain.deploy(artifact("PayoutRouterV0"), *roles, sender=MALLORY)
    return Router(contract, token)


def funded_router(kind: str, chain: Chain | None = None) -> Router:
    """A router on a chain of its own, holding `FLOAT`."""
    chain = chain or Chain()
    token = deploy_usdt(chain, 2 * FLOAT)
    router = deploy_router(chain, kind, token)
    token.must(ISSUER, "transfer", router.contract.address, FLOAT)
    return router


def hostile_router(kind: str) -> Router:
    """A router whose token does as it is told, holding `FLOAT` of it."""
    chain = Chain()
    token = chain.deploy(hostile_artifact(), sender=MALLORY)
    router = deploy_router(chain, kind, token)
    token.must(MALLORY, "mint", router.contract.address, FLOAT)
    return router

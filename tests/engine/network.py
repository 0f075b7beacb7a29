"""A simulated TRON chain: real bytes, hashes and signatures, no sockets and no wall clock.

Blocks with TRX, one token and one payout router; a pool; solidification some blocks behind; forks
of what is not solid yet. It is the world outside: nothing of ours is mocked.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from coincurve import PrivateKey, PublicKey
from Crypto.Hash import keccak

from tron_payment import chain
from tron_payment.chain import (
    Block,
    BlockHeader,
    BlockTransaction,
    Contract,
    Receipt,
    Transfer,
    TriggerContract,
)
from tron_payment.chain.answers import CallValue, InternalPart, LogPart, ReceiptPart
from tron_payment.chain.transactions import TRANSFER_TOPIC
from tron_payment.contracts import artifact, payment_id
from tron_payment.core.address import Address, address_bytes, address_of

BLOCK_MS = 3_000
SOLID_LAG = 3
GENESIS_MS = 1_780_000_000_000
CHAIN_ID = 1
TRANSFER = bytes.fromhex("a9059cbb")
ROUTER_CODE = artifact("PayoutRouterV0")
TOKEN = address_of(b"\x41" + hashlib.sha256(b"token").digest()[:20])
ROUTER = address_of(b"\x41" + hashlib.sha256(b"router").digest()[:20])
FORWARDER = address_of(b"\x41" + hashlib.sha256(b"forwarder").digest()[:20])
"""A contract that sends what it is called with to the address in its call data."""

TRX_FEE, CALL_NET_FEE, TRANSFER_ENERGY, ITEM_ENERGY = 270_000, 345_000, 14_631, 25_000


def address_of_key(key: PrivateKey) -> Address:
    return _address(key.public_key)


def _address(public: PublicKey) -> Address:
    digest = keccak.new(digest_bits=256, data=public.format(compressed=False)[1:]).digest()
    return address_of(b"\x41" + digest[-20:])


@dataclass
class Holdings:
    """Who has what after a block."""

    trx: dict[Address, int] = field(default_factory=lambda: defaultdict(int))
    token: dict[Address, int] = field(default_factory=lambda: defaultdict(int))
    taken: set[bytes] = field(default_factory=set)
    """References that the router has paid or canceled."""

    def copy(self) -> "Holdings":
        return Holdings(defaultdict(int, self.trx), defaultdict(int, self.token), set(self.taken))


@dataclass
class Pooled:
    txid: str
    raw: bytes
    signer: Address
    contract: Contract
    expiration_ms: int


@dataclass
class Made:
    """A block with its receipts and what it left behind."""

    header: BlockHeader
    after: Holdings
    transactions: list[Pooled] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)

    def block(self) -> Block:
        head = self.header
        return Block(
            head.number,
            head.block_id,
            head.parent_id,
            head.timestamp_ms,
            tuple(
                BlockTransaction(p.txid, p.raw, r.receipt.result or "SUCCESS")
                for p, r in zip(self.transactions, self.receipts, strict=True)
            ),
        )


class Network:
    """One chain. Money may be given by hand before the first block: `trx`, `token`."""

    def __init__(self, solid_lag: int = SOLID_LAG) -> None:
        genesis = BlockHeader(0, _block_id(0, "", ""), "", GENESIS_MS)
        self.blocks = [Made(genesis, Holdings())]
        self.solid_lag = solid_lag
        self.solid_floor = 0
        self.pool: dict[str, Pooled] = {}
        self.included: dict[str, int] = {}
        self.submitted: list[str] = []
        """Txids of everything that ever left a process of ours."""

        self.forks = 0
        self.floor_ms = 0
        """Time does not go back with a fork."""

        self.drop: Callable[[str], bool] = lambda txid: False
        """Broadcasts that never reach anybody."""
        self.revert: Callable[[str], bool] = lambda txid: False
        self.unfit: Callable[[str], bool] = lambda txid: False
        """Pooled transactions that no block takes for now."""

    # ---- looking ---------------------------------------------------------------------------
    @property
    def tip(self) -> BlockHeader:
        return self.blocks[-1].header

    @property
    def now(self) -> Holdings:
        return self.blocks[-1].after

    @property
    def trx(self) -> dict[Address, int]:
        return self.now.trx

    @property
    def token(self) -> dict[Address, int]:
        return self.now.token

    @property
    def solid_number(self) -> int:
        """Never goes back: a fork reaches down to it and no further."""
        self.solid_floor = max(self.solid_floor, self.tip.number - self.solid_lag)
        return self.solid_floor

    def solid(self) -> list[Made]:
        return self.blocks[: self.solid_number + 1]

    # ---- making blocks ---------------------------------------------------------------------
    def mine(self, count: int = 1, gap_ms: int = 0) -> None:
        """Make blocks; the first one `gap_ms` later than usual: the chain had stopped."""
        for index in range(count):
            parent = self.tip
            number = parent.number + 1
            salt = f"fork{self.forks}" if self.forks else ""
            block_id = _block_id(number, parent.block_id, salt)
            now_ms = max(parent.timestamp_ms + BLOCK_MS, self.floor_ms)
            now_ms += gap_ms if index == 0 else 0
            header = BlockHeader(number, block_id, parent.block_id, now_ms)
            made = Made(header, self.now.copy())
            for pooled in list(self.pool.values()):
                if self.unfit(pooled.txid):
                    continue
                del self.pool[pooled.txid]
                if pooled.expiration_ms > parent.timestamp_ms and pooled.txid not in self.included:
                    receipt = self._execute(pooled, made)
                    if receipt is not None:
                        made.transactions.append(pooled)
                        made.receipts.append(receipt)
                        self.included[pooled.txid] = number
            self.blocks.append(made)

    def fork(self, depth: int, keep: Callable[[str], bool] = lambda txid: True) -> int:
        """Take back the newest blocks, none of them solid; the pool gets what `keep` says."""
        depth = min(depth, self.tip.number - self.solid_number)
        for made in self.blocks[len(self.blocks) - depth :]:
            for pooled in made.transactions:
                del self.included[pooled.txid]
                if keep(pooled.txid):
                    self.pool[pooled.txid] = pooled
        self.floor_ms = self.tip.timestamp_ms
        del self.blocks[len(self.blocks) - depth :]
        self.forks += 1
        return depth

    def submit(self, signed: bytes) -> tuple[bool, str]:
        """What a node does with a broadcast: accepted?, java-tron's code."""
        raw, signatures = chain.split_signed(signed)
        txid = chain.txid(raw)
        self.submitted.append(txid)
        if self.drop(txid):
            return True, "SUCCESS"  # said so, and forgot it
        if txid in self.included or txid in self.pool:
            return False, "DUP_TRANSACTION_ERROR"
        said = chain.decode(raw)
        if said.expiration_ms <= self.tip.timestamp_ms:
            return False, "TRANSACTION_EXPIRATION_ERROR"
        public = PublicKey.from_signature_and_message(
            signatures[0], bytes.fromhex(txid), hasher=None
        )
        self.pool[txid] = Pooled(txid, raw, _address(public), said.contract, said.expiration_ms)
        return True, "SUCCESS"

    def foreign(self, sender: Address, to: Address, units: int) -> None:
        """A stranger's transfer goes into the pool: the key is somebody else's."""
        data = TRANSFER + bytes.fromhex(_word(to)) + units.to_bytes(32, "big")
        self.trx[sender] += 100_000_000
        self._pool_raw(
            chain.encode(
                chain.RawData(
                    contract=TriggerContract(sender, TOKEN, data),
                    ref_block_bytes=b"\0\0",
                    ref_block_hash=bytes(8),
                    expiration_ms=self.tip.timestamp_ms + 60_000,
                    timestamp_ms=self.tip.timestamp_ms + len(self.pool),
                    fee_limit_sun=100_000_000,
                )
            ),
            sender,
        )

    def forward(self, sender: Address, to: Address, sun: int) -> str:
        """A stranger's call of a contract that sends its TRX on; the txid."""
        self.trx[sender] += 100_000_000 + sun
        said = chain.RawData(
            contract=TriggerContract(
                sender, FORWARDER, bytes.fromhex(_word(to)), call_value_sun=sun
            ),
            ref_block_bytes=b"\0\0",
            ref_block_hash=bytes(8),
            expiration_ms=self.tip.timestamp_ms + 600_000,
            timestamp_ms=self.tip.timestamp_ms + len(self.pool),
            fee_limit_sun=100_000_000,
        )
        return self._pool_raw(chain.encode(said), sender).txid

    def revive(self, raw: bytes, signer: Address) -> None:
        """These bytes will be taken, expired or not: a chain that breaks its own rules."""
        self._pool_raw(raw, signer).expiration_ms = 1 << 62

    def _pool_raw(self, raw: bytes, signer: Address) -> Pooled:
        txid, said = chain.txid(raw), chain.decode(raw)
        self.pool[txid] = Pooled(txid, raw, signer, said.contract, said.expiration_ms)
        return self.pool[txid]

    # ---- running transactions --------------------------------------------------------------
    def _execute(self, pooled: Pooled, made: Made) -> Receipt | None:
        """The receipt; None when no block may take it."""
        state = made.after
        common: dict[str, Any] = {
            "id": pooled.txid,
            "block_number": made.header.number,
            "block_timestamp_ms": made.header.timestamp_ms,
        }
        match pooled.contract:
            case Transfer(owner, to, amount):
                if state.trx[owner] < amount + TRX_FEE:
                    return None
                state.trx[owner] -= amount + TRX_FEE
                state.trx[to] += amount
                return Receipt(**common, fee_sun=TRX_FEE, receipt=ReceiptPart(net_fee_sun=TRX_FEE))
            case TriggerContract(owner, to, data, sun) if to == FORWARDER:
                fee = TRANSFER_ENERGY * 100 + CALL_NET_FEE
                if state.trx[owner] < sun + fee:
                    return None
                state.trx[owner] -= sun + fee
                state.trx[address_of(data[12:32])] += sun
                return Receipt(
                    **common,
                    fee_sun=fee,
                    receipt=ReceiptPart(
                        energy_fee_sun=TRANSFER_ENERGY * 100,
                        energy_total=TRANSFER_ENERGY,
                        net_fee_sun=CALL_NET_FEE,
                        result="SUCCESS",
                    ),
                    internal_transactions=[sent_by_contract(address_of(data[12:32]), sun)],
                )
            case TriggerContract(owner, to, data) if to in (TOKEN, ROUTER):
                assert owner == pooled.signer
                items = 0 if to == TOKEN else len(_items(data))
                energy = TRANSFER_ENERGY + items * ITEM_ENERGY
                fee = energy * 100 + CALL_NET_FEE
                if state.trx[owner] < fee:
                    return None
                state.trx[owner] -= fee
                logs = None
                if not self.revert(pooled.txid):
                    logs = _transfer(state, owner, data) if to == TOKEN else _pay(state, data)
                return Receipt(
                    **common,
                    fee_sun=fee,
                    receipt=ReceiptPart(
                        energy_fee_sun=energy * 100,
                        energy_total=energy,
                        net_fee_sun=CALL_NET_FEE,
                        result="REVERT" if logs is None else "SUCCESS",
                    ),
                    log=logs or [],
                    result="FAILED" if logs is None else "",
                )
            case _:
                raise AssertionError(pooled.contract)


def sent_by_contract(to: Address, sun: int) -> InternalPart:
    """What a receipt says of it, where the node keeps it."""
    return InternalPart(
        caller=address_bytes(FORWARDER).hex(),
        to=address_bytes(to).hex(),
        values=[CallValue(call_value=sun)],
        note=b"call".hex(),
    )


def _transfer(state: Holdings, owner: Address, data: bytes) -> list[LogPart] | None:
    assert data[:4] == TRANSFER
    recipient, units = address_of(data[16:36]), int.from_bytes(data[36:68])
    if state.token[owner] < units:
        return None
    state.token[owner] -= units
    state.token[recipient] += units
    return [_transfer_log(owner, recipient, units)]


def _items(data: bytes) -> list[tuple[bytes, Address, int]]:
    name, values = ROUTER_CODE.decode_call(data)
    return [values] if name == "pay" else list(zip(*values, strict=True))


def _pay(state: Holdings, data: bytes) -> list[LogPart] | None:
    """The router pays every reference at most once, for ever."""
    items = _items(data)
    fresh = {reference: units for reference, _, units in items if reference not in state.taken}
    if state.token[ROUTER] < sum(fresh.values()):
        return None
    logs = []
    for reference, recipient, units in items:
        paying = router_id(reference, recipient, units)
        if reference in state.taken:
            logs.append(_log(ROUTER, [ROUTER_CODE.topic("Skipped").hex(), paying.hex()], b""))
            continue
        state.taken.add(reference)
        state.token[ROUTER] -= units
        state.token[recipient] += units
        logs.append(_transfer_log(ROUTER, recipient, units))
        topics = [ROUTER_CODE.topic("Paid").hex(), paying.hex(), _word(recipient)]
        logs.append(_log(ROUTER, topics, units.to_bytes(32, "big")))
    return logs


def router_id(reference: bytes, recipient: Address, units: int) -> bytes:
    return payment_id(
        chain_id=CHAIN_ID,
        router=ROUTER,
        token=TOKEN,
        reference=reference,
        recipient=recipient,
        units=units,
    )


def _block_id(number: int, parent_id: str, salt: str) -> str:
    digest = hashlib.sha256(f"{number}{parent_id}{salt}".encode()).hexdigest()
    return f"{number:016x}{digest[16:]}"


def _word(address: Address) -> str:
    return address_bytes(address)[1:].rjust(32, b"\0").hex()


def _log(contract: Address, topics: list[str], data: bytes) -> LogPart:
    return LogPart(address=address_bytes(contract)[1:].hex(), topics=topics, data=data.hex())


def _transfer_log(sender: Address, recipient: Address, units: int) -> LogPart:
    topics = [TRANSFER_TOPIC, _word(sender), _word(recipient)]
    return _log(TOKEN, topics, units.to_bytes(32, "big"))

"""What the network's endpoints answer. Times are RFC 3339, prices whole sun, amounts decimals."""

from collections.abc import Mapping
from typing import Any

import msgspec


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """One node as last seen; block numbers are 0 until it has answered once."""

    alias: str
    state: str
    """``closed``: in use. ``open``: resting after failures. ``half_open``: on trial."""
    head_block: int
    solid_block: int
    lag_blocks: int
    calls: int
    failures: int
    last_error: str
    apart: bool
    """Outvoted about a solidified block: not used until a person lets it back."""


class InfoView(msgspec.Struct, frozen=True, kw_only=True):
    """Which chain this installation is bound to."""

    network: str
    chain_id: int
    genesis_id: str
    usdt_contract: str
    routers: Mapping[str, str | None]
    agreement: int
    nodes: list[NodeView]


class BlockRef(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    id: str
    time: str


class FollowerView(msgspec.Struct, frozen=True, kw_only=True):
    """Where our own reading of the solidified chain stands."""

    block_number: int
    block_id: str
    block_time: str
    started_at_block: int
    lag_blocks: int
    halted: str
    """Why it has stopped until a human looks; empty while all is well."""


class HeightView(msgspec.Struct, frozen=True, kw_only=True):
    head: BlockRef
    solid: BlockRef
    follower: FollowerView | None


class HealthView(msgspec.Struct, frozen=True, kw_only=True):
    """``healthy``, or ``degraded`` with the reasons; what cannot work at all is a 503."""

    status: str
    reasons: list[str]
    nodes_in_use: int
    nodes: int
    agreement: int


class AgreementView(msgspec.Struct, frozen=True, kw_only=True):
    """What the nodes say now about one solidified block."""

    state: str
    """``agreed``, ``too_few`` (fewer than required answer) or ``contradicted``."""

    required: int
    """How many must show the same block before it counts (the setting)."""

    agreeing: int
    block_number: int
    block_ids: Mapping[str, str | None]
    """By node; null for one that rests, lags or did not answer."""


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    status: str
    reasons: list[str]
    network: str
    nodes: list[NodeView]
    agreement: AgreementView
    follower: FollowerView | None


class TransferCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one USDT transfer costs when everything is burned."""

    energy: int
    bandwidth: int
    fee_trx: str


class FeesView(msgspec.Struct, frozen=True, kw_only=True):
    """Prices now, from the chain's own parameters."""

    energy_price_sun: int
    bandwidth_price_sun: int
    free_bandwidth_per_day: int
    activation_trx: str
    """A transfer of TRX to an address that does not exist yet costs this more."""
    memo_trx: str
    multisig_trx: str
    permission_update_trx: str
    max_fee_limit_trx: str
    unfreeze_delay_days: int
    usdt_transfer: Mapping[str, TransferCost]
    """``warm``: the recipient holds USDT already. ``cold``: it holds none."""
    usdt_transfer_source: str
    """``simulation`` of the contract, or ``model``: the known base cost and today's penalty."""
    usdt_energy_factor: int
    """The contract's dynamic penalty in ten-thousandths."""


class ParametersView(msgspec.Struct, frozen=True, kw_only=True):
    """The chain's parameters under java-tron's names; prices in sun."""

    parameters: Mapping[str, int]


class ParameterChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter that changed; prices in sun."""

    name: str
    before: int | None
    after: int | None
    noticed_at: str
    head_block: int


class CertificateView(msgspec.Struct, frozen=True, kw_only=True):
    """These blocks were all read, and which they were.

    hash: from `previous_hash`, sha256 over hash, block id and number of transactions (4 bytes,
    big endian) of each block in turn.
    """

    from_block: int
    to_block: int
    blocks: int
    transactions: int
    ours: int
    ours_exact: bool
    """False: at least so many, for a block was booked in sums."""

    reread_blocks: int
    previous_hash: str
    hash: str
    made_at: str


class CertificateCheckView(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate computed again from a node's blocks."""

    certificate: CertificateView
    node: str
    hash: str
    agrees: bool


class TransactionView(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A transaction in words. `solid` alone means that it will stay."""

    txid: str
    status: str
    """``pending``, ``included`` or ``solid``."""
    solid: bool
    block_number: int | None
    block_time: str | None
    contract_type: str
    from_: str
    to: str | None
    amount: str | None
    currency: str | None
    method: str | None
    details: Mapping[str, Any]
    result: str | None
    fee_trx: str | None
    energy_used: int | None
    energy_burned_trx: str | None
    bandwidth_used: int | None
    bandwidth_burned_trx: str | None
    transfers: list[dict[str, str]]
    """Token and internal TRX movements of its receipt."""
    memo: str | None
    expires_at: str


class BlockView(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    id: str
    parent_id: str
    time: str
    solid: bool
    transaction_count: int
    transactions: list[TransactionView]

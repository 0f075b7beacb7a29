"""What a node says about accounts, contracts and the chain, as values of ours.

All of it is hearsay of one node at one moment, good for prices, plans and screens. Money moves
are judged from `SolidBlock` alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tron_payment.chain import answers as a
from tron_payment.chain.contracts import Permission, PermissionKind, Resource
from tron_payment.chain.wire import bytes_of_hex
from tron_payment.core.address import Address, InvalidAddress, address_of_hex

_RESOURCES = {each.value: each for each in Resource}
_KINDS = {
    "Owner": PermissionKind.OWNER,
    "Witness": PermissionKind.WITNESS,
    "Active": PermissionKind.ACTIVE,
}


@dataclass(frozen=True, slots=True)
class Unfreezing:
    """A part of a stake on its way back."""

    resource: Resource
    amount_sun: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Account:
    """An account's money and rights. Amounts in sun, times in chain milliseconds."""

    address: Address
    balance_sun: int
    frozen: Mapping[Resource, int]
    """Staked and not lent."""
    delegated: Mapping[Resource, int]
    """Staked and lent to others."""
    acquired: Mapping[Resource, int]
    """Borrowed from others."""
    unfrozen: tuple[Unfreezing, ...]
    votes: tuple[tuple[Address, int], ...]
    reward_allowance_sun: int
    last_withdraw_ms: int
    create_time_ms: int
    is_contract: bool
    owner_permission: Permission | None
    witness_permission: Permission | None
    actives: tuple[Permission, ...]

    @property
    def staked_sun(self) -> int:
        """The whole stake, lent or not, without what is unstaking."""
        return sum(self.frozen.values()) + sum(self.delegated.values())

    @property
    def unfreezing_sun(self) -> int:
        """All that is unstaking, finished or not."""
        return sum(each.amount_sun for each in self.unfrozen)


@dataclass(frozen=True, slots=True)
class AccountResources:
    """Energy and bandwidth now; the used values have already recovered until now."""

    free_net_used: int
    free_net_limit: int
    net_used: int
    net_limit: int
    energy_used: int
    energy_limit: int
    voting_power_used: int
    voting_power: int
    """Whole TRX."""
    total_net_limit: int
    total_net_weight: int
    total_energy_limit: int
    total_energy_weight: int
    """Whole TRX staked on the chain for energy."""

    @property
    def energy_left(self) -> int:
        return max(0, self.energy_limit - self.energy_used)

    @property
    def net_left(self) -> int:
        """Bytes left of the staked bandwidth."""
        return max(0, self.net_limit - self.net_used)

    @property
    def free_net_left(self) -> int:
        return max(0, self.free_net_limit - self.free_net_used)


@dataclass(frozen=True, slots=True)
class ContractInfo:
    """A deployed contract."""

    address: Address
    origin: Address
    name: str
    code_hash: str
    runtime_code: bytes
    consume_user_resource_percent: int
    origin_energy_limit: int
    energy_factor: int
    """Dynamic penalty in ten-thousandths: 34,000 means 3.4 times more."""


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node about itself."""

    version: str
    block_number: int
    solid_number: int
    peers: int


@dataclass(frozen=True, slots=True)
class Witness:
    """A super representative or candidate."""

    address: Address
    votes: int
    url: str
    produced: int
    missed: int
    is_active: bool


@dataclass(frozen=True, slots=True)
class Delegation:
    """Resource lent by one account to another; the locked part is an entry of its own."""

    owner: Address
    receiver: Address
    bandwidth_sun: int
    energy_sun: int
    bandwidth_locked_until_ms: int
    energy_locked_until_ms: int


@dataclass(frozen=True, slots=True)
class CallResult:
    """A simulated call. `energy_used` contains the penalty already."""

    energy_used: int
    energy_penalty: int
    output: bytes
    reverted: bool
    message: str


@dataclass(frozen=True, slots=True)
class BroadcastAnswer:
    """What a node said to a transaction: a rumour, never a state."""

    accepted: bool
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class TransactionView:
    """A transaction by id, perhaps still pending: no proof of anything."""

    txid: str
    raw: bytes
    signatures: tuple[bytes, ...]


def account_of(answer: a.AccountAnswer) -> Account:
    """Raises InvalidAddress or ValueError when the node answers nonsense."""
    frozen = dict.fromkeys(Resource, 0)
    for part in answer.frozen:
        if part.type in _RESOURCES:  # TRON_POWER is history
            frozen[_RESOURCES[part.type]] += part.amount
    energy = answer.account_resource
    return Account(
        address=address_of_hex(answer.address),
        balance_sun=answer.balance,
        frozen=frozen,
        delegated={Resource.BANDWIDTH: answer.delegated, Resource.ENERGY: energy.delegated},
        acquired={Resource.BANDWIDTH: answer.acquired, Resource.ENERGY: energy.acquired},
        unfrozen=tuple(
            Unfreezing(_RESOURCES[part.type], part.unfreeze_amount, part.unfreeze_expire_time)
            for part in answer.unfrozen
            if part.type in _RESOURCES
        ),
        votes=tuple((address_of_hex(v.vote_address), v.vote_count) for v in answer.votes),
        reward_allowance_sun=answer.allowance,
        last_withdraw_ms=answer.latest_withdraw_time,
        create_time_ms=answer.create_time,
        is_contract=answer.type == "Contract",
        owner_permission=_permission(answer.owner_permission),
        witness_permission=_permission(answer.witness_permission),
        actives=tuple(_permission_of(part) for part in answer.active_permission),
    )


def resources_of(answer: a.ResourceAnswer) -> AccountResources:
    return AccountResources(
        free_net_used=answer.free_net_used,
        free_net_limit=answer.free_net_limit,
        net_used=answer.net_used,
        net_limit=answer.net_limit,
        energy_used=answer.energy_used,
        energy_limit=answer.energy_limit,
        voting_power_used=answer.power_used,
        voting_power=answer.power_limit,
        total_net_limit=answer.total_net_limit,
        total_net_weight=answer.total_net_weight,
        total_energy_limit=answer.total_energy_limit,
        total_energy_weight=answer.total_energy_weight,
    )


def contract_of(answer: a.ContractInfoAnswer) -> ContractInfo | None:
    contract = answer.smart_contract
    if contract is None or not contract.contract_address:
        return None
    return ContractInfo(
        address=address_of_hex(contract.contract_address),
        origin=address_of_hex(contract.origin_address),
        name=contract.name,
        code_hash=contract.code_hash,
        runtime_code=bytes_of_hex(answer.runtimecode),
        consume_user_resource_percent=contract.consume_user_resource_percent,
        origin_energy_limit=contract.origin_energy_limit,
        energy_factor=answer.contract_state.energy_factor,
    )


def info_of(answer: a.InfoAnswer) -> NodeInfo:
    return NodeInfo(
        version=answer.config.code_version,
        block_number=_number_in(answer.block),
        solid_number=_number_in(answer.solid),
        peers=answer.peers,
    )


def witness_of(part: a.WitnessPart) -> Witness:
    return Witness(
        address_of_hex(part.address),
        part.votes,
        text_of_hex(part.url),
        part.produced,
        part.missed,
        part.is_active,
    )


def delegation_of(part: a.DelegationPart) -> Delegation:
    return Delegation(
        owner=address_of_hex(part.owner),
        receiver=address_of_hex(part.receiver),
        bandwidth_sun=part.bandwidth,
        energy_sun=part.energy,
        bandwidth_locked_until_ms=part.bandwidth_expire,
        energy_locked_until_ms=part.energy_expire,
    )


def text_of_hex(text: str) -> str:
    """A node's text that may be hex of UTF-8; as it is when it is not."""
    try:
        return bytes_of_hex(text).decode()
    except (ValueError, UnicodeDecodeError):
        return text


def _permission(part: a.PermissionPart | None) -> Permission | None:
    return None if part is None else _permission_of(part)


def _permission_of(part: a.PermissionPart) -> Permission:
    kind = _KINDS.get(part.type)
    if kind is None:
        raise InvalidAddress(f"a permission of the kind {part.type}")
    return Permission(
        kind=kind,
        threshold=part.threshold,
        keys=tuple((address_of_hex(key.address), key.weight) for key in part.keys),
        name=part.permission_name,
        id=part.id,
        operations=bytes_of_hex(part.operations),
        parent_id=part.parent_id,
    )


def _number_in(text: str) -> int:
    """From ``Num:237,ID:...``."""
    digits = text.partition(",")[0].removeprefix("Num:") or "0"
    if not (digits.isascii() and digits.isdecimal()):
        raise ValueError("a block number that is none")
    return int(digits)

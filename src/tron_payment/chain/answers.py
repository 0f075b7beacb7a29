"""java-tron's JSON, decoded once into typed structs. Unknown keys are ignored.

proto3 JSON leaves defaults out, so a missing number is 0 and a missing list is empty. Addresses
are hex as with ``visible: false``; texts such as messages are hex of UTF-8.
"""

from typing import Annotated, Final

import msgspec

from tron_payment.chain.wire import INT64_MAX

REFUSAL_SUCCESS: Final = "SUCCESS"


class Answer(msgspec.Struct, gc=False, kw_only=True):
    """Every object may be an error instead, with HTTP status 200."""

    Error: str = ""


Int64 = Annotated[int, msgspec.Meta(ge=0, le=INT64_MAX)]
"""Of a protobuf's int64 what is not negative: the store keeps no more."""


class HeaderData(msgspec.Struct, gc=False, kw_only=True):
    number: Int64 = 0
    parent_id: str = msgspec.field(name="parentHash")
    timestamp_ms: Int64 = msgspec.field(name="timestamp", default=0)


class HeaderPart(msgspec.Struct, gc=False):
    raw_data: HeaderData


class Ret(msgspec.Struct, gc=False, rename={"contract_ret": "contractRet"}):
    contract_ret: str = ""
    ret: str = ""


class TransactionPart(msgspec.Struct, gc=False):
    txid: str = msgspec.field(name="txID")
    raw_data_hex: str
    ret: list[Ret] = []


class SignedPart(Answer, gc=False, kw_only=True):
    """gettransactionbyid; everything optional, because unknown is ``{}``."""

    txid: str = msgspec.field(name="txID", default="")
    raw_data_hex: str = ""
    signature: list[str] = []
    ret: list[Ret] = []


class HeaderAnswer(Answer, gc=False, kw_only=True):
    block_id: str = msgspec.field(name="blockID", default="")
    block_header: HeaderPart | None = None


class BlockAnswer(HeaderAnswer, gc=False, kw_only=True):
    transactions: list[TransactionPart] = []


class ReceiptPart(msgspec.Struct, gc=False, kw_only=True, frozen=True):
    """What a transaction used: energy and bytes from stakes, sun burned for the rest."""

    energy_usage: int = 0
    energy_fee_sun: int = msgspec.field(name="energy_fee", default=0)
    origin_energy: int = msgspec.field(name="origin_energy_usage", default=0)
    energy_total: int = msgspec.field(name="energy_usage_total", default=0)
    energy_penalty: int = msgspec.field(name="energy_penalty_total", default=0)
    net_usage: int = 0
    net_fee_sun: int = msgspec.field(name="net_fee", default=0)
    result: str = ""


class LogPart(msgspec.Struct, gc=False, frozen=True):
    address: str = ""
    topics: list[str] = []
    data: str = ""


class CallValue(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    call_value: int = 0
    token_id: str = ""


class InternalPart(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    caller: str = msgspec.field(name="caller_address", default="")
    to: str = msgspec.field(name="transferTo_address", default="")
    values: list[CallValue] = msgspec.field(name="callValueInfo", default_factory=list)
    note: str = ""
    rejected: bool = False


class KeyValue(msgspec.Struct, gc=False, frozen=True):
    key: str
    value: int = 0


class Receipt(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """One TransactionInfo. The node's word; `blocks.join` ties it to the block's bytes."""

    id: str
    block_number: int = msgspec.field(name="blockNumber", default=0)
    block_timestamp_ms: int = msgspec.field(name="blockTimeStamp", default=0)
    fee_sun: int = msgspec.field(name="fee", default=0)
    contract_address: str = ""
    contract_result: list[str] = msgspec.field(name="contractResult", default_factory=list)
    receipt: ReceiptPart = ReceiptPart()
    log: list[LogPart] = []
    internal_transactions: list[InternalPart] = []
    result: str = ""
    """``FAILED``, or nothing."""
    message: str = msgspec.field(name="resMessage", default="")
    withdraw_amount_sun: int = msgspec.field(name="withdraw_amount", default=0)
    withdraw_expire_sun: int = msgspec.field(name="withdraw_expire_amount", default=0)
    cancel_unfreeze: list[KeyValue] = msgspec.field(
        name="cancel_unfreezeV2_amount", default_factory=list
    )


class MaybeReceipt(Answer, gc=False, kw_only=True):
    """gettransactioninfobyid before anything of it is trusted."""

    id: str = ""


class KeyPart(msgspec.Struct, gc=False):
    address: str
    weight: int = 0


class PermissionPart(msgspec.Struct, gc=False, kw_only=True):
    type: str = "Owner"
    id: int = 0
    permission_name: str = ""
    threshold: int = 0
    parent_id: int = 0
    operations: str = ""
    keys: list[KeyPart] = []


class FrozenPart(msgspec.Struct, gc=False):
    type: str = "BANDWIDTH"
    amount: int = 0


class UnfrozenPart(msgspec.Struct, gc=False):
    type: str = "BANDWIDTH"
    unfreeze_amount: int = 0
    unfreeze_expire_time: int = 0


class VotePart(msgspec.Struct, gc=False):
    vote_address: str
    vote_count: int = 0


class EnergyPart(msgspec.Struct, gc=False, kw_only=True):
    delegated: int = msgspec.field(name="delegated_frozenV2_balance_for_energy", default=0)
    acquired: int = msgspec.field(name="acquired_delegated_frozenV2_balance_for_energy", default=0)


class AccountAnswer(Answer, gc=False, kw_only=True):
    address: str = ""
    account_name: str = ""
    type: str = "Normal"
    balance: int = 0
    create_time: int = 0
    allowance: int = 0
    latest_withdraw_time: int = 0
    latest_operation_time: int = msgspec.field(name="latest_opration_time", default=0)
    votes: list[VotePart] = []
    account_resource: EnergyPart = msgspec.field(default_factory=EnergyPart)
    delegated: int = msgspec.field(name="delegated_frozenV2_balance_for_bandwidth", default=0)
    acquired: int = msgspec.field(
        name="acquired_delegated_frozenV2_balance_for_bandwidth", default=0
    )
    frozen: list[FrozenPart] = msgspec.field(name="frozenV2", default_factory=list)
    unfrozen: list[UnfrozenPart] = msgspec.field(name="unfrozenV2", default_factory=list)
    owner_permission: PermissionPart | None = None
    witness_permission: PermissionPart | None = None
    active_permission: list[PermissionPart] = []


class ResourceAnswer(Answer, gc=False, kw_only=True):
    free_net_used: int = msgspec.field(name="freeNetUsed", default=0)
    free_net_limit: int = msgspec.field(name="freeNetLimit", default=0)
    net_used: int = msgspec.field(name="NetUsed", default=0)
    net_limit: int = msgspec.field(name="NetLimit", default=0)
    total_net_limit: int = msgspec.field(name="TotalNetLimit", default=0)
    total_net_weight: int = msgspec.field(name="TotalNetWeight", default=0)
    power_used: int = msgspec.field(name="tronPowerUsed", default=0)
    power_limit: int = msgspec.field(name="tronPowerLimit", default=0)
    energy_used: int = msgspec.field(name="EnergyUsed", default=0)
    energy_limit: int = msgspec.field(name="EnergyLimit", default=0)
    total_energy_limit: int = msgspec.field(name="TotalEnergyLimit", default=0)
    total_energy_weight: int = msgspec.field(name="TotalEnergyWeight", default=0)


class ParametersAnswer(Answer, gc=False, kw_only=True):
    parameters: list[KeyValue] = msgspec.field(name="chainParameter", default_factory=list)


class ContractAnswer(Answer, gc=False, kw_only=True):
    contract_address: str = ""
    origin_address: str = ""
    name: str = ""
    code_hash: str = ""
    consume_user_resource_percent: int = 0
    origin_energy_limit: int = 0
    version: int = 0


class ContractState(msgspec.Struct, gc=False):
    energy_factor: int = 0
    energy_usage: int = 0


class ContractInfoAnswer(Answer, gc=False, kw_only=True):
    runtimecode: str = ""
    smart_contract: ContractAnswer | None = None
    contract_state: ContractState = msgspec.field(default_factory=ContractState)


class NodeConfig(msgspec.Struct, gc=False, rename="camel"):
    code_version: str = ""


class InfoAnswer(Answer, gc=False, kw_only=True):
    block: str = ""
    solid: str = msgspec.field(name="solidityBlock", default="")
    peers: int = msgspec.field(name="currentConnectCount", default=0)
    config: NodeConfig = msgspec.field(name="configNodeInfo", default_factory=NodeConfig)


class WitnessPart(msgspec.Struct, gc=False, kw_only=True):
    address: str
    votes: int = msgspec.field(name="voteCount", default=0)
    url: str = ""
    produced: int = msgspec.field(name="totalProduced", default=0)
    missed: int = msgspec.field(name="totalMissed", default=0)
    is_active: bool = msgspec.field(name="isJobs", default=False)


class WitnessesAnswer(Answer, gc=False, kw_only=True):
    witnesses: list[WitnessPart] = []


class ResultPart(msgspec.Struct, gc=False):
    result: bool = False
    code: str = ""
    message: str = ""


class TrialPart(msgspec.Struct, gc=False):
    ret: list[Ret] = []


class CallAnswer(Answer, gc=False, kw_only=True):
    result: ResultPart | None = None
    energy_used: Int64 = 0
    energy_penalty: Int64 = 0
    constant_result: list[str] = []
    logs: list[LogPart] = []
    transaction: TrialPart = msgspec.field(default_factory=TrialPart)


class BroadcastReply(Answer, gc=False, kw_only=True):
    result: bool | None = None
    code: str = ""
    message: str = ""
    txid: str = ""


class DelegationPart(msgspec.Struct, gc=False, kw_only=True):
    owner: str = msgspec.field(name="from")
    receiver: str = msgspec.field(name="to")
    bandwidth: int = msgspec.field(name="frozen_balance_for_bandwidth", default=0)
    energy: int = msgspec.field(name="frozen_balance_for_energy", default=0)
    bandwidth_expire: int = msgspec.field(name="expire_time_for_bandwidth", default=0)
    energy_expire: int = msgspec.field(name="expire_time_for_energy", default=0)


class DelegationsAnswer(Answer, gc=False, kw_only=True):
    delegations: list[DelegationPart] = msgspec.field(
        name="delegatedResource", default_factory=list
    )


class DelegationIndexAnswer(Answer, gc=False, kw_only=True):
    from_accounts: list[str] = msgspec.field(name="fromAccounts", default_factory=list)
    to_accounts: list[str] = msgspec.field(name="toAccounts", default_factory=list)


class NumberAnswer(Answer, gc=False, kw_only=True):
    """The little answers that hold one number under different names."""

    max_size: int = 0
    count: int = 0
    reward: int = 0
    brokerage: int = 0
    num: int = 0

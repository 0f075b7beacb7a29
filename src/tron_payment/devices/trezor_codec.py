"""The bytes that a Trezor would sign for what trezorlib has understood.

The firmware writes them with proto3's rules: a zero is left out (a stake for bandwidth has no
resource field). Names of the contract types: java-tron's protocol buffers.
"""

import io
from typing import Any, Final

TYPE_URL: Final = "type.googleapis.com/protocol."
BANDWIDTH: Final = 0


def encoded_again(tx: Any, contract: Any) -> bytes:
    """raw_data of a ``TronSignTx`` and its contract message."""
    from trezorlib import messages as m

    types = {
        m.TronTransferContract: "TransferContract",
        m.TronVoteWitnessContract: "VoteWitnessContract",
        m.TronWithdrawBalance: "WithdrawBalanceContract",
        m.TronTriggerSmartContract: "TriggerSmartContract",
        m.TronFreezeBalanceV2Contract: "FreezeBalanceV2Contract",
        m.TronUnfreezeBalanceV2Contract: "UnfreezeBalanceV2Contract",
        m.TronWithdrawUnfreeze: "WithdrawExpireUnfreezeContract",
    }
    name = types[type(contract)]
    resource = getattr(contract, "resource", None)
    if resource == BANDWIDTH:
        contract.resource = None
    value = _dump(contract)
    if resource == BANDWIDTH:
        contract.resource = resource
    parameter = m.TronRawParameter(type_url=TYPE_URL + name, value=value)
    return _dump(
        m.TronRawTransaction(
            ref_block_bytes=tx.ref_block_bytes,
            ref_block_hash=tx.ref_block_hash,
            expiration=tx.expiration,
            data=tx.data or None,
            contract=[m.TronRawContract(type=m.TronRawContractType[name], parameter=parameter)],
            timestamp=tx.timestamp,
            fee_limit=tx.fee_limit or None,
        )
    )


def _dump(message: Any) -> bytes:
    from trezorlib import protobuf

    writer = io.BytesIO()
    protobuf.dump_message(writer, message)
    return writer.getvalue()

"""Blocks, transactions, accounts and the chain's facts, for both /wallet and /walletsolidity."""

from typing import Any, Final

from tron_payment.devnet import ledger, params, render, rewards
from tron_payment.devnet.api.query import Query, View
from tron_payment.devnet.blocks import Block
from tron_payment.devnet.codec import address_text, to_json
from tron_payment.devnet.keys import from_base58check, keccak
from tron_payment.devnet.proto import SmartContract
from tron_payment.devnet.records import Contract, ContractState, Witness
from tron_payment.devnet.state import CODE, CONTRACT, DYNAMIC, WITNESS
from tron_payment.devnet.vm import current_state

BLOCK_LIMIT: Final = 100
"""java-tron's BLOCK_LIMIT_NUM."""


def _page(block: Block | None, visible: bool, *, detail: bool = True) -> Any:
    return {} if block is None else render.block_page(block, visible, detail=detail)


def _list(pages: list[bytes]) -> Any:
    return b'{"block":[' + b",".join(pages) + b"]}" if pages else {}


def getnowblock(view: View, query: Query) -> Any:
    return _page(view.head, query.params.get("visible") == "true")


def getblockbynum(view: View, query: Query) -> Any:
    return _page(view.block(query.integer("num")), query.visible)


def getblockbyid(view: View, query: Query) -> Any:
    return _page(view.block_by_id(query.hex("value")), query.visible)


def getblock(view: View, query: Query) -> Any:
    wanted, detail = query.body.get("id_or_num"), query.body.get("detail") is True
    if wanted is None:
        return _page(view.head, query.visible, detail=detail)
    text = str(wanted)
    if len(text) == 64:
        try:
            return _page(view.block_by_id(bytes.fromhex(text)), query.visible, detail=detail)
        except ValueError:
            return {"Error": "id must be legal block hash."}
    if not text.removeprefix("-").isdigit():
        return {"Error": "id must be legal block hash."}
    if int(text) < 0:
        return {"Error": "num must be non-positive number."}
    return _page(view.block(int(text)), query.visible, detail=detail)


def getblockbylimitnext(view: View, query: Query) -> Any:
    start, end = query.integer("startNum"), query.integer("endNum")
    if start < 0 or end <= 0 or start > end or end - start > BLOCK_LIMIT:
        return {}
    blocks = (view.block(number) for number in range(start, min(end, view.number + 1)))
    return _list([render.block_page(b, query.visible) for b in blocks if b is not None])


def getblockbylatestnum(view: View, query: Query) -> Any:
    count = query.integer("num")
    if not 0 < count < BLOCK_LIMIT:
        return {}
    blocks = (view.block(n) for n in range(max(view.number - count + 1, 0), view.number + 1))
    return _list([render.block_page(b, query.visible) for b in blocks if b is not None])


def gettransactioninfobyblocknum(view: View, query: Query) -> Any:
    number = query.integer("num")
    if number <= 0:
        return {}
    block = view.block(number)
    return [] if block is None else render.infos_page(block, query.visible)


def gettransactioncountbyblocknum(view: View, query: Query) -> Any:
    block = view.block(query.integer("num"))
    return {"count": -1 if block is None else len(block.transactions)}


def gettransactionbyid(view: View, query: Query) -> Any:
    txid = query.hex("value")
    found = view.find(txid)
    if found is not None:
        block, position = found
        ret = block.receipts[position].contract_ret if block.number else None
        return render.transaction(block.transactions[position], query.visible, ret)
    return gettransactionfrompending(view, query) if view.pending else {}


def gettransactioninfobyid(view: View, query: Query) -> Any:
    found = view.find(query.hex("value"))
    return {} if found is None else render.info(*found, query.visible)


def gettransactionfrompending(view: View, query: Query) -> Any:
    tx = view.chain.pending.get(query.hex("value"))
    if tx is None:
        return {}
    receipt = view.chain.pending_receipt(tx.txid)
    assert receipt is not None
    return render.transaction(tx, query.visible, receipt.contract_ret)


def gettransactionlistfrompending(view: View, query: Query) -> Any:
    ids = [txid.hex() for txid in view.chain.pending]
    return {"txId": ids} if ids else {}


def getpendingsize(view: View, query: Query) -> Any:
    return {"pendingSize": len(view.chain.pending)}


def getaccount(view: View, query: Query) -> Any:
    address = query.address("address")
    account = ledger.account(view.get, address)
    if account is None:
        return {}
    stored = account.number < view.chain.solid_number
    return render.account(view.get, account, query.visible, stored=stored)


def getaccountresource(view: View, query: Query) -> Any:
    account = ledger.account(view.get, query.address("address"))
    return {} if account is None else render.account_resource(view.get, account)


def getaccountnet(view: View, query: Query) -> Any:
    account = ledger.account(view.get, query.address("address"))
    return {} if account is None else render.account_net(view.get, account)


def validateaddress(view: View, query: Query) -> Any:
    text = query.body.get("address")
    if not isinstance(text, str) or not text:
        return {"result": False, "message": "Address is empty"}
    if len(text) == 42:
        try:
            valid = ledger.is_address(bytes.fromhex(text))
        except ValueError:
            valid = False
        return _verdict(valid, "Hex string format")
    if len(text) == 34:
        return _verdict(from_base58check(text) is not None, "Base58check format")
    return {"result": False, "message": "Length error"}


def _verdict(valid: bool, form: str) -> dict[str, Any]:
    return {"result": valid, "message": form if valid else "Invalid address"}


def _contract(view: View, address: bytes, visible: bool) -> tuple[Contract, dict[str, Any]] | None:
    contract: Contract | None = view.get(CONTRACT + address)
    if contract is None:
        return None
    shown = to_json(SmartContract.FromString(contract.message), visible)
    shown["contract_address"] = address_text(address, visible)
    shown["code_hash"] = (contract.code_hash or keccak(view.get(CODE + address) or b"")).hex()
    shown.setdefault("abi", {})
    if contract.version:
        shown["version"] = contract.version
    return contract, shown


def getcontract(view: View, query: Query) -> Any:
    found = _contract(view, query.address("value"), query.visible)
    return {} if found is None else found[1]


def getcontractinfo(view: View, query: Query) -> Any:
    address = query.address("value")
    found = _contract(view, address, query.visible)
    if found is None:
        return {}
    known: ContractState | None = view.get(DYNAMIC + address)
    state = current_state(view.get, known)
    fields = {
        "energy_usage": state.usage,
        "energy_factor": state.factor,
        "update_cycle": state.cycle,
    }
    return {
        "runtimecode": (view.get(CODE + address) or b"").hex(),
        "smart_contract": found[1],
        "contract_state": {name: value for name, value in fields.items() if value},
    }


def getchainparameters(view: View, query: Query) -> Any:
    shown = []
    for name, _ in params.PARAMETERS:
        value = params.read(view.get, name)
        shown.append({"key": name, "value": value} if value else {"key": name})
    return {"chainParameter": shown}


def _prices(view: View, name: str) -> Any:
    return {"prices": params.history(view.get, name)}


def getenergyprices(view: View, query: Query) -> Any:
    return _prices(view, "getEnergyFee")


def getbandwidthprices(view: View, query: Query) -> Any:
    return _prices(view, "getTransactionFee")


def getmemofee(view: View, query: Query) -> Any:
    return _prices(view, "getMemoFee")


def getburntrx(view: View, query: Query) -> Any:
    return {"burnTrxAmount": params.read(view.get, params.BURNT)}


def getnextmaintenancetime(view: View, query: Query) -> Any:
    return {"num": params.read(view.get, params.MAINTENANCE_TIME)}


def listwitnesses(view: View, query: Query) -> Any:
    visible = query.params.get("visible") == "true"
    shown = []
    for address in rewards.witnesses(view.get):
        witness: Witness = view.get(WITNESS + address)
        fields = {
            "address": address_text(address, visible),
            "voteCount": witness.votes,
            "url": witness.url,
            "totalProduced": witness.produced,
            "totalMissed": witness.missed,
            "latestBlockNum": witness.latest_number,
            "latestSlotNum": witness.latest_slot,
            "isJobs": witness.is_jobs,
        }
        shown.append({name: value for name, value in fields.items() if value})
    return {"witnesses": shown}


def get_reward(view: View, query: Query) -> Any:
    """0 for whatever is no account, an address that cannot be read included."""
    address = _lenient(query)
    return {"reward": rewards.pending(view.get, address) if address else 0}


def get_brokerage(view: View, query: Query) -> Any:
    address = _lenient(query)
    witness: Witness | None = view.get(WITNESS + address) if address else None
    return {"brokerage": 20 if witness is None else witness.brokerage}


def _lenient(query: Query) -> bytes | None:
    """An address, base58check or hex, whatever `visible` says."""
    value = str(query.body.get("address", ""))
    try:
        return bytes.fromhex(value)
    except ValueError:
        return from_base58check(value)


def getnodeinfo(view: View, query: Query) -> Any:
    head, solid = view.head, view.solid_block
    return {
        "activeConnectCount": 0,
        "beginSyncNum": max(head.number - 1, 0),
        "block": f"Num:{head.number},ID:{head.id.hex()}",
        "cheatWitnessInfoMap": {},
        "configNodeInfo": {
            "activeNodeSize": 0,
            "allowAdaptiveEnergy": 0,
            "allowCreationOfContracts": 1,
            "backupListenPort": 10001,
            "backupMemberSize": 0,
            "backupPriority": 8,
            "codeVersion": "4.8.0",
            "dbVersion": 2,
            "discoverEnable": False,
            "listenPort": 18888,
            "maxConnectCount": 2,
            "maxTimeRatio": 5.0,
            "minParticipationRate": 0,
            "minTimeRatio": 0.0,
            "p2pVersion": "333",
            "passiveNodeSize": 0,
            "sameIpMaxConnectCount": 2,
            "sendNodeSize": 0,
            "supportConstant": True,
            "versionNum": "18631",
        },
        "currentConnectCount": 0,
        "machineInfo": {},
        "passiveConnectCount": 0,
        "peerList": [],
        "solidityBlock": f"Num:{solid.number},ID:{solid.id.hex()}",
        "totalFlow": 0,
    }


WITHOUT_ENTRIES: Final = (
    "listnodes",
    "totaltransaction",
    "listproposals",
    "getproposalbyid",
    "getpaginatedproposallist",
    "getassetissuebyaccount",
    "getassetissuebyid",
    "getassetissuebyname",
    "getassetissuelist",
    "getassetissuelistbyname",
    "getpaginatedassetissuelist",
    "listexchanges",
    "getexchangebyid",
    "getpaginatedexchangelist",
)
"""Paths whose lists are empty here: no peers, TRC-10 tokens, exchanges or proposals."""


def nothing(view: View, query: Query) -> Any:
    """What a node without peers, or with a path switched off, answers."""
    return {}

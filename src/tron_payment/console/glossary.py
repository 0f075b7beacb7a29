"""What the words mean: a page of the console, and docs/glossary.md, which is printed from here."""

from collections.abc import Mapping
from typing import Any, Final

from litestar import get
from litestar.di import NamedDependency

from tron_payment.console.desk import Desk
from tron_payment.console.pages import PAGE_OPT

TERMS: Final[Mapping[str, str]] = {
    "address": "where money is on TRON: 34 characters that begin with T",
    "attempt": "one signed transaction for an order; another is made only after the proof that "
    "none before it can still come into a block",
    "attestation": "a signed statement that a recipient is verified; the kyc router checks it",
    "audit log": "who did what, each entry with the hash of the one before it",
    "available, reserved": "money in a wallet that is free, and money that is promised already",
    "bandwidth": "what every transaction uses for its bytes: some is free each day, then it comes "
    "from a stake, or TRX is burned",
    "block": "a batch of transactions that the network agreed on, every 3 seconds",
    "blocks behind": "solidified blocks that the service has not read yet",
    "books": "the ledger: what should be where; compared with the chain by reconciliation",
    "broadcast": "a payout whose signed transaction was sent to the network",
    "burned": "TRX that a transaction costs because no stake gave the energy or bandwidth",
    "call back": "to cancel what is not signed yet; in the API it is cancel, and it ends canceled",
    "certificate": "a record that a range of blocks was read without a gap",
    "circuit": "the switch that stops asking a node for a while after errors: closed is in use, "
    "open is left alone, half open is being tried again",
    "cold": "a recipient that holds no USDT yet (its transfer needs twice the energy), or a "
    "wallet whose key is not here",
    "devnet": "a TRON network of one machine, for trying out; its money is worth nothing",
    "direct": "the route of a plain transfer from a wallet, for trusted recipients",
    "energy": "what a contract call uses, such as a transfer of USDT: from a stake, or TRX is "
    "burned for it",
    "fee limit, max_fee_trx": "the most that a payout may cost in TRX; while it would cost more, "
    "it waits. Rows of a batch that share a transaction have the same",
    "flag": "something about a payout worth a look, such as a new recipient; stops nothing",
    "follower": "the part of the service that reads every solidified block, once and in order",
    "hot": "a wallet whose key the service holds, encrypted",
    "idempotency key": "16 to 255 characters of your own that name a request: repeated with the "
    "same key it is done once",
    "kill switch": "stops every payment, or those of one wallet, until it is switched off",
    "kyc": "the route for verified recipients: a router contract that checks an attestation",
    "not verified": "nothing proves who the recipient is (no kyc claim, no attestation), so the "
    "payout goes by v0",
    "order": "what the service puts on the chain: one transaction's purpose, for one payout or "
    "for many of a batch",
    "pocket": "a part of an account in the ledger: available, reserved, staked, unfreezing",
    "policy": "the rules that every payout is held against; version 0 is the default: only a "
    "smallest and a largest amount",
    "priority": "high goes before normal, normal before low",
    "quarantine": "where a payout stops when the chain contradicts what was asked for; two "
    "people let it out",
    "receipt": "what the network says a transaction did and cost",
    "reconciliation": "the comparison of ledger and chain at one solidified block",
    "route": "the way a payout goes: v0, kyc or direct",
    "router": "a contract that holds USDT and pays each payout's id once, or cancels it for ever",
    "safe mode": "after a restored backup: nothing is signed until the chain has been read on",
    "settled": "paid: the transfer stands in a solidified block. Nothing else means paid",
    "signed": "a payout whose transaction is signed and stored; it is sent from now on",
    "solidified": "final: 19 of 27 block producers have built on the block, so it can no longer "
    "be replaced; about a minute on public networks, 18 blocks on a devnet",
    "stake": "TRX that is set aside and gives energy or bandwidth each day; not spent, free again "
    "14 days after unstaking",
    "sun": "a millionth of a TRX, its smallest unit",
    "transaction id, txid": "the 64 hex digits that name a transaction, the same before and after "
    "it is sent",
    "TRX": "the network's own coin; fees are paid in it",
    "unfreezing": "TRX that was unstaked and is not free yet",
    "USDT": "a token that stands for US dollars; its issuer can pause it and blacklist addresses",
    "v0": "the route for recipients without KYC: a router contract that pays an id once",
    "webhook": "a call to an address of yours when something has happened",
}


@get("/console/glossary", opt=PAGE_OPT)
async def glossary(desk: NamedDependency[Desk]) -> Any:
    """What the words mean."""
    return desk.page("glossary.html", "/console/glossary", terms=TERMS)


HANDLERS: Final = (glossary,)

"""Block 0: the accounts, the representatives and the parameters that the chain begins with."""

from typing import Final

from tron_payment.devnet import params, rewards
from tron_payment.devnet.blocks import NO_HASH, Block, make
from tron_payment.devnet.config import DevnetConfig
from tron_payment.devnet.keys import ZERO_ADDRESS, address_of_key, dev_key
from tron_payment.devnet.ledger import create
from tron_payment.devnet.proto import MESSAGES
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.records import Witness
from tron_payment.devnet.state import ACCOUNT, LIST, TAPOS, WITNESS, Overlay
from tron_payment.devnet.transactions import TRANSFER, Tx, build_raw, of

FAUCET_KEY: Final = dev_key("faucet")
FAUCET: Final = address_of_key(FAUCET_KEY)
FAUCET_SUN: Final = 90_000_000_000 * 1_000_000
WITNESS_SUN: Final = 1_000_000 * 1_000_000
VOTES_STEP: Final = 10_000_000


def witness_keys(config: DevnetConfig) -> tuple[bytes, ...]:
    """Private keys of the representatives, in schedule order."""
    return config.witness_keys or tuple(
        dev_key(f"witness {index}") for index in range(config.witnesses)
    )


def build(config: DevnetConfig, seed: str, state: Overlay) -> Block:
    """Fill the empty state and make the block; the seed decides its id."""
    for name, value in (*params.PARAMETERS, *config.parameters):
        params.write(state, name, value)
    if config.active_operations:
        state.put(LIST + b"active_operations", (config.active_operations,))
    witnesses = tuple(address_of_key(key) for key in witness_keys(config))
    balances = dict.fromkeys(witnesses, WITNESS_SUN) | {FAUCET: FAUCET_SUN}
    balances |= dict(config.balances)
    for address, balance_sun in balances.items():
        account = create(state, address)
        account.balance, account.number = balance_sun, 0
        account.is_witness = address in witnesses
        state.put(ACCOUNT + address, account)
    for index, address in enumerate(witnesses):
        votes = max(config.witness_votes - index * VOTES_STEP, 1)
        url = f"http://witness{index}.devnet.example"
        state.put(WITNESS + address, Witness(url, votes))
    rewards.remember_witnesses(state, witnesses)
    transactions = [
        _grant(address, sun, seed)
        for address, sun in {FAUCET: FAUCET_SUN, **dict(config.balances)}.items()
    ]
    receipts = [Receipt() for _ in transactions]
    block = make(0, NO_HASH, 0, ZERO_ADDRESS, None, transactions, receipts)
    state.put(TAPOS + b"\0\0", block.id[8:16])
    state.commit()
    return block


def _grant(address: bytes, balance_sun: int, seed: str) -> Tx:
    """Money out of nothing, as the transfers of every genesis block."""
    message = MESSAGES["TransferContract"](
        owner_address=ZERO_ADDRESS, to_address=address, amount=balance_sun
    )
    raw = build_raw(
        TRANSFER,
        message,
        ref_block_bytes=b"",
        ref_block_hash=b"",
        expiration=0,
        timestamp=0,
        data=seed.encode(),
    )
    return of(raw, ())

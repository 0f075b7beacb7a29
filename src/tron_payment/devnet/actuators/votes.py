"""Votes for super representatives and the rewards they bring (VoteWitness, WithdrawBalance)."""

import copy
from typing import Final

from tron_payment.devnet import ledger, params, rewards
from tron_payment.devnet.errors import ContractInvalid
from tron_payment.devnet.proto import Message
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.records import Votes
from tron_payment.devnet.resources import TRX
from tron_payment.devnet.state import ACCOUNT, VOTES, WITNESS, Get, Overlay

MAX_VOTES: Final = 30
WITHDRAW_PAUSE_MS: Final = 86_400_000


def validate_vote(get: Get, message: Message) -> None:
    owner = bytes(message.owner_address)
    if not ledger.is_address(owner):
        raise ContractInvalid("Invalid address")
    if not message.votes:
        raise ContractInvalid("VoteNumber must more than 0")
    if len(message.votes) > MAX_VOTES:
        raise ContractInvalid(f"VoteNumber more than maxVoteNumber {MAX_VOTES}")
    total = 0
    for vote in message.votes:
        address = bytes(vote.vote_address)
        if not ledger.is_address(address):
            raise ContractInvalid("Invalid vote address!")
        if vote.vote_count <= 0:
            raise ContractInvalid("vote count must be greater than 0")
        if ledger.account(get, address) is None:
            raise ContractInvalid(f"Account[{address.hex()}] not exists")
        if get(WITNESS + address) is None:
            raise ContractInvalid(f"Witness[{address.hex()}] not exists")
        total += vote.vote_count
    power = ledger.owner_of(get, owner).power()
    if total * TRX > power:
        raise ContractInvalid(
            f"The total number of votes[{total * TRX}] is greater than the tronPower[{power}]"
        )


def execute_vote(state: Overlay, message: Message, receipt: Receipt) -> None:
    owner = bytes(message.owner_address)
    rewards.settle(state, owner)
    account = copy.copy(state.get(ACCOUNT + owner))
    votes = tuple((bytes(vote.vote_address), int(vote.vote_count)) for vote in message.votes)
    earlier: Votes | None = state.get(VOTES + owner)
    old = account.votes if earlier is None else earlier.old
    account.votes = votes
    state.put(VOTES + owner, Votes(old, votes))
    state.put(ACCOUNT + owner, account)
    rewards.remember_voter(state, owner)


def validate_withdraw(get: Get, message: Message) -> None:
    owner = bytes(message.owner_address)
    account = ledger.owner_of(get, owner)
    now = params.read(get, params.HEAD_TIME)
    if now - account.latest_withdraw_time < WITHDRAW_PAUSE_MS:
        raise ContractInvalid(
            f"The last withdraw time is {account.latest_withdraw_time}, less than 24 hours"
        )
    if rewards.pending(get, owner) <= 0:
        raise ContractInvalid("witnessAccount does not have any reward")


def execute_withdraw(state: Overlay, message: Message, receipt: Receipt) -> None:
    owner = bytes(message.owner_address)
    rewards.settle(state, owner)
    account = copy.copy(state.get(ACCOUNT + owner))
    receipt.withdraw_amount = account.allowance
    account.balance += account.allowance
    account.allowance = 0
    account.latest_withdraw_time = params.read(state.get, params.HEAD_TIME)
    state.put(ACCOUNT + owner, account)

"""Who may sign for an account: read from the chain, and replaced without locking anybody out.

A replacement is one transaction for all permissions (fee 100 TRX). A wrong owner permission locks
the account for ever, so the new one must be in reach: keys of wallets that we hold, or that sign
through us, must be able to reach its threshold together. What lets keys from outside sign alone
takes two people (agreement.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tron_payment.chain import (
    TYPE_NUMBERS,
    Account,
    Contract,
    Nodes,
    Permission,
    PermissionKind,
    PermissionUpdate,
)
from tron_payment.core.address import Address, parse_address
from tron_payment.core.errors import Refused
from tron_payment.core.ids import derived_id
from tron_payment.engine import Engine, Wish
from tron_payment.http.principals import Principal
from tron_payment.wallets import documents as store
from tron_payment.wallets.agreement import Agreement
from tron_payment.wallets.agreement_documents import PermissionChange
from tron_payment.wallets.documents import Wallet
from tron_payment.wallets.domain import DETACHED, KEYED, WalletKind, WalletStatus
from tron_payment.wallets.making import Who
from tron_payment.wallets.service import Wallets

MODULE: Final = "wallets"
KEYS_MAX: Final = 5
ACTIVES_MAX: Final = 8
NAME_LENGTH_MAX: Final = 32
WEIGHT_MAX: Final = 2**31
FIRST_ACTIVE_ID: Final = 2
OPERATION_BYTES: Final = 32
FEE_MAX_SUN: Final = 110_000_000
"""The chain asks 100 TRX for an update; the rest is for its bytes."""

CONTRACT_NAMES: Final[Mapping[str, int]] = {
    contract.__name__: number for contract, number in TYPE_NUMBERS.items()
}


class PermissionMalformed(Refused, code="permission_malformed"):
    """The chain would refuse these permissions."""


class PermissionUnknown(Refused, code="permission_unknown"):
    """The account has no active permission with this id on the chain."""


class LockedOut(Refused, code="permission_locks_out"):
    """Nobody here could sign for the account any more."""


@dataclass(frozen=True, slots=True)
class WantedPermission:
    """A permission as a caller writes it; `allows` names contracts, for active ones."""

    threshold: int
    keys: tuple[tuple[str, int], ...]
    name: str = ""
    allows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that replaces an account's permissions."""

    owner: WantedPermission
    actives: tuple[WantedPermission, ...]


class Permissions:
    """Reads and replaces the permissions of wallets' accounts."""

    def __init__(
        self,
        *,
        wallets: Wallets,
        agreement: Agreement,
        engine: Engine,
        nodes: Nodes,
        secret: bytes,
    ) -> None:
        self._wallets = wallets
        self.agreement = agreement
        self._engine = engine
        self._nodes = nodes
        self._secret = secret

    async def read(self, principal: Principal, wallet_id: str) -> tuple[Wallet, Account | None]:
        """The wallet and its account as a node shows it now; None when it is not activated.

        Raises:
            WalletNotFound, NodesUnavailable
        """
        wallet = await self._wallets.get(principal, wallet_id)
        return wallet, await self._nodes.account(Address(wallet.address))

    async def require(self, address: str, permission_id: int) -> Permission:
        """An active permission of an account, as a node shows it now.

        Raises:
            InvalidAddress, NodesUnavailable
            PermissionUnknown: The account has none with this id.
        """
        account = await self._nodes.account(parse_address(address, param="address"))
        for permission in account.actives if account else ():
            if permission.id == permission_id:
                return permission
        raise PermissionUnknown(param="permission_id")

    async def judge(
        self,
        principal: Principal,
        wallet_id: str,
        owner: WantedPermission,
        actives: Sequence[WantedPermission],
        change_id: str,
    ) -> PermissionUpdate:
        """The update that these wishes make; nothing is stored but who asked for it.

        Raises:
            WalletNotFound, WalletFrozen, WalletArchived, WalletCannotSign
            PermissionMalformed, InvalidAddress: The chain would refuse it.
            LockedOut: The keys that we can reach do not reach the owner's threshold.
            SecondPersonNeeded: Keys from outside could sign alone; another one has to agree.
            ChangeOver: This very request has asked before, and that is over.
        """
        wallet = await self._wallets.signing_wallet(wallet_id, principal)
        update = build_update(wallet.address, owner, actives)
        assert update.owner_permission is not None
        reachable = await _reachable([key for key, _ in update.owner_permission.keys])
        check_in_reach(update.owner_permission, reachable)
        wish = msgspec.to_builtins(Wanted(owner, tuple(actives)))
        await self.agreement.require(principal, wallet.wallet_id, update, wish, change_id)
        return update

    async def judge_agreeing(self, change: PermissionChange) -> PermissionUpdate:
        """The update of what somebody has asked for; nothing is stored.

        Raises:
            WalletNotFound, WalletFrozen, WalletArchived, WalletCannotSign, LockedOut
        """
        wallet = await self._wallets.signing_wallet(change.wallet_id)
        update = update_of(change, wallet.address)
        assert update.owner_permission is not None
        reachable = await _reachable([key for key, _ in update.owner_permission.keys])
        check_in_reach(update.owner_permission, reachable)
        return update

    async def judged(
        self,
        principal: Principal,
        wallet_id: str,
        owner: WantedPermission,
        actives: Sequence[WantedPermission],
        change_id: str,
    ) -> PermissionUpdate:
        """The update of a request that was accepted before, whatever has changed since."""
        wallet = await self._wallets.get(principal, wallet_id)
        return build_update(Address(wallet.address), owner, actives)

    async def place(
        self, principal: Principal, wallet_id: str, update: PermissionUpdate, change_id: str
    ) -> str:
        """Place the order of a judged update; the order's id. Safe to repeat with the same id.

        Args:
            change_id: Derived from the caller's key: one order for one request.

        Raises:
            WalletNotFound
            SecondPersonNeeded: The agreement has lapsed, or went to another request meanwhile.
            ChangeOver: This request took it too long ago, and placed nothing.
        """
        wallet = await self._wallets.get(principal, wallet_id)
        order_id = derived_id("ord", self._secret, change_id)
        if await self._engine.find(order_id) is not None:
            return order_id
        asked_by = await self.agreement.take(principal, wallet.id, update, change_id)
        return await self._place(principal, wallet, update, order_id, asked_by)

    async def place_agreed(
        self, principal: Principal, change: PermissionChange, request_id: str
    ) -> str:
        """The same for what somebody else has asked for, which a person agrees to.

        Raises:
            WalletNotFound
            ChangeOver: Refused, replaced or taken by another request meanwhile; or by this one
                too long ago.
        """
        wallet = await self._wallets.get(principal, change.wallet_id)
        order_id = derived_id("ord", self._secret, request_id)
        if await self._engine.find(order_id) is not None:
            return order_id
        agreed = await self.agreement.agree(principal, change.id, request_id)
        update = update_of(agreed, Address(wallet.address))
        return await self._place(principal, wallet, update, order_id, agreed.asked_by)

    async def _place(
        self,
        principal: Principal,
        wallet: Wallet,
        update: PermissionUpdate,
        order_id: str,
        asked_by: str | None,
    ) -> str:
        contract: Contract = update
        placed = await self._engine.place(
            Wish(
                order_id=order_id,
                module=MODULE,
                kind="wallet.permissions",
                subject=wallet.id,
                wallet_id=wallet.id,
                signer=Address(wallet.address),
                contract=contract,
                max_fee_sun=FEE_MAX_SUN,
                detached=wallet.kind in DETACHED,
            )
        )
        if placed:
            told = {"order_id": order_id, "owner": _told(update.owner_permission)}
            if asked_by is not None:
                told["asked_by"] = asked_by
            await self._wallets.note(
                Who.of(principal, ""),  # of the request under way
                "wallet.permissions",
                wallet,
                after=told,
            )
        return order_id


def wanted_of(change: PermissionChange) -> Wanted:
    """What somebody has asked for, as they wrote it."""
    return msgspec.convert(_whole(change.wish), Wanted)


def update_of(change: PermissionChange, account: Address) -> PermissionUpdate:
    """The update that it makes."""
    wanted = wanted_of(change)
    return build_update(account, wanted.owner, wanted.actives)


def build_update(
    account: Address, owner: WantedPermission, actives: Sequence[WantedPermission]
) -> PermissionUpdate:
    """
    Raises:
        PermissionMalformed, InvalidAddress
    """
    if not 0 < len(actives) <= ACTIVES_MAX:
        raise PermissionMalformed(f"1 to {ACTIVES_MAX} active permissions", param="actives")
    return PermissionUpdate(
        owner=account,
        owner_permission=_permission(PermissionKind.OWNER, owner, "owner", 0),
        witness_permission=None,
        actives=tuple(
            _permission(PermissionKind.ACTIVE, each, f"actives[{n}]", FIRST_ACTIVE_ID + n)
            for n, each in enumerate(actives)
        ),
    )


def check_in_reach(owner: Permission, reachable: set[Address]) -> None:
    """
    Raises:
        LockedOut: The reachable keys together do not reach the threshold.
    """
    weight = sum(weight for key, weight in owner.keys if key in reachable)
    if weight < owner.threshold:
        raise LockedOut(
            f"keys of wallets here weigh {weight}, the owner's threshold is {owner.threshold}",
            param="owner",
        )


def operations_named(permission: Permission) -> list[str]:
    """The contracts that an active permission may sign, as far as the service knows them."""
    return [name for name, number in CONTRACT_NAMES.items() if permission.allows(number)]


def _permission(
    kind: PermissionKind, wanted: WantedPermission, param: str, permission_id: int
) -> Permission:
    keys = tuple(
        (parse_address(text, param=f"{param}.keys"), weight) for text, weight in wanted.keys
    )
    if not 0 < len(keys) <= KEYS_MAX or len({key for key, _ in keys}) != len(keys):
        raise PermissionMalformed(f"1 to {KEYS_MAX} different keys", param=f"{param}.keys")
    if not all(0 < weight <= WEIGHT_MAX for _, weight in keys):
        raise PermissionMalformed("weights are positive", param=f"{param}.keys")
    if not 0 < wanted.threshold <= sum(weight for _, weight in keys):
        raise PermissionMalformed(
            "the threshold is positive and the weights reach it", param=f"{param}.threshold"
        )
    if len(wanted.name) > NAME_LENGTH_MAX:
        raise PermissionMalformed(f"at most {NAME_LENGTH_MAX} characters", param=f"{param}.name")
    operations = b""
    if kind is PermissionKind.ACTIVE:
        operations = _operations(wanted.allows, param)
    elif wanted.allows:
        raise PermissionMalformed("an owner may sign everything", param=f"{param}.allows")
    name = wanted.name or ("owner" if kind is PermissionKind.OWNER else f"active{permission_id}")
    return Permission(
        kind, wanted.threshold, keys, name=name, id=permission_id, operations=operations
    )


def _operations(names: Sequence[str], param: str) -> bytes:
    unknown = sorted(set(names) - set(CONTRACT_NAMES))
    if unknown or not names:
        known = ", ".join(CONTRACT_NAMES)
        raise PermissionMalformed(f"name some of {known}", param=f"{param}.allows")
    bits = bytearray(OPERATION_BYTES)
    for name in names:
        index, bit = divmod(CONTRACT_NAMES[name], 8)
        bits[index] |= 1 << bit
    return bytes(bits)


async def _reachable(keys: Sequence[Address]) -> set[Address]:
    """Of these keys the ones that are wallets here and can sign, here or through a request.

    Others sign for a multisig account: that somebody has its own key, too, is known only when he
    has shown it (ownership.py).
    """
    found = set()
    for key in keys:
        wallet = await store.by_address(key)
        if wallet is None or wallet.status is WalletStatus.ARCHIVED:
            continue
        shown = wallet.kind is not WalletKind.MULTISIG or wallet.owner_proven_at is not None
        if wallet.kind in KEYED | DETACHED and shown:
            found.add(key)
    return found


def _whole(value: Any) -> Any:
    """MongoDB gives integers beyond 32 bits back as a class of their own."""
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, int) else value


def _told(permission: Permission | None) -> dict[str, object]:
    assert permission is not None
    return {
        "threshold": permission.threshold,
        "keys": [f"{key}:{weight}" for key, weight in permission.keys],
    }

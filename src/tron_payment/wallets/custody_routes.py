"""HTTP of backups and passwords. The encrypted backup is the only form in which a key leaves."""

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from tron_payment.core.redaction import Silent
from tron_payment.db.acts import describe
from tron_payment.http.principals import Principal
from tron_payment.wallets.custody import Custody
from tron_payment.wallets.making import Who
from tron_payment.wallets.routes import WalletView
from tron_payment.wallets.service import Wallets


class VerifyPassword(Silent, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    password: str


class BackUp(Silent, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    password: str
    """Encrypts the backup."""

    wallet_password: str | None = None
    """Needed when the wallet has one."""


class Restore(Silent, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    backup: str
    password: str


class PasswordView(msgspec.Struct, frozen=True, kw_only=True):
    valid: bool


class BackupView(Silent, msgspec.Struct, frozen=True, kw_only=True):
    backup: str


class RestoredView(msgspec.Struct, frozen=True, kw_only=True):
    wallets: list[WalletView]


@post(
    "/{wallet_id:str}/verify-password",
    status_code=200,
    opt={"permission": "wallet:verify", "rate": "approve"},
)
async def verify_password(
    wallet_id: FromPath[str],
    data: JSONBody[VerifyPassword],
    wallets: NamedDependency[Wallets],
    principal: NamedDependency[Principal],
) -> PasswordView:
    """Say whether this is the wallet's password; five wrong ones lock it for five minutes."""
    valid = await wallets.verify_password(principal, wallet_id, data.password)
    describe(action="wallet.verify_password", after={"valid": valid})
    return PasswordView(valid=valid)


@post(
    "/{wallet_id:str}/backup",
    status_code=200,
    opt={"permission": "wallet:backup", "rate": "approve"},
)
async def back_up(
    wallet_id: FromPath[str],
    data: JSONBody[BackUp],
    custody: NamedDependency[Custody],
    principal: NamedDependency[Principal],
    request_id: NamedDependency[str],
) -> BackupView:
    """Give out the wallet's key, encrypted with a password that only you know."""
    text = await custody.backup(
        principal,
        wallet_id,
        password=data.password,
        wallet_password=data.wallet_password,
        request_id=request_id,
    )
    return BackupView(backup=text)


@post(
    "/{wallet_id:str}/restore",
    status_code=200,
    opt={"permission": "wallet:restore", "rate": "approve"},
)
async def restore_one(
    wallet_id: FromPath[str],
    data: JSONBody[Restore],
    custody: NamedDependency[Custody],
    principal: NamedDependency[Principal],
    request_id: NamedDependency[str],
) -> WalletView:
    """Bring this wallet back from its backup: a lost key, an archived or a missing wallet."""
    who = Who.of(principal, request_id)
    (wallet,) = await custody.restore(
        who, backup=data.backup, password=data.password, wallet_id=wallet_id
    )
    return WalletView.of(wallet)


@post(
    "/restore",
    status_code=200,
    opt={"permission": "wallet:restore", "rate": "approve", "body": "batch"},
)
async def restore_all(
    data: JSONBody[Restore],
    custody: NamedDependency[Custody],
    principal: NamedDependency[Principal],
    request_id: NamedDependency[str],
) -> RestoredView:
    """Bring back every wallet of a backup; all of it is checked before anything is written."""
    who = Who.of(principal, request_id)
    wallets = await custody.restore(who, backup=data.backup, password=data.password)
    ids = [wallet.id for wallet in wallets]
    describe(action="wallet.restore", object_id="backup", after={"wallets": ids})
    return RestoredView(wallets=[WalletView.of(wallet) for wallet in wallets])


HANDLERS = (verify_password, back_up, restore_one, restore_all)

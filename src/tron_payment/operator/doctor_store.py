"""The doctor's checks of files, store and keys."""

import os
import stat
from pathlib import Path
from typing import Any, Final

from beanie import init_beanie
from pymongo.asynchronous.database import AsyncDatabase

from tron_payment import egress
from tron_payment.chain import Cursor
from tron_payment.core.clock import SystemClock
from tron_payment.db.connect import StoreRefused, connect
from tron_payment.db.faults import store_errors
from tron_payment.db.installation import Installation, InstallationMismatch, refuse_newer
from tron_payment.db.leases import Lease
from tron_payment.db.migrations import SCHEMA_VERSION
from tron_payment.operator.findings import Finding, bad, doubtful, good
from tron_payment.peers import plain_host
from tron_payment.settings import SECRET_NAMES, Settings
from tron_payment.settings_files import SECRETS_DIR
from tron_payment.wallets import KeyUnreadable, Wallet, build_signer

WALLETS_MAX: Final = 10_000


def files(settings: Settings) -> list[Finding]:
    """Who may read what."""
    found = []
    if os.geteuid() == 0 and not settings.is_development:
        found.append(doubtful("permissions", "runs as root", "run it as UID 65532, as the image"))
    folder = Path(os.environ.get("SECRETS_DIR") or SECRETS_DIR)
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        if path.name.lower() in SECRET_NAMES and path.stat().st_mode & (
            stat.S_IWOTH | stat.S_IROTH
        ):
            found.append(bad("permissions", f"{path} is open to all", f"chmod 0440 {path}"))
    if settings.is_development and settings.var_dir.exists():
        for path in settings.var_dir.glob("dev-secrets/*"):
            if path.stat().st_mode & 0o077:
                found.append(bad("permissions", f"{path} is open to others", f"chmod 600 {path}"))
    return found or [good("permissions", "secrets are closed to others")]


async def store(settings: Settings, known: dict[str, Any]) -> list[Finding]:
    """A replica set whose members we may talk to, and the database of this chain."""
    uri = settings.mongo_uri.get_secret_value()
    opened = await connect(uri, settings.payment_db_name, ())
    known["stack"].push_async_callback(opened.close)
    models = [Installation, Wallet, Cursor]
    await init_beanie(database=opened.database, document_models=models, skip_indexes=True)
    known["store"] = opened
    hello = await opened.client.admin.command("hello")
    found = [good("store", f"replica set {hello['setName']}, primary {hello.get('primary')}")]
    if len(hello.get("hosts", [])) < 3 and not settings.is_development:
        advice = "run three members, so that one may fail"
        found.append(doubtful("store", f"{len(hello['hosts'])} member", advice))
    if not settings.is_development:
        ours = egress.neighbours(settings)
        for member in hello.get("hosts", []):
            host, _, port = member.rpartition(":")
            if (plain_host(host), int(port)) not in ours:
                advice = "add it to MONGODB_URI: connections to other hosts are refused"
                found.append(bad("store", f"member {member} is not in MONGODB_URI", advice))
    found += await _signer_journal(settings, known)
    known["installation"] = await Installation.get("installation")
    if known["installation"] is None:
        found.append(doubtful("store", "the database is new", "the first start fills it"))
    try:
        await refuse_newer(opened.database)
        found += await _fenced(opened.database)
        found += _older(known["installation"])
    except InstallationMismatch as error:
        advice = "run that release, or go back as the table in docs/operations.md says"
        found.append(bad("store", error.detail, advice))
    return found


async def _fenced(database: AsyncDatabase[dict[str, Any]]) -> list[Finding]:
    """A newer release took the turn from this one, and then its step failed or it was left."""
    with store_errors():
        row = await database[Lease.Settings.name].find_one({"floor": {"$gt": SCHEMA_VERSION}})
    if row is None:
        return []
    what = f"no process of this release takes a turn: its leases need schema {row['floor']}"
    advice = (
        "start the newer release again, or, to go back when none of its processes runs, "
        "db.leases.updateMany({}, {$unset: {floor: ''}})"
    )
    return [bad("store", f"{what}, it knows {SCHEMA_VERSION}", advice)]


def _older(installed: Installation | None) -> list[Finding]:
    """The first start of this release brings it forward; until then its commands refuse it."""
    if installed is None or installed.schema_version >= SCHEMA_VERSION:
        return []
    what = f"the database has schema {installed.schema_version}, this release {SCHEMA_VERSION}"
    advice = "follow Upgrade and rollback in docs/operations.md; until then use the older release"
    return [doubtful("store", what, advice)]


async def _signer_journal(settings: Settings, known: dict[str, Any]) -> list[Finding]:
    """The start refuses a user who may not use the signer's own database."""
    from tron_payment.serve import JOURNAL_SUFFIX

    uri = settings.signer_journal_uri
    if not uri.get_secret_value():
        uri = settings.mongo_uri
    name = settings.payment_db_name + JOURNAL_SUFFIX
    try:
        opened = await connect(uri.get_secret_value(), name, ())
    except StoreRefused:
        advice = f"db.grantRolesToUser(USER, [{{role: 'readWrite', db: '{name}'}}])"
        return [bad("store", f"the user may not use the signer's journal, {name}", advice)]
    await opened.close()
    return []


async def keys(settings: Settings, known: dict[str, Any]) -> list[Finding]:
    """Every stored key opens with the configured keys, and under the newest of them."""
    if "store" not in known:
        return []
    keystore = build_signer(settings, SystemClock()).keystore
    wallets = await Wallet.find({"envelope.kek_id": {"$type": "string"}}).to_list(WALLETS_MAX)
    closed, old = [], 0
    for wallet in wallets:
        assert wallet.envelope is not None
        old += wallet.envelope.kek_id != keystore.current
        try:
            keystore.open(wallet.envelope, wallet.bond)
        except KeyUnreadable as error:
            closed.append(f"{wallet.id} ({error.detail})")
    found = []
    if closed:
        advice = "configure the key that closed them, in WALLET_ENCRYPTION_KEY=new:..,old:.."
        found.append(bad("keys", f"do not open: {', '.join(closed[:10])}", advice))
    if old:
        found.append(doubtful("keys", f"{old} under an older key", "tron-payment keys rotate"))
    return found or [good("keys", f"{len(wallets)} keys open with key {keystore.current}")]

"""What must hold between settings, each rule with the words that say how to mend it."""

import re
from ipaddress import ip_network
from typing import Final
from urllib.parse import urlsplit

from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from tron_payment.core.address import InvalidAddress, parse_address
from tron_payment.core.money import InvalidAmount, parse_units
from tron_payment.peers import SOCKS_SCHEMES, endpoint, is_private
from tron_payment.settings import Settings

JWT_SECRET_BYTES_MIN: Final = 32
NODES_THAT_OUTVOTE_MIN: Final = 3
RETENTION_DAYS_MIN: Final = 31
"""Longer than an idempotency key replays its answer."""

KEY_BYTES: Final = 32
CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1 (SEC 2); a private key is below it and not 0."""

KEKS_MAX: Final = 16
KEK_ID_DEFAULT: Final = "k1"
PRIVATE_KEYS: Final = (
    "hot_wallet_private_key",
    "payout_router_private_key",
    "kyc_attestation_private_key",
)

EMULATOR: Final = re.compile(r"127\.0\.0\.1:[0-9]{1,5}")


def problems_of(settings: Settings) -> list[str]:
    """A line for each thing that is wrong; none when the service may start with these."""
    problems = [
        *_money_problems(settings),
        *_address_problems(settings),
        *_trust_problems(settings),
        *_key_problems(settings),
    ]
    if settings.mongodb_uri.get_secret_value() and settings.mongo_url.get_secret_value() not in (
        "",
        settings.mongodb_uri.get_secret_value(),
    ):
        problems.append("MONGODB_URI and MONGO_URL differ: set one of them")
    if settings.tron_full_node_url and settings.tron_node_url not in (
        "",
        settings.tron_full_node_url,
    ):
        problems.append("TRON_NODE_URL and TRON_FULL_NODE_URL differ: set one of them")
    if not settings.node_urls:
        problems.append("TRON_NODE_URL: a private network needs at least one node")
    if len(settings.solidity_urls) not in (0, len(settings.node_urls)):
        problems.append("TRON_SOLIDITY_NODE_URL: one per node in TRON_NODE_URL, or none")
    for name, urls in (
        ("TRON_NODE_URL", settings.node_urls),
        ("TRON_SOLIDITY_NODE_URL", settings.solidity_urls),
    ):
        if len({_voice(url) for url in urls}) < len(urls):
            problems.append(f"{name}: the same node twice has one voice, not two")
    if settings.node_agreement > max(1, len(settings.node_urls)):
        problems.append("NODE_AGREEMENT: more than there are nodes in TRON_NODE_URL")
    if settings.node_dissent == "set_apart" and (
        settings.node_agreement < 2 or len(settings.node_urls) < NODES_THAT_OUTVOTE_MIN
    ):
        problems.append("NODE_DISSENT: set_apart needs three nodes and NODE_AGREEMENT=2 or more")
    if 0 < settings.retention_days < RETENTION_DAYS_MIN:
        problems.append(f"RETENTION_DAYS: 0, or {RETENTION_DAYS_MIN} or more")
    return [*problems, *_way_out_problems(settings)]


def _way_out_problems(settings: Settings) -> list[str]:
    problems = []
    proxy = urlsplit(settings.tor_proxy)
    if settings.tor_proxy and (
        proxy.scheme not in SOCKS_SCHEMES or not proxy.hostname or not _port(settings.tor_proxy)
    ):
        problems.append("TOR_PROXY: socks5://host:port")
    for name, urls in (
        ("TRON_NODE_URL", settings.node_urls),
        ("TRON_SOLIDITY_NODE_URL", settings.solidity_urls),
        ("API_GATEWAY_URL", [u for u in [settings.api_gateway_url] if u]),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", [u for u in [settings.otel_exporter_otlp_endpoint] if u]),
        ("REDIS_URL", [u for u in [settings.redis_url.get_secret_value()] if u]),
    ):
        if not all(_port(url) for url in urls):
            problems.append(f"{name}: not a URL with a host")
    collector = urlsplit(settings.otel_exporter_otlp_endpoint).hostname or ""
    if collector and not is_private(collector):
        problems.append("OTEL_EXPORTER_OTLP_ENDPOINT: only a collector of our own network")
    if settings.tron_nodes_direct and not settings.nodes_are_private:
        problems.append("TRON_NODES_DIRECT: only for nodes with a private address or name")
    uris = {"MONGODB_URI": settings.mongo_uri, "SIGNER_JOURNAL_URI": settings.signer_journal_uri}
    for name, uri in uris.items():
        text = uri.get_secret_value()
        if text.startswith("mongodb+srv"):
            if not settings.is_development:
                problems.append(f"{name}: name the members; mongodb+srv would ask a name server")
        elif text and (problem := _mongo_uri_problem(text)):
            problems.append(f"{name}: {problem}")
    return problems


def _money_problems(settings: Settings) -> list[str]:
    problems = []
    for name in (
        "min_payout_amount",
        "max_payout_amount",
        "payout_fee_trx",
        "max_fee_trx",
        "router_floor_usdt",
    ):
        try:
            parse_units(6, getattr(settings, name))
        except InvalidAmount as error:
            problems.append(f"{name.upper()}: {error.detail}")
    if not problems and settings.min_payout_units > settings.max_payout_units:
        problems.append("MIN_PAYOUT_AMOUNT is above MAX_PAYOUT_AMOUNT")
    return problems


def _address_problems(settings: Settings) -> list[str]:
    problems = []
    for name in (
        "usdt_contract_address",
        "payout_router_v0_address",
        "payout_router_kyc_address",
        "hot_wallet_address",
    ):
        if text := getattr(settings, name):
            try:
                parse_address(text)
            except InvalidAddress as error:
                problems.append(f"{name.upper()}: {error.detail}")
    return problems


def _trust_problems(settings: Settings) -> list[str]:
    problems = []
    secret = settings.jwt_secret_key.get_secret_value()
    if secret and len(secret.encode()) < JWT_SECRET_BYTES_MIN:
        problems.append(f"JWT_SECRET_KEY: HS256 needs {JWT_SECRET_BYTES_MIN} bytes or more")
    if not settings.is_development:
        if not secret and not settings.jwt_jwks_file:
            problems.append("JWT_SECRET_KEY or JWT_JWKS_FILE: who signs the callers' tokens?")
        if not settings.wallet_encryption_key.get_secret_value():
            problems.append("WALLET_ENCRYPTION_KEY: put 32 random bytes, in hex, in its file")
        if not settings.mongo_uri.get_secret_value():
            problems.append("MONGODB_URI: the embedded MongoDB is for development only")
    for name in ("ledger_emulator", "trezor_emulator"):
        text = getattr(settings, name)
        if text and not (settings.is_development and EMULATOR.fullmatch(text)):
            problems.append(f"{name.upper()}: 127.0.0.1:PORT, in development only")
    if not re.fullmatch(r"|[0-9a-fA-F]{64}", settings.audit_signing_key.get_secret_value()):
        problems.append("AUDIT_SIGNING_KEY: 64 hex digits")
    if not all(_is_network(part) for part in settings.trusted_proxies.split(",") if part.strip()):
        problems.append("TRUSTED_PROXIES: addresses or networks such as 10.0.0.0/8")
    return problems


def _key_problems(settings: Settings) -> list[str]:
    """Their form only, and no digit of theirs in the words; the wallets parse them."""
    problems = []
    for name in PRIVATE_KEYS:
        digits = getattr(settings, name).get_secret_value()
        known = re.fullmatch(r"[0-9a-fA-F]{64}", digits) and 0 < int(digits, 16) < CURVE_ORDER
        if digits and not known:
            problems.append(f"{name.upper()}: 64 hex digits, without 0x, of a secp256k1 key")
    text = settings.wallet_encryption_key.get_secret_value().strip()
    named = [part.strip().rpartition(":") for part in text.split(",")]
    names = [name if colon else KEK_ID_DEFAULT for name, colon, _ in named]
    fits = all(map(str.isalnum, names)) and all(_is_key(digits) for _, _, digits in named)
    if text and not (fits and len(set(names)) == len(names) <= KEKS_MAX):
        problems.append("WALLET_ENCRYPTION_KEY: 64 hex digits, or id:hex,id:hex with different ids")
    return problems


def _is_key(digits: str) -> bool:
    try:
        return len(bytes.fromhex(digits)) == KEY_BYTES
    except ValueError:
        return False


def _mongo_uri_problem(text: str) -> str:
    """What is wrong with it, without its words, which may quote the password; empty: nothing."""
    try:
        parse_uri(text)
    except OSError:
        return (
            "a file that it names (tlsCAFile, tlsCertificateKeyFile) is not there or not readable"
        )
    except (PyMongoError, ValueError, TypeError):
        return (
            "mongodb://USER:PASSWORD@HOST:PORT/?replicaSet=NAME, with special characters of user "
            "and password as %XX"
        )
    return ""


def _is_network(text: str) -> bool:
    try:
        ip_network(text.strip())
    except ValueError:
        return False
    return True


def _voice(url: str) -> tuple[str, int, str]:
    """The same for every way to write where a node is, whoever asks it."""
    try:
        return *endpoint(url), urlsplit(url).path.rstrip("/").lower()
    except ValueError:
        return url.lower(), 0, ""


def _port(url: str) -> int:
    """The port of a URL; 0 when it has none or is no URL."""
    try:
        return endpoint(url)[1]
    except ValueError:
        return 0

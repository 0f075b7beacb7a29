"""What can be set, and what follows from it. The names are the owner's (see .env.example).

`configuration.load` reads and checks them.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tron_payment.core.address import Address, parse_address
from tron_payment.core.money import TRX, USDT, parse_units
from tron_payment.peers import is_private

SECRET_NAMES: Final = (
    "wallet_encryption_key",
    "hot_wallet_private_key",
    "payout_router_private_key",
    "kyc_attestation_private_key",
    "jwt_secret_key",
    "payment_webhook_secret",
    "audit_signing_key",
)
"""In production these come from files only."""

CREDENTIAL_NAMES: Final = (
    "mongodb_uri",
    "mongo_url",
    "signer_journal_uri",
    "redis_url",
    "tron_node_api_key",
)
"""These may come from a file, too."""


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Network(StrEnum):
    MAINNET = "mainnet"
    NILE = "nile"
    SHASTA = "shasta"
    PRIVATE = "private"
    DEVNET = "devnet"


DEFAULT_TOR_PROXY: Final = "socks5://tor-proxy:9050"
"""The Tor container of docker-compose.yml."""

GENESIS_IDS: Final = {
    Network.MAINNET: "00000000000000001ebf88508a03865c71d452e25f4d51194196a1d22b6653dc",
}
"""Genesis block ids that do not change; other networks are pinned at the first start."""

DEFAULT_NODES: Final = {
    Network.MAINNET: "https://api.trongrid.io",
    Network.NILE: "https://nile.trongrid.io",
    Network.SHASTA: "https://api.shasta.trongrid.io",
}
DEFAULT_USDT: Final = {
    Network.MAINNET: Address("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"),
    Network.NILE: Address("TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf"),
}


class ConfigurationError(Exception):
    """The service cannot start; each line of the message is one problem and its mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Settings(BaseSettings):
    """Everything that can be set. Amounts are decimals of TRX or USDT, times are seconds."""

    model_config = SettingsConfigDict(case_sensitive=False, extra="ignore", frozen=True)

    service_name: str = "tron-payment"
    lucid_env: Environment = Environment.PRODUCTION
    """Unset means production: nobody falls into development by forgetting a variable."""

    debug: bool = False
    log_level: Annotated[str, Field(pattern=r"^(|DEBUG|INFO|WARNING|ERROR)$")] = ""
    """Empty means INFO, or DEBUG with DEBUG=true; figures count what the level hides, too."""

    host: str = ""
    """Where to listen; empty means 127.0.0.1 in development and all interfaces in production."""

    port: Annotated[int, Field(ge=1, le=65_535)] = 8090
    public_base_url: str = ""
    var_dir: Path = Path("var")
    """Where the development mode keeps its chain and its store."""

    # The chain
    tron_network: Network = Network.DEVNET
    tron_node_url: str = ""
    """Comma-separated; every node is asked, all are told."""

    tron_full_node_url: str = ""
    tron_solidity_node_url: str = ""
    tron_event_server_url: str = ""
    tron_node_api_key: SecretStr = SecretStr("")
    tron_network_id: str = ""
    """Genesis block id to pin; needed for private networks in production."""

    tron_chain_id: str = ""
    node_agreement: Annotated[int, Field(ge=1, le=9)] = 1
    """How many nodes must show the same solidified block before it counts."""

    node_dissent: Annotated[str, Field(pattern=r"^(stop|set_apart)$")] = "stop"
    """What a node does that shows another solidified block: stop everything until a person has
    looked, or be set apart itself while NODE_AGREEMENT nodes and the majority of all agree."""

    node_deadline_s: Annotated[float, Field(gt=0, le=120)] = 15
    devnet_port: Annotated[int, Field(ge=1, le=65_534)] = 9090
    devnet_block_ms: Annotated[int, Field(ge=0, le=60_000)] = 1_000

    usdt_contract_address: str = ""
    usdt_contract_abi_path: str = ""
    payout_router_v0_address: str = ""
    payout_router_kyc_address: str = ""
    hot_wallet_address: str = ""

    # Money
    min_payout_amount: str = "10.0"
    max_payout_amount: str = "10000.0"
    payout_fee_trx: str = "5.0"
    """The fee shown before a quote exists; never a cap."""

    max_fee_trx: str = "50"
    """The most one order may burn when its request does not say."""

    payout_batch_size: Annotated[int, Field(ge=1, le=100)] = 100
    payout_timeout: Annotated[int, Field(ge=60, le=86_400)] = 300
    """Expiration of a signed transaction minus the head block's time."""

    router_floor_usdt: str = "0"
    """Below this a router is topped up from the hot wallet; 0 means never."""

    # Keys and callers
    wallet_encryption_key: SecretStr = SecretStr("")
    hot_wallet_private_key: SecretStr = SecretStr("")
    payout_router_private_key: SecretStr = SecretStr("")
    kyc_attestation_private_key: SecretStr = SecretStr("")
    payment_webhook_secret: SecretStr = SecretStr("")
    jwt_secret_key: SecretStr = SecretStr("")
    jwt_jwks_file: str = ""
    jwt_issuer: str = "api-gateway"
    jwt_audience: str = "tron-payment"
    jwt_one_time: bool = False
    step_up_required: bool = False
    """Approvals, and keys that leave or come in, need a code of the person's second factor besides
    their token. Without it one operator's token takes every hot key by a backup."""

    audit_signing_key: SecretStr = SecretStr("")
    """Seed of the Ed25519 key that signs heads of the audit log; 32 bytes in hex."""

    hardware_wallet_enabled: bool = False
    ledger_enabled: bool = False
    trezor_enabled: bool = False
    ledger_emulator: str = ""
    """host:port of an emulated Ledger on this computer, by TCP; in development only."""

    trezor_emulator: str = ""
    """The same of a Trezor, by UDP."""

    # The store and the way out
    mongodb_uri: SecretStr = SecretStr("")
    mongo_url: SecretStr = SecretStr("")
    payment_db_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,38}$")] = "tron_payment"
    signer_journal_uri: SecretStr = SecretStr("")  # empty: mongo_uri; see docs/devices.md
    embedded_mongo_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    redis_url: SecretStr = SecretStr("")
    api_gateway_url: str = ""
    otel_exporter_otlp_endpoint: str = ""
    """A collector of our own network that takes traces (OTLP over HTTP); empty means none."""

    tor_proxy: str = ""
    """SOCKS proxy for everything that leaves; `socks5://tor-proxy:9050` in production."""

    tron_nodes_direct: bool = False
    """Call nodes of our own network without the proxy; Tor refuses private addresses."""

    retention_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    """After so many days names and notes leave what has ended; 0 keeps them (keeping.py)."""

    # Rate limits, per principal and second; a burst is five times as much
    rate_read: Annotated[int, Field(ge=1)] = 100
    rate_write: Annotated[int, Field(ge=1)] = 50
    rate_payout: Annotated[int, Field(ge=1)] = 50
    rate_approve: Annotated[int, Field(ge=1)] = 5
    rate_store: Annotated[str, Field(pattern=r"^(auto|memory|mongodb)$")] = "auto"
    trusted_proxies: str = ""
    """Addresses and networks, with commas, whose X-Forwarded-For says where a caller is."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Given values only: `configuration.load` chooses what environment and files say."""
        return (init_settings,)

    @property
    def is_development(self) -> bool:
        return self.lucid_env is Environment.DEVELOPMENT

    @property
    def shares_rates(self) -> bool:
        """Whether all processes count requests together."""
        chosen = "memory" if self.is_development else "mongodb"
        return (chosen if self.rate_store == "auto" else self.rate_store) == "mongodb"

    @property
    def level(self) -> str:
        """The least level that is logged."""
        return self.log_level or ("DEBUG" if self.debug else "INFO")

    @property
    def listen_host(self) -> str:
        return self.host or ("127.0.0.1" if self.is_development else "0.0.0.0")  # noqa: S104

    @property
    def base_url(self) -> str:
        """Where a browser finds us; no trailing slash."""
        return (self.public_base_url or f"http://127.0.0.1:{self.port}").rstrip("/")

    @property
    def mongo_uri(self) -> SecretStr:
        return self.mongodb_uri if self.mongodb_uri.get_secret_value() else self.mongo_url

    @property
    def node_urls(self) -> tuple[str, ...]:
        configured = self.tron_node_url or self.tron_full_node_url
        if not configured and self.tron_network is Network.DEVNET:
            configured = f"http://127.0.0.1:{self.devnet_port}"
        configured = configured or DEFAULT_NODES.get(self.tron_network, "")
        return tuple(url.strip().rstrip("/") for url in configured.split(",") if url.strip())

    @property
    def solidity_urls(self) -> tuple[str, ...]:
        """One per node; the same host where none is given (TronGrid and the devnet serve both)."""
        given = [u.strip().rstrip("/") for u in self.tron_solidity_node_url.split(",") if u.strip()]
        return tuple(given) if given else self.node_urls

    @property
    def socks_proxy(self) -> str | None:
        """The way out for everything that is not on our own network.

        In production there is always one, given or not: nothing leaves by another way.
        """
        return self.tor_proxy or (None if self.is_development else DEFAULT_TOR_PROXY)

    @property
    def node_proxy(self) -> str | None:
        """The proxy that calls to the nodes take; None when they go directly.

        Directly go: development without TOR_PROXY; production without TOR_PROXY when every node
        is on our own network; TRON_NODES_DIRECT, for the same nodes.
        """
        if self.tron_nodes_direct or (not self.tor_proxy and self.nodes_are_private):
            return None
        return self.socks_proxy

    @property
    def nodes_are_private(self) -> bool:
        """Whether every node is on our own network."""
        urls = (*self.node_urls, *self.solidity_urls)
        return all(is_private(urlsplit(url).hostname or "") for url in urls)

    @property
    def min_payout_units(self) -> int:
        return parse_units(USDT.decimals, self.min_payout_amount)

    @property
    def max_payout_units(self) -> int:
        return parse_units(USDT.decimals, self.max_payout_amount)

    @property
    def max_fee_sun(self) -> int:
        return parse_units(TRX.decimals, self.max_fee_trx)

    @property
    def payout_fee_sun(self) -> int:
        return parse_units(TRX.decimals, self.payout_fee_trx)

    @property
    def router_floor_units(self) -> int:
        return parse_units(USDT.decimals, self.router_floor_usdt)

    @property
    def usdt_contract(self) -> Address | None:
        """None until the devnet has told where its test USDT is."""
        if self.usdt_contract_address:
            return parse_address(self.usdt_contract_address)
        return DEFAULT_USDT.get(self.tron_network)

"""What `GET /config` shows."""

from pydantic import SecretStr

from tron_payment.logs import REDACTED
from tron_payment.service import redacted
from tron_payment.settings import Network, Settings


def test_the_shown_configuration_has_no_secrets_not_even_those_in_urls() -> None:
    shown = redacted(
        Settings(
            tron_network=Network.MAINNET,
            tron_node_url="https://one.example/key123/, https://user:pw@two.example:8090",
            tron_solidity_node_url="https://one.example/?apikey=key123,http://10.0.0.1:8091",
            tor_proxy="socks5://user:pw@tor-proxy:9050",
            public_base_url="https://pay.example/shop",
            mongodb_uri=SecretStr("mongodb://user:pw@mongodb/"),
        )
    )
    assert shown["TRON_NODE_URL"] == (
        f"https://one.example/{REDACTED}, https://{REDACTED}@two.example:8090"
    )
    assert shown["TRON_SOLIDITY_NODE_URL"] == (
        f"https://one.example/{REDACTED},http://10.0.0.1:8091"
    )
    assert shown["TOR_PROXY"] == f"socks5://{REDACTED}@tor-proxy:9050"
    assert shown["PUBLIC_BASE_URL"] == "https://pay.example/shop"
    assert shown["MONGODB_URI"] == REDACTED and shown["TRON_NETWORK"] == "mainnet"
    assert not [
        name for name, value in shown.items() if "key123" in str(value) or "pw" in str(value)
    ]

"""The settings of this floor are checked at the start, and refused without being repeated."""

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tron_payment.configuration import load
from tron_payment.settings import ConfigurationError

DEVELOPMENT = {"LUCID_ENV": "development"}


@pytest.mark.parametrize("given", ["", "192.0.2.1", "10.0.0.0/8, 192.0.2.1", "2001:db8::/32"])
def test_trusted_proxies_are_addresses_and_networks(given: str) -> None:
    assert load(DEVELOPMENT | {"TRUSTED_PROXIES": given}).trusted_proxies == given


@pytest.mark.parametrize(
    "given", ["*", "gateway", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.1;10.0.0.2"]
)
def test_anything_else_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match="TRUSTED_PROXIES"):
        load(DEVELOPMENT | {"TRUSTED_PROXIES": given})


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        ("192.0.2.1", b"203.0.113.7", "203.0.113.7"),
        ("10.1.2.3", b"198.51.100.9, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("198.51.100.1", b"203.0.113.7", "198.51.100.1"),
    ],
)
async def test_a_caller_is_where_the_first_untrusted_hop_says(
    peer: str, forwarded: bytes, seen: str
) -> None:
    found = []

    async def app(scope: dict, *_: object) -> None:
        found.append(scope["client"][0])

    trusted = load(DEVELOPMENT | {"TRUSTED_PROXIES": "10.0.0.0/8,192.0.2.1"}).trusted_proxies
    scope = {
        "type": "http",
        "scheme": "http",
        "client": (peer, 4711),
        "headers": [(b"x-forwarded-for", forwarded)],
    }
    await ProxyHeadersMiddleware(app, trusted)(scope, None, None)  # type: ignore[arg-type]
    assert found == [seen]


@pytest.mark.parametrize("given", ["zz" * 32, "ab" * 31, "ab" * 33, "0x" + "ab" * 31])
def test_a_malformed_signing_key_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(ConfigurationError, match="AUDIT_SIGNING_KEY") as refused:
        load(DEVELOPMENT | {"AUDIT_SIGNING_KEY": given})
    assert given not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "development", "shared"),
    [
        ("auto", True, False),
        ("auto", False, True),
        ("memory", True, False),
        ("memory", False, False),
        ("mongodb", True, True),
        ("mongodb", False, True),
    ],
)
def test_where_rates_are_counted(given: str, development: bool, shared: bool) -> None:
    settings = load(DEVELOPMENT | {"RATE_STORE": given})
    if not development:
        settings = settings.model_copy(update={"lucid_env": "production"})
    assert settings.shares_rates is shared


def test_another_store_for_rates_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="RATE_STORE"):
        load(DEVELOPMENT | {"RATE_STORE": "redis"})

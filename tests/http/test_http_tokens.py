"""Forged, stale, misaddressed and ambiguous credentials are refused; only good ones pass."""

import hashlib
import hmac
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from http_world import EMPTY, NOW, NOW_S, SECRET, anchor, b64, bearer, claims, serve, token

from tron_payment.core.clock import ManualClock
from tron_payment.http.authentication import Authenticator, principal_of
from tron_payment.http.permissions import permissions_of
from tron_payment.http.principals import Role
from tron_payment.http.tokens import BadTrustAnchor, TrustAnchor, pinned_keys

ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = ed25519.Ed25519PrivateKey.generate()
OTHER_SECRET = b"another-secret-of-somebody-with-40-bytes"


def jwk(algorithm: str, key: Any, **more: Any) -> dict[str, Any]:
    public = key.public_key()
    if algorithm == "EdDSA":
        entry = jwt.algorithms.OKPAlgorithm.to_jwk(public, as_dict=True)
    elif algorithm == "ES256":
        entry = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        entry = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
    entry.pop("key_ops", None)
    return entry | more


JWKS = {
    "keys": [
        jwk("EdDSA", ED, kid="ed"),
        jwk("ES256", EC, kid="ec", use="sig"),
        jwk("RS256", RSA, kid="rsa", alg="RS256"),
    ]
}


@pytest.fixture
def jwks_file(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(JWKS))
    return path


def pem(key: Any) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def hand_made(header: dict[str, Any] | bytes, payload: Any, key: bytes = SECRET) -> str:
    """HS256 by hand, whatever the header says."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signed = f"{b64(header)}.{b64(body)}"
    return f"{signed}.{b64(hmac.digest(key, signed.encode(), hashlib.sha256))}"


HS = {"alg": "HS256", "typ": "JWT"}
GOOD = claims()
TEXT = json.dumps(GOOD)

FORGED: dict[str, str] = {
    # the algorithm
    "alg none": f"{b64({'alg': 'none'})}.{b64(GOOD)}.",
    "alg none with junk signature": f"{b64({'alg': 'none'})}.{b64(GOOD)}.AAAA",
    "alg None": f"{b64({'alg': 'None'})}.{b64(GOOD)}.AAAA",
    "alg NONE signed": hand_made({"alg": "NONE"}, GOOD),
    "alg none signed": hand_made({"alg": "none"}, GOOD),
    "alg empty": hand_made({"alg": ""}, GOOD),
    "alg missing": hand_made({"typ": "JWT"}, GOOD),
    "alg null": hand_made({"alg": None}, GOOD),
    "alg list": hand_made({"alg": ["HS256"]}, GOOD),
    "alg lower case": hand_made({"alg": "hs256"}, GOOD),
    "alg HS384 header over HS256": hand_made({"alg": "HS384"}, GOOD),
    "HS384": token(alg="HS384"),
    "HS512": token(alg="HS512"),
    "public Ed25519 PEM as HMAC secret": hand_made(HS | {"kid": "ed"}, GOOD, pem(ED)),
    "public EC PEM as HMAC secret": hand_made(HS | {"kid": "ec"}, GOOD, pem(EC)),
    "public RSA PEM as HMAC secret": hand_made(HS | {"kid": "rsa"}, GOOD, pem(RSA)),
    "raw Ed25519 key as HMAC secret": hand_made(
        HS | {"kid": "ed"}, GOOD, ED.public_key().public_bytes_raw()
    ),
    "EdDSA header, HMAC signature": hand_made({"alg": "EdDSA", "kid": "ed"}, GOOD),
    "RS256 header, HMAC signature": hand_made({"alg": "RS256", "kid": "rsa"}, GOOD),
    "RS512 with the RS256 key": token(key=RSA, alg="RS512", headers={"kid": "rsa"}),
    "PS256 with the RS256 key": token(key=RSA, alg="PS256", headers={"kid": "rsa"}),
    "ES256 claimed for the Ed25519 key": token(key=EC, alg="ES256", headers={"kid": "ed"}),
    "EdDSA claimed for the EC key": token(key=ED, alg="EdDSA", headers={"kid": "ec"}),
    # the key
    "another secret": token(key=OTHER_SECRET),
    "empty secret": hand_made(HS, GOOD, b""),
    "secret with a newline": hand_made(HS, GOOD, SECRET + b"\n"),
    "secret in hex": hand_made(HS, GOOD, SECRET.hex().encode()),
    "a stranger's key, our kid": token(key=STRANGER, alg="EdDSA", headers={"kid": "ed"}),
    "a stranger's key, no kid": token(key=STRANGER, alg="EdDSA"),
    "our key, no kid": token(key=ED, alg="EdDSA"),
    "our key, unknown kid": token(key=ED, alg="EdDSA", headers={"kid": "new"}),
    "kid is a path": token(key=ED, alg="EdDSA", headers={"kid": "../../dev/null"}),
    "kid is SQL": token(key=ED, alg="EdDSA", headers={"kid": "ed' OR '1'='1"}),
    "kid in another case": token(key=ED, alg="EdDSA", headers={"kid": "ED"}),
    "kid is a number": hand_made({"alg": "EdDSA", "kid": 1}, GOOD),
    "kid is a list": hand_made({"alg": "EdDSA", "kid": ["ed"]}, GOOD),
    "jwk in the header": token(
        key=STRANGER, alg="EdDSA", headers={"jwk": jwk("EdDSA", STRANGER), "kid": "ed"}
    ),
    "jku in the header": token(headers={"jku": "https://evil.example/jwks.json"}),
    "x5u in the header": token(headers={"x5u": "https://evil.example/cert"}),
    "x5c in the header": token(headers={"x5c": ["MIIB"]}),
    "crit in the header": token(headers={"crit": ["exp"]}),
    "b64 false in the header": hand_made(HS | {"b64": False}, GOOD),
    "zip in the header": token(headers={"zip": "DEF"}),
    # the form
    "empty": "",
    "one dot": "a.b",
    "four parts": token() + ".AAAA",
    "no signature": token().rsplit(".", 1)[0] + ".",
    "cut signature": token()[:-4],
    "changed signature": token()[:-6] + ("A" if token()[-6] != "A" else "B") + token()[-5:],
    "changed payload": ".".join(
        (token().split(".")[0], b64(claims(role="admin")), token().split(".")[2])
    ),
    "padding": token() + "==",
    "leading space": " " + token(),
    "inner newline": token().replace(".", ".\n", 1),
    "two tokens": token() + " " + token(),
    "base64 with plus": token().replace(".", "+.", 1),
    "enormous": token(note="x" * 9000),
    "header is not JSON": hand_made(b"not json", GOOD),
    "header is a list": hand_made(b"[]", GOOD),
    "header has alg twice": hand_made(b'{"alg":"none","alg":"HS384"}', GOOD),
    "payload is not JSON": hand_made(HS, b"not json"),
    "payload is a list": hand_made(HS, b"[]"),
    "payload is text": hand_made(HS, b'"sub"'),
    "payload is null": hand_made(HS, b"null"),
    "payload nests deeply": hand_made(HS, b'{"a":' + b"[" * 2500),
    "payload has sub twice": hand_made(HS, TEXT[:-1].encode() + b', "sub": "user-2"}'),
    "payload has role twice": hand_made(HS, TEXT[:-1].encode() + b', "role": "admin"}'),
    # time
    "expired": token(exp=NOW_S - 31),
    "expired at the leeway": token(exp=NOW_S - 30),
    "expired long ago": token(exp=1),
    "no exp": token(exp=None),
    "exp is text": token(exp=str(NOW_S + 300))
    if False
    else hand_made(HS, GOOD | {"exp": "9" * 12}),
    "exp is true": hand_made(HS, GOOD | {"exp": True}),
    "exp is null": hand_made(HS, GOOD | {"exp": None}),
    "exp is a list": hand_made(HS, GOOD | {"exp": [NOW_S + 300]}),
    "exp is NaN": hand_made(HS, TEXT.replace(str(NOW_S + 300), "NaN").encode()),
    "exp is Infinity": hand_made(HS, TEXT.replace(str(NOW_S + 300), "Infinity").encode()),
    "exp is negative": hand_made(HS, GOOD | {"exp": -1}),
    "exp is enormous": hand_made(HS, GOOD | {"exp": 10**30}),
    "nbf ahead": token(nbf=NOW_S + 31),
    "nbf is text": hand_made(HS, GOOD | {"nbf": "0"}),
    "iat ahead": token(iat=NOW_S + 31),
    "iat is text": hand_made(HS, GOOD | {"iat": "yesterday"}),
    # for whom and from whom
    "another audience": token(aud="other-service"),
    "other audiences": token(aud=["a", "b"]),
    "empty audiences": token(aud=[]),
    "no audience": token(aud=None),
    "audience as object": hand_made(HS, GOOD | {"aud": {"tron-payment": 1}}),
    "audience with a space": token(aud="tron-payment "),
    "audience in another case": token(aud="Tron-Payment"),
    "audience as prefix": token(aud="tron-payment-2"),
    "another issuer": token(iss="evil"),
    "no issuer": token(iss=None),
    "issuer as list": hand_made(HS, GOOD | {"iss": ["api-gateway"]}),
    "issuer with a slash": token(iss="api-gateway/"),
    "empty issuer": token(iss=""),
    # claims
    "no sub": token(sub=None),
    "empty sub": token(sub=""),
    "sub is a number": hand_made(HS, GOOD | {"sub": 1}),
    "sub is a list": hand_made(HS, GOOD | {"sub": ["user-1"]}),
    "sub is an object": hand_made(HS, GOOD | {"sub": {"$ne": ""}}),
    "sub with a newline": token(sub="user-1\nadmin"),
    "sub with a space": token(sub="user 1"),
    "sub with NUL": token(sub="user-1\x00"),
    "sub in Cyrillic": token(sub="usеr-1"),
    "sub too long": token(sub="u" * 129),
    "no role": token(role=None),
    "role is a list": hand_made(HS, GOOD | {"role": ["admin"]}),
    "role is an object": hand_made(HS, GOOD | {"role": {"name": "admin"}}),
    "role is a number": hand_made(HS, GOOD | {"role": 1}),
    "permissions is text": token(permissions="payout:create"),
    "permissions is an object": token(permissions={"payout:create": True}),
    "permissions has numbers": token(permissions=[1]),
    "permissions is endless": token(permissions=["a"] * 201),
    "kyc is a list": token(kyc=[]),
    "kyc has spaces": token(kyc="level 1"),
    "kyc is a fraction": token(kyc=0.5),
    "jti is a number": hand_made(HS, GOOD | {"jti": 5}),
    "jti is empty": token(jti=""),
}


@pytest.fixture
def authenticator(jwks_file: Path) -> Authenticator:
    return Authenticator(anchor(ManualClock(NOW), keys=pinned_keys(jwks_file)))


async def test_every_forged_token_is_refused(authenticator: Authenticator) -> None:
    assert len(FORGED) >= 110
    passed = {}
    async with serve(authenticator=authenticator) as world:
        for name, forged in FORGED.items():
            answer = await world.client.get(
                "/orders/1", headers=[(b"authorization", b"Bearer " + forged.encode())]
            )
            if answer.status_code != (400 if name in ODD else 401):
                passed[name] = answer.text
    assert not passed


ODD = {"inner newline", "empty"}
"""These already fail as headers."""


GOOD_TOKENS = {
    "HS256": lambda: token(),
    "HS256 with an unknown kid": lambda: token(headers={"kid": "what"}),
    "another typ": lambda: token(headers={"typ": "at+jwt"}),
    "Ed25519": lambda: token(key=ED, alg="EdDSA", headers={"kid": "ed"}),
    "P-256": lambda: token(key=EC, alg="ES256", headers={"kid": "ec"}),
    "RSA": lambda: token(key=RSA, alg="RS256", headers={"kid": "rsa"}),
    "audience in a list": lambda: token(aud=["other", "tron-payment"]),
    "expired within the leeway": lambda: token(exp=NOW_S - 29),
    "nbf within the leeway": lambda: token(nbf=NOW_S + 29),
    "no iat": lambda: token(iat=None),
    "fractional exp": lambda: token(exp=NOW_S + 0.5),
    "more claims": lambda: token(email="a@example.org", jti="1"),
}


@pytest.mark.parametrize("name", GOOD_TOKENS)
async def test_good_tokens_pass(name: str, authenticator: Authenticator) -> None:
    async with serve(authenticator=authenticator) as world:
        answer = await world.client.get(
            "/orders/1", headers={"Authorization": "Bearer " + GOOD_TOKENS[name]()}
        )
    assert answer.status_code == 200, answer.text


async def test_a_remembered_token_still_expires() -> None:
    async with serve() as world:
        headers = bearer(exp=NOW_S + 60)
        assert (await world.client.get("/orders/1", headers=headers)).status_code == 200
        world.clock.advance(timedelta(seconds=90))
        assert (await world.client.get("/orders/1", headers=headers)).status_code == 401


async def test_a_secret_alone_believes_no_public_key_and_the_reverse(jwks_file: Path) -> None:
    clock = ManualClock(NOW)
    only_keys = Authenticator(anchor(clock, secret=None, keys=pinned_keys(jwks_file)))
    async with serve(authenticator=only_keys) as world:
        assert (await world.client.get("/orders/1", headers=bearer())).status_code == 401
    async with serve() as world:
        headers = bearer(key=ED, alg="EdDSA", headers={"kid": "ed"})
        assert (await world.client.get("/orders/1", headers=headers)).status_code == 401


async def test_an_unknown_role_is_forbidden() -> None:
    async with serve() as world:
        for role in ("root", "Merchant", "merchant ", "", "admin,merchant"):
            answer = await world.client.get("/orders/1", headers=bearer(role=role))
            assert (answer.status_code, answer.json()["code"]) == (403, "unknown_role")


@pytest.mark.parametrize(
    "options",
    [
        {"secret": None},
        {"secret": b""},
        {"secret": b"x" * 31},
        {"secret": None, "keys": EMPTY},
    ],
)
def test_without_a_trust_anchor_there_is_no_start(options: dict[str, Any]) -> None:
    with pytest.raises(BadTrustAnchor):
        anchor(ManualClock(NOW), **options)
    with pytest.raises(TypeError):
        Authenticator(None)  # type: ignore[arg-type]
    with pytest.raises(BadTrustAnchor):
        TrustAnchor(issuer="", audience="a", clock=ManualClock(NOW), secret=SECRET)


WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)
P384 = ec.generate_private_key(ec.SECP384R1())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"keys": []}',
        '{"keys": {}}',
        '{"keys": [5]}',
        json.dumps({"keys": [jwk("EdDSA", ED)]}),
        json.dumps({"keys": [jwk("EdDSA", ED, kid="")]}),
        json.dumps({"keys": [jwk("EdDSA", ED, kid="a"), jwk("ES256", EC, kid="a")]}),
        json.dumps({"keys": [{"kty": "oct", "k": b64(SECRET), "kid": "a"}]}),
        json.dumps({"keys": [jwk("EdDSA", ED, kid="a", d="AAAA")]}),
        json.dumps({"keys": [jwk("EdDSA", ED, kid="a", alg="HS256")]}),
        json.dumps({"keys": [jwk("EdDSA", ED, kid="a", use="enc")]}),
        json.dumps({"keys": [jwk("EdDSA", ED, kid="a", crv="Ed448")]}),
        json.dumps({"keys": [jwk("ES256", P384, kid="a")]}),
        json.dumps({"keys": [jwk("RS256", WEAK, kid="a")]}),
        json.dumps({"keys": [jwk("EdDSA", ED, kid="a", x="AA")]}),
    ],
    ids=range(17),
)
def test_a_bad_key_file_stops_the_start(text: str, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(text)
    with pytest.raises(BadTrustAnchor):
        pinned_keys(path)


def test_a_missing_key_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadTrustAnchor):
        pinned_keys(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("claim", "level"),
    [
        (None, None),
        (False, None),
        (True, "verified"),
        ("level2", "level2"),
        (2, "2"),
        (0, None),
        ("0", None),
        ("none", None),
        ("False", None),
        ("unverified", None),
    ],
)
def test_kyc_is_vouched_for_by_true_or_a_level(claim: Any, level: str | None) -> None:
    assert principal_of(claims() | {"kyc": claim}).kyc == level


def test_permissions_narrow_and_never_widen() -> None:
    assert principal_of(claims()).permissions == permissions_of(Role.MERCHANT)
    narrow = principal_of(claims(permissions=["payment:create", "payout:direct", "x:y"]))
    assert narrow.permissions == {"payment:create"}
    assert principal_of(claims(permissions=[])).permissions == frozenset()


@pytest.mark.parametrize("role", Role)
async def test_no_role_passes_for_another_and_nobody_for_somebody_else(role: Role) -> None:
    mine = bearer(role=role.value)
    async with serve() as world:
        get = world.client.get
        for other in Role:
            answer = await get("/orders/1", headers=mine | {"X-User-Role": other.value})
            assert answer.status_code == (200 if other is role else 401), other
        for other in ("user-2", "admin", "user-1,user-2", "*", "user-1%20", "USER-1"):
            answer = await get("/orders/1", headers=mine | {"X-User-ID": other})
            assert (answer.status_code, answer.json()["code"]) == (401, "context_mismatch")


async def test_refusals_are_logged_and_credentials_are_not(authenticator: Authenticator) -> None:
    secrets = [token(), token(key=OTHER_SECRET), "key_" + "a" * 24 + "." + "S" * 43]
    with structlog.testing.capture_logs() as logs:
        async with serve(authenticator=authenticator) as world:
            for secret in secrets:
                headers = {"Authorization": f"Bearer {secret}", "X-User-ID": "user-2"}
                answer = await world.client.get("/orders/1", headers=headers)
                assert answer.status_code == 401
    refused = [entry["reason"] for entry in logs if entry["event"] == "caller.refused"]
    assert refused == ["context_mismatch", "token_invalid", "key_invalid"]
    for secret in secrets:
        assert secret[-20:] not in str(logs)

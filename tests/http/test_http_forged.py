"""A matrix of forgeries: every key under every algorithm and key id, every header said twice.

Beside the hand-made cases of test_http_tokens.py and test_http_headers.py. What passes is listed;
everything else must be refused, and how many that are is counted.
"""

import hashlib
import hmac
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from http_world import NOW, SECRET, anchor, b64, claims, serve
from test_http_headers import AUTH, CASES, raw_status
from test_http_tokens import EC, ED, FORGED, JWKS, RSA, pem

from tron_payment.core.clock import ManualClock
from tron_payment.http.authentication import Authenticator
from tron_payment.http.headers import SINGLE
from tron_payment.http.tokens import pinned_keys

FORGERIES_MIN = 200
Sign = Callable[[bytes], bytes]


def hmac_with(key: bytes, digest: str = "sha256") -> Sign:
    return lambda text: hmac.digest(key, text, digest)


def ed25519_with(key: ed25519.Ed25519PrivateKey) -> Sign:
    return key.sign


def es256_with(key: ec.EllipticCurvePrivateKey) -> Sign:
    def sign(text: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


def rs256_with(key: rsa.RSAPrivateKey) -> Sign:
    return lambda text: key.sign(text, padding.PKCS1v15(), hashes.SHA256())


def public_raw(key: Any) -> bytes:
    return key.public_key().public_bytes_raw()


SIGNERS: dict[str, Sign] = {
    "our secret": hmac_with(SECRET),
    "our Ed25519 key": ed25519_with(ED),
    "our P-256 key": es256_with(EC),
    "our RSA key": rs256_with(RSA),
    "a stranger's secret": hmac_with(b"s" * 40),
    "a stranger's Ed25519 key": ed25519_with(ed25519.Ed25519PrivateKey.generate()),
    "a stranger's P-256 key": es256_with(ec.generate_private_key(ec.SECP256R1())),
    "our Ed25519 public key as a secret": hmac_with(public_raw(ED)),
    "our P-256 PEM as a secret": hmac_with(pem(EC)),
    "our RSA PEM as a secret": hmac_with(pem(RSA)),
    "the JWKS as a secret": hmac_with(json.dumps(JWKS).encode()),
    "our secret with SHA-512": hmac_with(SECRET, "sha512"),
    "nothing": lambda _: b"",
    "zeros": lambda _: bytes(64),
}
ALGORITHMS = ("HS256", "EdDSA", "ES256", "RS256", "HS512", "ES256K", "PS256", "none")
KEY_IDS = (None, "ed", "ec", "rsa", "other")
GOOD = {
    *(("our secret", "HS256", kid) for kid in KEY_IDS),
    ("our Ed25519 key", "EdDSA", "ed"),
    ("our P-256 key", "ES256", "ec"),
    ("our RSA key", "RS256", "rsa"),
}
MATRIX = list(product(SIGNERS, ALGORITHMS, KEY_IDS))


def made(signer: str, algorithm: str, kid: str | None, **changes: Any) -> bytes:
    header = {"alg": algorithm, "typ": "JWT"} | ({} if kid is None else {"kid": kid})
    text = f"{b64(header)}.{b64(claims(**changes))}"
    signature = SIGNERS[signer](text.encode())
    return f"{text}.{b64(signature)}".encode()


def authenticator(tmp_path: Path) -> Authenticator:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(JWKS))
    return Authenticator(anchor(ManualClock(NOW), keys=pinned_keys(path)))


async def test_only_the_right_key_under_the_right_algorithm_and_id_passes(tmp_path: Path) -> None:
    wrong = []
    async with serve(authenticator=authenticator(tmp_path)) as world:
        app = world.client._transport.app  # type: ignore[attr-defined]
        for case in MATRIX:
            status = await raw_status(app, [(b"authorization", b"Bearer " + made(*case))])
            if status != (200 if case in GOOD else 401):
                wrong.append((case, status))
    assert not wrong


async def test_no_header_that_decides_comes_twice_or_in_disguise(tmp_path: Path) -> None:
    """Said twice, in two cases, with an underscore, with a space: 400 for each."""
    wrong = []
    async with serve(authenticator=authenticator(tmp_path)) as world:
        app = world.client._transport.app  # type: ignore[attr-defined]
        for headers in disguises():
            status = await raw_status(app, headers)
            if status != 400:
                wrong.append((headers, status))
    assert not wrong


def disguises() -> list[list[tuple[bytes, bytes]]]:
    found = []
    for name in sorted(SINGLE):
        value = {b"authorization": AUTH[1], b"content-length": b"0"}.get(name, b"x" * 16)
        first = [] if name == b"authorization" else [AUTH]
        variants = [name, name.upper(), name.title(), name + b" ", b" " + name]
        if b"-" in name:
            variants += [name.replace(b"-", b"_"), name.replace(b"-", b"")]
        found += [[*first, (name, value), (each, value)] for each in variants]
    return found


async def test_a_token_of_one_person_is_nobody_else_s(tmp_path: Path) -> None:
    """Each good way of signing, with each claim and context header of somebody else."""
    wrong = []
    ways = [("our secret", "HS256", None), ("our Ed25519 key", "EdDSA", "ed")]
    async with serve(authenticator=authenticator(tmp_path)) as world:
        app = world.client._transport.app  # type: ignore[attr-defined]
        for way, (name, value) in product(ways, CONTEXTS):
            token = (b"authorization", b"Bearer " + made(*way))
            if (status := await raw_status(app, [token, (name, value)])) != 401:
                wrong.append((way, name, value, status))
    assert not wrong


CONTEXTS = [
    *((b"x-user-id", value) for value in (b"", b"user-2", b"USER-1", b"user-1,user-2", b"*")),
    *((b"x-user-id", value) for value in (b"user-1%00", b"user-1/", b"null", b"0", b"admin")),
    *((b"x-user-role", value) for value in (b"", b"admin", b"Merchant", b"merchant,admin")),
    *((b"x-user-role", value) for value in (b"operator", b"*", b"null", b"merchant%20")),
    *((b"x-api-key", value) for value in (b"key_", b"key_" + b"a" * 24 + b"." + b"A" * 43)),
]


def test_there_are_enough_forgeries() -> None:
    """Hand-made ones and the matrix, each different from the others and each refused above."""
    matrix = {made(*case) for case in MATRIX if case not in GOOD and case[0] != "our P-256 key"}
    headers = {hashlib.sha256(repr(each).encode()).digest() for each in disguises()}
    by_hand = set(FORGED) | {name for name, _, status in CASES if status != 200}
    counts = len(matrix), len(headers), len(by_hand), 2 * len(CONTEXTS)
    assert sum(counts) >= 2 * FORGERIES_MIN, counts
    assert len(matrix) >= FORGERIES_MIN
    assert len(by_hand) >= 160

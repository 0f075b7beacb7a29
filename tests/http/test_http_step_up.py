"""The second factor: RFC vectors, one code once, few guesses, a secret that no reader finds."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import structlog
from http_world import NOW, World, anchor, bearer, serve
from litestar import get, post
from pydantic import SecretStr

from tron_payment.core.clock import ManualClock
from tron_payment.db.audit import Audit, AuditEntry
from tron_payment.http.authentication import Authenticator
from tron_payment.http.permissions import PERMISSIONS, STEP_UP
from tron_payment.http.principals import Role
from tron_payment.http.rate_limits import Rate, RateClass, RateLimiter
from tron_payment.http.step_up import (
    FAILURES_MAX,
    LOCK,
    LOCK_DOUBLINGS_MAX,
    SecondFactor,
    StepUp,
)
from tron_payment.http.step_up_routes import step_up_router
from tron_payment.http.totp import PERIOD_S, hotp, matching_step, step_at
from tron_payment.settings import Settings
from tron_payment.wallets import KeyUnreadable, build_sealing

SEEDS = {
    "sha1": b"12345678901234567890",
    "sha256": b"12345678901234567890123456789012",
    "sha512": b"1234567890123456789012345678901234567890123456789012345678901234",
}
RFC_6238 = [
    (59, "sha1", "94287082"),
    (59, "sha256", "46119246"),
    (59, "sha512", "90693936"),
    (1111111109, "sha1", "07081804"),
    (1111111109, "sha256", "68084774"),
    (1111111109, "sha512", "25091201"),
    (1111111111, "sha1", "14050471"),
    (1111111111, "sha256", "67062674"),
    (1111111111, "sha512", "99943326"),
    (1234567890, "sha1", "89005924"),
    (1234567890, "sha256", "91819424"),
    (1234567890, "sha512", "93441116"),
    (2000000000, "sha1", "69279037"),
    (2000000000, "sha256", "90698825"),
    (2000000000, "sha512", "38618901"),
    (20000000000, "sha1", "65353130"),
    (20000000000, "sha256", "77737706"),
    (20000000000, "sha512", "47863826"),
]
"""Appendix B."""

RFC_4226 = (
    *("755224", "287082", "359152", "969429", "338314"),
    *("254676", "287922", "162583", "399871", "520489"),
)
"""Appendix D."""

KEK = "ab" * 32
ENROLMENT = ("second_factor.enrol", "second_factor.confirm", "second_factor.release")
BOB = bearer(sub="bob", role="approver", exp=4_000_000_000)
EVE = bearer(sub="eve", role="approver", exp=4_000_000_000)
ROOT = bearer(sub="root", role="admin", exp=4_000_000_000)


@pytest.mark.parametrize(("unix_s", "digest", "code"), RFC_6238)
def test_the_vectors_of_rfc_6238(unix_s: int, digest: str, code: str) -> None:
    assert hotp(SEEDS[digest], step_at(unix_s), digits=8, digest=digest) == code


def test_the_vectors_of_rfc_4226() -> None:
    assert [hotp(SEEDS["sha1"], counter) for counter in range(10)] == list(RFC_4226)


def test_a_code_is_good_one_step_around_its_own() -> None:
    secret, at = SEEDS["sha1"], 1_700_000_000
    codes = {drift: hotp(secret, step_at(at) + drift) for drift in range(-3, 4)}
    good = {drift for drift, code in codes.items() if matching_step(secret, code, at) is not None}
    assert good == {-1, 0, 1}
    assert matching_step(secret, codes[0], at) == step_at(at)


@get("/payout", opt={"permission": "payout:read"})
async def look() -> dict[str, str]:
    return {}


@post("/approve", status_code=200, opt={"permission": "payout:approve", "rate": "approve"})
async def approve() -> dict[str, str]:
    return {"approved": "yes"}


def name_of(who: dict[str, str]) -> str:
    """The subject of the token in these headers."""
    part = who["Authorization"].split(".")[1]
    name: str = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["sub"]
    return name


class People:
    """A world with a clock, and what the authenticator app of each person shows."""

    def __init__(self, world: World, step_up: StepUp) -> None:
        self.world = world
        self.step_up = step_up
        self.secrets: dict[str, bytes] = {}

    def code(self, who: dict[str, str], drift: int = 0) -> str:
        step = step_at(self.world.clock.now().timestamp()) + drift
        return hotp(self.secrets[str(who)], step)

    def wrong(self, who: dict[str, str]) -> str:
        near = {self.code(who, drift) for drift in (-1, 0, 1)}
        return next(text for n in range(9) if (text := f"{n:06}") not in near)

    async def post(self, path: str, who: dict[str, str], body: Any = None, **headers: str) -> Any:
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.world.client.post(path, json=body, headers=who | more)

    async def approve(self, who: dict[str, str], code: str | None) -> tuple[int, str]:
        headers = {} if code is None else {"X_TOTP_Code": code}
        answer = await self.world.client.post(
            "/approve", headers=who | {n.replace("_", "-"): v for n, v in headers.items()}
        )
        return answer.status_code, answer.json().get("code", "")

    async def enrol(self, who: dict[str, str]) -> None:
        made = await self.post("/me/totp", who)
        assert made.status_code == 201, made.text
        text = made.json()["secret"]
        self.secrets[str(who)] = base64.b32decode(text + "=" * (-len(text) % 8))
        body = {"code": self.code(who)}
        confirmed = await self.post("/me/totp/confirm", who, body)
        assert confirmed.status_code == 200 and not confirmed.json()["enrolled"], confirmed.text
        await self.step_up.release(name_of(who), made.json()["fingerprint"], None)
        self.later()

    def later(self, **time: float) -> None:
        self.world.clock.advance(timedelta(**(time or {"seconds": PERIOD_S})))


@asynccontextmanager
async def people(mongo: Any, *, required: bool = True, kek: str = KEK) -> AsyncIterator[People]:
    await mongo.connect([SecondFactor, AuditEntry])
    clock = ManualClock(NOW)
    step_up = StepUp(clock, sealing(kek), Audit(clock), required=required)
    async with serve(
        [look, approve, step_up_router(step_up)],
        clock=clock,
        authenticator=Authenticator(anchor(clock)),
        limiter=RateLimiter(dict.fromkeys(RateClass, Rate(1000, 5000))),
        step_up=step_up,
    ) as world:
        yield People(world, step_up)


def sealing(kek: str) -> Any:
    return build_sealing(Settings.model_construct(wallet_encryption_key=SecretStr(kek)))


async def test_an_approval_needs_a_code_and_reading_does_not(mongo: Any) -> None:
    async with people(mongo) as those:
        assert await those.approve(BOB, None) == (403, "step_up_required")
        assert await those.approve(BOB, "123456") == (403, "step_up_not_enrolled")
        assert (await those.world.client.get("/payout", headers=BOB)).status_code == 200
        shown = (await those.world.client.get("/me/totp", headers=BOB)).json()
        assert (shown["enrolled"], shown["required"]) == (False, True)

        await those.enrol(BOB)
        assert await those.approve(BOB, those.code(BOB)) == (200, "")
        shown = (await those.world.client.get("/me/totp", headers=BOB)).json()
        assert shown["enrolled"] and "secret" not in json.dumps(shown)
        assert await those.approve(EVE, those.code(BOB)) == (403, "step_up_not_enrolled")


async def test_where_it_is_not_required_nobody_is_asked(mongo: Any) -> None:
    async with people(mongo, required=False) as those:
        assert await those.approve(BOB, None) == (200, "")


async def test_a_code_is_good_once(mongo: Any) -> None:
    async with people(mongo) as those:
        await those.enrol(BOB)
        code = those.code(BOB)
        assert await those.approve(BOB, code) == (200, "")
        assert await those.approve(BOB, code) == (403, "step_up_failed")
        assert await those.approve(BOB, those.code(BOB, -1)) == (403, "step_up_failed"), "older"
        ahead = those.code(BOB, +1)
        assert await those.approve(BOB, ahead) == (200, "")
        those.later()
        assert await those.approve(BOB, ahead) == (403, "step_up_failed")
        those.later()
        assert await those.approve(BOB, those.code(BOB)) == (200, "")


async def test_of_a_hundred_uses_of_one_code_at_once_one_passes(mongo: Any) -> None:
    async with people(mongo) as those:
        await those.enrol(BOB)
        code = those.code(BOB)
        answers = await asyncio.gather(*(those.approve(BOB, code) for _ in range(100)))
        assert {status for status, _ in answers} <= {200, 403, 409}
        assert sum(status == 200 for status, _ in answers) == 1


async def test_guessing_is_bounded_and_ends_with_the_lock(mongo: Any) -> None:
    async with people(mongo) as those:
        await those.enrol(BOB)
        await those.enrol(EVE)
        for _ in range(FAILURES_MAX):
            assert await those.approve(BOB, those.wrong(BOB)) == (403, "step_up_failed")
        answer = await those.post("/approve", BOB, X_TOTP_Code=those.code(BOB))
        assert (answer.status_code, answer.json()["code"]) == (429, "step_up_locked")
        assert int(answer.headers["retry-after"]) == LOCK.total_seconds() + 1
        assert await those.approve(EVE, those.code(EVE)) == (200, ""), "another person"

        those.later(seconds=LOCK.total_seconds())
        for _ in range(FAILURES_MAX):
            assert await those.approve(BOB, those.wrong(BOB)) == (403, "step_up_failed")
        those.later(seconds=LOCK.total_seconds())
        assert (await those.approve(BOB, those.code(BOB)))[0] == 429, "the second is longer"
        those.later(seconds=LOCK.total_seconds())
        assert await those.approve(BOB, those.code(BOB)) == (200, "")
        factor = await SecondFactor.get("bob")
        assert factor is not None
        assert (factor.failures, factor.locks, factor.locked_until) == (0, 0, None)


async def test_locks_stop_growing(mongo: Any) -> None:
    async with people(mongo) as those:
        await those.enrol(BOB)
        longest = LOCK * 2**LOCK_DOUBLINGS_MAX
        for _ in range(LOCK_DOUBLINGS_MAX + 3):
            for _ in range(FAILURES_MAX):
                assert (await those.approve(BOB, those.wrong(BOB)))[0] == 403
            factor = await SecondFactor.get("bob")
            assert factor is not None and factor.locked_until is not None
            assert factor.locked_until - those.world.clock.now() <= longest
            those.later(seconds=longest.total_seconds())


async def test_a_hundred_guesses_at_once_are_judged_one_by_one(mongo: Any) -> None:
    """Whatever is sent in parallel: no more than `FAILURES_MAX` guesses learn anything."""
    async with people(mongo) as those:
        await those.enrol(BOB)
        near = {those.code(BOB, drift) for drift in (-1, 0, 1)}
        guesses = [text for n in range(120) if (text := f"{n:06}") not in near][:100]
        answers = await asyncio.gather(*(those.approve(BOB, guess) for guess in guesses))
        assert {code for _, code in answers} <= {"step_up_failed", "lost_race", "step_up_locked"}
        assert sum(code == "step_up_failed" for _, code in answers) <= FAILURES_MAX


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "12 456", "abcdef", "１２３４５６", "-12345"]
)
async def test_odd_codes_are_wrong_codes(mongo: Any, code: str) -> None:
    async with people(mongo) as those:
        await those.enrol(BOB)
        header = [(b"x-totp-code", code.encode())]
        answer = await those.world.client.post(
            "/approve", headers=[*((n.encode(), v.encode()) for n, v in BOB.items()), *header]
        )
        assert answer.status_code in (400, 403)
        assert answer.json()["code"] in ("odd_header", "step_up_failed")


async def test_two_code_headers_are_refused(mongo: Any) -> None:
    async with people(mongo) as those:
        await those.enrol(BOB)
        good = (b"x-totp-code", those.code(BOB).encode())
        for more in ((b"x-totp-code", b"000000"), (b"x_totp_code", b"000000")):
            headers = [*((n.encode(), v.encode()) for n, v in BOB.items()), good, more]
            answer = await those.world.client.post("/approve", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (400, "odd_header")


async def test_a_malformed_request_uses_up_no_code(mongo: Any) -> None:
    async with people(mongo) as those:
        await those.enrol(BOB)
        code = those.code(BOB)
        refused = await those.world.client.post(
            "/approve?no=such", headers=BOB | {"X-TOTP-Code": code}
        )
        assert refused.status_code == 422
        assert await those.approve(BOB, code) == (200, "")


async def test_enrolment_counts_once_it_is_confirmed_and_released_and_then_stays(
    mongo: Any,
) -> None:
    async with people(mongo) as those:
        first = (await those.post("/me/totp", BOB)).json()
        assert first["otpauth_uri"].startswith("otpauth://totp/tron-payment:bob?secret=")
        assert (first["digits"], first["period_s"]) == (6, 30)
        those.secrets[str(BOB)] = base64.b32decode(first["secret"])
        assert await those.approve(BOB, those.code(BOB)) == (403, "step_up_not_enrolled")
        second = (await those.post("/me/totp", BOB)).json()
        assert second["secret"] != first["secret"], "an unconfirmed one is replaced"
        old = await those.post("/me/totp/confirm", BOB, {"code": those.code(BOB)})
        assert (old.status_code, old.json()["code"]) == (403, "step_up_failed")
        those.secrets[str(BOB)] = base64.b32decode(second["secret"])
        good = await those.post("/me/totp/confirm", BOB, {"code": those.code(BOB)})
        assert good.status_code == 200 and not good.json()["enrolled"]
        those.later()
        assert await those.approve(BOB, those.code(BOB)) == (403, "step_up_not_enrolled")
        await those.step_up.release("bob", second["fingerprint"], None)
        assert await those.approve(BOB, those.code(BOB)) == (200, "")
        again = await those.post("/me/totp", BOB)
        assert (again.status_code, again.json()["code"]) == (409, "second_factor_exists")
        twice = await those.post("/me/totp/confirm", BOB, {"code": those.code(BOB, 1)})
        assert (twice.status_code, twice.json()["code"]) == (409, "second_factor_exists")


async def test_who_stole_a_token_enrols_nothing_that_counts(mongo: Any) -> None:
    """The thief has Bob's token and a device; the admin compares fingerprints with Bob himself."""
    async with people(mongo) as those:
        await those.enrol(ROOT)
        bobs = (await those.post("/me/totp", BOB)).json()
        theirs = (await those.post("/me/totp", BOB)).json()
        those.secrets[str(BOB)] = base64.b32decode(theirs["secret"])
        body = {"principal": "bob", "fingerprint": theirs["fingerprint"]}
        early = await those.post("/totp/release", ROOT, body, X_TOTP_Code=those.code(ROOT))
        assert (early.status_code, early.json()["code"]) == (409, "second_factor_differs")
        done = await those.post("/me/totp/confirm", BOB, {"code": those.code(BOB)})
        assert done.status_code == 200
        those.later()
        assert await those.approve(BOB, those.code(BOB)) == (403, "step_up_not_enrolled")
        told = {"principal": "bob", "fingerprint": bobs["fingerprint"]}
        refused = await those.post("/totp/release", ROOT, told, X_TOTP_Code=those.code(ROOT))
        assert (refused.status_code, refused.json()["code"]) == (409, "second_factor_differs")
        bare = await those.post("/totp/release", ROOT, body)
        assert (bare.status_code, bare.json()["code"]) == (403, "step_up_required")
        own = await those.post("/totp/release", BOB, body, X_TOTP_Code=those.code(BOB))
        assert (own.status_code, own.json()["code"]) == (403, "missing_permission")
        those.later()
        mine = {"principal": "root", "fingerprint": body["fingerprint"]}
        self_ = await those.post("/totp/release", ROOT, mine, X_TOTP_Code=those.code(ROOT))
        assert (self_.status_code, self_.json()["code"]) == (403, "own_second_factor")
        those.later()
        good = await those.post("/totp/release", ROOT, body, X_TOTP_Code=those.code(ROOT))
        assert good.status_code == 200 and good.json()["enrolled"]
        assert await those.approve(BOB, those.code(BOB)) == (200, "")


async def test_removing_needs_a_code_and_resetting_another_admin(mongo: Any) -> None:
    async with people(mongo) as those:
        await those.enrol(BOB)
        await those.enrol(ROOT)
        refused = await those.post("/me/totp/remove", BOB, {"code": those.wrong(BOB)})
        assert refused.status_code == 403
        own = await those.post(
            "/totp/reset", ROOT, {"principal": "root"}, X_TOTP_Code=those.code(ROOT)
        )
        assert (own.status_code, own.json()["code"]) == (403, "own_second_factor")
        bare = await those.post("/totp/reset", ROOT, {"principal": "bob"})
        assert (bare.status_code, bare.json()["code"]) == (403, "step_up_required")
        by_bob = await those.post("/totp/reset", BOB, {"principal": "root"})
        assert (by_bob.status_code, by_bob.json()["code"]) == (403, "missing_permission")
        those.later()
        done = await those.post(
            "/totp/reset", ROOT, {"principal": "bob"}, X_TOTP_Code=those.code(ROOT)
        )
        assert done.status_code == 200
        assert await those.approve(BOB, those.code(BOB)) == (403, "step_up_not_enrolled")
        await those.enrol(BOB)
        gone = await those.post("/me/totp/remove", BOB, {"code": those.code(BOB)})
        assert gone.status_code == 200
        none = await those.post("/me/totp/remove", BOB, {"code": those.code(BOB)})
        assert (none.status_code, none.json()["code"]) == (404, "second_factor_not_found")

        acts = [entry.action async for entry in AuditEntry.find_all().sort("seq")]
        assert acts == [
            *ENROLMENT * 2,
            "second_factor.reset",
            *ENROLMENT,
            "second_factor.remove",
        ]


async def test_the_secret_is_nowhere_but_in_its_enrolment(mongo: Any) -> None:
    async with people(mongo) as those:
        with structlog.testing.capture_logs() as logs:
            await those.enrol(BOB)
            await those.approve(BOB, those.wrong(BOB))
        secret = those.secrets[str(BOB)]
        raw = await SecondFactor.get_pymongo_collection().find_one({"_id": "bob"})
        entries = await AuditEntry.find_all().to_list()
        for form in (secret.hex(), base64.b32encode(secret).decode(), repr(secret)[2:-1]):
            assert form not in f"{raw}{entries}{logs}"
        refused = [each for each in logs if each["event"] == "step_up.refused"]
        assert refused == [
            {
                "event": "step_up.refused",
                "log_level": "warning",
                "principal": "bob",
                "locked": False,
            }
        ]


async def test_a_row_copied_to_another_person_does_not_open(mongo: Any) -> None:
    async with people(mongo) as those:
        await those.enrol(BOB)
        await those.enrol(EVE)
        factors = SecondFactor.get_pymongo_collection()
        stolen = await factors.find_one({"_id": "eve"})
        assert stolen is not None
        await factors.update_one({"_id": "bob"}, {"$set": {"sealed": stolen["sealed"]}})
        with structlog.testing.capture_logs():
            assert (await those.approve(BOB, those.code(EVE)))[0] == 500


async def test_rotating_the_keys_reseals_the_secrets(mongo: Any) -> None:
    async with people(mongo, kek=f"k1:{KEK}") as those:
        await those.enrol(BOB)
        newer = f"k2:{'cd' * 32}"
        both = StepUp(
            those.world.clock,
            sealing(f"{newer},k1:{KEK}"),
            Audit(those.world.clock),
            required=True,
        )
        assert await both.reseal() == 1
        assert await both.reseal() == 0
        alone = sealing(newer)
        raw = await SecondFactor.get("bob")
        assert raw is not None
        assert alone.open("second-factor:bob", raw.sealed) == those.secrets[str(BOB)]
        with pytest.raises(KeyUnreadable):
            sealing(f"k1:{KEK}").open("second-factor:bob", raw.sealed)


def test_whoever_may_approve_may_enrol() -> None:
    approvals = {name for name in PERMISSIONS if name.endswith((":approve", ":resolve"))}
    assert approvals - STEP_UP == {"usdt:approve"}, "an allowance, not a colleague's wish"
    for name in STEP_UP:
        assert PERMISSIONS[name] <= PERMISSIONS["totp:enrol"], name
    assert Role.AUDITOR not in PERMISSIONS["totp:enrol"]

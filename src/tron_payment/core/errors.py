"""Anticipated refusals. Each names a situation; its kind decides the HTTP status.

Subclass the kind beside the code that raises it and give it a code:

    class WalletFrozen(Conflict, code="wallet_frozen"):
        "The wallet is frozen; thaw it first."

The first line of the docstring is the title a client sees; the message is the detail.
"""

from typing import Any, ClassVar


class AppError(Exception):
    """A refusal the caller can understand. Never carries a secret."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str = "",
        *,
        param: str | None = None,
        retry_after_s: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or self.title())
        self.detail = detail or self.title()
        self.param = param
        self.retry_after_s = retry_after_s
        self.extra = extra or {}

    def __init_subclass__(cls, *, code: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if code is not None:
            cls.code = code

    @classmethod
    def title(cls) -> str:
        """The first line of the class's docstring."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0]


class Malformed(AppError, code="malformed"):
    """The request cannot be read."""

    status = 400


class Unauthenticated(AppError, code="unauthenticated"):
    """The caller is not known."""

    status = 401


class Forbidden(AppError, code="forbidden"):
    """The caller may not do this."""

    status = 403


class NotFound(AppError, code="not_found"):
    """There is no such thing, or it is not yours."""

    status = 404


class Conflict(AppError, code="conflict"):
    """The state of the thing does not allow this."""

    status = 409


class Refused(AppError, code="refused"):
    """The content is not acceptable."""

    status = 422


class RateLimited(AppError, code="rate_limited"):
    """Too many requests."""

    status = 429
    retryable = True


class Unavailable(AppError, code="unavailable"):
    """Something this needs is away; nothing was changed."""

    status = 503
    retryable = True

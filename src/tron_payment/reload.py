"""What may change while the service runs: the log level and the rate limits.

Everything else is read once at the start: a key, a node or a limit on money that changes under
running work is a risk, and a rolling restart costs nothing. The policy has its own endpoints.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from tron_payment import configuration, logs
from tron_payment.core.errors import Refused
from tron_payment.http.rate_limits import Rate, RateClass, RateLimiter
from tron_payment.settings import ConfigurationError, Settings

BURST: Final = 5
RELOADABLE: Final = frozenset(
    {"debug", "log_level", "rate_read", "rate_write", "rate_payout", "rate_approve"}
)


class ConfigurationRefused(Refused, code="configuration_refused"):
    """The configuration has problems; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Reload:
    """What took effect, and what differs but needs a new start. Names of the environment."""

    reloaded: tuple[str, ...]
    restart_needed: tuple[str, ...]


class ChangingLimiter(RateLimiter):
    """A limiter whose rates may change; what a bucket holds stays."""

    def change(self, rates: Mapping[RateClass, Rate]) -> None:
        assert set(rates) == set(RateClass)
        self._rates = dict(rates)


class Reloader:
    """Reads the configuration again.

    Args:
        settings: Those of the start.
        load: Reads and checks; files and environment as they are now.
    """

    def __init__(
        self,
        settings: Settings,
        limiter: ChangingLimiter,
        load: Callable[[], Settings] = configuration.load,
    ) -> None:
        self.settings = settings
        self._limiter = limiter
        self._load = load

    def reload(self) -> Reload:
        """Take over what may change.

        Raises:
            ConfigurationRefused: With every problem; nothing was changed.
        """
        try:
            fresh = self._load()
        except ConfigurationError as error:
            raise ConfigurationRefused("; ".join(error.problems)) from None
        changed = {
            name
            for name in Settings.model_fields
            if _plain(getattr(fresh, name)) != _plain(getattr(self.settings, name))
        }
        now = {name: getattr(fresh, name) for name in sorted(changed & RELOADABLE)}
        self.settings = self.settings.model_copy(update=now)
        logs.set_level(self.settings.level)
        self._limiter.change(rates(self.settings))
        return Reload(
            tuple(name.upper() for name in now),
            tuple(sorted(name.upper() for name in changed - RELOADABLE)),
        )


def rates(settings: Settings) -> dict[RateClass, Rate]:
    """Requests a second for each principal; a burst is five times as much."""
    return {
        RateClass.READ: Rate(settings.rate_read, settings.rate_read * BURST),
        RateClass.WRITE: Rate(settings.rate_write, settings.rate_write * BURST),
        RateClass.PAYOUT: Rate(settings.rate_payout, settings.rate_payout * BURST),
        RateClass.APPROVE: Rate(settings.rate_approve, settings.rate_approve * BURST),
    }


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
